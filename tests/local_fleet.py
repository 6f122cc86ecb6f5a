"""Many devices on this machine: each has an sshd, a host key, an ``edge-run`` and a state folder.

One sshd takes at most 16 addresses to listen on, so each device has one of its own, on 127.0.0.2,
127.0.0.3, … For the tests of the fleet and for `tests/real/fleet.py`.
"""

from __future__ import annotations

import getpass
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class LocalDevice:
    """A device of the fleet.

    Attributes:
        name: Its name in the inventory.
        folder: All that is its own.
        state: The folder that holds its models.
        address: Its address on the loopback network.
        port: Its port there.
    """

    def __init__(self, folder: Path, name: str, number: int) -> None:
        self.folder, self.name = folder, name
        self.state = folder / "data" / "edge-runtime"
        self.address = f"127.0.{number // 250}.{number % 250 + 2}"
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "bin").mkdir(parents=True)
        self.state.mkdir(parents=True)
        with socket.socket() as free:
            free.bind((self.address, 0))
            self.port = free.getsockname()[1]
        self.runs_edge_run()

    def runs_edge_run(self) -> None:
        """Makes this checkout's runtime its ``edge-run``."""
        self.runs(f"PYTHONPATH={shlex.quote(str(ROOT))} exec {sys.executable} -m edge_runtime")

    def runs(self, program: str) -> None:
        """Makes `program` what ``edge-run`` is there; every call is noted, and can be held up."""
        command = self.folder / "bin" / "edge-run"
        command.write_text(
            f'#!/bin/sh\necho "$*" >> {self.folder / "calls"}\n'
            f'while [ -e {self.folder / "hold"} ]; do sleep 0.2; done\n{program} "$@"\n'
        )
        command.chmod(0o755)

    def settings(self, **settings: Any) -> None:
        """Writes its ``device.json``."""
        (self.state / "device.json").write_text(json.dumps(settings))

    def allow(self, client_key: Path, *options: str) -> None:
        """Lets the controller's key in, with options as sshd(8) has them for authorized keys."""
        key = client_key.with_suffix(".pub").read_text()
        (self.folder / "authorized_keys").write_text(f"{','.join(options)} {key}".lstrip())

    def hold(self) -> None:
        """Lets every call wait until `release`."""
        (self.folder / "hold").touch()

    def release(self) -> None:
        (self.folder / "hold").unlink(missing_ok=True)

    def calls(self) -> list[str]:
        """The verbs for which its ``edge-run`` was called."""
        path = self.folder / "calls"
        return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []

    def active(self) -> bytes | None:
        """The bytes of the active model, or None."""
        path = self.state / "active" / "model.tflite"
        return path.read_bytes() if path.exists() else None

    def start(self, sshd: str) -> None:
        """Starts its sshd, if it does not run."""
        if self._process is not None:
            return
        config = self.folder / "sshd_config"
        config.write_text(
            f"ListenAddress {self.address}\nPort {self.port}\n"
            f"HostKey {self.folder / 'host_key'}\nPidFile none\n"
            f"AuthorizedKeysFile {self.folder / 'authorized_keys'}\nUsePAM no\nStrictModes no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            "PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n"
            f"SetEnv XDG_DATA_HOME={self.folder / 'data'} "
            f"PATH={self.folder / 'bin'}:/usr/bin:/bin\n"
        )
        self._process = subprocess.Popen(
            [sshd, "-D", "-f", str(config), "-E", str(self.folder / "log")],
            stdin=subprocess.DEVNULL,
        )

    def wait(self) -> None:
        """Waits until it can be reached."""
        for _ in range(400):
            try:
                socket.create_connection((self.address, self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"sshd did not start: {(self.folder / 'log').read_text()}")

    def stop(self) -> None:
        """Makes it unreachable: its port is closed."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None


class LocalFleet:
    """Devices and the inventory that names them.

    Attributes:
        devices: All of them, in the inventory's order.
        inventory: Ansible's inventory, an INI file.
        key: The private key that every device lets in.
        known_hosts: The controller's file of host keys.
    """

    def __init__(self, folder: Path, count: int, sshd: str, ssh_keygen: str) -> None:
        self.folder = folder
        self._sshd, self._keygen = sshd, ssh_keygen
        self.key = folder / "client_key"
        self.known_hosts = folder / "known_hosts"
        self.inventory = folder / "hosts.ini"
        folder.mkdir(parents=True, exist_ok=True)
        self._make_key(self.key)
        names = [f"pi-{number:02}" for number in range(1, count + 1)]
        self.devices = [
            LocalDevice(folder / name, name, number) for number, name in enumerate(names)
        ]
        for device in self.devices:
            self._make_key(device.folder / "host_key")
            device.allow(self.key)
        self.write_known_hosts()
        self.write_inventory()

    def _make_key(self, path: Path) -> None:
        command = [self._keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

    def __getitem__(self, name: str) -> LocalDevice:
        return next(device for device in self.devices if device.name == name)

    def write_known_hosts(self) -> None:
        """Lets the controller know each device's host key."""
        self.known_hosts.write_text(
            "".join(
                f"[{device.address}]:{device.port} {(device.folder / 'host_key.pub').read_text()}"
                for device in self.devices
            )
        )

    def write_inventory(self, *more: str) -> None:
        """Writes the inventory, as everybody's is."""
        lines = ["[digits]"]
        lines += [f"{d.name} ansible_host={d.address} ansible_port={d.port}" for d in self.devices]
        lines += [
            "[digits:vars]",
            f"ansible_user={getpass.getuser()}",
            f"ansible_ssh_private_key_file={self.key}",
            f"ansible_ssh_common_args=-o UserKnownHostsFile={self.known_hosts} "
            "-o IdentitiesOnly=yes -o IdentityAgent=none -F none",
            *more,
        ]
        self.inventory.write_text("\n".join(lines) + "\n")

    def start_all(self) -> None:
        """Makes every device reachable that is not."""
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd's privilege separation asks for it.
        for device in self.devices:
            device.start(self._sshd)
        for device in self.devices:
            device.wait()

    @contextmanager
    def running(self) -> Iterator[LocalFleet]:
        """All devices reachable for as long as the block lasts."""
        try:
            self.start_all()
            yield self
        finally:
            for device in self.devices:
                device.release()
                device.stop()

    def reset(self) -> None:
        """Takes every model and note away, so that the devices are new; settings stay."""
        for device in self.devices:
            device.runs_edge_run()
            device.allow(self.key)
            (device.folder / "calls").unlink(missing_ok=True)
            for path in device.state.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path.name != "device.json":
                    path.unlink()
