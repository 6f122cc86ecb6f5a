"""The device's part of ``python -m flash pi --install``: makes what the plan beside it says.

This package is sent along and run there by the system's Python as the superuser, so it needs
nothing but the standard library. It compares before it writes: what is there already stays
untouched, and the second run finds nothing to do. Each file takes its place by one rename, the
environment by one rename of the link ``/opt/edge``; until then the old one is in use.

It prints one JSON object: what was changed, or would be, and how the service is.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .files import (
    StepError,
    beside,
    full_name,
    installed,
    owner,
    relink,
    run,
    with_line,
    with_settings,
)

__all__ = ["Installer", "main"]

OPT, LINK = Path("/opt"), Path("/opt/edge")
STATE = Path("/var/lib/edge-runtime")
DEPLOY_HOME = Path("/var/lib/edge-deploy")
SETTINGS_FOLDER = Path("/etc/edge-runtime")
UNITS = ("edge-run-camera.service", "edge-run-recover.service")
CAMERA = UNITS[0]
UNIT_FOLDER = Path("/etc/systemd/system")
SUDOERS = Path("/etc/sudoers.d/edge-runtime")
# The full name by which our users are known again: `edge` may well be a person's.
GECOS = "edge-runtime"
LOCK = Path("/run/edge-install.lock")
PROGRESS = "edge-install: "
# A Zero 2 W unpacks NumPy and OpenCV in some minutes; apt may fetch 100 MB.
INSTALL_S, APT_S = 1800.0, 3600.0


class Installer:
    """Compares the machine with a plan, and changes what differs.

    Args:
        plan: What `flash.install_plan` wrote.
        folder: Where it was unpacked, with the wheels.

    Attributes:
        changes: What was changed, or would be, in words.
    """

    def __init__(self, plan: dict[str, Any], folder: Path) -> None:
        self._plan, self._folder = plan, folder
        self._dry: bool = plan["dry_run"]
        self.changes: list[str] = []

    def install(self) -> str:
        """Makes everything; returns the service's state in a word."""
        plan = self._plan
        self._users()
        self._system_packages(plan["apt"])
        for path, belongs_to, mode in (
            (SETTINGS_FOLDER, "root:root", 0o755),
            # Sticky: the user who brings models cannot replace the operator's device.json.
            (STATE, "root:edge-deploy", 0o1775),
            (DEPLOY_HOME, "root:root", 0o755),
            (DEPLOY_HOME / ".ssh", "root:root", 0o755),
        ):
            self._make_folder(path, belongs_to, mode)
        before = os.readlink(LINK) if LINK.is_symlink() else None
        target = OPT / f"edge-{plan['digest'][:12]}"
        self._environment(target)
        restart = self.changes_of(f"{LINK}")
        for file in plan["files"]:
            path = Path(file["path"])
            if not (file["if_missing"] and path.exists()):
                changed = self._write(path, file["text"], file["mode"])
                restart = restart or (changed and file["restarts"])
        for entry in plan["lines"]:
            path = Path(entry["path"])
            old = path.read_text() if path.exists() else ""
            self._write(path, with_line(old, entry["line"], entry["key"], entry["exact"]), 0o644)
        settings = STATE / "device.json"
        old = settings.read_text() if settings.exists() else ""
        self._write(settings, with_settings(old, plan["settings"], plan["overrides"]), 0o644)
        self._sudoers(plan["sudoers"])
        self._enable()
        if self._dry:
            return ""
        try:
            return self._start(restart)
        except StepError as error:
            if before is None or before == str(target):
                raise
            relink(LINK, before)
            with suppress(StepError):
                self._start(True)
            raise StepError(f"{error}; the environment before is in use again") from error

    def remove(self) -> str:
        """Removes everything that `install` makes, models included."""
        self._delete(DEPLOY_HOME / ".ssh" / "authorized_keys")  # From here on nobody comes in.
        ours = [unit for unit in UNITS if (UNIT_FOLDER / unit).exists()]
        if ours and not self._dry:
            run("systemctl", "disable", "--now", *ours)
        for unit in UNITS:
            self._delete(UNIT_FOLDER / unit)
        if ours and not self._dry:
            run("systemctl", "daemon-reload")
            subprocess.run(["systemctl", "reset-failed", *ours], capture_output=True, check=False)
        self._delete(SUDOERS)
        if LINK.is_symlink() and re.fullmatch(r"/opt/edge-[0-9a-f]{12}", os.readlink(LINK)):
            self._delete(LINK)
        for path in (*_environments(), SETTINGS_FOLDER, STATE):
            self._delete(path)
        for name in ("edge", "edge-deploy"):
            if full_name(name) == GECOS:
                self._say(f"user {name} removed")
                if not self._dry:
                    run("userdel", name)
        self._delete(DEPLOY_HOME)
        return ""

    def changes_of(self, start: str) -> bool:
        """Whether something that begins so was changed."""
        return any(change.startswith(start) for change in self.changes)

    def _say(self, change: str) -> None:
        self.changes.append(change)
        with suppress(OSError):  # An operator who has hung up must not stop the work.
            print(f"{PROGRESS}{change}", file=sys.stderr, flush=True)

    def _users(self) -> None:
        for name, home, shell in (
            ("edge", "/nonexistent", "/usr/sbin/nologin"),
            # sshd starts a forced command with the user's shell.
            ("edge-deploy", str(DEPLOY_HOME), "/bin/sh"),
        ):
            found = full_name(name)
            if found == GECOS:
                continue
            if found is not None:
                raise StepError(
                    f"the user {name} is there and was not made by us; a free name was expected; "
                    f"look whose it is, then rename it with usermod -l"
                )
            self._say(f"user {name} made")
            if not self._dry:
                run(
                    "useradd", "--system", "--user-group", "--no-create-home", "--home-dir", home,
                    "--shell", shell, "--comment", GECOS, "--password", "*", name,
                )  # fmt: skip

    def _system_packages(self, packages: Sequence[str]) -> None:
        missing = [name for name in packages if not installed(name)]
        if missing:
            self._say(f"Debian's {', '.join(missing)} installed")
            if not self._dry:
                run("apt-get", "update", "-q", timeout_s=APT_S)
                command = ("apt-get", "install", "-y", "-q", "--no-install-recommends", *missing)
                run(*command, timeout_s=APT_S, DEBIAN_FRONTEND="noninteractive")

    def _make_folder(self, path: Path, belongs_to: str, mode: int) -> None:
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise StepError(f"{path} is no folder; a folder was expected; move it out of the way")
        if path.is_dir():
            found = path.stat()
            if (owner(found), found.st_mode & 0o7777) == (belongs_to, mode):
                return
        self._say(f"{path} made for {belongs_to}")
        if not self._dry:
            path.mkdir(exist_ok=True)
            shutil.chown(path, *belongs_to.split(":"))
            path.chmod(mode)

    def _environment(self, target: Path) -> None:
        if LINK.is_symlink() and os.readlink(LINK) == str(target) and target.is_dir():
            return
        if LINK.exists() and not LINK.is_symlink():
            raise StepError(
                f"{LINK} is there and was not made by us; a free name was expected; move it away"
            )
        self._say(f"{LINK} made from {len(self._plan['wheels'])} wheels")
        if self._dry:
            return
        shutil.rmtree(target, ignore_errors=True)  # One that a power cut left half made.
        system = ["--system-site-packages"] if self._plan["system_packages"] else []
        try:
            run(sys.executable, "-I", "-m", "venv", "--without-pip", *system, str(target))
            python = str(target / "bin" / "python")
            wheels = self._folder / "wheels"
            (pip,) = wheels.glob("pip-*.whl")
            run(
                python, "-m", "pip", "install", "--no-index", "--find-links", str(wheels),
                "--no-cache-dir", "--disable-pip-version-check", "--root-user-action=ignore",
                "--quiet", *self._plan["requirements"], str(wheels / self._plan["runtime"]),
                timeout_s=INSTALL_S, PYTHONPATH=str(pip), PIP_CONFIG_FILE=os.devnull,
            )  # fmt: skip
            gate = target / "bin" / "edge-run-gate"
            gate.write_text(
                f"#!{python} -I\nimport sys\n\nfrom edge_runtime.gate import main\n\n"
                "sys.exit(main())\n"
            )
            gate.chmod(0o755)
            # The interpreter loads the released model, and OpenCV its libraries, or we stop here.
            run(str(target / "bin" / "edge-run"), "info")
            run(python, "-I", "-c", "import cv2")
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
        os.sync()
        relink(LINK, str(target))

    def _write(self, path: Path, text: str, mode: int) -> bool:
        """Writes a file of the superuser's if it differs; whether it did."""
        if path.is_symlink():
            raise StepError(f"{path} is a link; a file was expected; move it out of the way")
        if path.exists():
            found = path.stat()
            same = (owner(found), found.st_mode & 0o7777) == ("root:root", mode)
            if same and path.read_text() == text:
                return False
        self._say(f"{path} written")
        if not self._dry:
            with beside(path, text, mode) as temporary:
                temporary.replace(path)
        return True

    def _sudoers(self, text: str) -> None:
        if SUDOERS.exists() and SUDOERS.read_text() == text:
            return
        self._say(f"{SUDOERS} written")
        if not self._dry:
            # sudo passes over names with a dot in them.
            with beside(SUDOERS, text, 0o440) as temporary:
                run("visudo", "-c", "-q", "-f", str(temporary))
                temporary.replace(SUDOERS)

    def _enable(self) -> None:
        if not self._dry and self.changes_of(str(UNIT_FOLDER)):
            run("systemctl", "daemon-reload")
        for unit in UNITS:
            known = subprocess.run(
                ["systemctl", "is-enabled", "--quiet", unit], capture_output=True, check=False
            )
            if known.returncode != 0:
                self._say(f"{unit} enabled")
                if not self._dry:
                    run("systemctl", "enable", "--quiet", unit)

    def _start(self, restart: bool) -> str:
        if not (STATE / "active" / "model.tflite").exists():
            return "waits for a model"
        active = subprocess.run(["systemctl", "is-active", "--quiet", CAMERA], check=False)
        if restart or active.returncode != 0:
            self._say(f"{CAMERA} {'restarted' if active.returncode == 0 else 'started'}")
            run("systemctl", "restart", CAMERA)
        for path in _environments():
            if str(path) != os.readlink(LINK):
                shutil.rmtree(path, ignore_errors=True)
        return "active"

    def _delete(self, path: Path) -> None:
        if not os.path.lexists(path):
            return
        self._say(f"{path} removed")
        if self._dry:
            return
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def main() -> int:
    """Runs the plan in the folder that is named.

    Returns:
        0 done, 1 failed.
    """
    os.umask(0o022)
    os.chdir("/")
    folder = Path(sys.argv[1])
    plan = json.loads((folder / "plan.json").read_text())
    try:
        with LOCK.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StepError(
                    "another installation is under way there; try again later"
                ) from None
            # What a power cut left of an earlier one.
            for path in folder.parent.glob("edge-install.*"):
                if path != folder and not plan["dry_run"]:
                    shutil.rmtree(path, ignore_errors=True)
            installer = Installer(plan, folder)
            service = installer.remove() if plan["action"] == "remove" else installer.install()
    except (StepError, OSError) as error:
        print(f"{PROGRESS}error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    print(json.dumps({"changes": installer.changes, "service": service}))
    return 0


def _environments() -> list[Path]:
    return [path for path in OPT.glob("edge-*") if re.fullmatch("edge-[0-9a-f]{12}", path.name)]
