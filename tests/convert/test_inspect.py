from __future__ import annotations

import dataclasses
import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.inspect import inspect_model
from convert.schema import BUDGET
from edge_runtime.contract import load_sealed
from edge_runtime.errors import DamagedModelError, ModelError
from train.captured import captured_output


@pytest.fixture(scope="module")
def int8(converted: Path) -> bytes:
    return (converted / "colours_int8.tflite").read_bytes()


@pytest.fixture(scope="module")
def flatbuffer(converted: Path) -> bytes:
    return load_sealed(converted / "colours_int8.tflite").flatbuffer


def test_tensors_have_what_a_device_needs_to_know(int8: bytes) -> None:
    report = inspect_model(int8)
    (given,), (taken,) = report.inputs, report.outputs
    assert (given.shape, given.dtype, given.constant) == ((-1, 12, 10, 3), "int8", False)
    assert given.scales == pytest.approx((1 / 255,))
    assert given.zero_points == (-128,)
    assert given.size_bytes == 12 * 10 * 3
    assert (taken.shape, taken.dtype) == ((-1, 3), "int8")
    weights = [t for t in report.tensors if t.constant and t.shape == (3, 1, 1, 3)]
    # Convolutions are quantized per channel, dense layers as a whole.
    assert [(t.dtype, len(t.scales), t.size_bytes) for t in weights] == [("int8", 3, 9)]
    dense = [t for t in report.tensors if t.constant and t.shape == (3, 3)]
    assert [(t.dtype, len(t.scales), t.size_bytes) for t in dense] == [("int8", 1, 9)]
    # Both matrices are the identity and both biases nothing: the file holds each of them once.
    assert report.weights_bytes == 9 + 3 * 4 + 2 * 4


def test_operators_have_versions_counts_and_costs(int8: bytes) -> None:
    report = inspect_model(int8)
    operators = {op.name: op for op in report.operators}
    assert list(operators) == ["CONV_2D", "MEAN", "FULLY_CONNECTED"]
    assert operators["CONV_2D"].macs == 12 * 10 * 3 * 3
    assert operators["FULLY_CONNECTED"].macs == 9
    assert operators["MEAN"].macs == 0
    assert report.macs == 12 * 10 * 3 * 3 + 9
    # tflite-runtime 2.14 knows FULLY_CONNECTED up to version 10.
    assert 1 <= operators["FULLY_CONNECTED"].version <= 10
    assert all(op.count == 1 for op in report.operators)


def test_the_seed_network_costs_what_its_layers_say() -> None:
    import tensorflow as tf

    from train import model
    from train.config import CONFIGS

    network = model.build(CONFIGS["seed"], (28, 28, 1), 10)
    with captured_output():
        data = tf.lite.TFLiteConverter.from_keras_model(network).convert()
    convolutions = 26 * 26 * 32 * 9 + 11 * 11 * 64 * 9 * 32 + 3 * 3 * 64 * 9 * 64
    dense = 576 * 64 + 64 * 10
    assert inspect_model(data).macs == convolutions + dense == 2_794_240


def test_operators_that_came_late_to_the_schema_have_their_names(
    colour_model: Callable[..., Any],
) -> None:
    import keras
    import tensorflow as tf

    model = colour_model(keras.layers.Activation("gelu"))
    with captured_output():
        data = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    # GELU has the number 150, and the schema's first field for it ends at 127.
    assert "GELU" in [op.name for op in inspect_model(data).operators]


def test_sizes_tell_the_model_from_its_seal(int8: bytes, flatbuffer: bytes) -> None:
    report = inspect_model(int8)
    assert (report.file_bytes, report.flatbuffer_bytes) == (len(int8), len(flatbuffer))
    assert report.contract is not None
    assert report.contract["labels"] == ["red", "green", "blue"]


def test_a_model_that_was_never_sealed_has_no_contract(flatbuffer: bytes) -> None:
    report = inspect_model(flatbuffer)
    assert report.contract is None
    assert report.macs == 12 * 10 * 3 * 3 + 9
    assert report.description == "MLIR Converted."
    assert report.minimum_runtime is not None


def test_a_report_is_plain_json(int8: bytes) -> None:
    report = inspect_model(int8)
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert set(values) == {field.name for field in dataclasses.fields(report)}
    assert values["operators"][0]["name"] == "CONV_2D"


def test_no_interpreter_and_no_tensorflow_is_imported(converted: Path) -> None:
    program = (
        "import sys; from convert.__main__ import main; status = main(sys.argv[1:]);"
        "heavy = {'tensorflow', 'keras', 'ai_edge_litert', 'tflite_runtime'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else status)"
    )
    path = converted / "colours_int8.tflite"
    child = subprocess.run(
        [sys.executable, "-c", program, "inspect", path], capture_output=True, text=True
    )
    assert (child.returncode, child.stderr) == (0, "")
    assert "CONV_2D" in child.stdout


@pytest.mark.parametrize(
    "data", [b"", b"TFL3", b"not a model at all", bytes(1000)], ids=["empty", "4", "text", "zeros"]
)
def test_what_is_not_a_model_is_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match=r"x\.tflite is not a TensorFlow Lite model; a \.tflite"):
        inspect_model(data, "x.tflite")


def test_a_sealed_model_with_a_changed_byte_is_refused(int8: bytes) -> None:
    with pytest.raises(DamagedModelError, match="changed after it was sealed"):
        inspect_model(int8[:500] + bytes([int8[500] ^ 1]) + int8[501:])


def test_a_truncated_flatbuffer_is_refused_or_read_but_never_crashes(flatbuffer: bytes) -> None:
    outcomes = [_outcome(flatbuffer[:end]) for end in range(8, len(flatbuffer), 37)]
    refused = [text for text in outcomes if text]
    # The root table lies at the end, so little can be left away without loss.
    assert len(refused) > 0.9 * len(outcomes)
    assert all("\n" not in text for text in refused)


def test_random_damage_is_refused_or_read_but_never_crashes(flatbuffer: bytes) -> None:
    random = np.random.default_rng(11)
    refused = 0
    for _ in range(400):
        damaged = np.frombuffer(flatbuffer, np.uint8).copy()
        at = random.integers(8, len(damaged), random.integers(1, 40))
        damaged[at] = random.integers(0, 256, len(at))
        refused += bool(_outcome(damaged.tobytes()))
    assert refused > 50


def test_random_bytes_behind_a_right_beginning_are_refused() -> None:
    random = np.random.default_rng(12)
    for size in (0, 1, 20, 5000):
        assert _outcome(struct.pack("<I", 16) + b"TFL3" + random.bytes(size))


def test_a_count_of_billions_is_refused_at_once(flatbuffer: bytes) -> None:
    counted = 0
    for at in range(8, len(flatbuffer) - 4, 4):
        (count,) = struct.unpack_from("<I", flatbuffer, at)
        if not 1 <= count <= 12:
            continue
        hostile = flatbuffer[:at] + struct.pack("<I", 2**31 - 1) + flatbuffer[at + 4 :]
        # A loop over two thousand million parts would never come to an end here.
        text = _outcome(hostile)
        counted += f"counts more than {BUDGET:,} parts" in text
    assert counted >= 5


def _outcome(data: bytes) -> str:
    """The error's text, or nothing if the file could be read."""
    try:
        inspect_model(data, "x.tflite")
    except ModelError as error:
        return str(error)
    return ""
