"""`python -m flash bundle`, which makes a bundle or shows one."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from flash.__main__ import main
from flash.bundle import make_bundle


@pytest.fixture
def edge(tmp_path: Path, models: Path, signer) -> Path:
    path = tmp_path / "seed.edge"
    model = models / "seed_int8.tflite"
    path.write_bytes(make_bundle(model, key=signer.key, counter=5).data)
    return path


def test_making_and_showing_agree(tmp_path, models, signer, capsys):
    out = tmp_path / "seed.edge"
    words = ["--key", str(signer.key), "--counter", "9", "--device-type", "zero", "--json"]
    assert main(["bundle", str(models / "seed_int8.tflite"), *words, "--out", str(out)]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["path"], made["counter"], made["signed"]) == (str(out), 9, True)
    assert made["size_bytes"] == out.stat().st_size
    shown_words = ["--show", str(out), "--allowed-signers", str(signer.allowed), "--json"]
    assert main(["bundle", *shown_words]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["signer"], shown["verified"], shown["problem"]) == ("anna", True, None)
    for name in ("name", "variant", "device_type", "counter", "created_at", "tolerance"):
        assert shown[name] == made[name]
    assert [file["name"] for file in shown["files"]] == [
        "manifest.json", "manifest.json.sig", "model.tflite", "golden.npz"
    ]  # fmt: skip
    assert shown["files"][2]["sha256"] == made["model"]["sha256"]
    assert shown["contract"]["labels"] == list("0123456789")
    assert shown["golden_inputs"] == 10


def test_bundle_is_named_after_its_model(tmp_path, models, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["bundle", str(models / "seed_int8.tflite"), "--unsigned"]) == 0
    assert capsys.readouterr().out.startswith("seed_int8.edge: seed int8 for raspberrypi, ")
    assert (tmp_path / "seed_int8.edge").is_file()


def test_showing_says_how_far_the_signature_counts(
    edge, tmp_path, models, signer, make_signer, capsys
):
    assert main(["bundle", "--show", str(edge)]) == 0
    assert "nobody said whose key that is" in capsys.readouterr().out
    assert main(["bundle", "--show", str(edge), "--allowed-signers", str(signer.allowed)]) == 0
    assert "signed by anna with ED25519 SHA256:" in capsys.readouterr().out
    other = make_signer("bert").allowed
    assert main(["bundle", "--show", str(edge), "--allowed-signers", str(other)]) == 1
    said = capsys.readouterr()
    assert "NOT verified" in said.out
    assert "does not name" in said.err
    revoked = ["--revoked-keys", str(signer.key.with_suffix(".pub"))]
    known = ["--allowed-signers", str(signer.allowed)]
    assert main(["bundle", "--show", str(edge), *known, *revoked]) == 1
    assert "is revoked" in capsys.readouterr().err
    unsigned = tmp_path / "unsigned.edge"
    unsigned.write_bytes(make_bundle(models / "seed_int8.tflite").data)
    assert main(["bundle", "--show", str(unsigned), *known]) == 1
    assert "the bundle is not signed" in capsys.readouterr().err


def test_signature_of_another_manifest_is_shown_as_such(edge, capsys):
    data = edge.read_bytes()
    edge.write_bytes(data.replace(b'"counter": 5', b'"counter": 6'))
    assert main(["bundle", "--show", str(edge)]) == 1
    assert "does not belong to this manifest" in capsys.readouterr().err


def hostile(name: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the transfer ended after 0 bytes"),
        (b"\0" * 10_000, "not a bundle"),
        (hostile("manifest.json"), "entry of type"),
        (hostile("../../etc/passwd"), "entry of type"),
    ],
)
def test_hostile_file_is_one_line(tmp_path, capsys, content, message):
    path = tmp_path / "x.edge"
    path.write_bytes(content)
    assert main(["bundle", "--show", str(path), "--json"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert message in said.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no model is named"),
        (["m.tflite"], "--key KEY was expected"),
        (
            ["m.tflite", "--unsigned", "--revoked-keys", "f"],
            "--revoked-keys goes with --show; leave it out",
        ),
        (["--show", "x.edge", "--unsigned"], "--unsigned says nothing together with --show"),
        (["m.tflite", "--show", "x.edge"], "--show takes no model beside it"),
        (["none.tflite", "--unsigned"], "none.tflite does not exist"),
    ],
)
def test_what_says_nothing_together_is_one_line(capsys, arguments, message):
    assert main(["bundle", *arguments]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert message in said[0]


@pytest.mark.parametrize("counter", ["-1", "x", str(2**53), "1.5"])
def test_impossible_counter_is_wrong_usage(capsys, counter):
    assert main(["bundle", "m.tflite", "--unsigned", f"--counter={counter}"]) == 2
    assert "is not a whole number" in capsys.readouterr().err
