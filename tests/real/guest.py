"""A Debian machine of one's own: systemd, sshd and a disk, under qemu without KVM.

Boots Debian's own kernel directly, from a disk made of a folder, with sshd forwarded to a port on
127.0.0.1. Keys are made for each run and reach the guest in its initial RAM disk. `cut_power` ends
qemu with SIGKILL: what the guest's kernel had not handed to its disk is lost, as on a real machine.
The disk itself is a file in this machine's cache, and keeps all that it was handed: a card that
loses or reorders what it said was written is not shown.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

__all__ = ["Guest"]

# Those in the order in which they are loaded; what they need is added by modprobe.
MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "ext4")
# Under emulation, with others on the same cores, a boot has taken a minute.
BOOT_S = 400.0
LOGIN = "pi"
NAME = "guest"

INIT = """\
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc; $b mount -t sysfs sys /sys; $b mount -t devtmpfs dev /dev
for m in {modules}; do $b insmod /mod/$m; done
for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/vda ] && break; $b sleep 1; done
$b mount -t ext4 /dev/vda /root
$b cp -a /put/. /root/
$b umount /proc /sys
exec $b switch_root /root /sbin/init
"""


class Guest:
    """A machine that can be switched on, reached, and lose its power.

    Attributes:
        folder: Where its disk, keys and logs are.
        port: The port of its sshd on 127.0.0.1.
        ssh_config: A client's configuration that knows it as "guest" and, as the user who brings
            models, as "guest-deploy".
        key: The private key that its user `pi` accepts.
        put: A folder whose content goes onto its disk when it boots, once `pack` was called.
    """

    def __init__(self, root: Path, folder: Path, kernel: Path) -> None:
        self.folder, self._kernel = folder, kernel
        self._version = kernel.name.partition("-")[2]
        self._process: subprocess.Popen[bytes] | None = None
        self.disk = folder / "disk.img"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.key, self.ssh_config = folder / "login_key", folder / "ssh_config"
        for name in ("login_key", "host_key"):
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name)
        _run("mke2fs", "-q", "-t", "ext4", "-d", root, self.disk, "3G")
        host_key = (folder / "host_key.pub").read_text()
        (folder / "known_hosts").write_text(f"{NAME} {host_key}")
        self.ssh_config.write_text(
            "Host guest guest-deploy\n"
            f"  HostName 127.0.0.1\n  Port {self.port}\n  HostKeyAlias {NAME}\n"
            f"  IdentityFile {self.key}\n  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  UserKnownHostsFile {folder / 'known_hosts'}\n  GlobalKnownHostsFile /dev/null\n"
            # The first answer of an emulated sshd takes its time.
            "  ConnectTimeout 60\n"
            "Host guest\n  User pi\n"
            "Host guest-deploy\n  User edge-deploy\n"
        )
        self.put = folder / "initial" / "put"
        self._make_initial_disk()

    @property
    def running(self) -> bool:
        """Whether it is switched on."""
        return self._process is not None and self._process.poll() is None

    def _make_initial_disk(self) -> None:
        """The RAM disk: busybox, the modules, and what each run puts onto the guest's disk."""
        tree = self.folder / "initial"
        for name in ("bin", "mod", "dev", "proc", "sys", "root", "put"):
            (tree / name).mkdir(parents=True)
        shutil.copy(_tool("busybox"), tree / "bin" / "busybox")
        modules: list[str] = []
        for name in MODULES:
            shown = _run("modprobe", "-S", self._version, "--show-depends", name)
            needed = [line.split()[1] for line in shown.splitlines() if line.startswith("insmod")]
            for path in map(Path, needed):
                if path.is_file() and path.name not in modules:
                    shutil.copy(path, tree / "mod" / path.name)
                    modules.append(path.name)
        init = tree / "init"
        init.write_text(INIT.format(modules=" ".join(modules)))
        init.chmod(0o755)
        ssh = tree / "put" / "etc" / "ssh"
        login = tree / "put" / "etc" / "ssh" / "keys"
        login.mkdir(parents=True)
        shutil.copy(self.folder / "host_key", ssh / "ssh_host_ed25519_key")
        shutil.copy(self.folder / "host_key.pub", ssh / "ssh_host_ed25519_key.pub")
        shutil.copy(self.folder / "login_key.pub", login / LOGIN)
        (login / LOGIN).chmod(0o644)
        self.pack()

    def pack(self) -> None:
        """Makes the RAM disk of what is in its folder, below `put` what goes onto the disk."""
        pack = 'find . | cpio -o -H newc --quiet -R 0:0 | gzip -1 > "$0"'
        tree = self.folder / "initial"
        subprocess.run(["sh", "-c", pack, str(self.folder / "initrd")], cwd=tree, check=True)

    def switch_on(self) -> float:
        """Boots it and waits until it can be reached; returns the seconds that took."""
        began = time.monotonic()
        console = (self.folder / "console.log").open("ab")
        self._process = subprocess.Popen(
            [
                "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2",
                "-m", "1024", "-display", "none", "-serial", "stdio", "-no-reboot",
                "-kernel", str(self._kernel), "-initrd", str(self.folder / "initrd"),
                "-append", "console=ttyS0 root=/dev/vda rw quiet panic=-1 mitigations=off",
                "-drive", f"file={self.disk},format=raw,if=virtio,cache=writeback",
                "-device", "virtio-rng-pci",
                "-nic", f"user,model=virtio,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:22",
            ],
            stdin=subprocess.DEVNULL, stdout=console, stderr=console,
        )  # fmt: skip
        console.close()
        while time.monotonic() - began < BOOT_S:
            if self._process.poll() is not None:
                break
            done = self.ssh("true", check=False)
            if done.returncode == 0:
                return time.monotonic() - began
            time.sleep(1)
        tail = (self.folder / "console.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"the guest did not come up:\n{tail}")

    def cut_power(self) -> None:
        """Ends the machine between two instructions."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ssh(self, command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command there, as the user pi."""
        done = subprocess.run(
            ["ssh", "-F", str(self.ssh_config), "-o", "BatchMode=yes", NAME, command],
            capture_output=True, text=True, timeout=300, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise RuntimeError(f"{command!r} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done

    def root(self, command: str, check: bool = True) -> str:
        """What a command prints there that the superuser runs."""
        return self.ssh(f"sudo -n {command}", check).stdout.strip()


def _tool(name: str) -> str:
    path = shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin")
    if path is None:
        raise RuntimeError(f"{name} is missing; see tests/real/systemd.sh for Debian's packages")
    return path


def _run(name: str, *arguments: str | Path) -> str:
    command = [_tool(name), *map(str, arguments)]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL
    ).stdout
