"""The device's part of ``python -m flash pi --install``: makes what the plan says.

It compares before it writes: what is there already stays untouched, and the second run finds
nothing to do. Each file takes its place by one rename, the environment by one rename of the link
``/opt/edge``; until then the old one is in use. If a step fails, or the service does not start,
the files that it runs by and the environment are put back.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .changes import Changes, with_settings
from .environment import make, relink
from .keys import with_line, without_keys
from .locks import no_transfer
from .places import (
    CAMERA_UNIT,
    DEPLOY_HOME,
    DEPLOY_USER,
    FOLDERS,
    GECOS,
    LINK,
    SERVICE_USER,
    SETTINGS_FOLDER,
    STATE,
    SUDOERS,
    UNIT_FOLDER,
    UNITS,
    environments,
    foreign,
    full_name,
)
from .programs import StepError, installed, last_words, run, succeeds

__all__ = ["Installer"]

# apt may fetch 100 MB.
APT_S = 3600.0


class Installer:
    """Compares the machine with a plan, and changes what differs.

    Args:
        plan: What `flash.install_plan` wrote.
        folder: Where it was unpacked, with the wheels.

    Attributes:
        changes: What was changed, or would be.
    """

    def __init__(self, plan: dict[str, Any], folder: Path) -> None:
        self._plan, self._wheels = plan, folder / "wheels"
        self.changes = Changes(plan["dry_run"])
        self._dry = self.changes.dry
        self._before = os.readlink(LINK) if LINK.is_symlink() else None
        self._restarted = False

    def install(self) -> str:
        """Makes everything; returns the service's state in a word.

        Raises:
            StepError: Something is in the way, or a step failed.
        """
        plan = self._plan
        if others := foreign():
            raise StepError(
                f"{others[0]} is there and was not made by us; a free name was expected; move it "
                "away or rename it"
            )
        settings = with_settings(STATE / "device.json", plan["settings"], plan["overrides"])
        if not self._dry:
            with no_transfer():  # Told now, and not after minutes; it is taken again below.
                pass
        self._users()
        self._system_packages(plan["apt"])
        self._folders()
        target = Path(plan["environment"])
        if not plan["wheels"] and not target.is_dir():
            raise StepError(f"{target} has gone meanwhile; try again")
        if plan["wheels"]:
            self.changes.tell(f"{target} made from {len(plan['wheels'])} wheels")
            if not self._dry:
                make(target, plan, self._wheels)
        if self._dry:
            return self._switch(target, settings)
        with no_transfer():
            try:
                return self._switch(target, settings)
            except BaseException as error:
                if self._go_back() and isinstance(error, StepError):
                    raise StepError(f"{error}; what was there before is in use again") from error
                raise

    def _switch(self, target: Path, settings: str) -> str:
        """All that takes no time and has to be changed together."""
        plan, restart = self._plan, False
        if self._before != str(target):
            self.changes.tell(f"{LINK} leads to {target}")
            restart = True
            if not self._dry:
                relink(LINK, str(target))
        # sudo passes over names with a dot in them, as the new file's is until it is accepted.
        accepted = ("visudo", "-c", "-q", "-f")
        self.changes.write(SUDOERS, plan["sudoers"], 0o440, accepted_by=accepted)
        for file in plan["files"]:
            path = Path(file["path"])
            if not (file["if_missing"] and path.exists()):
                changed = self.changes.write(path, file["text"], file["mode"], can_be_put_back=True)
                restart = restart or (changed and file["restarts"])
        for entry in plan["lines"]:
            path = Path(entry["path"])
            old = without_keys(path.read_text() if path.exists() else "", plan["without_keys"])
            text = with_line(old, entry["line"], entry["key"], entry["purpose"])
            self.changes.write(path, text, 0o644)
        self.changes.write(STATE / "device.json", settings, 0o644)
        self._enable()
        return self._start(restart)

    def _go_back(self) -> bool:
        """Puts back what the service runs by; whether there was anything."""
        link = os.readlink(LINK) if LINK.is_symlink() else None
        moved = self._before is not None and link != self._before
        if moved:
            relink(LINK, str(self._before))
        back = self.changes.put_back() or moved
        if back:
            with suppress(StepError):
                run("systemctl", "daemon-reload")
                if self._restarted:
                    run("systemctl", "restart", CAMERA_UNIT)
        return back

    def _users(self) -> None:
        for name, home, shell in (
            (SERVICE_USER, "/nonexistent", "/usr/sbin/nologin"),
            # sshd starts a forced command with the user's shell.
            (DEPLOY_USER, str(DEPLOY_HOME), "/bin/sh"),
        ):
            if full_name(name) is not None:
                continue
            self.changes.tell(f"user {name} made")
            if not self._dry:
                run(
                    "useradd", "--system", "--user-group", "--no-create-home", "--home-dir", home,
                    "--shell", shell, "--comment", GECOS, "--password", "*", name,
                )  # fmt: skip

    def _system_packages(self, packages: Sequence[str]) -> None:
        missing = [name for name in packages if not installed(name)]
        if missing:
            self.changes.tell(f"Debian's {', '.join(missing)} installed")
            if not self._dry:
                run("apt-get", "update", "-q", timeout_s=APT_S)
                command = ("apt-get", "install", "-y", "-q", "--no-install-recommends", *missing)
                run(*command, timeout_s=APT_S, DEBIAN_FRONTEND="noninteractive")

    def _folders(self) -> None:
        # The group says that they are ours, see `places`.
        ours = f"root:{DEPLOY_USER}"
        # Sticky: the user who brings models cannot replace the operator's device.json.
        modes = {SETTINGS_FOLDER: 0o755, STATE: 0o1775, DEPLOY_HOME: 0o755}
        for path in FOLDERS:
            self.changes.folder(path, ours, modes[path])
        self.changes.folder(DEPLOY_HOME / ".ssh", "root:root", 0o755)

    def _enable(self) -> None:
        if not self._dry and any(line.startswith(str(UNIT_FOLDER)) for line in self.changes.told):
            run("systemctl", "daemon-reload")
        for unit in UNITS:
            if not succeeds("systemctl", "is-enabled", "--quiet", unit):
                self.changes.tell(f"{unit} enabled")
                if not self._dry:
                    run("systemctl", "enable", "--quiet", unit)

    def _start(self, restart: bool) -> str:
        if not (STATE / "active" / "model.tflite").exists():
            return "waits for a model"
        active = succeeds("systemctl", "is-active", "--quiet", CAMERA_UNIT)
        if restart or not active:
            self.changes.tell(f"{CAMERA_UNIT} {'restarted' if active else 'started'}")
            if not self._dry:
                self._restart()
        if not self._dry:
            for path in environments():
                if str(path) != os.readlink(LINK):
                    shutil.rmtree(path, ignore_errors=True)
        return "active"

    def _restart(self) -> None:
        self._restarted, began = True, time.time()
        try:
            run("systemctl", "restart", CAMERA_UNIT)
        except StepError as error:
            if said := last_words(CAMERA_UNIT, began - 1):
                raise StepError(f"{CAMERA_UNIT} does not start: {said}") from error
            raise
