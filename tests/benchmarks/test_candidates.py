from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from benchmarks import candidates
from benchmarks.candidates import find_comparison, read_candidates
from convert.recipes import VARIANTS
from edge_runtime.contract import load_sealed, seal
from edge_runtime.errors import ContractError, DamagedModelError, InputError, ModelError


@pytest.fixture
def model(seed_model: Callable[[str], Path]) -> Path:
    return seed_model("seed_int8.tflite")


@pytest.fixture
def folder(model: Path, tmp_path: Path) -> Path:
    """A folder as `convert` leaves it, with two variants; the flatbuffers are the same."""
    folder = tmp_path / "build"
    folder.mkdir()
    for variant in ("int8", "float32"):
        resealed(model, folder / f"seed_{variant}.tflite", variant=variant)
    (folder / "seed.keras").write_bytes(b"the float model")
    return folder


def resealed(model: Path, path: Path, **changes: object) -> Path:
    sealed = load_sealed(model)
    assert sealed.contract is not None
    path.write_bytes(seal(sealed.flatbuffer, sealed.contract.replace(**changes)))
    return path


def test_folder_gives_its_models_in_the_order_of_the_recipes(folder: Path) -> None:
    comparison = find_comparison([folder])
    assert [candidate.label for candidate in comparison.candidates] == ["float32", "int8"]
    assert comparison.name == "seed"
    assert comparison.keras == folder / "seed.keras"
    first = comparison.candidates[0]
    assert first.size_bytes == first.path.stat().st_size
    assert first.sha256 == first.contract.sha256


def test_small_run_gives_all_variants(small_run: Path) -> None:
    comparison = find_comparison([small_run])
    assert tuple(candidate.label for candidate in comparison.candidates) == VARIANTS


def test_without_names_the_models_converted_last_are_taken(folder: Path, model: Path) -> None:
    newer = resealed(model, folder / "mine_int8.tflite", name="mine")
    (folder / "mine.keras").write_bytes(b"another")
    resealed(model, folder / "orphan_int8.tflite", name="orphan")
    os.utime(newer, (2e9, 2e9))
    os.utime(folder / "orphan_int8.tflite", (2.1e9, 2.1e9))
    comparison = find_comparison(build=folder)
    assert [candidate.path for candidate in comparison.candidates] == [newer]
    assert comparison.name == "mine"


def test_without_anything_built_the_released_default_model_is_taken(
    released_model: Callable[[str], Path], released_keras: Path, tmp_path: Path
) -> None:
    comparison = find_comparison(build=tmp_path / "nothing")
    assert [candidate.label for candidate in comparison.candidates] == list(VARIANTS)
    assert comparison.candidates[0].path == released_model("float32")
    assert comparison.keras == released_keras
    assert comparison.warnings == ()


def test_float_model_of_the_file_in_the_package_is_among_the_released(
    released_model: Callable[[str], Path], released_keras: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = released_model("int8")
    monkeypatch.chdir(path.parent)
    for named in (path, Path(path.name)):
        assert find_comparison([named]).keras == released_keras


def test_file_that_is_named_twice_counts_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    here = Path(folder.name)
    for named in ([here, folder], [folder, here / "seed_float32.tflite"]):
        found = find_comparison(named).candidates
        assert [candidate.label for candidate in found] == ["float32", "int8"]


def test_labels_can_be_file_names(folder: Path, tmp_path: Path) -> None:
    twin = shutil.copy(folder / "seed_int8.tflite", tmp_path)
    labels = [one.label for one in read_candidates([folder], by_variant=False)]
    assert labels == ["seed_float32", "seed_int8"]
    labels = [one.label for one in read_candidates([folder, Path(twin)], by_variant=False)]
    assert labels == ["seed_float32", str(folder / "seed_int8.tflite"), str(twin)]


def test_no_models_anywhere_names_the_commands_that_make_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "RELEASED", tmp_path)
    with pytest.raises(InputError, match=r"there are no models in .*; python -m train && "):
        find_comparison(build=tmp_path)


def test_models_of_one_variant_are_told_apart_by_their_files(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other_int8.tflite"
    shutil.copy(folder / "seed_int8.tflite", other)
    twin = tmp_path / "seed_int8.tflite"
    shutil.copy(folder / "seed_int8.tflite", twin)
    comparison = find_comparison([folder, other, twin])
    assert {candidate.label for candidate in comparison.candidates} == {
        "float32", "other_int8", str(folder / "seed_int8.tflite"), str(twin),
    }  # fmt: skip


def test_models_with_different_labels_are_refused(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    other = resealed(model, tmp_path / "letters.tflite", labels=tuple("abcdefghij"))
    with pytest.raises(InputError, match="have different labels; models for the same task"):
        find_comparison([folder, other])


def test_missing_float_model_is_named_with_the_option(folder: Path) -> None:
    (folder / "seed.keras").unlink()
    with pytest.raises(InputError, match=r"seed\.keras does not exist; .* --keras FILE"):
        find_comparison([folder])


def test_float_model_trained_anew_after_conversion_is_refused(folder: Path) -> None:
    record = folder / "seed.convert.json"
    record.write_text(json.dumps({"keras_sha256": "0" * 64}))
    with pytest.raises(InputError, match=r"seed\.keras is not the file that .*float32\.tflite was"):
        find_comparison([folder])
    record.write_text("{}")
    with pytest.raises(InputError, match="is not a record of a conversion"):
        find_comparison([folder])


def test_float_model_that_is_named_is_taken_with_a_warning_if_it_is_another(
    folder: Path, tmp_path: Path
) -> None:
    keras, other = folder / "seed.keras", tmp_path / "other.keras"
    other.write_bytes(b"another model")
    record = folder / "seed.convert.json"
    record.write_text(json.dumps({"keras_sha256": sha256(keras.read_bytes()).hexdigest()}))
    assert find_comparison([folder], keras).warnings == ()
    named = find_comparison([folder], other)
    assert (named.name, named.keras) == ("other", other)
    (warning,) = named.warnings
    assert "other.keras is not the file that " in warning
    record.write_text("{}")
    (warning,) = find_comparison([folder], keras).warnings
    assert "is not a record of a conversion" in warning


def test_file_without_contract_is_refused(folder: Path, model: Path) -> None:
    bare = folder / "bare.tflite"
    bare.write_bytes(load_sealed(model).flatbuffer)
    with pytest.raises(ContractError, match=r"bare\.tflite carries no contract"):
        find_comparison([bare])


def test_damaged_and_foreign_files_are_refused(folder: Path) -> None:
    path = folder / "seed_int8.tflite"
    data = bytearray(path.read_bytes())
    data[3000] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedModelError, match="changed after it was sealed"):
        find_comparison([folder])
    path.write_bytes(b"PNG, perhaps")
    with pytest.raises(ModelError, match="is not a TensorFlow Lite model"):
        find_comparison([path])


def test_folder_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no models"):
        find_comparison([tmp_path])
