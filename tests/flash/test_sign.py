from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from edge_runtime.signature import fingerprint
from flash.errors import FlashError
from flash.sign import sign

ROOT = Path(__file__).resolve().parents[2]
DATA = b'{"name": "digits"}\n'


@pytest.fixture
def locked_key(tmp_path: Path, signer) -> Path:
    """A key whose passphrase is "open"."""
    signer.run("-q", "-t", "ed25519", "-N", "open", "-f", tmp_path / "locked")
    return tmp_path / "locked"


@pytest.fixture
def agent(require_tool, monkeypatch):
    """An SSH agent of the test's own."""
    said = subprocess.run([require_tool("ssh-agent")], capture_output=True, text=True, check=True)
    values = dict(re.findall(r"(SSH_\w+)=([^;]+);", said.stdout))
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    yield
    os.kill(int(values["SSH_AGENT_PID"]), 15)


def test_key_signs_for_the_namespace(signer):
    assert fingerprint(DATA, sign(DATA, signer.key)).startswith("ED25519 SHA256:")


def test_public_half_signs_with_the_agent(tmp_path, signer, agent, require_tool):
    public = tmp_path / "anna.pub"
    public.write_text(signer.key.with_suffix(".pub").read_text())
    with pytest.raises(FlashError, match="the agent does not hold the key.*ssh-add"):
        sign(DATA, public)
    subprocess.run([require_tool("ssh-add"), "-q", signer.key], check=True)
    assert fingerprint(DATA, sign(DATA, public)) == fingerprint(DATA, sign(DATA, signer.key))


def in_a_session_of_its_own(key: Path, data: bytes = b"x\n") -> subprocess.CompletedProcess[str]:
    """Signs where there is no terminal to ask at."""
    program = (
        f"from pathlib import Path; from flash.sign import sign; sign({data!r}, Path({str(key)!r}))"
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=False, start_new_session=True,
        stdin=subprocess.DEVNULL, cwd=ROOT,
    )  # fmt: skip


def test_passphrase_that_nobody_gives_is_one_line_and_no_wait(locked_key):
    done = in_a_session_of_its_own(locked_key)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("flash.errors.FlashError: the passphrase of ")
    assert f"ssh-add {locked_key}" in done.stderr


def test_data_that_happens_to_be_the_passphrase_is_not_half_signed(locked_key):
    # Without a terminal ssh-keygen takes the first line of its input for the passphrase.
    done = in_a_session_of_its_own(locked_key, b"open\nthe rest")
    assert done.returncode == 1
    assert "does not belong" in done.stderr


def test_passphrase_is_asked_for_at_the_terminal(locked_key):
    program = f"""if True:
        from pathlib import Path
        from flash.sign import sign
        print(sign(b'x', Path({str(locked_key)!r})).decode())"""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "-c", program])
    said = b""
    # ssh-keygen drops what was typed before it asked.
    while b"passphrase" not in said:
        said += os.read(terminal, 1000)
    os.write(terminal, b"open\n")
    with suppress(OSError):  # Linux reports the end of a terminal as an error.
        while more := os.read(terminal, 1000):
            said += more
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, said
    assert b"BEGIN SSH SIGNATURE" in said
    os.close(terminal)


def test_what_is_no_key_is_named(tmp_path):
    with pytest.raises(FlashError, match="there is no key .*ssh-keygen -t ed25519"):
        sign(DATA, tmp_path / "none")
    (tmp_path / "text").write_text("hello")
    (tmp_path / "text").chmod(0o600)
    with pytest.raises(FlashError, match="text cannot sign"):
        sign(DATA, tmp_path / "text")


def test_key_that_others_may_read_is_named(tmp_path, signer):
    key = tmp_path / "key"
    key.write_bytes(signer.key.read_bytes())
    key.chmod(0o644)
    with pytest.raises(FlashError, match=r"others may read .*chmod 600"):
        sign(DATA, key)


def test_missing_program_names_its_package(signer, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FlashError, match="ssh-keygen is missing here.*openssh-client"):
        sign(DATA, signer.key)
