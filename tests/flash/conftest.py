"""A device to flash: a real sshd on 127.0.0.1 with keys, configuration and folders of its own."""

from __future__ import annotations

import getpass
import hashlib
import io
import json
import os
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest

from convert.schema import load_schema
from edge_runtime.contract import load_sealed, seal
from edge_runtime.device import receive
from flash.bundle import make_bundle
from flash.image import Image, make_image
from flash.install_facts import Facts
from flash.mcu import MicroModel, run_in_tflm
from flash.partitions import Partition
from flash.pi import Device
from flash.ssh import SshTarget

ROOT = Path(__file__).resolve().parents[2]


class SshDevice:
    """A machine as `flash` sees one: sshd, a login, an ``edge-run`` on its path, a state folder.

    As an ordinary user or as root; the login is always the user who runs the tests.

    Attributes:
        name: The name under which the client's configuration knows it.
        port: Port on 127.0.0.1.
        state: The folder there that holds the models.
        client_key: Private key that it accepts.
        known_hosts: The client's file of known host keys.
        ssh_config: The client's configuration, with all of the above.
    """

    def __init__(self, folder: Path, require_tool: Callable[[str], str], name: str) -> None:
        require_tool("ssh")
        self._sshd = require_tool("sshd")
        self._keygen = require_tool("ssh-keygen")
        self._process: subprocess.Popen[bytes] | None = None
        self.folder, self.name = folder, name
        folder.mkdir(parents=True)
        self.state = folder / "data" / "edge-runtime"
        self.client_key, self.known_hosts = folder / "client_key", folder / "known_hosts"
        self.ssh_config, self.log = folder / "ssh_config", folder / "sshd.log"
        self.make_key(self.client_key)
        self.make_key(folder / "host_key")
        shutil.copy(folder / "client_key.pub", folder / "authorized_keys")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.know_host(folder / "host_key.pub")
        self.install_runtime()
        self.write_client_config(self.port)

    def make_key(self, path: Path) -> None:
        subprocess.run(
            [self._keygen, "-q", "-t", "ed25519", "-N", "", "-f", path],
            check=True,
            stdin=subprocess.DEVNULL,
        )

    def write_settings(self, **settings: Any) -> None:
        """Writes the device's ``device.json``, as its operator does."""
        self.state.mkdir(parents=True, exist_ok=True)
        (self.state / "device.json").write_text(json.dumps(settings))

    def know_host(self, public_key: Path) -> None:
        """Lets the client know this host key, and no other, for the device."""
        names = f"{self.name},[127.0.0.1]:{self.port}"
        self.known_hosts.write_text(f"{names} {public_key.read_text()}")

    def install_runtime(self, python: str = sys.executable) -> None:
        """Puts an ``edge-run`` on the device's path that runs this checkout."""
        command = self.folder / "bin" / "edge-run"
        command.parent.mkdir(exist_ok=True)
        # python -m, because the environment may have another checkout's console script.
        command.write_text(
            f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} "
            f'exec {shlex.quote(python)} -m edge_runtime "$@"\n'
        )
        command.chmod(0o755)

    def write_client_config(self, port: int) -> None:
        self.ssh_config.write_text(
            f"Host {self.name}\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n"
            f"  HostKeyAlias {self.name}\n"
            "Host *\n"
            f"  IdentityFile {self.client_key}\n  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  UserKnownHostsFile {self.known_hosts}\n  GlobalKnownHostsFile /dev/null\n"
        )

    def start(self) -> None:
        path = f"{self.folder / 'bin'}:/usr/bin:/bin"
        config = self.folder / "sshd_config"
        config.write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {self.folder / 'host_key'}\n"
            f"PidFile {self.folder / 'sshd.pid'}\n"
            f"AuthorizedKeysFile {self.folder / 'authorized_keys'}\n"
            "UsePAM no\nStrictModes no\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
            f"SetEnv XDG_DATA_HOME={self.folder / 'data'} PATH={path}\n"
        )
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd's privilege separation asks for it.
        self._process = subprocess.Popen(
            [self._sshd, "-D", "-f", str(config), "-E", str(self.log)], stdin=subprocess.DEVNULL
        )
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"sshd did not start: {self.log.read_text()}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    @property
    def target(self) -> SshTarget:
        return SshTarget(self.name, config=self.ssh_config)

    @property
    def device(self) -> Device:
        return Device(self.target)

    def active(self) -> bytes | None:
        """The bytes of the active model, or None."""
        path = self.state / "active" / "model.tflite"
        return path.read_bytes() if path.exists() else None

    def leftovers(self) -> list[str]:
        """What lies in the state folder and should not."""
        return sorted(p.name for p in self.state.rglob("incoming-*"))


class CutCable:
    """A way to a device that breaks after a number of bytes towards it."""

    def __init__(self, port: int, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        try:
            client, _ = self._server.accept()
        except OSError:
            return
        device = socket.create_connection(("127.0.0.1", self._target))
        back = threading.Thread(target=self._back, args=(device, client))
        back.start()
        left = self._limit
        while left > 0 and (data := client.recv(min(left, 4096))):
            device.sendall(data)
            left -= len(data)
        for end in (client, device):
            end.shutdown(socket.SHUT_RDWR)
        back.join()
        client.close()
        device.close()

    @staticmethod
    def _back(device: socket.socket, client: socket.socket) -> None:
        try:
            while data := device.recv(4096):
                client.sendall(data)
        except OSError:
            pass  # The cable is cut.

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()


@pytest.fixture
def make_ssh_device(
    tmp_path: Path, require_tool: Callable[[str], str], signer: Any
) -> Iterator[Callable[[str], SshDevice]]:
    """``make_ssh_device("pi")`` is a running device of that name; it has no model, and knows the
    tests' signer.
    """
    running: list[SshDevice] = []

    def make(name: str) -> SshDevice:
        device = SshDevice(tmp_path / f"device-{name}", require_tool, name)
        device.write_settings(allowed_signers=str(signer.allowed))
        running.append(device)
        device.start()
        return device

    yield make
    for device in running:
        device.stop()


@pytest.fixture
def ssh_device(make_ssh_device: Callable[[str], SshDevice]) -> SshDevice:
    """A running device without a model, which the client's configuration calls "pi"."""
    return make_ssh_device("pi")


@pytest.fixture(scope="session")
def _int8_installed(tmp_path_factory: pytest.TempPathFactory, models: Path, signer: Any) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    (folder / "device.json").write_text(json.dumps({"allowed_signers": str(signer.allowed)}))
    bundle = make_bundle(models / "seed_int8.tflite", key=signer.key, counter=1)
    receive(io.BytesIO(bundle.data), folder)
    return folder


@pytest.fixture
def int8_device(ssh_device: SshDevice, _int8_installed: Path) -> SshDevice:
    """A running device on which the released int8 model is active."""
    shutil.copytree(_int8_installed, ssh_device.state, symlinks=True, dirs_exist_ok=True)
    return ssh_device


@pytest.fixture
def good_answer() -> dict[str, Any]:
    """All of what ``edge-run receive`` and ``status --json`` answer that `flash` reads."""
    return {
        "outcome": "activated",
        "active": {"name": "seed", "variant": "int8", "sha256": "0" * 64},
        "previous": None,
        "self_test": {
            "inputs": 10,
            "largest_difference": 0.0,
            "tolerance": 0.05,
            "backend": "litert",
            "backend_version": "2.3.0",
        },
        "problem": None,
        "signed_only": True,
        "device_type": "raspberrypi",
        "runtime": "0.1.0",
        "interpreters": {"litert": "2.3.0"},
        "counter": 0,
        "free_bytes": 2**40,
        "shape": [28, 28, 1, list("0123456789")],
    }


@pytest.fixture
def cut_cable(ssh_device: SshDevice) -> Iterator[Callable[[int], None]]:
    """``cut_cable(n)`` lays the way to the device over a cable that breaks after n bytes."""
    cables: list[CutCable] = []

    def lay(limit_bytes: int) -> None:
        cables.append(CutCable(ssh_device.port, limit_bytes))
        ssh_device.write_client_config(cables[-1].port)

    yield lay
    for cable in cables:
        cable.close()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, seed_model: Callable[[str], Path]) -> Path:
    """A folder with variants of `seed` and their golden inputs, as ``convert`` leaves one."""
    folder = tmp_path_factory.mktemp("models")
    for variant in ("int8", "int16x8", "float16", "dynamic"):
        shutil.copy(seed_model(f"seed_{variant}.tflite"), folder)
    shutil.copy(seed_model("seed.golden.npz"), folder)
    return folder


@pytest.fixture
def newer_model(models: Path, tmp_path: Path) -> Path:
    """The int8 variant of `seed` with FULLY_CONNECTED version 12, as TensorFlow 2.21 writes it in
    its dynamic one, beside its golden inputs. tflite-runtime 2.14 loads up to version 10.
    """
    schema = load_schema()
    sealed = load_sealed(models / "seed_int8.tflite")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(sealed.flatbuffer, 0))
    for code in model.operatorCodes:
        if code.builtinCode == schema.BuiltinOperator.FULLY_CONNECTED:
            code.version = 12
    builder = flatbuffers.Builder(2**17)
    builder.Finish(model.Pack(builder), b"TFL3")
    flatbuffer = bytes(builder.Output())
    path = tmp_path / "newer" / "seed_int8.tflite"
    path.parent.mkdir()
    path.write_bytes(seal(flatbuffer, sealed.contract))
    with np.load(models / "seed.golden.npz") as arrays:
        sha256 = np.array(hashlib.sha256(flatbuffer).hexdigest())
        np.savez(path.parent / "seed.golden.npz", **{**arrays, "sha256_int8": sha256})
    return path


@pytest.fixture(scope="session")
def micro_model(models: Path) -> MicroModel:
    """The int8 variant of `seed`, as TensorFlow Lite Micro ran it."""
    return run_in_tflm(models / "seed_int8.tflite")


@pytest.fixture(scope="session")
def image(micro_model: MicroModel) -> Image:
    """Its flash image, with the counter 7."""
    return make_image(micro_model, 7)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """``stand_in(NAME, SCRIPT)`` puts a shell script in the place of a program.

    Returns the file where it may note what it was called with: "$LOG" in the script.
    """
    folder = tmp_path / "programs"
    folder.mkdir()
    # Programs are looked for beside the interpreter first, which is still the real one.
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))

    def put(name: str, script: str) -> Path:
        log = tmp_path / f"{name}.log"
        program = folder / name
        program.write_text(f"#!/bin/sh\nLOG={shlex.quote(str(log))}\n{script}\n")
        program.chmod(0o755)
        return log

    return put


@pytest.fixture
def bare_pi() -> Facts:
    """What a Raspberry Pi with Bookworm says of itself before anything is installed."""
    return Facts(
        os="Debian GNU/Linux 12 (bookworm)",
        architecture="aarch64",
        machine="aarch64",
        python="3.11",
        modules=frozenset({"venv", "picamera2"}),
        tools=frozenset(
            {"sudo", "visudo", "systemctl", "ssh-keygen", "useradd", "runuser", "flock", "tar"}
        ),
        systemd=252,
        free_bytes=8 * 2**30,
        tmp_bytes=8 * 2**30,
        clock_ahead_s=1.0,
        is_root=False,
        becomes_root=True,
        has_model=False,
        environment="",
    )


def _binary_table(partitions: Iterable[Partition], md5: bytes | None = None) -> bytes:
    """The table as a project's build writes it (gen_esp32part.py)."""
    entries = b"".join(
        b"\xaa\x50"
        + struct.pack("<BBII", one.type, one.subtype, one.offset, one.size_bytes)
        + one.name.encode().ljust(16, b"\0")
        + struct.pack("<I", one.flags)
        for one in partitions
    )
    digest = hashlib.md5(entries).digest() if md5 is None else md5
    return (entries + b"\xeb\xeb" + b"\xff" * 14 + digest).ljust(0xC00, b"\xff")


@pytest.fixture
def binary_table() -> Callable[..., bytes]:
    """``binary_table(PARTITIONS)``: an ESP32's partition table as it lies in flash."""
    return _binary_table
