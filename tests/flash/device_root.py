"""A root of its own in which the installer runs as it does on a device, as its superuser.

Its users, files and folders are real, made by the real ``useradd`` and pip; ``/usr`` is that of
this machine, read-only. Small stand-ins for systemctl, journalctl and visudo note what they are
called with. Everything happens in a mount and process namespace (unshare, chroot).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from flash.install import RUN
from flash.install_plan import archive

__all__ = ["DeviceRoot", "make_wheels"]

SYSTEMCTL = """\
#!/bin/sh
cd /programs
echo "systemctl $*" >>log
case $1 in
  is-enabled) [ -e "enabled.$3" ] ;;
  enable) touch "enabled.$3" ;;
  is-active) [ -e active ] ;;
  # Which service starts is a matter of its options here.
  restart)
    rm -f active
    ! grep -qs bad /etc/edge-runtime/camera.env && [ ! -e broken ] && touch active ;;
  disable) rm -f enabled.* active ;;
esac
"""
STAND_INS = {
    "systemctl": SYSTEMCTL,
    "journalctl": '#!/bin/sh\necho "journalctl $*" >>/programs/log\ncat /programs/journal 2>&1\n',
    "visudo": '#!/bin/sh\necho "visudo $*" >>/programs/log\n[ ! -e /programs/no-sudoers ]\n',
}
# The folders that an installation may change.
PLACES = ("etc", "opt", "var", "run")
ENTER = """\
set -eu
root=$1; shift
for path in usr $(cd /; ls -d lib* bin sbin) "${1#/}"; do
  [ -L "/$path" ] && continue
  mount --rbind "/$path" "$root/$path"
  mount -o remount,bind,ro "$root/$path"
done
shift
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
exec chroot "$root" /usr/bin/env -i PATH=/programs:/usr/sbin:/usr/bin:/sbin:/bin "$@"
"""


def make_wheels(folder: Path) -> list[Path]:
    """Small wheels under the names by which the installation asks for them."""
    gate = (
        "import os, sys\n\ndef main():\n"
        "    open('/tmp/gate', 'w').write(f'{sys.flags.isolated}')\n"
        "    print('edge-run-gate: error: this key may not', file=sys.stderr)\n    return 1\n"
    )
    runtime = {
        "edge_runtime/__init__.py": "def main():\n    pass\n",
        "edge_runtime/__main__.py": "",
        "edge_runtime/gate.py": gate,
    }
    parts = {"numpy.py": "", "cv2.py": "import numpy\n", "paho/mqtt/client.py": ""}
    script = "[console_scripts]\nedge-run = edge_runtime:main\n"
    return [
        _wheel(folder, "edge_runtime", runtime, script),
        _wheel(folder, "parts", parts),
        _pip(folder),
    ]


def _wheel(folder: Path, name: str, files: dict[str, str], entry_points: str = "") -> Path:
    info = f"{name}-1.dist-info"
    path = folder / f"{name}-1-py3-none-any.whl"
    members = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": entry_points,
    }
    with zipfile.ZipFile(path, "w") as wheel:
        for member, text in members.items():
            wheel.writestr(member, text)
        names = [*members, f"{info}/RECORD"]
        wheel.writestr(f"{info}/RECORD", "".join(f"{member},,\n" for member in names))
    return path


def _pip(folder: Path) -> Path:
    """pip's own wheel, which Python keeps for new environments."""
    import ensurepip

    kept = [*Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl")]
    kept += Path("/usr/share/python-wheels").glob("pip-*.whl")
    return Path(shutil.copy(kept[0], folder))


class DeviceRoot:
    """A device's file system, below a folder of the test's.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def bare(cls, path: Path) -> DeviceRoot:
        """A device on which nothing was installed."""
        for name in ("dev", "proc", "opt", "run", "tmp", "var/lib", "var/tmp", "programs", "root"):
            (path / name).mkdir(parents=True)
        for name in ("etc/sudoers.d", "etc/systemd/system", "usr"):
            (path / name).mkdir(parents=True)
        for name in os.listdir("/"):
            if name in ("bin", "sbin") or name.startswith("lib"):
                host = Path("/", name)
                if host.is_symlink():
                    (path / name).symlink_to(os.readlink(host))
                elif host.is_dir():
                    (path / name).mkdir(exist_ok=True)
        (path / sys.base_prefix.lstrip("/")).mkdir(parents=True, exist_ok=True)
        for name in ("ld.so.cache", "login.defs", "default/useradd"):
            if Path("/etc", name).exists():
                (path / "etc" / name).parent.mkdir(exist_ok=True)
                shutil.copy(Path("/etc", name), path / "etc" / name)
        for name, text in (
            ("passwd", "root:x:0:0:root:/root:/bin/sh\nanna:x:1000:1000:Anna:/:/bin/sh\n"),
            ("group", "root:x:0:\nanna:x:1000:\n"),
            ("shadow", "root:*:1::::::\nanna:*:1::::::\n"),
            ("gshadow", "root:*::\nanna:*::\n"),
            ("nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\n"),
        ):
            (path / "etc" / name).write_text(text)
        for name, text in STAND_INS.items():
            (path / "programs" / name).write_text(text)
            (path / "programs" / name).chmod(0o755)
        (path / "programs" / "python3").symlink_to(sys._base_executable)  # type: ignore[attr-defined]
        return cls(path)

    def copy(self, path: Path) -> DeviceRoot:
        """The same device once more."""
        subprocess.run(["cp", "-a", str(self.path), str(path)], check=True)
        return DeviceRoot(path)

    def shell(self, command: str, *arguments: str, data: bytes = b"") -> Any:
        """Runs a command there as the superuser."""
        enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "sh"]
        return subprocess.run(
            [*enter, str(self.path), sys.base_prefix, "sh", "-c", command, *arguments],
            input=data, capture_output=True, timeout=120, check=False,
        )  # fmt: skip

    def run(self, plan: dict[str, Any], wheels: list[Path], before: str = "") -> tuple[dict, str]:
        """Sends a plan as the host does; the answer, and what was said.

        Args:
            plan: The plan.
            wheels: The wheels that travel along.
            before: A command that is run there first, in the same namespace.
        """
        done = self.shell(f"{before}\n{RUN}", data=archive(plan, tuple(wheels)))
        lines = done.stdout.decode().splitlines()
        answer = json.loads(lines[-1]) if done.returncode == 0 else {}
        return answer, done.stderr.decode()

    def file(self, name: str) -> Path:
        """A file or folder there, by its path."""
        return self.path / name.lstrip("/")

    def log(self) -> list[str]:
        """What the stand-ins were called with since this was asked last."""
        path = self.path / "programs" / "log"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def names(self, path: Path) -> tuple[str, str]:
        """Whose a file is: user and group by the device's own lists."""
        found = path.lstat()
        return self._name("passwd", found.st_uid), self._name("group", found.st_gid)

    def _name(self, table: str, number: int) -> str:
        for line in (self.path / "etc" / table).read_text().splitlines():
            fields = line.split(":")
            if int(fields[2]) == number:
                return fields[0]
        return str(number)

    def access(self, name: str) -> tuple[str, str, str]:
        """User, group and mode of a file or folder there, such as ("root", "root", "0644")."""
        path = self.file(name)
        return *self.names(path), f"{stat.S_IMODE(path.lstat().st_mode):04o}"

    def everything(self) -> dict[str, tuple[object, ...]]:
        """Every file in the places that an installation may change, byte for byte."""
        found = {}
        for place in PLACES:
            for path in sorted((self.path / place).rglob("*")):
                known = path.lstat()
                if path.is_symlink():
                    content = os.readlink(path)
                elif path.is_file():
                    content = hashlib.sha256(path.read_bytes()).hexdigest()
                else:
                    content = ""
                name = str(path.relative_to(self.path))
                found[name] = (known.st_mode, known.st_uid, known.st_gid, content)
        return found
