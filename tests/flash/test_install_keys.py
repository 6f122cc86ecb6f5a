"""Public SSH keys as an installation takes them."""

from __future__ import annotations

import subprocess

import pytest

from flash.errors import FlashError
from flash.install_keys import fingerprint_of, private_half, public_key


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


def test_a_key_is_named_as_ssh_keygen_names_it(signer):
    public = signer.key.with_suffix(".pub")
    said = subprocess.run(
        ["ssh-keygen", "-l", "-f", public], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    assert public_key(public).fingerprint == said
    assert fingerprint_of(str(public)) == said
    assert fingerprint_of(said) == said


@pytest.mark.parametrize("text", ["SHA256:short", "/nonexistent.pub"])
def test_what_names_no_key_is_told(text):
    with pytest.raises(FlashError, match="there is no key"):
        fingerprint_of(text)


def test_a_login_uses_the_private_half_or_what_the_agent_has(signer, tmp_path):
    assert private_half(signer.key) == signer.key
    assert private_half(signer.key.with_suffix(".pub")) == signer.key
    alone = tmp_path / "agent.pub"
    alone.write_text(signer.key.with_suffix(".pub").read_text())
    assert private_half(alone) == alone
