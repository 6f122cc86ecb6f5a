"""A text that does not flicker: what single frames say, made steady."""

from __future__ import annotations

from .errors import InputError

__all__ = ["SteadyText"]


class SteadyText:
    """The text that most of the latest frames agree on, slow to change its mind.

    A text that differs from the steady one is a challenger. Each frame that shows it counts for it,
    each frame that shows anything else counts against it, and it takes over once it is `stable`
    ahead. So a single odd frame changes nothing, two readings that alternate for ever change
    nothing either, and one odd frame in the middle of a real change delays it by two frames rather
    than starting it anew. An empty text is a text like any other: a page taken away must be
    gone for as many frames as a new one must be there.

    The counting is that of R. S. Boyer and J. S. Moore's majority vote (1981), which needs one
    candidate and one number whatever the frames say.

    Attributes:
        stable: How far ahead a challenger must be; 1 follows every frame.
        text: The steady text; "" before anything was read.
    """

    def __init__(self, stable: int = 1) -> None:
        """Begins with an empty text.

        Args:
            stable: At least 1.

        Raises:
            InputError: `stable` is below 1.
        """
        if stable < 1:
            raise InputError(f"stable is {stable}", "a whole number from 1")
        self.stable = stable
        self.text = ""
        self._challenger = ""
        self._lead = 0

    def update(self, text: str) -> bool:
        """Takes one frame's text into account.

        Args:
            text: What was read on the frame alone.

        Returns:
            Whether the steady text is another one now.

        >>> steady = SteadyText(2)
        >>> [(steady.update(text), steady.text) for text in ("7", "7", "1", "7", "1", "1")]
        [(False, ''), (True, '7'), (False, '7'), (False, '7'), (False, '7'), (True, '1')]
        """
        if self._lead and text == self._challenger:
            self._lead += 1
        elif self._lead:
            self._lead -= 1
        elif text != self.text:
            self._challenger, self._lead = text, 1
        if self._lead < self.stable:
            return False
        self.text, self._lead = self._challenger, 0
        return True
