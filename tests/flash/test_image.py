"""The flash image, read here by what its description says."""

from __future__ import annotations

import hashlib
import struct
import time
import zlib
from dataclasses import replace

from flash.image import make_image, write_image
from flash.mcu import interface_id


def number(data: bytes, at: int, length: int = 4) -> int:
    return int.from_bytes(data[at : at + length], "little")


def test_header_is_as_described(image, micro_model):
    data, model = image.data, micro_model.flatbuffer
    assert data[:4] == b"EdgM"
    assert number(data, 4, 2) == 2
    assert number(data, 6, 2) == 80
    assert number(data, 8) == len(model) == image.model_bytes
    assert number(data, 12) == zlib.crc32(model) == image.crc32
    assert number(data, 16) == 7 == image.counter
    assert number(data, 20) == micro_model.arena_bytes > micro_model.run.arena_bytes
    assert number(data, 24) == interface_id(micro_model.contract, micro_model.run)
    assert data[28:60] == hashlib.sha256(model).digest()
    assert image.sha256 == micro_model.contract.sha256
    assert data[60:64] == struct.pack("<f", micro_model.contract.rejection_threshold)
    assert image.rejection_threshold == micro_model.contract.rejection_threshold > 0
    assert not any(data[64:76])
    assert number(data, 76) == zlib.crc32(data[:76])
    assert data[80:][: len(model)] == model


def test_model_without_a_threshold_refuses_no_answer(micro_model):
    contract = replace(micro_model.contract, rejection_threshold=None)
    image = make_image(replace(micro_model, contract=contract), 7)
    assert image.data[60:64] == bytes(4)
    assert image.rejection_threshold == 0


def test_counter_grows_with_the_clock_unless_it_is_given(micro_model, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.9)
    image = make_image(micro_model)
    assert image.counter == number(image.data, 16) == 1_800_000_000
    assert make_image(micro_model, 0).counter == 0


def test_length_is_a_multiple_of_16_filled_with_erased_flash(micro_model):
    for length in range(33, 50):
        image = make_image(replace(micro_model, flatbuffer=bytes(length)))
        assert len(image.data) % 16 == 0
        assert set(image.data[80 + length :]) <= {0xFF}
        assert len(image.data) - 80 - length < 16


def test_model_begins_with_a_flatbuffer_that_ends_before_the_seal(image):
    assert image.data[84:88] == b"TFL3"
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
        (replace(contract, height=27), run),
        (replace(contract, mean=(1.0,)), run),
        (replace(contract, scale=(3.0,)), run),
        (replace(contract, fit="stretch"), run),
        (replace(contract, fit="stretch", polarity="any"), run),
        (replace(contract, output="logits"), run),
        (contract, replace(run, input=replace(run.input, scale=run.input.scale * 2))),
        (contract, replace(run, input=replace(run.input, zero_point=0))),
        (contract, replace(run, input=replace(run.input, dtype="uint8"))),
        (contract, replace(run, output=replace(run.output, dtype="int16"))),
    ]
    assert len({one, *(interface_id(*other) for other in others)}) == 1 + len(others)


def test_interface_id_is_the_same_for_one_value_and_one_for_each_channel(micro_model):
    contract = replace(micro_model.contract, channels=3, fit="stretch", polarity="any")
    spread = replace(contract, mean=contract.mean * 3, scale=contract.scale * 3)
    assert interface_id(contract, micro_model.run) == interface_id(spread, micro_model.run)
