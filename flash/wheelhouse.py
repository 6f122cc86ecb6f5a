"""The wheels that a device needs, gathered here, so that the device needs no network.

pip resolves and downloads for the device's architecture and Python instead of ours. Versions are
those of constraints.txt, which the tests run with.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.files import exclusive_lock, write_atomic

from .errors import FlashError
from .install_facts import Facts

__all__ = ["Wheelhouse", "default_folder", "prepare", "requirements"]

ROOT = Path(__file__).resolve().parent.parent
BUILT_FROM = ("edge_runtime", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
# The baselines (PEP 600) up to glibc 2.36, which Bookworm has; piwheels' and old names last.
PLATFORMS = (
    *(f"manylinux_2_{minor}_{{0}}" for minor in range(36, 16, -1)),
    "manylinux2014_{0}",
    "linux_{0}",
)
# A slow line: the largest wheel, OpenCV's, has 50 MB.
DOWNLOAD_S = 1800.0
BUILD_S = 300.0
# 1980, the first year that a ZIP file knows: the same source makes the same wheel, byte for byte.
SOURCE_DATE_EPOCH = "315532800"
LISTING = "wheels.json"
# tflite-runtime ends at Python 3.11, and with it the need for NumPy 1. These run with LiteRT in
# tests/test_wheel.py.
SINCE_PYTHON_312 = ("numpy==2.2.6", "opencv-python-headless==4.12.0.88")
# What LiteRT 2.3 requires beside NumPy, by its own metadata: at the versions of constraints.txt, so
# that another day makes the same environment.
LITERT = (
    "ai-edge-litert", "backports.strenum", "flatbuffers", "ml_dtypes", "protobuf", "tqdm",
    "typing_extensions",
)  # fmt: skip


@dataclass(frozen=True)
class Wheelhouse:
    """Everything that is installed on one kind of device.

    Attributes:
        wheels: The files, by name.
        runtime: The file of them that is this checkout's runtime.
        requirements: What pip is asked to install beside it.
        digest: A name for exactly these files.
    """

    wheels: tuple[Path, ...]
    runtime: str
    requirements: tuple[str, ...]
    digest: str

    @property
    def size_bytes(self) -> int:
        """Size of all files together."""
        return sum(path.stat().st_size for path in self.wheels)


def default_folder() -> Path:
    """Where wheels are kept: ``$XDG_CACHE_HOME`` or ``~/.cache``, below it edge-runtime/wheels."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "edge-runtime" / "wheels"


def requirements(facts: Facts, constraints: str) -> tuple[str, ...]:
    """What a device needs beside the runtime itself, each at one version.

    Args:
        facts: The device.
        constraints: Text of constraints.txt.

    Returns:
        Requirements such as "numpy==1.26.4".

    Raises:
        FlashError: The file does not pin one of them.
    """
    old = facts.python == "3.11"
    names = ["pip", "paho-mqtt", *(["tflite-runtime"] if old else LITERT)]
    if old and not facts.uses_apt:
        names += ["numpy", "opencv-python-headless"]
    found = []
    for name in names:
        pin = re.search(rf"^{re.escape(name)}==\S+$", constraints, re.MULTILINE | re.IGNORECASE)
        if pin is None:
            raise FlashError(f"constraints.txt has no version of {name}", "a line NAME==VERSION")
        found.append(pin[0])
    return tuple(sorted([*found, *(() if old else SINCE_PYTHON_312)]))


def prepare(
    facts: Facts, folder: Path, scratch: Path, say: Callable[[str], None] = lambda _: None
) -> Wheelhouse:
    """Builds the runtime's wheel from this checkout, and downloads what it needs.

    Args:
        facts: The device.
        folder: Where downloaded wheels are kept; what is there already is used, without network.
        scratch: An empty folder for the built wheel.
        say: Called with one line for each step that takes time.

    Returns:
        The wheels.

    Raises:
        FlashError: There is no wheel for that device, no network, or this is no checkout.
    """
    needed = requirements(facts, _constraints())
    place = folder.expanduser() / f"cp{facts.python.replace('.', '')}-{facts.architecture}"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(place.parent / f"{place.name}.lock"):
            downloaded = _kept(place, needed) or _download(facts, needed, place, say)
    except BlockingIOError:
        raise FlashError(
            f"wheels are being downloaded to {place}", "", "wait until that is done"
        ) from None
    say("building the wheel of this checkout")
    wheels = (*downloaded, _build(scratch))
    digest = hashlib.sha256()
    for part in (facts.python, str(facts.system_packages), *needed):
        digest.update(f"{part}\n".encode())
    for path in sorted(wheels, key=lambda path: path.name):
        digest.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return Wheelhouse(wheels, wheels[-1].name, needed, digest.hexdigest())


def _constraints() -> str:
    try:
        return (ROOT / "constraints.txt").read_text()
    except OSError:
        raise FlashError(
            f"{ROOT} has no constraints.txt", "a checkout", "run python -m flash from a checkout"
        ) from None


def _kept(place: Path, needed: tuple[str, ...]) -> tuple[Path, ...]:
    """The wheels of an earlier download, if they are whole and still the ones needed."""
    try:
        listing = json.loads((place / LISTING).read_text())
        if listing["requirements"] != list(needed):
            return ()
        paths = {place / name: sha256 for name, sha256 in listing["sha256"].items()}
        whole = all(_sha256(path) == sha256 for path, sha256 in paths.items())
        return tuple(sorted(paths)) if whole else ()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ()


def _download(
    facts: Facts, needed: tuple[str, ...], place: Path, say: Callable[[str], None]
) -> tuple[Path, ...]:
    say(f"downloading wheels for {facts.architecture}, Python {facts.python}: {', '.join(needed)}")
    # Each is named; and pip would ask our own Python about environment markers.
    options = ["--no-deps"]
    for platform in PLATFORMS:
        options += ["--platform", platform.format(facts.architecture)]
    options += ["--python-version", facts.python, "--implementation", "cp", "--only-binary=:all:"]
    with tempfile.TemporaryDirectory(prefix=".new-", dir=place) as new:
        _pip(
            ["download", *options, "--find-links", str(place), "--dest", new, *needed],
            f"the wheels for {facts.architecture} and Python {facts.python} were not all found",
            f"connect to the network once, or put the wheels into {place}",
            DOWNLOAD_S,
        )
        found = sorted(Path(new).glob("*.whl"))
        listing = {
            "requirements": list(needed),
            "sha256": {path.name: _sha256(path) for path in found},
        }
        for path in found:
            path.replace(place / path.name)
    write_atomic(place / LISTING, json.dumps(listing, indent=2) + "\n")
    return tuple(place / path.name for path in found)


def _build(scratch: Path) -> Path:
    """The wheel of this checkout, from a copy: what an older build left must not get in."""
    source, out = scratch / "source", scratch / "wheel"
    source.mkdir()
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, source)
    for path in source.rglob("*"):  # A wheel keeps permissions, and they follow each one's umask.
        path.chmod(0o755 if path.is_dir() else 0o644)
    # Without the network if setuptools is here, as it is with the extra "test".
    isolated = [] if importlib.util.find_spec("setuptools") is None else ["--no-build-isolation"]
    _pip(
        ["wheel", "--no-deps", *isolated, "--wheel-dir", str(out), str(source)],
        "the wheel of this checkout could not be built",
        "make setup, then try again",
        BUILD_S,
    )
    (wheel,) = out.glob("edge_runtime-*.whl")
    return wheel


def _pip(arguments: list[str], happened: str, remedy: str, timeout_s: float) -> None:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments, "--quiet"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env={**os.environ, "SOURCE_DATE_EPOCH": SOURCE_DATE_EPOCH, "PIP_NO_INPUT": "1"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FlashError(f"{happened}: pip did not end within {timeout_s:.0f} s") from None
    if done.returncode != 0:
        errors = re.findall(r"^ERROR: (.+)$", done.stderr, re.MULTILINE)
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = (errors or lines or [f"exit status {done.returncode}"])[-1]
        raise FlashError(f"{happened} ({reason.strip()})", "", remedy)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
