"""Where the installation puts things, and how what it made is known again.

What a person made by hand under one of these names is never written over and never removed: our
files begin with a line that says so, our folders belong to the group of a user that we made, and
our users have a full name of their own.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
from contextlib import suppress
from pathlib import Path

__all__ = [
    "ALLOWED_SIGNERS",
    "AUTHORIZED_KEYS",
    "CAMERA_FILE",
    "CAMERA_UNIT",
    "DEPLOY_HOME",
    "DEPLOY_USER",
    "FILES",
    "FOLDERS",
    "GECOS",
    "LINK",
    "MARKER",
    "OPT",
    "PROGRESS",
    "RECOVER_UNIT",
    "SERVICE_USER",
    "SETTINGS_FOLDER",
    "STATE",
    "SUDOERS",
    "UNITS",
    "UNIT_FOLDER",
    "environments",
    "foreign",
    "full_name",
    "is_ours",
]

OPT, LINK = Path("/opt"), Path("/opt/edge")
STATE = Path("/var/lib/edge-runtime")
DEPLOY_HOME = Path("/var/lib/edge-deploy")
AUTHORIZED_KEYS = DEPLOY_HOME / ".ssh" / "authorized_keys"
SETTINGS_FOLDER = Path("/etc/edge-runtime")
ALLOWED_SIGNERS = SETTINGS_FOLDER / "allowed_signers"
CAMERA_FILE = SETTINGS_FOLDER / "camera.env"
UNITS = CAMERA_UNIT, RECOVER_UNIT = "edge-run-camera.service", "edge-run-recover.service"
UNIT_FOLDER = Path("/etc/systemd/system")
SUDOERS = Path("/etc/sudoers.d/edge-runtime")
SERVICE_USER, DEPLOY_USER = "edge", "edge-deploy"
FILES = (*(UNIT_FOLDER / unit for unit in UNITS), SUDOERS)
FOLDERS = (SETTINGS_FOLDER, STATE, DEPLOY_HOME)
# The full name by which our users are known again: `edge` may well be a person's.
GECOS = "edge-runtime"
MARKER = "# Written by python -m flash pi --install"
PROGRESS = "edge-install: "
# Named after what is in it. The second name is for a new one where the first is damaged and in use.
ENVIRONMENT = re.compile(r"edge-[0-9a-f]{12}(-2)?")


def foreign() -> list[str]:
    """What has one of our names and was not made by us.

    Returns:
        One phrase each, such as "the user edge".
    """
    found = [
        f"the user {name}"
        for name in (SERVICE_USER, DEPLOY_USER)
        if full_name(name) not in (None, GECOS)
    ]
    found += [
        f"the group {name}"
        for name in (SERVICE_USER, DEPLOY_USER)
        if full_name(name) is None and name in {group.gr_name for group in grp.getgrall()}
    ]
    places = (*FILES, *FOLDERS, LINK)
    return found + [str(path) for path in places if os.path.lexists(path) and not is_ours(path)]


def is_ours(path: Path) -> bool:
    """Whether something that is there was made by an installation.

    Args:
        path: One of `FILES` or `FOLDERS`, or `LINK`.

    Returns:
        Whether it was. An empty folder counts: a power cut may have left it.
    """
    if path == LINK:
        target = Path(os.readlink(path)) if path.is_symlink() else path
        return target.parent == OPT and ENVIRONMENT.fullmatch(target.name) is not None
    if path.is_symlink():
        return False
    if path in FOLDERS:
        return path.is_dir() and (_group(path) == DEPLOY_USER or not any(path.iterdir()))
    return path.is_file() and path.read_text(errors="replace").startswith(MARKER)


def environments() -> list[Path]:
    """The folders of the environments that are there."""
    return sorted(path for path in OPT.glob("edge-*") if ENVIRONMENT.fullmatch(path.name))


def full_name(name: str) -> str | None:
    """A user's full name.

    Args:
        name: The login name.

    Returns:
        What /etc/passwd has, or None where there is no such user.
    """
    with suppress(KeyError):
        return pwd.getpwnam(name).pw_gecos
    return None


def _group(path: Path) -> str | None:
    if full_name(DEPLOY_USER) != GECOS:
        return None
    with suppress(KeyError):
        return grp.getgrgid(path.stat().st_gid).gr_name
    return None
