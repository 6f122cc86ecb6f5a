"""What an installation puts on a device."""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from flash.errors import FlashError
from flash.install_keys import PublicKey, public_key
from flash.install_plan import SUDOERS, Wanted, archive, camera_words, plan, unit
from flash.on_device.places import MARKER
from flash.wheelhouse import Wheelhouse

ANNA = PublicKey("ssh-ed25519", "A" * 68, "anna@example.org")
BERT = PublicKey("ssh-ed25519", "B" * 68, "bert")
WHEELS = Wheelhouse((Path("a.whl"),), "a.whl", ("numpy==1.26.4",), "0" * 64)


@pytest.fixture
def made(bare_pi):
    """``made(camera=…)`` is the plan for a bare Pi."""

    def make(facts=bare_pi, camera=None, device_type=None):
        wanted = Wanted(ANNA, BERT, camera, device_type, Path())
        return plan(facts, WHEELS, wanted, dry_run=False)

    return make


def file(planned: dict, name: str) -> dict:
    return next(entry for entry in planned["files"] if entry["path"].endswith(name))


def test_who_signs_and_who_brings_are_two_lines(made):
    signs, brings = made()["lines"]
    assert signs["path"] == "/etc/edge-runtime/allowed_signers"
    assert signs["line"] == f'anna@example.org namespaces="edge-model" ssh-ed25519 {"A" * 68}'
    assert brings["line"] == (
        f'restrict,command="/opt/edge/bin/edge-run-gate" ssh-ed25519 {"B" * 68} bert'
    )
    assert (signs["purpose"], brings["purpose"]) == ("edge-model", None)


def test_the_settings_are_ones_that_the_device_reads(made, tmp_path):
    from edge_runtime.device_settings import read_settings

    planned = made(device_type="zero")
    text = json.dumps({**planned["settings"], **planned["overrides"]})
    (tmp_path / "device.json").write_text(text)
    found = read_settings(tmp_path)
    assert found.device_type == "zero"
    assert found.allowed_signers == Path("/etc/edge-runtime/allowed_signers")
    assert found.restart == ("sudo", "-n", "systemctl", "restart", "edge-run-camera.service")
    assert not found.allow_unsigned


def test_sudo_lets_exactly_the_restart_through(made):
    planned = made()
    (rule,) = [line for line in SUDOERS.splitlines() if not line.startswith("#")]
    user, command = rule.split(" ALL=(root) NOPASSWD: ")
    assert user == "edge-deploy"
    assert command.split() == ["/usr/bin/systemctl", *planned["settings"]["restart"][3:]]
    assert not set(rule) & set("*?[]!,")


def test_a_camera_is_kept_unless_another_is_named(made):
    assert file(made(), "camera.env")["if_missing"]
    named = file(made(camera=("rtsp://u:p@cam/1", "--fps 2")), "camera.env")
    assert named["text"] == "EDGE_CAMERA_SOURCE=rtsp://u:p@cam/1\nEDGE_CAMERA_OPTIONS=--fps 2\n"
    assert not named["if_missing"]
    assert named["mode"] == 0o600


def test_a_32_bit_device_gets_debians_packages(made, bare_pi):
    assert made(replace(bare_pi, architecture="armv7l"))["apt"] == [
        "python3-numpy",
        "python3-opencv",
    ]
    assert made()["apt"] == []


def test_pauses_between_starts_grow_by_what_a_systemd_knows():
    old, new = (unit("edge-run-camera.service", version) for version in (252, 254))
    assert "RestartSteps" not in old
    assert "NRestarts" in old
    assert "NRestarts" not in new
    assert {"RestartSteps=6", "RestartMaxDelaySec=300", "RestartSec=5"} <= set(new.splitlines())
    for text in (old, new):
        assert not re.search("^#(since|before|end)", text, re.MULTILINE)
        assert text.count("RestartSec=") == 1
        assert text.startswith(MARKER)


@pytest.mark.parametrize(
    ("said", "pause"),
    [("0", ""), ("1", "5"), ("2", "10"), ("3", "20"), ("4", "40"), ("5", "80"), ("99", "80"),
     ("", "5")],
)  # fmt: skip
def test_the_pause_before_a_start_is_by_the_count_of_those_before(said, pause, tmp_path):
    """The unit's own line, with stand-ins for the two programs that it calls."""
    text = unit("edge-run-camera.service", 252)
    line = re.search(r"^ExecStartPre=/bin/sh -c '((?:.|\n)*?)'$", text, re.MULTILINE)[1]
    for name, script in (("systemctl", f"echo {said}"), ("sleep", 'echo "$1"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    command = line.replace("\\\n", " ").replace("$$", "$")
    done = subprocess.run(
        ["/bin/sh", "-c", command], env={"PATH": str(tmp_path)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.strip() == pause


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/dev/video0", ("/dev/video0", "")),
        ("  auto ", ("auto", "")),
        ("/srv/frames --loop --fps 2", ("/srv/frames", "--loop --fps 2")),
        ("--fps 2 2", ("2", "--fps 2")),
        ("--stable 3", ("auto", "--stable 3")),
        ("'http://cam/a?b=c&d=$e'", ("http://cam/a?b=c&d=$e", "")),
    ],
)
def test_a_source_and_options_reach_the_service(text, words):
    assert camera_words(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 --no-such-option", "edge-run camera does not understand --camera: unrecognized"),
        ("0 --fps nan", "edge-run camera does not understand --camera"),
        ("0 1", "edge-run camera does not understand --camera"),
        ("'/srv/my frames'", "words without blanks"),
        ("0\n--loop 'a\nExecStart=/bin/sh'", "words without blanks"),
        ('"it\'s"', "words without blanks"),
        ("'open", "closed quotes was expected"),
        ("0 --model /tmp/x.tflite", "--camera names a model"),
    ],
)
def test_what_the_service_could_not_start_with_is_refused_here(text, words):
    with pytest.raises(FlashError) as caught:
        camera_words(text)
    assert words in str(caught.value)


def test_the_line_is_one_by_which_ssh_keygen_verifies(bare_pi, signer, tmp_path):
    """The real program, with the line as the plan has it."""
    key = public_key(signer.key)
    planned = plan(bare_pi, WHEELS, Wanted(key, key, None, None, Path()), dry_run=False)
    allowed, signature = tmp_path / "allowed", tmp_path / "sig"
    allowed.write_text(planned["lines"][0]["line"] + "\n")
    signature.write_bytes(signer.sign(b"manifest"))
    command = ["ssh-keygen", "-Y", "verify", "-f", allowed, "-I", key.owner, "-n", "edge-model"]
    subprocess.run([*command, "-s", signature], input=b"manifest", check=True)


def test_the_archive_holds_the_plan_its_program_and_the_wheels(made, tmp_path):
    wheel = tmp_path / "a-1-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    with tarfile.open(fileobj=io.BytesIO(archive(made(), (wheel,)))) as tar:
        names = tar.getnames()
        assert names[-1] == "plan.json"
        assert json.load(tar.extractfile("plan.json"))["action"] == "install"
        assert tar.extractfile(f"wheels/{wheel.name}").read() == b"wheel"
    assert {"__main__.py", "on_device/installer.py", "on_device/whole.sh"} <= set(names)


def test_wheels_are_named_where_the_environment_is_not_there_or_damaged(made, bare_pi):
    name = f"/opt/edge-{'0' * 12}"
    assert (made()["environment"], made()["wheels"]) == (name, ["a.whl"])
    there = made(replace(bare_pi, environment=name, whole=frozenset({name})))
    assert (there["environment"], there["wheels"]) == (name, [])
    damaged = made(replace(bare_pi, environment=name))
    assert (damaged["environment"], damaged["wheels"]) == (f"{name}-2", ["a.whl"])
    again = made(replace(bare_pi, environment=f"{name}-2"))
    assert (again["environment"], again["wheels"]) == (name, ["a.whl"])
    unused = made(replace(bare_pi, environment="/opt/edge-1", whole=frozenset({name})))
    assert (unused["environment"], unused["wheels"]) == (name, [])
