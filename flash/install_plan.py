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
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from edge_runtime.cli import camera as camera_verb
from edge_runtime.signature import NAMESPACE

from .errors import FlashError
from .install_facts import Facts
from .install_keys import PublicKey
from .on_device.places import (
    ALLOWED_SIGNERS,
    AUTHORIZED_KEYS,
    CAMERA_FILE,
    CAMERA_UNIT,
    DEPLOY_USER,
    MARKER,
    UNIT_FOLDER,
    UNITS,
)
from .wheelhouse import Wheelhouse

__all__ = [
    "DEPLOY_USER",
    "Wanted",
    "archive",
    "camera_words",
    "plan",
    "removal",
    "unit",
]

HERE = Path(__file__).parent
FORCED = 'restrict,command="/opt/edge/bin/edge-run-gate"'
RESTART = ["systemctl", "restart", CAMERA_UNIT]
# Where NumPy and OpenCV have no wheels.
APT = ("python3-numpy", "python3-opencv")
SUDOERS = f"""\
{MARKER}: a new model needs the service restarted, and no more.
{DEPLOY_USER} ALL=(root) NOPASSWD: /usr/bin/systemctl restart {CAMERA_UNIT}
"""


@dataclass(frozen=True)
class Wanted:
    """What the operator wants of a device.

    Attributes:
        signer: Whose models it takes.
        sender: Who may bring them.
        camera: Source and options for ``edge-run camera``; None leaves what is there, or takes
            "auto".
        device_type: What kind of device it is; None leaves what is there.
        wheelhouse: The folder in which wheels are kept.
        without_keys: Fingerprints of keys that are to count there no more.
    """

    signer: PublicKey
    sender: PublicKey
    camera: tuple[str, str] | None
    device_type: str | None
    wheelhouse: Path
    without_keys: tuple[str, ...] = ()


def camera_words(text: str) -> tuple[str, str]:
    """Checks what the service is to give to ``edge-run camera``.

    Args:
        text: A source and further options, quoted as in a shell.

    Returns:
        The source, and the other words separated by spaces, as the service's environment has them:
        a source may hold a password, and what is in a command line everybody on a machine can see.

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
    args = _parsed(words)
    if args.model is not None:
        raise FlashError("--camera names a model", "a source", "send the model with --model")
    for place, word in enumerate(words):
        others = [*words[:place], *words[place + 1 :]]
        # An option's value may be the same word.
        if word == args.source and vars(_parsed(others)) == {**vars(args), "source": None}:
            return word, " ".join(others)
    return "auto", " ".join(words)


def _parsed(words: list[str]) -> argparse.Namespace:
    parser = _Parser(prog="edge-run camera", add_help=False)
    camera_verb.configure(parser)
    return parser.parse_args(words)


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
        systemd: The version. What stands between the lines ``#since 254`` or ``#before 254`` and
            ``#end`` is for those versions alone.

    Returns:
        The unit's text.
    """
    kept, takes = [], True
    for line in (HERE / "templates" / name).read_text().splitlines(keepends=True):
        if found := re.match(r"#(since|before) (\d+)$", line):
            takes = (systemd >= int(found[2])) == (found[1] == "since")
        elif line == "#end\n":
            takes = True
        elif takes:
            kept.append(line)
    return "".join(kept)


def plan(facts: Facts, wheelhouse: Wheelhouse, wanted: Wanted, *, dry_run: bool) -> dict[str, Any]:
    """Everything that a device is to have.

    Args:
        facts: The device.
        wheelhouse: Its wheels.
        wanted: What the operator wants of it.
        dry_run: Say what differs, change nothing.

    Returns:
        The plan, as plain JSON values; without names of wheels where none has to be sent.
    """
    environment, is_there = facts.environment_for(wheelhouse.digest)
    return {
        "action": "install",
        "dry_run": dry_run,
        "environment": environment,
        "system_packages": facts.system_packages,
        "apt": list(APT) if facts.uses_apt else [],
        "wheels": [] if is_there else [path.name for path in wheelhouse.wheels],
        "requirements": list(wheelhouse.requirements),
        "runtime": wheelhouse.runtime,
        "files": _files(wanted.camera, facts.systemd),
        "lines": _lines(wanted.signer, wanted.sender),
        "without_keys": list(wanted.without_keys),
        "settings": {
            "allowed_signers": str(ALLOWED_SIGNERS),
            "restart": ["sudo", "-n", *RESTART],
            "health": ["systemctl", "is-active", "--quiet", CAMERA_UNIT],
        },
        "overrides": {} if wanted.device_type is None else {"device_type": wanted.device_type},
        "sudoers": SUDOERS,
    }


def _files(camera: tuple[str, str] | None, systemd: int) -> list[dict[str, Any]]:
    """What the service runs by."""
    source, options = camera or ("auto", "")
    # An address may hold a password: for the superuser alone, who hands it on.
    text = f"EDGE_CAMERA_SOURCE={source}\nEDGE_CAMERA_OPTIONS={options}\n"
    kept = {"restarts": True, "if_missing": camera is None}
    files: list[dict[str, Any]] = [{"path": str(CAMERA_FILE), "text": text, "mode": 0o600, **kept}]
    for name in UNITS:
        path, restarts = str(UNIT_FOLDER / name), name == CAMERA_UNIT
        kept = {"restarts": restarts, "if_missing": False}
        files.append({"path": path, "text": unit(name, systemd), "mode": 0o644, **kept})
    return files


def _lines(signer: PublicKey, sender: PublicKey) -> list[dict[str, Any]]:
    """Whose models are taken, and who may bring them."""
    signs = f'{signer.owner} namespaces="{NAMESPACE}" {signer.kind} {signer.base64}'
    brings = f"{FORCED} {sender.kind} {sender.base64} {sender.owner}"
    return [
        # Who maintains the file may have narrowed the line of a key, say by a date.
        {
            "path": str(ALLOWED_SIGNERS),
            "line": signs,
            "key": signer.base64,
            "purpose": NAMESPACE,
        },
        # A line that gives the key more than the gate is replaced.
        {"path": str(AUTHORIZED_KEYS), "line": brings, "key": sender.base64, "purpose": None},
    ]


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

        start = "import sys\n\nfrom on_device.main import main\n\nsys.exit(main())\n"
        add("__main__.py", start.encode())
        for path in sorted((HERE / "on_device").iterdir()):
            if path.suffix in (".py", ".sh"):
                add(f"on_device/{path.name}", path.read_bytes())
        for path in wheels:
            add(f"wheels/{path.name}", path.read_bytes())
        # Last: what was cut off between two members has no plan.
        add("plan.json", json.dumps(made).encode())
    return buffer.getvalue()
