"""Models that are signed, and still must not become active: they crash, hang or eat memory."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_runtime.device
from edge_runtime.bundle import pack
from edge_runtime.contract import ModelContract, load_sealed, seal
from edge_runtime.device import receive, status
from edge_runtime.errors import DeviceError
from edge_runtime.selftest import run_self_test

CONTRACT = ModelContract(
    "hostile", tuple("0123456789"), 28, 28, 1, output="logits", variant="float32"
)
TIME_LIMIT_S = 4.0


@pytest.fixture
def refuse(
    tmp_path: Path, models: Path, signer: Any, _int8_installed: Path, monkeypatch
) -> Callable[[bytes], str]:
    """``refuse(model)`` sends that model, signed, to a device; returns why it was refused."""
    limited = functools.partial(run_self_test, time_limit_s=TIME_LIMIT_S)
    monkeypatch.setattr(edge_runtime.device, "run_self_test", limited)

    def send(model: bytes) -> str:
        golden = io.BytesIO()
        np.savez(
            golden,
            pixels=np.zeros((2, 28, 28, 1), np.uint8),
            scores=np.full((2, 10), 0.1, np.float32),
        )
        bundle = pack(
            name="hostile", variant="float32", tolerance=0.05, model=model, counter=5,
            golden=golden.getvalue(), sign=signer.sign,
            contract={"height": 28, "width": 28, "channels": 1, "labels": list("0123456789")},
        )  # fmt: skip
        before = status(_int8_installed)
        with pytest.raises(DeviceError) as caught:
            receive(io.BytesIO(bundle), _int8_installed)
        after = status(_int8_installed)
        assert (after.active, after.problem, after.releases) == (
            before.active, None, before.releases,
        )  # fmt: skip
        return str(caught.value)

    return send


@pytest.fixture
def only_tflite_runtime(tmp_path: Path, monkeypatch) -> None:
    """Lets the self-test's child find that interpreter alone, as a Pi with the wheel's own."""
    pytest.importorskip("tflite_runtime")
    for package in ("ai_edge_litert", "tensorflow"):
        (tmp_path / "blocked" / package).mkdir(parents=True)
        (tmp_path / "blocked" / package / "__init__.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "blocked"))


def converted(function: Callable[[Any], Any]) -> bytes:
    """A model of a TensorFlow function from (1, 28, 28, 1) to (1, 10), float32."""
    import tensorflow as tf

    traced = tf.function(
        function, input_signature=[tf.TensorSpec((1, 28, 28, 1), tf.float32)]
    ).get_concrete_function()
    return seal(tf.lite.TFLiteConverter.from_concrete_functions([traced]).convert(), CONTRACT)


@pytest.fixture(scope="module")
def endless() -> bytes:
    """A model with a loop that never ends."""

    def compute(x: Any) -> Any:
        import tensorflow as tf

        (y,) = tf.while_loop(lambda v: tf.reduce_sum(v) < np.inf, lambda v: (v * 0.5,), (x,))
        return tf.reshape(y, (1, 784))[:, :10]

    return converted(compute)


@pytest.fixture(scope="module")
def voracious() -> bytes:
    """A model of two kilobytes that needs 576 MB of memory."""

    def compute(x: Any) -> Any:
        import tensorflow as tf

        large = tf.image.resize(x, (12_000, 12_000))
        return tf.reshape(tf.reduce_max(large, axis=[1, 2, 3]), (1, 1)) * tf.ones((1, 10))

    return converted(compute)


def test_model_that_never_answers_is_given_up(refuse, endless):
    assert "did not answer its golden inputs within 4 s" in refuse(endless)


def test_model_that_eats_memory_gets_none(refuse, voracious):
    said = refuse(voracious)
    assert "cannot load the model" in said or "asked for too much memory" in said


def test_model_that_eats_memory_is_named_by_the_other_interpreter(
    refuse, voracious, only_tflite_runtime
):
    assert "asked for too much memory in its self-test; at most 400 MiB" in refuse(voracious)


def test_model_that_crashes_its_interpreter_is_survived(refuse, models, only_tflite_runtime):
    sealed = load_sealed(models / "seed_int8.tflite")
    # Of 300 random damages 141 made tflite-runtime 2.14 die of a segmentation fault.
    for seed in range(40):
        random = np.random.default_rng(seed)
        damaged = np.frombuffer(sealed.flatbuffer, np.uint8).copy()
        damaged[random.integers(8, len(damaged), 60)] = random.integers(0, 256, 60)
        said = refuse(seal(damaged.tobytes(), CONTRACT))
        if "crashed the interpreter in its self-test (SIG" in said:
            return
    pytest.fail("no damaged model crashed the interpreter")
