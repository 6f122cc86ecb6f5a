"""What must outlive a power cut beside the releases themselves: the file ``state.json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .device_settings import MAX_KEEP
from .manifest import MAX_COUNTER, Manifest, is_sha256, utc_time

__all__ = ["MAX_STATE_BYTES", "STATE_FILE", "State", "guessed_state", "parse_state", "state_text"]

STATE_FILE = "state.json"
# A hundred releases of 74 characters, and the longest reason, have 12 KB.
MAX_STATE_BYTES = 2**16
# A command's last words may be long; the operator has had them in full.
MAX_REASON_CHARACTERS = 1000


@dataclass(frozen=True)
class State:
    """What is confirmed, what is pending, and the floor.

    Attributes:
        chain: Releases that were confirmed, the newest first: the active one, the previous one,
            and those before it. A rollback takes the first away.
        counter: The smallest counter that is accepted.
        accepted_at: When the newest accepted bundle was made (ISO 8601, UTC), or None.
        pending: The release that was made active and is not confirmed, or None.
        before: What was active before the pending one, or None.
        reverted: The last release that was taken back and why, or None.
        guessed: The file was lost, and this is taken from the releases; is not in the file.
    """

    chain: tuple[str, ...] = ()
    counter: int = 0
    accepted_at: str | None = None
    pending: str | None = None
    before: str | None = None
    reverted: dict[str, str] | None = None
    guessed: bool = field(default=False, compare=False)


def state_text(state: State) -> str:
    """The file's content, never longer than what is read again."""
    values = asdict(replace(state, chain=state.chain[: MAX_KEEP + 1]))
    del values["guessed"]
    if state.reverted is not None:
        values["reverted"] = {
            name: text[:MAX_REASON_CHARACTERS] for name, text in state.reverted.items()
        }
    return json.dumps(values, indent=2) + "\n"


def guessed_state(accepted: Sequence[Manifest], active: str | None, back: str | None) -> State:
    """What can be known where the file is lost.

    Args:
        accepted: The manifests that are stored, each of which was accepted once.
        active: The active release, or None.
        back: The one to which a way back leads, or None; there is one while a release is pending.

    Returns:
        The state, with the highest floor.
    """
    times = [utc_time(manifest.created_at) for manifest in accepted]
    state = State(
        counter=max((manifest.counter for manifest in accepted), default=0),
        accepted_at=max(times).isoformat() if times else None,
    )
    if active is not None and back not in (None, active):
        return replace(state, chain=(str(back),), pending=active, before=back)
    return state if active is None else replace(state, chain=(active,))


def parse_state(text: bytes) -> State:
    """Reads what `state_text` wrote.

    Raises:
        ValueError: It is anything else; or TypeError, KeyError, RecursionError, BundleError.
    """
    values: dict[str, Any] = json.loads(text)
    state = State(**values)
    state = replace(state, chain=tuple(state.chain))
    if not all(is_sha256(name) for name in state.chain):
        raise ValueError("a release has an impossible name")
    if not all(name is None or is_sha256(name) for name in (state.pending, state.before)):
        raise ValueError("a release has an impossible name")
    if type(state.counter) is not int or not 0 <= state.counter <= MAX_COUNTER:
        raise ValueError("the counter is impossible")
    if state.accepted_at is not None:
        utc_time(state.accepted_at)
    if not all(isinstance(text, str) for text in (state.reverted or {}).values()):
        raise TypeError("what was reverted is no object of texts")
    if state.guessed:
        raise ValueError("the file says of itself that it was lost")
    return state
