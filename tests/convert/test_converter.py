from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert import check, converter
from convert.check import ConversionError, available_backends, check_tensors
from convert.converter import VariantsRefusedError, convert
from convert.inspect import inspect_model
from convert.recipes import RECIPES, VARIANTS
from convert.representative import draw
from edge_runtime import Classifier, ModelContract
from edge_runtime.contract import load_sealed, seal
from edge_runtime.errors import ContractError, InputError
from train.data import DataSet
from train.keras_file import load_keras

DISTRIBUTIONS = {"litert": "ai-edge-litert", "tflite-runtime": "tflite-runtime"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_of_a_trained_model_names_digits_as_keras_does(
    small_run: Path, small_data: DataSet, variant: str
) -> None:
    keras = load_keras(small_run / "nano.keras")
    classifier = Classifier(small_run / f"nano_{variant}.tflite", backend="litert")
    scores = classifier.scores(small_data.x_test)
    expected = keras.scores(small_data.x_test)
    assert (scores.argmax(1) == expected.argmax(1)).mean() >= RECIPES[variant].floor
    assert classifier.interpreter.input.shape == (-1, 28, 28, 1)
    assert classifier.contract.variant == variant
    assert classifier.contract.labels == keras.contract.labels


def test_a_variant_is_sealed_with_how_it_was_made(converted: Path) -> None:
    contract = load_sealed(converted / "colours_int8.tflite").contract
    assert contract is not None
    assert (contract.name, contract.variant, contract.output) == ("colours", "int8", "logits")
    facts = contract.conversion
    assert facts["recipe"]["supported_ops"] == "TFLITE_BUILTINS_INT8"
    assert (facts["io"], facts["samples"], facts["seed"]) == ("int8", 250, 0)
    assert facts["data"] == "colours"
    assert any(name.startswith("tensorflow") for name in facts["versions"])


def test_the_record_says_what_was_measured(converted: Path) -> None:
    facts = json.loads((converted / "colours.convert.json").read_text())
    assert list(facts["variants"]) == list(VARIANTS)
    assert facts["refused"] == {}
    for variant, record in facts["variants"].items():
        sealed = load_sealed(converted / record["file"])
        assert record["sha256"] == hashlib.sha256(sealed.flatbuffer).hexdigest()
        assert record["size_bytes"] == len(sealed.flatbuffer)
        assert record["sealed_bytes"] == (converted / record["file"]).stat().st_size
        assert record["compared"] == 250
        assert record["agreement"] == record["agreeing"] / 250 >= RECIPES[variant].floor
        assert record["agreement_low"] <= record["agreement"] <= record["agreement_high"]
        assert 0 <= record["max_difference"] < 0.1
        assert record["samples"] == (250 if RECIPES[variant].integer else 0)
        assert record["seconds"] > 0
        for backend in record["backends"]:
            assert backend["version"] == version(DISTRIBUTIONS[backend["name"]])
        assert {backend["name"] for backend in record["backends"]} == set(available_backends())


def test_quantized_files_are_smaller(small_run: Path) -> None:
    sizes = {v: len(load_sealed(small_run / f"nano_{v}.tflite").flatbuffer) for v in VARIANTS}
    assert sizes["float16"] < 0.75 * sizes["float32"]
    assert max(sizes["int8"], sizes["dynamic"]) < 0.6 * sizes["float32"]


def test_int8_and_int16x8_hold_no_float_tensor(converted: Path) -> None:
    for variant, activations in (("int8", "int8"), ("int16x8", "int16")):
        report = inspect_model((converted / f"colours_{variant}.tflite").read_bytes())
        assert not [tensor.name for tensor in report.tensors if "float" in tensor.dtype]
        assert [tensor.dtype for tensor in report.inputs + report.outputs] == [activations] * 2


def test_golden_answers_are_those_of_the_files_beside_them(converted: Path) -> None:
    with np.load(converted / "colours.golden.npz", allow_pickle=False) as golden:
        assert golden["pixels"].shape == (10, 12, 10, 3)
        assert golden["pixels"].dtype == np.uint8
        assert np.bincount(golden["labels"]).tolist() == [4, 3, 3]
        assert golden["label_names"].tolist() == ["red", "green", "blue"]
        assert str(golden["backend"]) == "tflite-runtime"
        for variant in VARIANTS:
            path = converted / f"colours_{variant}.tflite"
            classifier = Classifier(path, backend="litert")
            assert str(golden[f"sha256_{variant}"]) == classifier.contract.sha256
            np.testing.assert_allclose(
                golden[f"scores_{variant}"], classifier.scores(golden["pixels"]), atol=0.02
            )
            raw_in, raw_out = golden[f"raw_in_{variant}"], golden[f"raw_out_{variant}"]
            assert (raw_in == classifier.model_input(golden["pixels"])).all()
            assert raw_out.dtype == classifier.interpreter.output.dtype
            assert (raw_out.argmax(1) == golden[f"scores_{variant}"].argmax(1)).all()


def test_the_same_conversion_gives_the_same_bytes(
    converted: Path, colour_keras: Path, colours: DataSet, tmp_path: Path
) -> None:
    again = [tmp_path / "first", tmp_path / "second"]
    for out in again:
        convert(colour_keras, out=out, representative=colours, variants=["int8"])
    for name in ("colours_int8.tflite", "colours.golden.npz"):
        assert (again[0] / name).read_bytes() == (again[1] / name).read_bytes(), name
    # What else is converted with it does not matter either.
    name = "colours_int8.tflite"
    assert (again[0] / name).read_bytes() == (converted / name).read_bytes()


def test_converting_one_variant_again_keeps_what_is_known_of_the_others(
    colour_keras: Path, colours: DataSet, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"out": tmp_path, "representative": colours}
    convert(colour_keras, variants=["float32", "float16"], **options)
    convert(colour_keras, variants=["dynamic"], **options)
    facts = tmp_path / "colours.convert.json"
    assert list(json.loads(facts.read_text())["variants"]) == ["float32", "float16", "dynamic"]
    with np.load(tmp_path / "colours.golden.npz") as golden:
        assert {"scores_float32", "scores_float16", "scores_dynamic"} <= set(golden)
    # A file that is no longer the one described is no longer described.
    (tmp_path / "colours_float32.tflite").write_bytes(b"changed")
    (tmp_path / "colours_float16.tflite").write_bytes(
        (tmp_path / "colours_dynamic.tflite").read_bytes()
    )
    convert(colour_keras, variants=["dynamic"], **options)
    assert list(json.loads(facts.read_text())["variants"]) == ["dynamic"]


@pytest.mark.parametrize(("io", "dtype"), [("uint8", np.uint8), ("float32", np.float32)])
def test_int8_takes_and_gives_what_was_asked_for(
    colour_keras: Path, colours: DataSet, tmp_path: Path, io: str, dtype: type
) -> None:
    (record,) = convert(
        colour_keras, out=tmp_path, representative=colours, variants=["int8"], io=io
    )
    assert record.io == io
    with np.load(tmp_path / "colours.golden.npz") as golden:
        assert golden["raw_in_int8"].dtype == golden["raw_out_int8"].dtype == dtype


def test_a_model_for_one_picture_at_a_time_is_converted_as_it_is(
    colour_model: Callable[..., Any],
    colour_contract: ModelContract,
    colours: DataSet,
    save_keras: Callable[..., Path],
    tmp_path: Path,
) -> None:
    contract = colour_contract.replace(output="probabilities")
    model = colour_model(batch_size=1, activation="softmax")
    path = save_keras(model, tmp_path / "one.keras", contract)
    convert(path, out=tmp_path, representative=colours, variants=["float32", "int8"])
    classifier = Classifier(tmp_path / "one_int8.tflite", backend="litert")
    assert classifier.interpreter.input.shape[0] == 1
    assert (classifier.scores(colours.x_test[1:9]).argmax(1) == colours.y_test[1:9]).all()


@pytest.fixture(scope="module")
def blinding_seed(colours: DataSet) -> int:
    """A seed with which the only representative picture is a dark one."""
    dark = colours.x_train.max(axis=(1, 2, 3)) < 10
    return next(s for s in range(999) if dark[draw(colours.y_train, 1, s).representative[0]])


def test_a_variant_that_answers_otherwise_is_refused_and_the_others_go_on(
    colour_keras: Path,
    colours: DataSet,
    tmp_path: Path,
    blinding_seed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Without the known range of the input, dark pictures calibrate int8 to see only darkness.
    monkeypatch.setattr(converter, "with_full_range", lambda pixels: pixels)
    old = tmp_path / "colours_int8.tflite"
    old.write_bytes(b"an older file")
    with pytest.raises(VariantsRefusedError) as caught:
        convert(
            colour_keras,
            out=tmp_path,
            representative=colours,
            samples=1,
            seed=blinding_seed,
            variants=["float32", "int8", "dynamic"],
        )
    message = str(caught.value)
    assert re.search(
        r"the int8 model in litert \S+ agrees with the Keras model on \d+ of 499 pictures "
        r"\(.*%, 95 % interval .* to .*%; largest difference .*; accuracy .*% against .*%\); "
        r"at least 97\.0% was expected; try more representative pictures",
        message,
    ), message
    assert "\n" not in message
    assert old.read_bytes() == b"an older file"
    assert [record.variant for record in caught.value.records] == ["float32", "dynamic"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "colours.convert.json",
        "colours.golden.npz",
        "colours_dynamic.tflite",
        "colours_float32.tflite",
        "colours_int8.tflite",
    ]
    facts = json.loads((tmp_path / "colours.convert.json").read_text())
    assert list(facts["variants"]) == ["float32", "dynamic"]
    assert facts["refused"] == {"int8": message}


def test_dark_representative_pictures_do_not_blind_the_input(
    colour_keras: Path, colours: DataSet, tmp_path: Path, blinding_seed: int
) -> None:
    dim = replace(colours, x_train=colours.x_train // 2)
    convert(colour_keras, out=tmp_path, representative=dim, variants=["int8"])
    white = np.full((1, 12, 10, 3), 255, np.uint8)
    classifier = Classifier(tmp_path / "colours_int8.tflite", backend="litert")
    assert (classifier.model_input(white) == 127).all()
    assert (classifier.model_input(white // 2 + 1) < 3).all()


def test_a_layer_without_integer_form_is_named_and_refused(
    colour_model: Callable[..., Any],
    colour_contract: ModelContract,
    colours: DataSet,
    save_keras: Callable[..., Path],
    tmp_path: Path,
) -> None:
    import keras

    model = colour_model(keras.layers.UnitNormalization())
    path = save_keras(model, tmp_path / "unit.keras", colour_contract)
    with pytest.raises(VariantsRefusedError) as caught:
        convert(path, out=tmp_path / "out", representative=colours, variants=["int8", "int16x8"])
    int8, int16x8 = caught.value.refused.values()
    assert re.match(
        r"the tensor '.+' of the int8 model is float32, for the operator SQUARE; an integer type "
        r"throughout was expected; .* use the variant dynamic",
        str(int8),
    ), int8
    assert "cannot convert the model to int16x8: Quantization to 16x8-bit not yet supp" in str(
        int16x8
    )
    assert "and refused int16x8 too" in str(caught.value)
    # Here TensorFlow itself failed, so what it wrote is kept for the reader.
    assert not int8.log
    assert isinstance(int16x8.log, str)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["unit.convert.json"]


def test_float_input_is_an_error_in_a_file_that_should_take_integers(
    colour_keras: Path, colours: DataSet, tmp_path: Path
) -> None:
    convert(colour_keras, out=tmp_path, representative=colours, variants=["int8"], io="float32")
    flatbuffer = load_sealed(tmp_path / "colours_int8.tflite").flatbuffer
    check_tensors(flatbuffer, RECIPES["int8"], "float32")
    with pytest.raises(ConversionError, match=r"input tensor '.*' of the int8 model is float32; i"):
        check_tensors(flatbuffer, RECIPES["int8"], "int8")


def test_a_batch_that_is_no_longer_free_is_refused(
    converted: Path,
    colours: DataSet,
    colour_model: Callable[..., Any],
    colour_contract: ModelContract,
    save_keras: Callable[..., Path],
    tmp_path: Path,
) -> None:
    path = save_keras(colour_model(batch_size=1), tmp_path / "one.keras", colour_contract)
    convert(path, out=tmp_path, representative=colours, variants=["float32"])
    pixels, labels = colours.x_test[:20], colours.y_test[:20]
    scores = load_keras(path).scores(pixels)
    sealed = (tmp_path / "one_float32.tflite").read_bytes()
    reference = check.Reference(pixels, labels, scores, free_batch=True)
    with pytest.raises(ConversionError, match="takes 1 picture at a time; a free batch dimension"):
        check.check_answers(sealed, RECIPES["float32"], reference, ["litert"])


def test_scores_that_are_not_numbers_are_refused(converted: Path, colours: DataSet) -> None:
    whole = load_sealed(converted / "colours_float32.tflite")
    four, nan = struct.pack("<f", 4.0), struct.pack("<f", float("nan"))
    assert whole.contract is not None
    assert four in whole.flatbuffer  # the weights of the last layer
    sealed = seal(whole.flatbuffer.replace(four, nan), whole.contract)
    pixels, labels = colours.x_test[:20], colours.y_test[:20]
    reference = check.Reference(pixels, labels, np.zeros((20, 3), np.float32), free_batch=True)
    with pytest.raises(ConversionError, match=r"float32 model in litert \S+ gives .* not numbers"):
        check.check_answers(sealed, RECIPES["float32"], reference, ["litert"])


def test_one_picture_may_differ_however_few_are_compared(converted: Path, colours: DataSet) -> None:
    bright = np.arange(1, 9)
    pixels, labels = colours.x_test[bright], colours.y_test[bright]
    sealed = (converted / "colours_float32.tflite").read_bytes()
    scores = Classifier(sealed, backend="litert").scores(pixels)
    for wrong, refused in ((1, False), (2, True)):
        scores[wrong - 1] = np.roll(scores[wrong - 1], 1)
        reference = check.Reference(pixels, labels, scores, free_batch=True)
        if refused:
            with pytest.raises(ConversionError, match="agrees .* on 6 of 8 pictures"):
                check.check_answers(sealed, RECIPES["float32"], reference, ["litert"])
        else:
            check.check_answers(sealed, RECIPES["float32"], reference, ["litert"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variants": ["int4"]}, "the variant 'int4' is not known"),
        ({"io": "int16"}, "type is 'int16'; int8 or uint8 or float32 was expected"),
        ({"samples": 0}, "0 representative pictures were asked for; at least one"),
        ({"samples": 500}, "500 representative pictures were asked for; 1 to 499"),
        ({"seed": -1}, "the seed is -1"),
    ],
)
def test_impossible_arguments_are_refused_before_anything_is_written(
    colour_keras: Path, colours: DataSet, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        convert(colour_keras, out=tmp_path / "out", representative=colours, **options)
    assert not (tmp_path / "out").exists()


def test_pictures_of_another_kind_are_refused_before_anything_is_written(
    colour_keras: Path, small_data: DataSet, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"are \[28, 28, 1\]; \[12, 10, 3\], as the model takes"):
        convert(colour_keras, out=tmp_path / "out", representative=small_data)
    assert not (tmp_path / "out").exists()


def test_a_contract_that_calls_logits_probabilities_is_refused(
    colour_keras: Path, colour_contract: ModelContract, colours: DataSet, tmp_path: Path
) -> None:
    with pytest.raises(ContractError, match="0 to 1, because its contract says probabilities"):
        convert(
            colour_keras,
            out=tmp_path,
            representative=colours,
            contract=colour_contract.replace(output="probabilities"),
        )


def test_a_full_disk_ends_the_conversion_and_leaves_the_old_file(
    colour_keras: Path, colours: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "colours_float32.tflite"
    old.write_bytes(b"an older file")
    # /dev/full is the kernel's own full disk: the temporary file is a link to it.
    real = converter.atomic_path

    def on_full_disk(path: Path) -> Any:
        manager = real(path)

        class Linked:
            def __enter__(self) -> Path:
                temporary = manager.__enter__()
                temporary.unlink()
                temporary.symlink_to("/dev/full")
                return temporary

            def __exit__(self, *error: Any) -> Any:
                return manager.__exit__(*error)

        return Linked()

    monkeypatch.setattr(converter, "atomic_path", on_full_disk)
    with pytest.raises(OSError, match="No space left on device"):
        convert(colour_keras, out=tmp_path, representative=colours, variants=["float32"])
    assert old.read_bytes() == b"an older file"
    assert os.listdir(tmp_path) == ["colours_float32.tflite"]
