"""The wheels for a device, with pip itself."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from flash import wheelhouse
from flash.errors import FlashError
from flash.install_facts import Facts
from flash.wheelhouse import prepare, requirements

PINS = """\
ai-edge-litert==2.3.0
backports.strenum==1.2.8
flatbuffers==25.12.19
ml_dtypes==0.5.4
protobuf==7.36.2
tqdm==4.70.1
typing_extensions==4.16.0
numpy==1.26.4
numpydoc==1.0
opencv-python-headless==4.9.0.80
paho-mqtt==2.2.0
pip==26.3
tflite-runtime==2.14.0
"""


def device(architecture: str = "aarch64", python: str = "3.11", *modules: str) -> Facts:
    return Facts(
        "x", architecture, architecture, python, frozenset(modules), frozenset(), 252, 1, 1, 0.0,
        True, True, False, "",
    )  # fmt: skip


@pytest.fixture
def small(monkeypatch):
    """A device that needs one small wheel: MQTT's."""
    monkeypatch.setattr(wheelhouse, "requirements", lambda *_: ("paho-mqtt==2.2.0",))


@pytest.fixture
def scratch(tmp_path):
    def make():
        path = tmp_path / f"scratch-{len(list(tmp_path.iterdir()))}"
        path.mkdir()
        return path

    return make


def test_each_kind_of_device_gets_an_interpreter_that_it_can_run():
    assert requirements(device(), PINS) == (
        "numpy==1.26.4", "opencv-python-headless==4.9.0.80", "paho-mqtt==2.2.0", "pip==26.3",
        "tflite-runtime==2.14.0",
    )  # fmt: skip
    assert requirements(device("armv7l"), PINS) == (
        "paho-mqtt==2.2.0", "pip==26.3", "tflite-runtime==2.14.0",
    )  # fmt: skip
    newer = requirements(device(python="3.13"), PINS)
    assert "ai-edge-litert==2.3.0" in newer
    # All that it requires is named with its version: nothing is left to the day.
    assert {name.partition("==")[0] for name in newer} >= {
        "backports.strenum", "flatbuffers", "ml_dtypes", "numpy", "protobuf", "tqdm",
        "typing_extensions",
    }  # fmt: skip
    assert all("==" in name for name in newer)
    assert not any(name.startswith("tflite-runtime") for name in newer)


def test_a_version_that_nobody_pinned_is_told():
    with pytest.raises(FlashError, match="constraints.txt has no version of paho-mqtt"):
        requirements(device(), PINS.replace("paho-mqtt", "paho"))


def test_the_same_checkout_makes_the_same_wheels_and_needs_no_network_again(
    small, scratch, tmp_path, monkeypatch
):
    said: list[str] = []
    first = prepare(device(), tmp_path / "kept", scratch(), said.append)
    assert any(line.startswith("downloading wheels for aarch64") for line in said)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    again = prepare(device(), tmp_path / "kept", scratch(), said.append)
    assert again.digest == first.digest
    assert again.wheels[0].read_bytes() == first.wheels[0].read_bytes()
    assert first.runtime == first.wheels[-1].name
    with zipfile.ZipFile(first.wheels[-1]) as wheel:
        names = wheel.namelist()
    assert "edge_runtime/gate.py" in names
    assert not any("__pycache__" in name or name.startswith("flash") for name in names)
    other = prepare(device("aarch64", "3.11", "picamera2"), tmp_path / "kept", scratch())
    assert other.digest != first.digest


def test_a_damaged_wheel_is_fetched_again(small, scratch, tmp_path):
    kept = tmp_path / "kept"
    first = prepare(device(), kept, scratch())
    first.wheels[0].write_bytes(b"half")
    assert prepare(device(), kept, scratch()).digest == first.digest


def test_wheels_that_are_not_there_are_told_in_one_line(scratch, tmp_path, monkeypatch):
    monkeypatch.setattr(wheelhouse, "requirements", lambda *_: ("numpy==1.26.4",))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(FlashError) as caught:
        prepare(device(), tmp_path / "kept", scratch())
    said = str(caught.value)
    assert said.startswith("the wheels for aarch64 and Python 3.11 were not all found (No matching")
    assert str(tmp_path / "kept" / "cp311-aarch64") in said
    assert not list((tmp_path / "kept" / "cp311-aarch64").glob("*"))


def test_a_listing_that_cannot_be_read_counts_as_none(small, scratch, tmp_path):
    kept = tmp_path / "kept"
    first = prepare(device(), kept, scratch())
    listing = kept / "cp311-aarch64" / "wheels.json"
    for text in ("", "[]", "null", json.dumps({"requirements": ["paho-mqtt==2.2.0"]})):
        listing.write_text(text)
        assert prepare(device(), kept, scratch()).digest == first.digest


def test_wheels_for_other_versions_are_not_taken_for_those_needed(
    small, scratch, tmp_path, monkeypatch
):
    kept = tmp_path / "kept"
    prepare(device(), kept, scratch())
    listing = kept / "cp311-aarch64" / "wheels.json"
    found = json.loads(listing.read_text())
    listing.write_text(json.dumps({**found, "requirements": ["paho-mqtt==2.1.0"]}))
    said: list[str] = []
    prepare(device(), kept, scratch(), said.append)
    assert any(line.startswith("downloading") for line in said)


def test_the_wheel_is_the_same_whatever_the_permissions_of_the_checkout(
    small, scratch, tmp_path, monkeypatch
):
    first = prepare(device(), tmp_path / "kept", scratch())
    copy = wheelhouse.shutil.copytree

    def tight(*arguments, **options):
        copied = copy(*arguments, **options)
        for path in Path(copied).rglob("*.py"):
            path.chmod(0o600)
        return copied

    monkeypatch.setattr(wheelhouse.shutil, "copytree", tight)
    assert prepare(device(), tmp_path / "kept", scratch()).digest == first.digest


def test_every_requirement_of_litert_is_pinned():
    """By what the package here says of itself."""
    import re
    from importlib.metadata import requires

    pins = (wheelhouse.ROOT / "constraints.txt").read_text()
    named = {name.partition("==")[0] for name in requirements(device(python="3.13"), pins)}
    for requirement in requires("ai-edge-litert") or ():
        if "extra ==" not in requirement:
            name = re.match("[A-Za-z0-9._-]+", requirement)[0]
            assert re.sub("[-_.]+", "_", name) in {re.sub("[-_.]+", "_", one) for one in named}
