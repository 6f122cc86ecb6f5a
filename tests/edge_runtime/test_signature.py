"""Signatures made and checked by the real ssh-keygen."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_runtime.signature import EARLIEST, SignatureError, fingerprint, verify

DATA = b'{"name": "digits"}\n'
NOW = datetime(2027, 6, 1, tzinfo=UTC)
IN_1970 = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def signature(signer) -> bytes:
    return signer.sign(DATA)


@pytest.fixture
def allow(tmp_path: Path, signer):
    """``allow('valid-before="20270101Z"')`` is a file that allows the key with these options."""

    def write(options: str) -> Path:
        path = tmp_path / "allowed"
        path.write_text(signer.line(options))
        return path

    return write


def test_signer_is_named_with_the_key(signer, signature):
    found = verify(DATA, signature, signer.allowed, moment=NOW)
    assert found.principal == "anna"
    assert found.key == fingerprint(DATA, signature)
    assert found.key.startswith("ED25519 SHA256:")


@pytest.mark.parametrize("kind", [("rsa", "4096"), ("ecdsa", "521")])
def test_other_kinds_of_keys_count_too(tmp_path, signer, kind):
    signer.run("-q", "-t", kind[0], "-b", kind[1], "-N", "", "-f", tmp_path / "key")
    public = (tmp_path / "key.pub").read_text()
    (tmp_path / "allowed").write_text(f"bert {public}")
    signature = signer.run("-Y", "sign", "-f", tmp_path / "key", "-n", "edge-model", data=DATA)
    assert verify(DATA, signature, tmp_path / "allowed", moment=NOW).principal == "bert"


@pytest.mark.parametrize("principals", ["anna,bert", "*@example.org", "*"])
def test_line_may_name_several_or_a_pattern(tmp_path, signer, signature, principals):
    path = tmp_path / "allowed"
    path.write_text(signer.line().replace("anna", principals, 1))
    assert verify(DATA, signature, path, moment=NOW).principal in principals


def test_changed_bytes_are_refused(signer, signature):
    for data in (DATA[:-1], DATA + b" ", DATA.replace(b"d", b"D", 1), b""):
        with pytest.raises(SignatureError, match="does not belong to this manifest"):
            verify(data, signature, signer.allowed, moment=NOW)


@pytest.mark.parametrize("index", range(60, 290, 23))
def test_changed_signature_is_refused(signer, signature, index):
    changed = bytearray(signature)
    changed[index] = ord("A") if changed[index] != ord("A") else ord("B")
    with pytest.raises(SignatureError):
        verify(DATA, bytes(changed), signer.allowed, moment=NOW)


@pytest.mark.parametrize("garbage", [b"", b"hello", b"\0" * 500, os.urandom(500)])
def test_what_is_no_signature_is_named(signer, garbage):
    with pytest.raises(SignatureError, match="the signature cannot be read"):
        verify(DATA, garbage, signer.allowed, moment=NOW)


def test_signature_of_any_length_does_not_hang(signer):
    with pytest.raises(SignatureError, match="at most 16,384 bytes"):
        verify(DATA, b"x" * 10**6, signer.allowed, moment=NOW)


def test_key_that_nobody_named_is_refused(make_signer, signer):
    other = make_signer("mallory")
    with pytest.raises(SignatureError, match=r"signed with the key .* does not name; .*add this"):
        verify(DATA, other.sign(DATA), signer.allowed, moment=NOW)


def test_signature_for_another_purpose_is_refused(signer):
    with pytest.raises(SignatureError, match="another purpose.*namespace edge-model"):
        verify(DATA, signer.sign(DATA, namespace="git"), signer.allowed, moment=NOW)


def test_key_that_may_only_sign_other_things_is_refused(allow, signature):
    with pytest.raises(SignatureError, match="may not sign models"):
        verify(DATA, signature, allow('namespaces="git"'), moment=NOW)


def test_expired_key_is_refused_and_counts_until_then(allow, signature):
    path = allow('valid-before="20270101Z"')
    assert verify(DATA, signature, path, moment=datetime(2026, 12, 31, tzinfo=UTC))
    with pytest.raises(SignatureError, match=r"expired on 2027-01-01.*it is 2027-06-01"):
        verify(DATA, signature, path, moment=NOW)


def test_key_of_the_future_is_refused(allow, signature):
    with pytest.raises(SignatureError, match=r"valid from 2028-.* check this device's clock"):
        verify(DATA, signature, allow('valid-after="20280101Z"'), moment=NOW)


def test_clock_of_1970_neither_refuses_a_good_key_nor_revives_an_old_one(signer, allow, signature):
    assert verify(DATA, signature, signer.allowed, moment=IN_1970)
    assert verify(DATA, signature, allow('valid-after="20261001Z"'), moment=IN_1970)
    assert datetime(2026, 10, 1, tzinfo=UTC) < EARLIEST
    with pytest.raises(SignatureError, match="expired"):
        verify(DATA, signature, allow('valid-before="20200101Z"'), moment=IN_1970)


@pytest.mark.parametrize("as_list", [False, True], ids=["text", "krl"])
def test_revoked_key_is_refused_and_others_are_not(tmp_path, make_signer, signer, as_list):
    other = make_signer("bert")
    revoked = signer.key.with_suffix(".pub")
    if as_list:
        revoked = tmp_path / "revoked"
        signer.run("-k", "-f", revoked, signer.key.with_suffix(".pub"))
    allowed = tmp_path / "allowed"
    allowed.write_text(signer.line() + other.line())
    with pytest.raises(SignatureError, match="of anna is revoked"):
        verify(DATA, signer.sign(DATA), allowed, moment=NOW, revoked_keys=revoked)
    assert verify(DATA, other.sign(DATA), allowed, moment=NOW, revoked_keys=revoked)


@pytest.mark.parametrize("missing", ["allowed", "revoked"])
def test_missing_file_is_named_and_nothing_accepted(tmp_path, signer, signature, missing):
    allowed = tmp_path / "none" if missing == "allowed" else signer.allowed
    revoked = tmp_path / "none" if missing == "revoked" else None
    with pytest.raises(SignatureError, match="none cannot be read"):
        verify(DATA, signature, allowed, moment=NOW, revoked_keys=revoked)


def test_lines_that_mean_nothing_do_not_hide_the_others(tmp_path, signer, signature):
    path = tmp_path / "allowed"
    path.write_text(f"# keys\n\nnonsense\nssh-ed25519 AAAA\n{signer.line()}")
    assert verify(DATA, signature, path, moment=NOW).principal == "anna"


@pytest.mark.parametrize(
    "first", ['namespaces="git"', 'valid-before="20200101Z"', 'valid-after="20400101Z"']
)
def test_key_counts_by_any_of_its_lines(tmp_path, signer, signature, first):
    path = tmp_path / "allowed"
    second = signer.line('namespaces="edge-model"').replace("anna", '"bert,!carla"', 1)
    path.write_text(signer.line(first) + second)
    assert verify(DATA, signature, path, moment=NOW).principal == "bert"
    path.write_text(second + signer.line(first))
    assert verify(DATA, signature, path, moment=NOW).principal == "bert"


@pytest.mark.parametrize(
    "content", [b"rubbish\n", os.urandom(300), b"SSHKRL\n\0cut", b"no ssh-ed25519 AAAA\n"]
)
def test_list_of_revoked_keys_that_is_none_is_named(tmp_path, signer, signature, content):
    path = tmp_path / "revoked"
    path.write_bytes(content)
    with pytest.raises(SignatureError, match="revoked is no list of revoked keys"):
        verify(DATA, signature, signer.allowed, moment=NOW, revoked_keys=path)


@pytest.mark.parametrize("content", ["", "# none yet\n\n"])
def test_empty_list_of_revoked_keys_revokes_none(tmp_path, signer, signature, content):
    path = tmp_path / "revoked"
    path.write_text(content)
    assert verify(DATA, signature, signer.allowed, moment=NOW, revoked_keys=path)


@pytest.mark.parametrize("which", ["allowed", "revoked"])
def test_list_that_anybody_may_write_is_not_believed(tmp_path, signer, signature, which):
    lists = {"allowed": tmp_path / "allowed", "revoked": tmp_path / "revoked"}
    lists["allowed"].write_text(signer.line())
    lists["revoked"].write_text("")
    lists[which].chmod(0o666)
    with pytest.raises(SignatureError, match=f"anybody may write .*{which}; .*chmod o-w"):
        verify(DATA, signature, lists["allowed"], moment=NOW, revoked_keys=lists["revoked"])


def test_certificate_that_expired_is_told_from_an_unknown_key(tmp_path, make_signer):
    authority, bert = make_signer("authority"), make_signer("bert")
    public = bert.key.with_suffix(".pub")
    bert.run("-q", "-s", authority.key, "-I", "id", "-n", "bert", "-V", "20200101:20210101", public)
    allowed = tmp_path / "allowed"
    allowed.write_text(authority.line("cert-authority").replace("authority", "bert", 1))
    certificate = bert.key.with_name("bert-cert.pub")
    signature = bert.run("-Y", "sign", "-f", certificate, "-n", "edge-model", data=DATA)
    with pytest.raises(SignatureError, match="the certificate of the key .*it expired"):
        verify(DATA, signature, allowed, moment=NOW)


def test_user_whom_the_system_does_not_know_is_told_so(tmp_path, signer, signature, monkeypatch):
    """As ssh-keygen says it, which asks for the user's entry before anything else."""
    fake = tmp_path / "bin" / "ssh-keygen"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\ncat > /dev/null\necho No user exists for uid 4711 >&2\nexit 255\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    with pytest.raises(SignatureError, match=r"\(No user exists for uid 4711\); a user whom this"):
        verify(DATA, signature, signer.allowed, moment=NOW)


def test_missing_program_is_named(signer, signature, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SignatureError, match="ssh-keygen is missing.*openssh-client"):
        verify(DATA, signature, signer.allowed, moment=NOW)
