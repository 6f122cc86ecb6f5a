from __future__ import annotations

import dataclasses
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.bundle import (
    BLOCK_BYTES,
    GOLDEN_FILE,
    MANIFEST_FILE,
    MAX_GOLDEN_BYTES,
    MAX_MODEL_BYTES,
    MODEL_FILE,
    SIGNATURE_FILE,
    BundleError,
    BundleReader,
    FileRecord,
    Manifest,
    pack,
)
from edge_runtime.manifest import version_numbers

MODEL, GOLDEN = bytes(range(256)) * 700, b"golden" * 1000
BUNDLE = pack(name="digits", variant="int8", tolerance=0.05, model=MODEL, golden=GOLDEN)
MANIFEST = Manifest("digits", "int8", 0.05, FileRecord.of(MODEL), FileRecord.of(GOLDEN))
SIGNED = pack(
    name="digits",
    variant="int8",
    tolerance=0.05,
    model=MODEL,
    golden=GOLDEN,
    counter=7,
    sign=lambda manifest: b"signature of " + str(len(manifest)).encode(),
)


def unpack(data: bytes, folder: Path) -> Manifest:
    reader = BundleReader(io.BytesIO(data))
    reader.extract(folder)
    return reader.manifest


def tar(
    *members: tuple[str, bytes], change: Callable[[tarfile.TarInfo], None] = lambda _: None
) -> bytes:
    """An archive of any files; `change` is applied to the model's header."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if name == MODEL_FILE:
                change(member)
            archive.addfile(member, io.BytesIO(content) if member.isreg() else None)
    return buffer.getvalue()


def standard(**changes: object) -> list[tuple[str, bytes]]:
    manifest = dataclasses.replace(MANIFEST, **changes) if changes else MANIFEST
    return [
        (MANIFEST_FILE, manifest.to_json().encode()),
        (MODEL_FILE, MODEL),
        (GOLDEN_FILE, GOLDEN),
    ]


def test_what_is_packed_comes_out(tmp_path):
    assert unpack(BUNDLE, tmp_path) == MANIFEST
    assert (tmp_path / MODEL_FILE).read_bytes() == MODEL
    assert (tmp_path / GOLDEN_FILE).read_bytes() == GOLDEN
    assert Manifest.from_json((tmp_path / MANIFEST_FILE).read_bytes()) == MANIFEST


def test_signature_travels_beside_the_very_bytes_it_is_for(tmp_path):
    reader = BundleReader(io.BytesIO(SIGNED))
    assert reader.signature == b"signature of " + str(len(reader.manifest_bytes)).encode()
    assert reader.manifest.counter == 7
    reader.extract(tmp_path)
    assert (tmp_path / MANIFEST_FILE).read_bytes() == reader.manifest_bytes
    assert (tmp_path / SIGNATURE_FILE).read_bytes() == reader.signature
    with tarfile.open(fileobj=io.BytesIO(SIGNED)) as archive:
        names = [MANIFEST_FILE, SIGNATURE_FILE, MODEL_FILE, GOLDEN_FILE]
        assert archive.getnames() == names


def test_unsigned_bundle_has_no_signature(tmp_path):
    reader = BundleReader(io.BytesIO(BUNDLE))
    assert reader.signature is None
    reader.extract(tmp_path)
    assert not (tmp_path / SIGNATURE_FILE).exists()


def test_nothing_but_manifest_and_signature_is_read_before_extraction():
    stream = io.BytesIO(SIGNED)
    BundleReader(stream)
    assert stream.tell() <= 6 * BLOCK_BYTES


def test_manifest_is_not_taken_apart_before_somebody_asks():
    members = [(MANIFEST_FILE, b"not JSON"), *standard()[1:]]
    reader = BundleReader(io.BytesIO(tar(*members)))
    with pytest.raises(BundleError, match="cannot be understood"):
        _ = reader.manifest


def test_signature_without_end_is_refused_by_its_header():
    members = [standard()[0], (SIGNATURE_FILE, b"x" * 20_000), *standard()[1:]]
    with pytest.raises(BundleError, match=r"manifest.json.sig has 20,000 bytes; at most 16,384"):
        BundleReader(io.BytesIO(tar(*members)))


def test_same_arguments_give_the_same_bytes():
    again = pack(name="digits", variant="int8", tolerance=0.05, model=MODEL, golden=GOLDEN)
    assert again == BUNDLE


def test_any_tar_program_lists_a_bundle():
    with tarfile.open(fileobj=io.BytesIO(BUNDLE)) as archive:
        assert archive.getnames() == [MANIFEST_FILE, MODEL_FILE, GOLDEN_FILE]
        assert all(member.isreg() and member.mtime == 0 for member in archive.getmembers())


def test_a_stream_may_hand_over_single_bytes(tmp_path):
    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 1))

    small = pack(name="a", variant="b", tolerance=0, model=b"m" * 700, golden=b"g")
    BundleReader(Trickle(small)).extract(tmp_path)
    assert (tmp_path / MODEL_FILE).read_bytes() == b"m" * 700


# Every place at which something else begins: headers, contents, paddings, the end.
@pytest.mark.parametrize("kept", [0, 1, 511, 512, 700, 1024, 1536, 100_000, 180_000, 186_900])
def test_truncated_bundle_is_refused(tmp_path, kept):
    assert kept < len(BUNDLE.rstrip(b"\0")) + 2 * BLOCK_BYTES
    with pytest.raises(BundleError, match="the transfer ended after"):
        unpack(BUNDLE[:kept], tmp_path)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0" * 100_000,
        b"\xff" * 100_000,
        os.urandom(100_000),
        b"#!/bin/sh\n" * 1000,
        b"PK\3\4" * 500,
    ],
    ids=["zeros", "ones", "random", "text", "zip"],
)
def test_garbage_is_refused(tmp_path, garbage):
    with pytest.raises(BundleError, match="what arrived is not a bundle"):
        unpack(garbage, tmp_path)


@pytest.mark.parametrize("offset", range(0, 8 * BLOCK_BYTES, 97))
def test_one_flipped_bit_is_never_accepted_as_another_bundle(tmp_path, offset):
    damaged = bytearray(BUNDLE)
    damaged[offset] ^= 1
    try:
        manifest = unpack(bytes(damaged), tmp_path)
    except BundleError:
        return
    # What a tar header says of owners and dates has no meaning here.
    assert manifest == MANIFEST
    assert (tmp_path / MODEL_FILE).read_bytes() == MODEL


def test_changed_content_is_refused(tmp_path):
    damaged = bytearray(BUNDLE)
    damaged[BUNDLE.index(MODEL[:256]) + 5000] ^= 4
    with pytest.raises(BundleError, match=r"model.tflite arrived with SHA-256 .*send it again"):
        unpack(bytes(damaged), tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "../model.tflite",
        "/etc/passwd",
        "model.tflite/../../x",
        "other.txt",
        "./model.tflite",
        "",
    ],
)
def test_other_names_are_refused(tmp_path, name):
    members = [(n if n != MODEL_FILE else name, c) for n, c in standard()]
    with pytest.raises(BundleError, match="or model.tflite was expected"):
        unpack(tar(*members), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.DIRTYPE,
        tarfile.XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_SPARSE,
    ],
)
def test_other_kinds_of_entries_are_refused(tmp_path, kind):
    def change(member: tarfile.TarInfo) -> None:
        member.type, member.linkname = kind, "/etc/passwd"

    with pytest.raises(BundleError, match="the bundle has the entry of type"):
        unpack(tar(*standard(), change=change), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "order",
    [
        (MODEL_FILE, MANIFEST_FILE, GOLDEN_FILE),
        (MANIFEST_FILE, GOLDEN_FILE, MODEL_FILE),
        (MANIFEST_FILE, MODEL_FILE, MODEL_FILE, GOLDEN_FILE),
        (MANIFEST_FILE, MANIFEST_FILE, MODEL_FILE, GOLDEN_FILE),
        (SIGNATURE_FILE, MANIFEST_FILE, MODEL_FILE, GOLDEN_FILE),
        (MANIFEST_FILE, SIGNATURE_FILE, SIGNATURE_FILE, MODEL_FILE, GOLDEN_FILE),
        (MANIFEST_FILE, MODEL_FILE, SIGNATURE_FILE, GOLDEN_FILE),
    ],
)
def test_other_orders_and_repeated_files_are_refused(tmp_path, order):
    contents = {SIGNATURE_FILE: b"signature", **dict(standard())}
    with pytest.raises(BundleError, match="was expected"):
        unpack(tar(*((name, contents[name]) for name in order)), tmp_path)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(BundleError, match=r"file golden\.npz was expected"):
        unpack(tar(*standard()[:2]), tmp_path)


@pytest.mark.parametrize(
    "more",
    [
        [("extra", b"x")],
        [(MANIFEST_FILE, b"{}")],
    ],
)
def test_further_files_are_refused(tmp_path, more):
    with pytest.raises(BundleError, match="more data behind the bundle"):
        unpack(tar(*standard(), *more), tmp_path)


def test_endless_zeros_behind_the_bundle_are_refused(tmp_path):
    with pytest.raises(BundleError, match="more data behind the bundle"):
        unpack(BUNDLE + b"\0" * 100_000, tmp_path)


def test_gigabytes_are_refused_by_their_header_alone(tmp_path):
    # 8 GiB announced, none sent: the answer must come before anything is read or written.
    def header(name: str) -> bytes:
        member = tarfile.TarInfo(name)
        member.size = 2**33 - 1
        return member.tobuf(tarfile.USTAR_FORMAT)

    manifest_alone = tar(*standard()[:1])[: 2 * BLOCK_BYTES]
    with pytest.raises(BundleError, match=r"model.tflite has 8,589,934,591 bytes; 179,200 bytes"):
        unpack(manifest_alone + header(MODEL_FILE), tmp_path)
    with pytest.raises(BundleError, match="at most 524,288 bytes"):
        unpack(header(MANIFEST_FILE), tmp_path)
    assert not list(tmp_path.iterdir())


def test_sizes_beyond_the_limits_are_refused():
    for changes in (
        {"model": FileRecord(MAX_MODEL_BYTES + 1, MANIFEST.model.sha256)},
        {"golden": FileRecord(MAX_GOLDEN_BYTES + 1, MANIFEST.model.sha256)},
        {"model": FileRecord(0, MANIFEST.model.sha256)},
        {"model": FileRecord(True, MANIFEST.model.sha256)},
    ):
        with pytest.raises(BundleError, match="the size of"):
            dataclasses.replace(MANIFEST, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 1}, "format version 1; version 2 was expected"),
        ({"format_version": [2]}, "format version"),
        ({"device_type": ""}, "the device_type in the manifest"),
        ({"counter": -1}, "the counter is -1; a whole number from 0"),
        ({"counter": True}, "the counter is True"),
        ({"counter": 2**53}, "the counter is"),
        ({"minimum_runtime": "new"}, "the version of the runtime is 'new'"),
        ({"minimum_runtime": 1}, "the version of the runtime is 1"),
        ({"created_at": "yesterday"}, "was made at 'yesterday'"),
        ({"created_at": "2026-11-22T10:00:00"}, "was made at"),
        ({"contract": []}, "the contract is"),
        ({"name": ""}, "the name in the manifest"),
        ({"name": "a\nb"}, "the name in the manifest"),
        ({"variant": None}, "the variant in the manifest"),
        ({"tolerance": -0.1}, "the tolerance"),
        ({"tolerance": 1}, "the tolerance"),
        ({"tolerance": float("nan")}, "the tolerance"),
        ({"tolerance": "0"}, "the tolerance"),
        ({"model": {"size_bytes": 4, "sha256": "../../../../etc"}}, "the SHA-256 of model.tflite"),
        ({"model": {"size_bytes": 4, "sha256": "A" * 64}}, "the SHA-256 of model.tflite"),
        ({"model": 7}, "cannot be understood"),
        ({"surprise": 1}, "cannot be understood"),
    ],
)
def test_impossible_manifest_is_refused(changes, message):
    fields = json.loads(MANIFEST.to_json()) | changes
    with pytest.raises(BundleError, match=message):
        Manifest.from_json(json.dumps(fields).encode())


def test_versions_are_compared_by_their_numbers():
    assert version_numbers("0.10") > version_numbers("0.9.9")
    assert version_numbers("1.0.0") == version_numbers("1")
    assert version_numbers("2.1rc3") == (2, 1)
    assert version_numbers("2.1.dev4+local-5") == (2, 1)


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"null", b"\xff", b"[" * 60_000])
def test_manifest_that_is_no_manifest_is_refused(text):
    with pytest.raises(BundleError, match="manifest.json cannot be understood"):
        Manifest.from_json(text)


def test_existing_file_is_never_written_through(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("untouched")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / MODEL_FILE).symlink_to(secret)
    with pytest.raises(FileExistsError):
        unpack(BUNDLE, folder)
    assert secret.read_text() == "untouched"


@pytest.mark.parametrize("name", [MANIFEST_FILE, SIGNATURE_FILE, GOLDEN_FILE])
def test_data_between_the_files_is_refused(tmp_path, name):
    with tarfile.open(fileobj=io.BytesIO(SIGNED)) as archive:
        member = archive.getmember(name)
    damaged = bytearray(SIGNED)
    assert member.size % BLOCK_BYTES, "nothing fills up this file"
    damaged[member.offset_data + member.size] = 1
    with pytest.raises(BundleError, match="there is data between the files of the bundle"):
        unpack(bytes(damaged), tmp_path)
