"""What an installation puts on a device."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from flash.errors import FlashError
from flash.install_plan import (
    SUDOERS,
    PublicKey,
    archive,
    camera_words,
    plan,
    public_key,
    unit,
)
from flash.wheelhouse import Wheelhouse

ANNA = PublicKey("ssh-ed25519", "A" * 68, "anna@example.org")
BERT = PublicKey("ssh-ed25519", "B" * 68, "bert")
WHEELS = Wheelhouse((Path("a.whl"),), "a.whl", ("numpy==1.26.4",), "0" * 64)


@pytest.fixture
def made(bare_pi):
    """``made(camera=…)`` is the plan for a bare Pi."""

    def make(facts=bare_pi, **options):
        options = {"camera": None, "device_type": None, "dry_run": False, **options}
        return plan(facts, WHEELS, ANNA, BERT, **options)

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
    assert (signs["exact"], brings["exact"]) == (False, True)


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
    named = file(made(camera="rtsp://u:p@cam/1"), "camera.env")
    assert named["text"] == "EDGE_CAMERA=rtsp://u:p@cam/1\n"
    assert not named["if_missing"]
    assert named["mode"] == 0o600


def test_a_32_bit_device_gets_debians_packages(made, bare_pi):
    assert made(replace(bare_pi, architecture="armv7l"))["apt"] == [
        "python3-numpy",
        "python3-opencv",
    ]
    assert made()["apt"] == []


def test_the_back_off_is_left_out_where_systemd_does_not_know_it():
    old, new = (unit("edge-run-camera.service", version) for version in (252, 254))
    assert "RestartSteps" not in old
    assert set(new.splitlines()) - set(old.splitlines()) == {
        "RestartSteps=6",
        "RestartMaxDelaySec=300",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/dev/video0", "/dev/video0"),
        ("  auto ", "auto"),
        ("/srv/frames --loop --fps 2", "/srv/frames --loop --fps 2"),
        ("'http://cam/a?b=c&d=$e'", "http://cam/a?b=c&d=$e"),
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


def test_a_key_is_read_from_either_half(signer):
    public = public_key(signer.key.with_suffix(".pub"))
    assert public.kind == "ssh-ed25519"
    assert public.owner == signer.name
    assert public_key(signer.key) == public
    assert signer.line('namespaces="edge-model"').split()[-1] == public.base64


def test_a_private_key_alone_is_enough(signer, tmp_path):
    alone = tmp_path / "key"
    alone.write_bytes(signer.key.read_bytes())
    alone.chmod(0o600)
    assert public_key(alone).base64 == public_key(signer.key).base64


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 short",
        f"ssh-ed25519 {'A' * 68} anna\nssh-ed25519 {'B' * 68} bert",
        f'command="sh" ssh-ed25519 {"A" * 68}',
        f"ssh-ed25519-cert-v01@openssh.com {'A' * 68} anna",
    ],
)
def test_what_is_no_single_public_key_is_refused(text, tmp_path):
    path = tmp_path / "key.pub"
    path.write_text(text)
    with pytest.raises(FlashError, match="is no public SSH key"):
        public_key(path)


def test_a_key_that_is_not_there_is_told(tmp_path):
    with pytest.raises(FlashError, match="there is no key .*; make one with ssh-keygen"):
        public_key(tmp_path / "nothing")


@pytest.mark.parametrize("comment", ["", "a b", "*", '"x"', "#x", "a,b", "a\tb"])
def test_a_comment_that_is_no_name_gets_one(comment, tmp_path):
    path = tmp_path / "key.pub"
    path.write_text(f"ssh-ed25519 {'A' * 68} {comment}\n")
    assert public_key(path).owner == "operator"


def test_the_line_is_one_by_which_ssh_keygen_verifies(bare_pi, signer, tmp_path):
    """The real program, with the line as the plan has it."""
    key = public_key(signer.key)
    planned = plan(bare_pi, WHEELS, key, key, camera=None, device_type=None, dry_run=False)
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
        assert json.load(tar.extractfile("plan.json"))["action"] == "install"
        assert tar.extractfile(f"wheels/{wheel.name}").read() == b"wheel"
    assert {"__main__.py", "on_device/installer.py", "on_device/files.py"} <= set(names)
