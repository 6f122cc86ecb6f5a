"""What a machine says of itself, and which machines are refused."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from flash.errors import FlashError
from flash.install_facts import check, check_room, notes, parse_facts, script

TOOLS = frozenset(
    {"sudo", "visudo", "systemctl", "ssh-keygen", "useradd", "runuser", "flock", "tar"}
)


def test_this_machine_is_understood():
    """The real script, in a real shell, with what a login script may print before."""
    said = subprocess.run(
        ["sh", "-s"], input=script(), capture_output=True, check=True
    ).stdout.decode()
    facts = parse_facts(f"Welcome!\nedge-fact of=none\n{said}", "here", time.time())
    assert facts.machine == platform.machine()
    assert facts.architecture in (platform.machine(), "armv7l")
    assert facts.python.startswith("3.")
    assert abs(facts.clock_ahead_s) < 30
    assert facts.free_bytes > 0
    assert facts.tmp_bytes > 0
    assert {"tar", "useradd"} <= facts.tools
    if sys.platform == "linux":
        assert facts.os != "unknown"


def test_a_machine_without_python_or_dpkg_still_answers(tmp_path):
    # A path with nothing but what the script itself needs: the rest must be told as missing.
    for name in ("uname", "awk", "df", "date", "id", "readlink"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    text = script().decode().replace("$PATH:/usr/sbin:/sbin", str(tmp_path))
    said = subprocess.run(
        ["/bin/sh", "-s"], input=text, capture_output=True, text=True, check=False
    ).stdout
    facts = parse_facts(said, "here", time.time())
    assert (facts.python, facts.tools, facts.modules) == ("", frozenset(), frozenset())
    assert facts.architecture == platform.machine()


@pytest.mark.parametrize("text", ["", "This account is restricted.", "edge-fact os=Debian\n"])
def test_what_is_no_shell_is_told(text):
    with pytest.raises(FlashError, match="pi did not answer as a shell does; .*restricted to mod"):
        parse_facts(text, "pi", 0.0)


def test_a_32_bit_system_on_a_64_bit_kernel_is_one_of_32_bits():
    said = "edge-fact architecture=armhf\nedge-fact machine=aarch64\nedge-fact environment=\n"
    facts = parse_facts(said, "pi", 0.0)
    assert facts.architecture == "armv7l"
    assert facts.uses_apt
    assert facts.system_packages
    (note,) = notes(replace(facts, clock_ahead_s=0.0))
    assert "32 bits under a 64-bit kernel" in note
    assert "not tried" in note


def test_a_pi_with_bookworm_passes(bare_pi):
    check(bare_pi, "pi", installs=True)
    check_room(bare_pi, "pi")
    assert notes(bare_pi) == ()
    assert bare_pi.system_packages
    assert not replace(bare_pi, modules=frozenset({"venv"})).system_packages


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"becomes_root": False}, "cannot become the superuser of pi; sudo without a password"),
        ({"systemd": 0}, "pi was not started by systemd"),
        ({"python": ""}, "pi has no python3"),
        ({"architecture": "riscv64"}, "architecture 'riscv64'; arm64, armhf or amd64 was"),
        ({"python": "3.9"}, "has Python 3.9; Python 3.11, 3.12, 3.13 was expected"),
        ({"architecture": "armv7l", "python": "3.13"}, "has Python 3.13; Python 3.11 was expected"),
        ({"modules": frozenset()}, "cannot make virtual environments"),
        ({"tools": TOOLS - {"visudo"}}, "pi has no visudo; Debian's sudo was expected"),
        ({"tools": TOOLS - {"ssh-keygen"}}, "sudo apt-get install openssh-client"),
    ],
)
def test_what_would_fail_half_way_is_refused(bare_pi, fields, words):
    with pytest.raises(FlashError) as caught:
        check(replace(bare_pi, **fields), "pi", installs=True)
    assert words in str(caught.value)


def test_removing_asks_for_less(bare_pi):
    strange = replace(bare_pi, python="3.9", tools=frozenset(), architecture="mips")
    check(strange, "pi", installs=False)


@pytest.mark.parametrize(("name", "folder"), [("free_bytes", "/opt"), ("tmp_bytes", "/var/tmp")])
def test_a_full_disk_is_refused(bare_pi, name, folder):
    with pytest.raises(FlashError, match=f"pi has 20 MiB left in {folder}; [0-9]+ MiB was exp"):
        check_room(replace(bare_pi, **{name: 20 * 2**20}), "pi")


@pytest.mark.parametrize(("ahead", "words"), [(3600.0, "3,600 s ahead"), (-1.8e9, "s behind")])
def test_a_wrong_clock_is_noted(bare_pi, ahead, words):
    (note,) = notes(replace(bare_pi, clock_ahead_s=ahead))
    assert words in note


def test_another_python_than_python3_does_not_count(tmp_path):
    """What is sent is run by python3."""
    for name in ("uname", "awk", "df", "date", "id", "readlink", "python3.11"):
        (tmp_path / name).symlink_to(sys.executable if "python" in name else f"/usr/bin/{name}")
    text = script().decode().replace("$PATH:/usr/sbin:/sbin", str(tmp_path))
    said = subprocess.run(
        ["/bin/sh", "-s"], input=text, capture_output=True, text=True, check=False
    ).stdout
    assert parse_facts(said, "here", time.time()).python == ""


def test_a_damaged_environment_is_noted(bare_pi):
    (note,) = notes(replace(bare_pi, environment="/opt/edge-0"))
    assert note == "its environment /opt/edge-0 is damaged and is made anew"
    assert (
        notes(replace(bare_pi, environment="/opt/edge-0", whole=frozenset({"/opt/edge-0"}))) == ()
    )
