"""Changes to the files of a machine: each is told, made by one rename, and none in a dry run."""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .places import PROGRESS
from .programs import StepError, run

__all__ = ["Changes", "beside", "with_settings"]


class Changes:
    """What is changed on a machine, or would be.

    Args:
        dry: Say what differs, change nothing.

    Attributes:
        dry: The same.
        told: The changes in words.
    """

    def __init__(self, dry: bool) -> None:
        self.dry = dry
        self.told: list[str] = []
        # What files that can be put back were before: text and mode, None for none.
        self._before: dict[Path, tuple[str, int] | None] = {}

    def tell(self, change: str) -> None:
        """Notes a change, and says it to the operator who waits."""
        self.told.append(change)
        with suppress(OSError):  # One who has hung up must not stop the work.
            print(f"{PROGRESS}{change}", file=sys.stderr, flush=True)

    def folder(self, path: Path, belongs_to: str, mode: int) -> None:
        """Makes a folder, or gives it its owner and mode.

        Args:
            path: The folder.
            belongs_to: "user:group".
            mode: Its permissions.

        Raises:
            StepError: Something else has that name.
        """
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise StepError(f"{path} is no folder; a folder was expected; move it out of the way")
        if path.is_dir():
            found = path.stat()
            if (_owner(found), found.st_mode & 0o7777) == (belongs_to, mode):
                return
        self.tell(f"{path} made for {belongs_to}")
        if not self.dry:
            path.mkdir(exist_ok=True)
            shutil.chown(path, *belongs_to.split(":"))
            path.chmod(mode)

    def write(
        self,
        path: Path,
        text: str,
        mode: int,
        *,
        can_be_put_back: bool = False,
        accepted_by: Sequence[str] = (),
    ) -> bool:
        """Writes a file of the superuser's if it differs.

        Args:
            path: The file.
            text: Its content.
            mode: Its permissions.
            can_be_put_back: Keep what it was, for `put_back`.
            accepted_by: A command that must end with 0 for the new file before it gets its name.

        Returns:
            Whether it was written, or would be.

        Raises:
            StepError: A link has that name, or the command refused the file.
        """
        if path.is_symlink():
            raise StepError(f"{path} is a link; a file was expected; move it out of the way")
        self.remove_unfinished(path)
        before = None
        if path.exists():
            found = path.stat()
            before = path.read_text(), found.st_mode & 0o7777
            if (before, _owner(found)) == ((text, mode), "root:root"):
                return False
        self.tell(f"{path} written")
        if not self.dry:
            if can_be_put_back:
                self._before.setdefault(path, before)
            with beside(path, text, mode) as temporary:
                if accepted_by:
                    run(*accepted_by, str(temporary))
                temporary.replace(path)
        return True

    def put_back(self) -> bool:
        """Makes the files that can be put back what they were.

        Returns:
            Whether there was one.
        """
        for path, before in self._before.items():
            if before is None:
                path.unlink(missing_ok=True)
            else:
                with beside(path, *before) as temporary:
                    temporary.replace(path)
        return bool(self._before)

    def delete(self, path: Path) -> None:
        """Removes a file, a link, or a folder with all that is in it; or nothing.

        Args:
            path: What goes.
        """
        if not os.path.lexists(path):
            return
        self.tell(f"{path} removed")
        if self.dry:
            return
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()

    def remove_unfinished(self, path: Path) -> None:
        """Removes what a power cut left of a new file.

        Args:
            path: The name that the new file would have got.
        """
        if not self.dry:
            for unfinished in path.parent.glob(f".{path.name}.????????"):
                with suppress(OSError):  # A folder of that name is not ours.
                    unfinished.unlink()


@contextmanager
def beside(path: Path, text: str, mode: int) -> Iterator[Path]:
    """A new file, on the disk, that the block renames to `path`; so is the folder afterwards.

    Args:
        path: The file to replace.
        text: Its new content.
        mode: Its permissions.

    Yields:
        The new file's path, in the same folder.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def with_settings(path: Path, settings: dict[str, Any], overrides: dict[str, Any]) -> str:
    """``device.json`` with what it lacks; what the operator wrote stays.

    Args:
        path: The file, which may be missing.
        settings: What it must have.
        overrides: What was asked for now, and replaces what is there.

    Returns:
        Its text; the same if nothing was lacking.

    Raises:
        StepError: It is not JSON.
    """
    text = path.read_text() if path.exists() else ""
    try:
        found = json.loads(text or "{}")
        merged = {**settings, **found, **overrides}
    except (ValueError, TypeError):
        raise StepError(
            f"{path} is no object in JSON; settings were expected; mend it or move it away"
        ) from None
    return text if merged == found else json.dumps(merged, indent=2) + "\n"


def _owner(found: os.stat_result) -> str:
    """Whose a file is: "user:group", or "" for a user or group without a name."""
    try:
        return f"{pwd.getpwuid(found.st_uid).pw_name}:{grp.getgrgid(found.st_gid).gr_name}"
    except KeyError:
        return ""
