"""``python -m flash pi --install`` as far as a machine without systemd of its own can show it.

tests/real/systemd.sh shows the rest on one that was booted.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flash.__main__ import main


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
    assert "pi: /opt/edge removed" in err
    done = json.loads(out)
    assert (done["outcome"], done["changes"]) == ("would-remove", ["/opt/edge removed"])


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
