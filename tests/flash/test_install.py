"""``python -m flash pi --install`` as far as a machine without systemd of its own can show it.

tests/real/systemd.sh shows the rest on one that was booted.
"""

from __future__ import annotations

import json
import shlex
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from edge_runtime.models import default_model_path
from flash import install
from flash.__main__ import main
from flash.bundle import make_bundle
from flash.install_keys import public_key
from flash.wheelhouse import Wheelhouse


@pytest.fixture
def call(ssh_device, capsys):
    """``call("--install", …)`` is the exit status and what was said, against a real sshd."""

    def run(*arguments: object) -> tuple[int, str, str]:
        words = ["pi", "pi", "--ssh-config", ssh_device.ssh_config, *arguments]
        status = main([str(word) for word in words])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def fake(device, name: str, script: str) -> None:
    """Lets the device find another program of that name first."""
    path = device.folder / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--install"], "nothing says whose models the device takes; --key KEY was expected"),
        (["--install", "--key", "/nonexistent"], "there is no key /nonexistent"),
        (["--install", "--key", "KEY", "--camera", "0 --nope"], "does not understand --camera"),
        (["--install", "--key", "KEY", "--remote-dir", "x"], "--remote-dir says nothing about"),
        (["--install", "--key", "KEY", "--remote-command", "x"], "--remote-command says nothing"),
        (["--install", "--key", "KEY", "--remove-key", "KEY"], "names a key that is to be put"),
        (["--install", "--key", "KEY", "--remove-key", "/nonexistent.pub"], "there is no key"),
        (["--uninstall", "--remove-key", "KEY"], "--remove-key says nothing together with"),
        (["--install", "--key", "KEY", "--force"], "--force says nothing about setting"),
        (["--uninstall", "--key", "KEY"], "--key says nothing together with --uninstall"),
        (["--uninstall", "--camera", "0"], "--camera says nothing together with --uninstall"),
        (["--model", "M", "--unsigned", "--camera", "0"], "--camera is for setting a device up"),
        (["--model", "M", "--unsigned", "--wheelhouse", "."], "--wheelhouse is for setting"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_asked(
    call, signer, ssh_device, arguments, words
):
    ssh_device.stop()
    status, out, err = call(*(signer.key if word == "KEY" else word for word in arguments))
    assert status == 1
    assert out == ""
    assert words in err
    assert len(err.splitlines()) == 1


def test_a_login_that_cannot_become_root_is_told(call, signer, ssh_device):
    fake(ssh_device, "id", "echo 1000")
    fake(ssh_device, "sudo", "exit 1")
    status, _, err = call("--install", "--key", signer.key, "--dry-run")
    assert status == 1
    assert "this login cannot become the superuser of pi; sudo without a password" in err


def test_a_key_for_models_alone_cannot_install(call, signer, ssh_device):
    """sshd's forced command answers, whatever was asked for."""
    allowed = ssh_device.folder / "authorized_keys"
    allowed.write_text(f'restrict,command="echo no" {allowed.read_text()}')
    status, _, err = call("--install", "--key", signer.key, "--dry-run")
    assert status == 1
    assert "pi did not answer as a shell does" in err


def test_an_unknown_host_key_is_not_accepted(call, signer, ssh_device):
    ssh_device.known_hosts.write_text("")
    status, _, err = call("--install", "--key", signer.key, "--dry-run")
    assert status == 1
    assert "the host key of pi is not known here" in err


@pytest.fixture
def pi_like(ssh_device, monkeypatch, bare_pi):
    """``pi_like(script)`` lets the device say it is a Pi, and run a script instead of as root."""
    from flash import install, install_facts

    def facts(target):
        install_facts.read_facts(target)
        return bare_pi

    monkeypatch.setattr(install, "read_facts", facts)
    fake(ssh_device, "id", "echo 1000")
    return lambda script: fake(ssh_device, "sudo", f'test "$2" = true && exit 0\n{script}')


def test_what_the_device_refuses_is_told_in_its_own_line(call, pi_like):
    pi_like("cat >/dev/null\necho 'edge-install: error: no room at the inn' >&2\nexit 1")
    status, _, err = call("--uninstall", "--dry-run")
    assert status == 1
    assert err.splitlines()[-1].endswith("pi could not be set up: no room at the inn")


def test_steps_are_told_as_they_happen_and_the_outcome_as_json(call, pi_like):
    answer = json.dumps({"changes": ["/opt/edge removed"], "service": ""})
    pi_like(
        "tar -t | grep -qx plan.json || exit 9\n"
        f"echo 'edge-install: /opt/edge removed' >&2\necho noise\necho '{answer}'"
    )
    status, out, err = call("--uninstall", "--dry-run", "--json")
    assert status == 0, err
    assert "pi: /opt/edge removed" not in err  # A dry run tells its changes once, at the end.
    done = json.loads(out)
    assert (done["outcome"], done["changes"]) == ("would-remove", ["/opt/edge removed"])
    status, out, err = call("--uninstall")
    assert status == 0, err
    assert "pi: /opt/edge removed" in err
    assert out == "pi: removed; 1 change\n"


def test_what_is_sent_is_seen_by_nobody_else_and_leaves_nothing_behind(call, pi_like, tmp_path):
    """The real shell line, with Python replaced by what looks at the folder."""
    look = tmp_path / "look"
    look.write_text('#!/bin/sh\nstat -c %a "$2" >"$0.mode"; echo "$2" >"$0.place"; exit 3\n')
    look.chmod(0o755)
    pi_like(
        f'shift 3\nexec sh -c "$(printf %s "$1" | sed "s|python3|{look}|")"',
    )
    status, _, err = call("--uninstall", "--dry-run")
    assert status == 1
    assert "pi could not be set up: exit status 3" in err
    assert (tmp_path / "look.mode").read_text() == "700\n"
    place = (tmp_path / "look.place").read_text().strip()
    assert place.startswith("/var/tmp/edge-install.")
    assert not Path(place).exists()


class Pi:
    """A device that says it is a Pi, and keeps what it is given: a plan, a bundle, commands."""

    def __init__(self, device, monkeypatch, facts):
        self.device, self.facts, self.changes = device, facts, ["a change"]
        self.service = "waits for a model"
        self.answer: dict[str, object] = {"active": None}
        wheel = device.folder / "a.whl"
        wheel.write_bytes(b"wheel")
        wheels = Wheelhouse((wheel,), "a.whl", (), "0" * 64)
        monkeypatch.setattr(install, "prepare", lambda *_: wheels)
        monkeypatch.setattr(install, "read_facts", lambda _: self.facts)
        fake(device, "id", "echo 1000")

    def holds(self, name: str) -> Path:
        return self.device.folder / name

    def ready(self) -> None:
        """Writes the program that stands for sudo."""
        said = json.dumps({"changes": self.changes, "service": self.service})
        answer = json.dumps(self.answer)
        fake(
            self.device, "sudo",
            f"cd {self.device.folder}\n"
            'test "$2" = runuser && { shift; echo "$*" >>commands; cat >bundle; '
            f"echo '{answer}'; exit; }}\ncat >archive\necho '{said}'",
        )  # fmt: skip

    def runs(self, model: Path) -> None:
        """It has a runtime, and this model."""
        environment = f"/opt/edge-{'0' * 12}"
        whole = frozenset({environment})
        self.facts = replace(self.facts, has_model=True, environment=environment, whole=whole)
        sha256 = make_bundle(model).sha256
        active = {"sha256": sha256, "name": "seed", "variant": "int8", "counter": 1}
        self.answer = {
            "active": active, "problem": None, "signed_only": True, "device_type": "raspberrypi",
            "runtime": "99.0", "counter": 0, "free_bytes": 2**30, "shape": None,
            "interpreters": {"litert": "2.3.0"},
        }  # fmt: skip
        self.changes, self.service = [], "active"

    def plan(self) -> dict:
        with tarfile.open(self.holds("archive")) as tar:
            return json.load(tar.extractfile("plan.json"))

    def sent(self) -> list[str]:
        with tarfile.open(self.holds("archive")) as tar:
            return [name for name in tar.getnames() if name.startswith("wheels/")]


@pytest.fixture
def pi(ssh_device, monkeypatch, bare_pi):
    return Pi(ssh_device, monkeypatch, bare_pi)


def test_a_bare_pi_gets_wheels_and_then_a_model_as_the_user_who_brings_them(call, pi, signer):
    sha256 = make_bundle(default_model_path()).sha256
    active = {"sha256": sha256, "name": "digits", "variant": "int8", "counter": 1}
    pi.answer = {"outcome": "activated", "active": active, "previous": None, "self_test": None}
    pi.ready()
    status, out, err = call("--install", "--key", signer.key)
    assert status == 0, err
    assert pi.sent() == ["wheels/a.whl"]
    assert pi.holds("commands").read_text().splitlines() == [
        "runuser -u edge-deploy -- /opt/edge/bin/edge-run receive --dir /var/lib/edge-runtime"
    ]
    assert pi.holds("bundle").read_bytes().startswith(b"manifest.json")
    assert out.splitlines()[:2] == [
        "pi: installed; 1 change; the service is active", "pi: digits int8 is active",
    ]  # fmt: skip


def test_a_dry_run_on_a_bare_pi_tells_of_the_model_and_sends_nothing(call, pi, signer):
    pi.ready()
    status, out, err = call("--install", "--key", signer.key, "--dry-run")
    assert status == 0, err
    assert pi.sent() == []
    assert pi.plan()["dry_run"]
    assert not pi.holds("commands").exists()
    assert out.splitlines() == [
        "pi: would be: a change",
        "pi: would be: digits int8 sent and made active, and the service started with it",
    ]
    done = json.loads(call("--install", "--key", signer.key, "--dry-run", "--json")[1])
    assert done["model"]["outcome"] == "would-activate"


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_model_that_cannot_be_sent_is_told_before_anything_is(call, pi, signer, tmp_path, dry):
    pi.ready()
    damaged = tmp_path / "x.edge"
    damaged.write_bytes(b"nothing")
    for option, words in (
        (("--model", tmp_path / "no.tflite"), "no.tflite"),
        (("--bundle", damaged), "a whole bundle was expected"),
    ):
        status, _, err = call("--install", "--key", signer.key, *option, *dry)
        assert status == 1
        assert words in err.splitlines()[-1]
        assert not pi.holds("archive").exists()


def test_a_dry_run_compares_the_model_where_a_runtime_is(call, pi, signer, models):
    model = ("--model", models / "seed_int8.tflite")
    pi.runs(model[1])
    pi.ready()
    status, out, err = call("--install", "--key", signer.key, "--dry-run", *model)
    assert (status, out) == (0, "pi: nothing to change\n"), err
    assert (
        pi.holds("commands")
        .read_text()
        .endswith("edge-run status --dir /var/lib/edge-runtime --json\n")
    )
    other = ("--model", models / "seed_float16.tflite")
    out = call("--install", "--key", signer.key, "--dry-run", *other)[1]
    assert (
        out == "pi: would be: seed float16 sent and made active, and the service started with it\n"
    )
    pi.answer["counter"] = 2**60
    pi.ready()
    status, _, err = call("--install", "--key", signer.key, "--dry-run", *other)
    assert status == 1
    assert "pi would refuse the model: it takes counters from" in err
    # Settings that would be others do not decide yet.
    pi.changes = ["/var/lib/edge-runtime/device.json written"]
    pi.ready()
    assert call("--install", "--key", signer.key, "--dry-run", *other)[0] == 0


def test_a_service_that_is_stopped_is_no_unchanged_device(call, pi, signer, models):
    pi.runs(models / "seed_int8.tflite")
    pi.changes = ["edge-run-camera.service started"]
    pi.ready()
    out = call("--install", "--key", signer.key, "--dry-run")[1]
    assert out == "pi: would be: edge-run-camera.service started\n"
    assert not pi.holds("commands").exists()
    assert call("--install", "--key", signer.key)[0] == 0
    assert not pi.holds("commands").exists()  # It has a model, and none was named.


def test_a_device_without_room_is_refused_before_anything_is_sent(call, pi, signer):
    pi.ready()
    pi.facts = replace(pi.facts, free_bytes=2**20)
    status, _, err = call("--install", "--key", signer.key)
    assert status == 1
    assert "pi has 1 MiB left in /opt" in err
    assert not pi.holds("archive").exists()


def test_who_brings_models_may_be_another_than_who_signs_them(call, pi, signer, make_signer):
    bert, lost = make_signer("bert"), make_signer("lost")
    pi.ready()
    keys = ("--key", signer.key, "--deploy-key", bert.key, "--remove-key", lost.key)
    assert call("--install", *keys, "--dry-run")[0] == 0
    signs, brings = pi.plan()["lines"]
    assert signs["key"] == public_key(signer.key).base64
    assert brings["key"] == public_key(bert.key).base64
    assert pi.plan()["without_keys"] == [public_key(lost.key).fingerprint]


@pytest.mark.parametrize("deploys", [False, True])
def test_the_command_for_the_next_model_is_whole(call, pi, signer, make_signer, models, deploys):
    """Parsed again, it leads to the device, as the user, and with the key, that it needs."""
    from flash import pi_command

    pi.runs(models / "seed_int8.tflite")
    pi.changes = ["a change"]
    pi.ready()
    bert = make_signer("bert")
    keys = ("--deploy-key", bert.key.with_suffix(".pub")) if deploys else ()
    port = pi.device.port
    options = ("--port", port, "--ssh-option", "LogLevel=ERROR")
    status, out, err = call("--install", "--key", signer.key, *keys, *options)
    assert status == 0, err
    command = out.splitlines()[-1].removeprefix("send the next model with: ")
    words = shlex.split(command)
    assert words[:4] == ["python", "-m", "flash", "pi"]
    import argparse

    parser = argparse.ArgumentParser()
    pi_command.configure(parser)
    args = parser.parse_args(words[4:])
    assert args.hosts == ["edge-deploy@pi"]
    assert args.identity == (bert.key if deploys else signer.key)
    assert (args.port, args.ssh_config) == (port, pi.device.ssh_config)
    assert args.ssh_option == ["LogLevel=ERROR"]
    assert args.bundle == Path("FILE.edge")
