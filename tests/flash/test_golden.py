from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import flash.golden
from edge_runtime.contract import SealedModel, load_sealed, read_sealed, seal
from edge_runtime.errors import InputError, ModelError
from edge_runtime.models import DEFAULT_NAME, default_model_path
from flash.errors import FlashError
from flash.golden import TOLERANCES, find_golden, load_golden


@pytest.fixture
def rewrite(models: Path, tmp_path: Path):
    """``rewrite(name=array)`` is a golden file with some arrays changed, or removed by None."""

    def make(**changes: np.ndarray | None) -> Path:
        with np.load(models / "seed.golden.npz") as arrays:
            values = {name: arrays[name] for name in arrays.files} | changes
        path = tmp_path / "seed.golden.npz"
        np.savez(path, **{name: value for name, value in values.items() if value is not None})
        return path

    return make


@pytest.mark.parametrize("variant", ["int8", "int16x8", "float16", "dynamic"])
def test_each_variant_has_its_own_answers(models, variant):
    path = models / f"seed_{variant}.tflite"
    golden = find_golden(path, load_sealed(path))
    assert golden.path == models / "seed.golden.npz"
    assert len(golden.pixels) == len(golden.scores) == len(golden.raw_outputs) >= 5
    assert golden.tolerance == TOLERANCES[variant]
    kind = {"int8": np.int8, "int16x8": np.int16}.get(variant, np.float32)
    assert golden.raw_inputs.dtype == golden.raw_outputs.dtype == kind


def test_damaged_model_is_not_blamed_on_its_golden_file(models):
    model = load_sealed(models / "seed_int8.tflite")
    contract = replace(model.require_contract(), output="logits")
    cut = SealedModel(model.flatbuffer[:2000], contract, "cut.tflite")
    with pytest.raises(ModelError, match=r"cut\.tflite") as caught:
        load_golden(models / "seed.golden.npz", cut)
    assert "golden" not in str(caught.value)


def test_golden_inputs_are_found_among_the_released_models(models, tmp_path):
    path = shutil.copy(models / "seed_int8.tflite", tmp_path)
    found = find_golden(Path(path), load_sealed(path)).path
    assert found == flash.golden.RELEASED_MODELS / "seed" / "seed.golden.npz"


def test_default_model_has_its_golden_inputs():
    path = default_model_path()
    golden = find_golden(path, load_sealed(path))
    assert golden.path.parent.name == DEFAULT_NAME
    assert len(golden.pixels) >= 5


def test_those_beside_the_model_come_first_only_if_they_belong_to_it(models, tmp_path, rewrite):
    path = shutil.copy(models / "seed_int8.tflite", tmp_path)
    other = rewrite(sha256_int8=np.array("0" * 64))
    assert find_golden(Path(path), load_sealed(path)).path != other


def test_none_at_all_names_the_file_and_the_remedy(models, tmp_path, monkeypatch):
    monkeypatch.setattr(flash.golden, "RELEASED_MODELS", tmp_path)
    path = shutil.copy(models / "seed_int8.tflite", tmp_path)
    with pytest.raises(FlashError, match=r"seed.golden.npz beside the model.*--golden"):
        find_golden(Path(path), load_sealed(path))


def test_those_of_another_model_are_refused(models):
    sealed = load_sealed(models / "seed_int8.tflite")
    other = read_sealed(seal(sealed.flatbuffer + b"\0", sealed.contract))
    with pytest.raises(FlashError, match="belongs to another int8 model"):
        load_golden(models / "seed.golden.npz", other)


def test_variant_that_the_file_does_not_know_is_refused(models):
    sealed = load_sealed(models / "seed_int8.tflite")
    other = read_sealed(seal(sealed.flatbuffer, sealed.contract.replace(variant="int4")))
    with pytest.raises(FlashError, match="says nothing of the variant 'int4'"):
        load_golden(models / "seed.golden.npz", other)


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"text" * 100])
def test_damaged_file_is_refused(models, tmp_path, content):
    (tmp_path / "g.npz").write_bytes(content)
    with pytest.raises(FlashError, match="g.npz cannot be read"):
        load_golden(tmp_path / "g.npz", load_sealed(models / "seed_int8.tflite"))


@pytest.mark.parametrize(
    "changes",
    [
        {"pixels": np.zeros((10, 28, 28, 3), np.uint8)},
        {"pixels": np.zeros((10, 28, 28, 1), np.float32)},
        {"pixels": np.zeros((0, 28, 28, 1), np.uint8)},
        {"scores_int8": np.zeros((10, 9), np.float32)},
        {"raw_out_int8": np.zeros((9, 10), np.int8)},
    ],
)
def test_arrays_that_do_not_fit_the_contract_are_refused(models, rewrite, changes):
    with pytest.raises(FlashError, match="do not fit the model's contract"):
        load_golden(rewrite(**changes), load_sealed(models / "seed_int8.tflite"))


def test_missing_array_is_named(models, rewrite):
    with pytest.raises(FlashError, match="cannot be read.*raw_in_int8"):
        load_golden(rewrite(raw_in_int8=None), load_sealed(models / "seed_int8.tflite"))


def test_missing_file_is_named(models):
    with pytest.raises(InputError, match="nowhere.npz does not exist"):
        load_golden(Path("nowhere.npz"), load_sealed(models / "seed_int8.tflite"))


def test_inputs_on_which_the_model_is_undecided_are_left_out(models, rewrite):
    scores = np.full((10, 10), 0.01, np.float32)
    scores[:, 3] = 0.9
    scores[4:, 5] = 0.85
    sealed = load_sealed(models / "seed_int8.tflite")
    golden = load_golden(rewrite(scores_int8=scores), sealed)
    assert len(golden.pixels) == len(golden.raw_inputs) == len(golden.raw_outputs) == 4
    scores[:, 5] = 0.85
    with pytest.raises(FlashError, match="undecided on all 10 golden inputs"):
        load_golden(rewrite(scores_int8=scores), sealed)


def test_coarse_logits_widen_the_tolerance(models, monkeypatch):
    sealed = load_sealed(models / "seed_int8.tflite")
    logits = read_sealed(seal(sealed.flatbuffer, sealed.contract.replace(output="logits")))
    assert load_golden(models / "seed.golden.npz", logits).tolerance == TOLERANCES["int8"]
    monkeypatch.setattr(flash.golden, "LOGIT_STEPS", 60)
    # The seed's output has steps of 1/256; half of sixty of them.
    tolerance = load_golden(models / "seed.golden.npz", logits).tolerance
    assert tolerance == pytest.approx(60 / 256 / 2)
