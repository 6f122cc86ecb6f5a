"""The flash image, read here by what its description says."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import replace

from flash.image import make_image, write_image
from flash.mcu import interface_id


def number(data: bytes, at: int, length: int = 4) -> int:
    return int.from_bytes(data[at : at + length], "little")


def test_header_is_as_described(image, micro_model):
    data, model = image.data, micro_model.flatbuffer
    assert data[:4] == b"EdgM"
    assert number(data, 4, 2) == 1
    assert number(data, 6, 2) == 64
    assert number(data, 8) == len(model) == image.model_bytes
    assert number(data, 12) == zlib.crc32(model) == image.crc32
    assert number(data, 16) == 7 == image.counter
    assert number(data, 20) == micro_model.arena_bytes > micro_model.run.arena_bytes
    assert number(data, 24) == interface_id(micro_model.contract, micro_model.run)
    assert data[28:60] == hashlib.sha256(model).digest()
    assert image.sha256 == micro_model.contract.sha256
    assert number(data, 60) == zlib.crc32(data[:60])
    assert data[64:][: len(model)] == model


def test_length_is_a_multiple_of_16_filled_with_erased_flash(micro_model):
    for length in range(33, 50):
        image = make_image(replace(micro_model, flatbuffer=bytes(length)))
        assert len(image.data) % 16 == 0
        assert set(image.data[64 + length :]) <= {0xFF}
        assert len(image.data) - 64 - length < 16


def test_model_begins_with_a_flatbuffer_that_ends_before_the_seal(image):
    assert image.data[68:72] == b"TFL3"
    assert b"contract.json" not in image.data


def test_files_are_the_image_and_the_reader(image, tmp_path):
    files = write_image(image, "seed", tmp_path / "new")
    assert [file.name for file in files] == ["seed.bin", "edge_model.c", "edge_model.h"]
    assert files[0].read_bytes() == image.data


def test_interface_id_tells_models_apart_that_a_firmware_must_not_swap(micro_model):
    contract, run = micro_model.contract, micro_model.run
    one = interface_id(contract, run)
    later = replace(contract, rejection_threshold=0.9, name="later", training={"seed": 2})
    assert interface_id(later, run) == one
    scaled = replace(run, output=replace(run.output, scale=run.output.scale * 2))
    assert interface_id(contract, scaled) == one
    others = [
        (replace(contract, labels=tuple("9876543210")), run),
        (replace(contract, mean=(1.0,)), run),
        (replace(contract, fit="stretch"), run),
        (contract, replace(run, input=replace(run.input, scale=run.input.scale * 2))),
        (contract, replace(run, output=replace(run.output, dtype="int16"))),
    ]
    assert len({one, *(interface_id(*other) for other in others)}) == 6


def test_interface_id_is_the_same_for_one_value_and_one_for_each_channel(micro_model):
    contract = replace(micro_model.contract, channels=3, fit="stretch", polarity="any")
    spread = replace(contract, mean=contract.mean * 3, scale=contract.scale * 3)
    assert interface_id(contract, micro_model.run) == interface_id(spread, micro_model.run)
