from __future__ import annotations

import numpy as np
import pytest

from convert.inspect import inspect_model
from convert.recipes import RECIPES, VARIANTS, recipes_for
from edge_runtime.errors import InputError
from train.captured import captured_output


def test_there_are_the_five_variants_each_with_a_reason_for_its_floor() -> None:
    assert VARIANTS == ("float32", "float16", "dynamic", "int8", "int16x8")
    for recipe in RECIPES.values():
        assert 0.95 <= recipe.floor < 1
        assert recipe.floor_reason
        assert recipe.summary


def test_recipes_come_in_their_own_order_and_once() -> None:
    named = [recipe.variant for recipe in recipes_for(["int8", "float32", "int8"])]
    assert named == ["float32", "int8"]


def test_all_stands_for_every_variant() -> None:
    assert [recipe.variant for recipe in recipes_for(["all", "int8"])] == list(VARIANTS)


@pytest.mark.parametrize("names", [["int4"], ["all", "int4"], [""]])
def test_an_unknown_variant_is_named_with_the_known_ones(names: list[str]) -> None:
    with pytest.raises(InputError, match=rf"'{names[-1]}' is not known; all, float32, .*int16x8"):
        recipes_for(names)


def test_no_variant_at_all_is_refused() -> None:
    with pytest.raises(InputError, match="no variant was named"):
        recipes_for([])


def test_the_io_type_is_for_int8_alone() -> None:
    assert {name: recipe.io("uint8") for name, recipe in RECIPES.items()} == {
        "float32": "float32",
        "float16": "float32",
        "dynamic": "float32",
        "int8": "uint8",
        "int16x8": "int16",
    }


@pytest.mark.parametrize("variant", ["dynamic", "int8", "int16x8"])
def test_dense_layers_have_a_version_that_tflite_runtime_knows(variant: str) -> None:
    import tensorflow as tf

    from train import model
    from train.config import CONFIGS

    network = model.build(CONFIGS["seed"], (28, 28, 1), 10)
    pictures = np.random.default_rng(0).random((4, 1, 28, 28, 1), np.float32)
    with captured_output():
        converter = tf.lite.TFLiteConverter.from_keras_model(network)
        RECIPES[variant].configure(converter, lambda: ([picture] for picture in pictures), "int8")
        report = inspect_model(converter.convert())
    (dense,) = (op for op in report.operators if op.name == "FULLY_CONNECTED")
    assert dense.count == 2
    # 2.14 ends at version 10; quantized per channel, the dynamic model would need 12.
    assert dense.version <= 10
    weights = [t for t in report.tensors if t.shape == (64, 576)]
    assert [(t.dtype, len(t.scales)) for t in weights] == [("int8", 1)]
