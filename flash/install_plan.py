"""What `flash pi --install` puts on a device, as one plan and one archive.

The plan is data: files with their text, lines of keys, settings, names of wheels. What makes it so
is `flash.on_device`, which travels in the same archive.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import shlex
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from edge_runtime.cli import camera as camera_verb
from edge_runtime.signature import NAMESPACE

from .errors import FlashError
from .install_facts import Facts
from .wheelhouse import Wheelhouse

__all__ = [
    "DEPLOY_USER",
    "PublicKey",
    "archive",
    "camera_words",
    "plan",
    "public_key",
    "removal",
    "unit",
]

DEPLOY_USER = "edge-deploy"
HERE = Path(__file__).parent
ALLOWED_SIGNERS = "/etc/edge-runtime/allowed_signers"
AUTHORIZED_KEYS = "/var/lib/edge-deploy/.ssh/authorized_keys"
CAMERA_FILE = "/etc/edge-runtime/camera.env"
UNIT_FOLDER = "/etc/systemd/system"
CAMERA_UNIT, RECOVER_UNIT = "edge-run-camera.service", "edge-run-recover.service"
FORCED = 'restrict,command="/opt/edge/bin/edge-run-gate"'
RESTART = ["systemctl", "restart", CAMERA_UNIT]
# Where NumPy and OpenCV have no wheels.
APT = ("python3-numpy", "python3-opencv")
# systemd's own notes: RestartSteps and RestartMaxDelaySec came with version 254.
BACK_OFF_SINCE = 254
SUDOERS = f"""\
# Written by python -m flash pi --install: a new model needs the service restarted, and no more.
{DEPLOY_USER} ALL=(root) NOPASSWD: /usr/bin/systemctl restart {CAMERA_UNIT}
"""
PASSPHRASE_S = 120.0
# RFC 4253's names of key types, as OpenSSH writes them; those on hardware end in @openssh.com.
KEY = re.compile(r"((?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]+) ([A-Za-z0-9+/]{40,}={0,2})(?: (.*))?")
PRINCIPAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")


@dataclass(frozen=True)
class PublicKey:
    """The public half of an SSH key.

    Attributes:
        kind: Its type, for example "ssh-ed25519".
        base64: The key itself.
        owner: Whose it is: its comment, where that can stand in a file of keys.
    """

    kind: str
    base64: str
    owner: str


def public_key(path: Path) -> PublicKey:
    """The public half of a key.

    Args:
        path: The private key, or its ``.pub``.

    Returns:
        The key.

    Raises:
        FlashError: There is no such file, or it is no SSH key.
    """
    given = path.expanduser()
    beside = given if given.suffix == ".pub" else given.with_name(f"{given.name}.pub")
    try:
        text = (beside if beside.is_file() else given).read_text()
        if not beside.is_file():
            text = _derived(given)
    except (OSError, UnicodeDecodeError):
        raise FlashError(
            f"there is no key {path}", "an SSH key", "make one with ssh-keygen -t ed25519"
        ) from None
    found = KEY.fullmatch(text.strip())
    if found is None or "-cert-" in found[1]:
        raise FlashError(
            f"{beside if beside.is_file() else path} is no public SSH key",
            "one line such as ssh-ed25519 AAAA…",
            "make a key with ssh-keygen -t ed25519",
        )
    comment = (found[3] or "").strip()
    return PublicKey(found[1], found[2], comment if PRINCIPAL.fullmatch(comment) else "operator")


def camera_words(text: str) -> str:
    """Checks what the service is to give to ``edge-run camera``.

    Args:
        text: A source and further options, quoted as in a shell.

    Returns:
        The words, separated by spaces, as the service's environment has them.

    Raises:
        FlashError: ``edge-run camera`` does not know them, or systemd would split them elsewhere.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise FlashError(f"--camera {text!r} cannot be split ({error})", "closed quotes") from None
    for word in words:
        if not word.isprintable() or re.search(r"[\s\"'\\]", word):
            raise FlashError(
                f"--camera has the word {word!r}", "words without blanks, quotes and backslashes"
            )
    parser = _Parser(prog="edge-run camera", add_help=False)
    camera_verb.configure(parser)
    args = parser.parse_args(words)
    if args.model is not None:
        raise FlashError("--camera names a model", "a source", "send the model with --model")
    return " ".join(words)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise FlashError(
            f"edge-run camera does not understand --camera: {message}",
            "a source, such as /dev/video0, and options",
            "see edge-run camera --help",
        )


def unit(name: str, systemd: int) -> str:
    """A unit as a version of systemd takes it.

    Args:
        name: The unit's file name.
        systemd: The version; lines that it does not know yet are left out.

    Returns:
        The unit's text.
    """
    lines = (HERE / "templates" / name).read_text().splitlines(keepends=True)
    if systemd < BACK_OFF_SINCE:
        lines = [line for line in lines if not re.match("RestartSteps=|RestartMaxDelay", line)]
    return "".join(lines)


def plan(
    facts: Facts,
    wheelhouse: Wheelhouse,
    signer: PublicKey,
    sender: PublicKey,
    *,
    camera: str | None,
    device_type: str | None,
    dry_run: bool,
) -> dict[str, Any]:
    """Everything that a device is to have.

    Args:
        facts: The device.
        wheelhouse: Its wheels.
        signer: Whose models it takes.
        sender: Who may bring them.
        camera: Words for ``edge-run camera``; None leaves what is there, or takes "auto".
        device_type: What kind of device it is; None leaves what is there.
        dry_run: Say what differs, change nothing.

    Returns:
        The plan, as plain JSON values.
    """

    def file(path: str, text: str, mode: int, restarts: bool, if_missing: bool = False) -> dict:
        return {
            "path": path,
            "text": text,
            "mode": mode,
            "restarts": restarts,
            "if_missing": if_missing,
        }

    def line(path: str, text: str, key: PublicKey, exact: bool) -> dict:
        return {"path": path, "line": text, "key": key.base64, "exact": exact}

    allowed = f'{signer.owner} namespaces="{NAMESPACE}" {signer.kind} {signer.base64}'
    may_send = f"{FORCED} {sender.kind} {sender.base64} {sender.owner}"
    return {
        "action": "install",
        "dry_run": dry_run,
        "digest": wheelhouse.digest,
        "system_packages": facts.system_packages,
        "apt": list(APT) if facts.uses_apt else [],
        "wheels": [path.name for path in wheelhouse.wheels],
        "requirements": list(wheelhouse.requirements),
        "runtime": wheelhouse.runtime,
        "files": [
            # An address may hold a password: for the superuser alone, who hands it on.
            file(CAMERA_FILE, f"EDGE_CAMERA={camera or 'auto'}\n", 0o600, True, camera is None),
            file(f"{UNIT_FOLDER}/{CAMERA_UNIT}", unit(CAMERA_UNIT, facts.systemd), 0o644, True),
            file(f"{UNIT_FOLDER}/{RECOVER_UNIT}", unit(RECOVER_UNIT, facts.systemd), 0o644, False),
        ],
        "lines": [
            # Who maintains the file may have narrowed the line of a key, say by a date.
            line(ALLOWED_SIGNERS, allowed, signer, exact=False),
            # A line that gives the key more than the gate is replaced.
            line(AUTHORIZED_KEYS, may_send, sender, exact=True),
        ],
        "settings": {
            "allowed_signers": ALLOWED_SIGNERS,
            "restart": ["sudo", "-n", *RESTART],
            "health": ["systemctl", "is-active", "--quiet", CAMERA_UNIT],
        },
        "overrides": {} if device_type is None else {"device_type": device_type},
        "sudoers": SUDOERS,
    }


def removal(dry_run: bool) -> dict[str, Any]:
    """The plan that removes everything.

    Args:
        dry_run: Say what is there, remove nothing.

    Returns:
        The plan, as plain JSON values.
    """
    return {"action": "remove", "dry_run": dry_run}


def archive(made: dict[str, Any], wheels: tuple[Path, ...]) -> bytes:
    """The plan, the program that carries it out, and wheels, as one archive.

    Args:
        made: The plan.
        wheels: The files to send along.

    Returns:
        A tar archive.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:

        def add(name: str, data: bytes) -> None:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o600
            tar.addfile(member, io.BytesIO(data))

        add("plan.json", json.dumps(made).encode())
        start = "import sys\n\nfrom on_device.installer import main\n\nsys.exit(main())\n"
        add("__main__.py", start.encode())
        for path in sorted((HERE / "on_device").glob("*.py")):
            add(f"on_device/{path.name}", path.read_bytes())
        for path in wheels:
            add(f"wheels/{path.name}", path.read_bytes())
    return buffer.getvalue()


def _derived(key: Path) -> str:
    """The public half of a private key that has none beside it; asks for a passphrase itself."""
    try:
        done = subprocess.run(
            ["ssh-keygen", "-y", "-f", str(key.absolute())],
            capture_output=True,
            text=True,
            timeout=PASSPHRASE_S,
            check=False,
        )
    except FileNotFoundError:
        raise FlashError(
            "the program ssh-keygen is missing here", "OpenSSH", "apt-get install openssh-client"
        ) from None
    except subprocess.TimeoutExpired:
        raise FlashError(f"the passphrase of {key} was not given in time") from None
    return done.stdout
