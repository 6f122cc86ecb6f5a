"""What the operator says of this device: the file ``device.json`` in the folder of its models.

Only the operator writes it; `receive` reads it, and a bundle cannot change it. Without the file
nothing is accepted, for nobody is allowed to sign.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .errors import DeviceError, InputError
from .files import read_limited
from .manifest import DEFAULT_DEVICE_TYPE

__all__ = ["MAX_KEEP", "SETTINGS_FILE", "Settings", "default_directory", "read_settings"]

SETTINGS_FILE = "device.json"
SYSTEM_DIRECTORY = Path("/var/lib/edge-runtime")

# systemd gives a service 90 s to start; a camera loop that has not read a frame within 30 s has
# declared its camera absent (see docs/camera.md).
HEALTH_TIMEOUT_S = 30.0
KEEP = 3
MAX_KEEP = 100
"""More than anybody goes back; keeps the state's file small."""
MAX_BYTES = 2**16
# Nobody waits a day for a model; a number beyond would overflow the system's clock.
LONGEST_S = 86_400.0


@dataclass(frozen=True)
class Settings:
    """A device's settings; those that the file does not name are safe.

    Attributes:
        device_type: What kind of device this is; bundles for another kind are refused.
        allowed_signers: Who may sign models, as ssh-keygen(1) describes the file; None for nobody.
        revoked_keys: Keys that count no more, or None.
        allow_unsigned: For development: take bundles that carry no signature.
        restart: The command that lets the service load the active model; empty for none.
        health: A command that ends with 0 as long as the service is well; empty for none.
        health_timeout_s: Seconds for the restart, and from the switch for the first word that the
            service is well; see `edge_runtime.device_health`.
        keep: How many releases stay beside the active one.
    """

    device_type: str = DEFAULT_DEVICE_TYPE
    allowed_signers: Path | None = None
    revoked_keys: Path | None = None
    allow_unsigned: bool = False
    restart: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    health_timeout_s: float = HEALTH_TIMEOUT_S
    keep: int = KEEP


def default_directory() -> Path:
    """Where the models live.

    Returns:
        ``$EDGE_RUNTIME_DIR``; else ``/var/lib/edge-runtime`` where that was set up; else this
        user's own, below ``$XDG_DATA_HOME`` or ``~/.local/share``.

    Raises:
        DeviceError: This user has no home folder.
    """
    if named := os.environ.get("EDGE_RUNTIME_DIR"):
        return Path(named)
    try:
        if (SYSTEM_DIRECTORY / SETTINGS_FILE).is_file():
            return SYSTEM_DIRECTORY
    except OSError:  # It is there, and none of this user's business.
        pass
    try:
        base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    except RuntimeError:  # A user without HOME whom the system does not know.
        raise DeviceError(
            "this user has no home folder", "a folder for the models", "name one with --dir"
        ) from None
    return Path(base) / "edge-runtime"


def read_settings(directory: Path) -> Settings:
    """Reads ``device.json``.

    Args:
        directory: The folder that holds the models. Paths in the file are relative to it.

    Returns:
        The settings; without a file, the safe ones.

    Raises:
        DeviceError: The file cannot be understood, or anybody may write it.
    """
    path = directory / SETTINGS_FILE
    try:
        mode = path.stat().st_mode
        text = read_limited(path, MAX_BYTES).decode()
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError, InputError) as error:
        raise DeviceError(f"{path} cannot be read ({error})", "this device's settings") from None
    if mode & 0o002:
        raise DeviceError(
            f"anybody may write {path}", "a file that only the operator writes", f"chmod o-w {path}"
        )
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DeviceError(f"{path} is not JSON ({error})", "an object with settings") from None
    if not isinstance(values, dict):
        raise DeviceError(f"{path} holds a {type(values).__name__}", "an object with settings")
    known = {item.name for item in fields(Settings)}
    if unknown := sorted(set(values) - known):
        raise DeviceError(
            f"{path} has the unknown setting {unknown[0]!r}", f"one of {', '.join(sorted(known))}"
        )
    return Settings(**{name: _checked(path, name, value) for name, value in values.items()})


def _checked(path: Path, name: str, value: Any) -> Any:
    """A setting in the type that `Settings` has it in."""
    accepts, expected = _RULES[name]
    if not accepts(value):
        raise DeviceError(f"{name} in {path} is {value!r:.80}", expected)
    if name in ("allowed_signers", "revoked_keys"):
        return None if value is None else path.parent / value
    return tuple(value) if isinstance(value, list) else value


def _is_command(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(word, str) and word and "\0" not in word for word in value
    )


def _is_path(value: object) -> bool:
    return value is None or (isinstance(value, str) and value != "" and "\0" not in value)


def _is_seconds(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and 1 <= value <= LONGEST_S  # type: ignore[arg-type,operator]


_COMMAND = (_is_command, "a command as a list of words")
_PATH = (_is_path, "a path, or null")
_RULES: Mapping[str, tuple[Any, str]] = {
    "device_type": (lambda v: isinstance(v, str) and 0 < len(v) <= 64, "a short name"),
    "allowed_signers": _PATH,
    "revoked_keys": _PATH,
    "allow_unsigned": (lambda v: isinstance(v, bool), "true or false"),
    "restart": _COMMAND,
    "health": _COMMAND,
    "health_timeout_s": (_is_seconds, f"1 to {LONGEST_S:.0f} seconds"),
    "keep": (
        lambda v: type(v) is int and 1 <= v <= MAX_KEEP,
        f"a whole number from 1 to {MAX_KEEP}",
    ),
}
