"""Results on the web page, as one of the loop's outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..frames import LiveReading, SourceStatus
from ..health import Health

if TYPE_CHECKING:
    from ..preview import Preview

__all__ = ["PageOutput"]


class PageOutput:
    """Hands results to a `Preview` that was started."""

    def __init__(self, preview: Preview) -> None:
        """Takes the page over.

        Args:
            preview: The page; closed with this output.
        """
        self._preview = preview

    def reading(self, reading: LiveReading) -> None:
        """Shows a result; the page's own threads draw and encode it, if anybody looks."""
        self._preview.publish(reading)

    def status(self, status: SourceStatus, health: Health) -> None:
        """Shows the camera's state; the page asks the machine about its health itself."""
        self._preview.publish_status(status)

    def close(self) -> None:
        """Closes the page."""
        self._preview.close()
