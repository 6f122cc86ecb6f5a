"""`python -m flash bundle`, which makes a bundle or shows one."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from edge_runtime.bundle import BundleReader
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


@pytest.mark.parametrize("name", ["model", "key", "key.pub", "golden", "default golden", "link"])
def test_nothing_that_is_read_is_written_over(tmp_path, models, make_signer, capsys, name):
    for file in ("seed_int8.tflite", "seed.golden.npz"):
        shutil.copy(models / file, tmp_path)
    key = make_signer("bert").key
    golden = shutil.copy(models / "seed.golden.npz", tmp_path / "other.npz")
    link = tmp_path / "link.edge"
    link.symlink_to(key)
    out = {
        "model": tmp_path / "seed_int8.tflite",
        "key": key,
        "key.pub": Path(f"{key}.pub"),
        "golden": golden,
        "default golden": tmp_path / "seed.golden.npz",
        "link": link,
    }[name]
    words = [] if name == "default golden" else ["--golden", str(golden)]
    before = Path(out).read_bytes()
    model = str(tmp_path / "seed_int8.tflite")
    assert main(["bundle", model, "--key", str(key), "--out", str(out), *words]) == 1
    assert "--out would write over" in capsys.readouterr().err
    assert Path(out).read_bytes() == before


def test_private_key_is_safe_where_its_public_half_is_named(models, make_signer, capsys):
    key = make_signer("bert").key
    before = key.read_bytes()
    words = ["--key", f"{key}.pub", "--out", str(key)]
    assert main(["bundle", str(models / "seed_int8.tflite"), *words]) == 1
    assert "--out would write over" in capsys.readouterr().err
    assert key.read_bytes() == before


def rewritten(model: Path, **changes: object) -> bytes:
    """An unsigned bundle of a model whose manifest says other things."""
    made = make_bundle(model)
    reader = BundleReader(io.BytesIO(made.data))
    text = json.dumps({**json.loads(reader.manifest_bytes), **changes}).encode()
    buffer = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(made.data)) as old,
        tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as new,
    ):
        for member in old:
            content = old.extractfile(member).read()
            if member.name == "manifest.json":
                content = text
            entry = tarfile.TarInfo(member.name)
            entry.size = len(content)
            new.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


CONTRACT = {"height": 28, "width": 28, "channels": 1, "labels": list("0123456789")}


@pytest.mark.parametrize(
    "changes",
    [
        {"minimum_runtime": "0.1\x1b[31mRED\x1b]0;title\x07"},
        {"minimum_runtime": "9.9\nreceive: x"},
        {"contract": {**CONTRACT, "labels": 5}},
        {"contract": {**CONTRACT, "labels": [[1, {"a": 2}]] * 10}},
        {"contract": {**CONTRACT, "height": "\x1b[2J28"}},
        {"contract": {**CONTRACT, "height": [28]}},
        {"contract": {}},
        {"name": "other"},
        {"variant": "float64"},
    ],
)
def test_manifest_that_says_what_cannot_be_is_one_line(tmp_path, models, capsys, changes):
    path = tmp_path / "x.edge"
    path.write_bytes(rewritten(models / "seed_int8.tflite", **changes))
    assert main(["bundle", "--show", str(path)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("python -m flash: error: ")
    assert line.isprintable()


def test_what_is_shown_gives_a_terminal_no_commands(tmp_path, models, capsys):
    # fromisoformat takes any character between day and hour.
    path = tmp_path / "a\x9b31m.edge"
    made_at = "2026-11-22\x1b18:30:00+00:00"
    path.write_bytes(rewritten(models / "seed_int8.tflite", created_at=made_at))
    assert main(["bundle", "--show", str(path)]) == 0
    said = capsys.readouterr()
    assert "\\x1b18:30" in said.out
    assert all(line.isprintable() for line in (said.out + said.err).splitlines())
    assert main(["bundle", "--show", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["created_at"] == made_at


@pytest.mark.parametrize("name", ["", "a" * 65, "a\x1b"])
def test_impossible_device_type_is_wrong_usage(capsys, name):
    assert main(["bundle", "m.tflite", "--unsigned", "--device-type", name]) == 2
    assert "is not a name of 1 to 64 characters" in capsys.readouterr().err


@pytest.mark.parametrize("counter", ["-1", "x", str(2**53), "1.5"])
def test_impossible_counter_is_wrong_usage(capsys, counter):
    assert main(["bundle", "m.tflite", "--unsigned", f"--counter={counter}"]) == 2
    assert "is not a whole number" in capsys.readouterr().err
