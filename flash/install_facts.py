"""What a machine is, asked in one command, and whether the runtime can be installed on it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from .errors import FlashError
from .ssh import SshTarget

__all__ = ["Facts", "check", "check_room", "notes", "parse_facts", "read_facts", "script"]

HERE = Path(__file__).parent
SCRIPTS = (HERE / "on_device" / "whole.sh", HERE / "templates" / "facts.sh")
# A Pi whose card is asleep answers within seconds; each program that is asked takes one more, and
# an environment that is tried some ten.
TIMEOUT_S = 180.0
# The environment takes 290 MB with wheels unpacked on x86-64; the old one stays until the new runs.
NEEDED_KIB = 500 * 1024
NEEDED_TMP_KIB = 200 * 1024
# What an NTP client has put right, and what a network and a busy card delay, is less.
CLOCK_SKEW_S = 60
# dpkg's names, with what wheels call them.
ARCHITECTURES = {"arm64": "aarch64", "armhf": "armv7l", "amd64": "x86_64"}
PYTHONS = ("3.11", "3.12", "3.13")
TOOLS = {
    "sudo": "sudo",
    "visudo": "sudo",
    "systemctl": "systemd",
    "ssh-keygen": "openssh-client",
    "useradd": "passwd",
    "runuser": "util-linux",
    "flock": "util-linux",
    "tar": "tar",
}


@dataclass(frozen=True)
class Facts:
    """A machine as it said itself.

    Attributes:
        os: Its operating system in words.
        architecture: Its programs' architecture as wheels call it: aarch64, armv7l or x86_64; as
            the machine calls it where we know no wheels for it.
        machine: What its kernel says it runs on, which may have 64 bits where programs have 32.
        python: Version of its ``python3`` as "3.11", or "" where there is none.
        modules: Those of venv, picamera2, numpy and cv2 that this Python has.
        tools: The programs that the installation calls and that are there.
        systemd: Version of systemd if that is what started the machine, else 0.
        free_bytes: Room where the runtime goes.
        tmp_bytes: Room for what is sent.
        clock_ahead_s: Seconds by which its clock is ahead of ours.
        is_root: Whether the login is the superuser's.
        becomes_root: Whether it is, or ``sudo`` makes it so without a password.
        has_model: Whether a model is active there.
        environment: Where ``/opt/edge`` leads, or "".
        whole: The environments there that can do what they are there for (on_device/whole.sh).
    """

    os: str
    architecture: str
    machine: str
    python: str
    modules: frozenset[str]
    tools: frozenset[str]
    systemd: int
    free_bytes: int
    tmp_bytes: int
    clock_ahead_s: float
    is_root: bool
    becomes_root: bool
    has_model: bool
    environment: str
    whole: frozenset[str] = frozenset()

    @property
    def system_packages(self) -> bool:
        """Whether the environment must see the system's own Python packages."""
        return self.uses_apt or "picamera2" in self.modules

    def environment_for(self, digest: str) -> tuple[str, bool]:
        """Where an environment is to be.

        Args:
            digest: Names exactly what is in it.

        Returns:
            Its folder, and whether it is there already, and whole.
        """
        first = f"/opt/edge-{digest[:12]}"
        second = f"{first}-2"  # A damaged one in use stays until its successor is tried.
        for path in (first, second):
            if path in self.whole:
                return path, True
        return (second if self.environment == first else first), False

    @property
    def uses_apt(self) -> bool:
        """Whether NumPy and OpenCV come from Debian: there are no 32-bit wheels of them."""
        return self.architecture == "armv7l"


def script() -> bytes:
    """What is run on the machine."""
    return b"".join(path.read_bytes() for path in SCRIPTS)


def read_facts(target: SshTarget) -> Facts:
    """Asks a machine what it is, in one command that changes nothing.

    Args:
        target: How to reach it.

    Returns:
        What it said.

    Raises:
        FlashError: It was not reached, or did not answer as a shell does.
    """
    began = time.time()
    result = target.run(["sh", "-s"], script(), timeout_s=TIMEOUT_S)
    return parse_facts(result.stdout, target.destination, (began + time.time()) / 2)


def parse_facts(text: str, place: str, now: float) -> Facts:
    """Reads the lines that the command printed.

    Args:
        text: Its output, with whatever a login script printed before.
        place: The machine's name, for the error.
        now: The time here, in seconds since 1970.

    Returns:
        The facts.

    Raises:
        FlashError: They are incomplete.
    """
    said = dict(re.findall(r"^edge-fact (\w+)=(.*)$", text, re.MULTILINE))
    if "environment" not in said:
        raise FlashError(
            f"{place} did not answer as a shell does",
            "a login that runs commands",
            f"try ssh {place} uname -a; a key restricted to models cannot install",
        )
    machine = said.get("machine", "")
    named: str = said.get("architecture", "") or machine
    return Facts(
        os=said.get("os", "").strip() or "unknown",
        architecture=ARCHITECTURES.get(named, named),
        machine=machine,
        python=said.get("python", "").strip(),
        modules=frozenset(said.get("modules", "").split()),
        tools=frozenset(said.get("tools", "").split()),
        systemd=_number(said.get("systemd", "")),
        free_bytes=_number(said.get("free_kib", "")) * 1024,
        tmp_bytes=_number(said.get("tmp_kib", "")) * 1024,
        clock_ahead_s=_number(said.get("clock", "")) - now,
        is_root=said.get("uid") == "0",
        becomes_root=said.get("root") == "yes",
        has_model=said.get("model") == "yes",
        environment=said["environment"].strip(),
        whole=frozenset(said.get("whole", "").split()),
    )


def check(facts: Facts, place: str, *, installs: bool) -> None:
    """Refuses a machine on which the installation would fail half way.

    Args:
        facts: What it is.
        place: Its name, for the error.
        installs: Whether something is to be put there; else only what removing needs is checked.

    Raises:
        FlashError: The first thing that is wrong with it, and what to do.
    """
    if not facts.becomes_root:
        raise FlashError(
            f"this login cannot become the superuser of {place}",
            "sudo without a password, or root",
            "log in as the user that Raspberry Pi OS was set up with, or as root",
        )
    if not facts.systemd:
        raise FlashError(f"{place} was not started by systemd", "Raspberry Pi OS or Debian")
    if not facts.python:
        raise FlashError(f"{place} has no python3", "Python 3.11", "sudo apt-get install python3")
    if not installs:
        return
    if facts.architecture not in ARCHITECTURES.values():
        raise FlashError(
            f"{place} is a machine of architecture {facts.architecture!r}",
            "arm64, armhf or amd64",
            "there are no wheels of an interpreter for it",
        )
    if facts.python not in PYTHONS or (facts.uses_apt and facts.python != "3.11"):
        raise FlashError(
            f"{place} ({facts.os}, {facts.architecture}) has Python {facts.python}",
            "Python 3.11" if facts.uses_apt else f"Python {', '.join(PYTHONS)}",
            "use Raspberry Pi OS Bookworm",
        )
    for tool, package in TOOLS.items():
        if tool not in facts.tools:
            raise FlashError(
                f"{place} has no {tool}", f"Debian's {package}", f"sudo apt-get install {package}"
            )
    if "venv" not in facts.modules:
        raise FlashError(
            f"the Python of {place} cannot make virtual environments",
            "its module venv",
            "sudo apt-get install python3-venv",
        )


def check_room(facts: Facts, place: str) -> None:
    """Refuses a machine without room for a new environment beside the old one.

    Args:
        facts: What it is.
        place: Its name, for the error.

    Raises:
        FlashError: A disk has too little room.
    """
    for folder, free, needed in (
        ("/opt", facts.free_bytes, NEEDED_KIB * 1024),
        ("/var/tmp", facts.tmp_bytes, NEEDED_TMP_KIB * 1024),
    ):
        if free < needed:
            raise FlashError(
                f"{place} has {free // 2**20:,} MiB left in {folder}",
                f"{needed // 2**20:,} MiB",
                "free some space, for example with sudo apt-get clean",
            )


def notes(facts: Facts) -> tuple[str, ...]:
    """What is no reason to stop, and worth a line.

    Args:
        facts: What the machine is.

    Returns:
        One line each.
    """
    said = []
    if abs(facts.clock_ahead_s) > CLOCK_SKEW_S:
        way = "ahead of" if facts.clock_ahead_s > 0 else "behind"
        said.append(
            f"its clock is {abs(facts.clock_ahead_s):,.0f} s {way} the one here; signatures are "
            "checked at the later of it and the newest model's time"
        )
    if facts.environment and facts.environment not in facts.whole:
        said.append(f"its environment {facts.environment} is damaged and is made anew")
    if facts.uses_apt:
        sixty_four = facts.machine in ("aarch64", "x86_64")
        kernel = " under a 64-bit kernel" if sixty_four else ""
        said.append(
            f"its programs have 32 bits{kernel}: NumPy and OpenCV come from Debian; this was not "
            "tried on such a machine"
        )
    if facts.architecture != "armv7l" and facts.python != "3.11":
        said.append(f"this was not tried with Python {facts.python} on a Pi; 3.11 was")
    return tuple(said)


def _number(text: str) -> int:
    return int(text) if text.strip().isascii() and text.strip().isdigit() else 0
