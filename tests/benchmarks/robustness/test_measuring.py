from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.robustness import measure, measuring
from edge_runtime.contract import load_sealed, seal
from edge_runtime.errors import InputError
from train.data import load_fallback


@pytest.fixture
def model(released_model: Callable[[str], Path]) -> Path:
    return released_model("int8")


def test_record_tells_what_was_measured_and_what_was_not(
    model: Path, digits_npz: Path, few: None, nowhere: None
) -> None:
    record = measure(model, data=str(digits_npz), limit=50)
    assert json.loads(json.dumps(record)) == record
    assert record["limit"] == record["data"]["test_images"] == 50
    assert record["data"]["limited"] is True
    (entry,) = record["models"].values()
    assert entry["sha256"] == load_sealed(model).require_contract().sha256
    sheet, scanned, tested = entry["digits"]
    assert "neither --sheet" in sheet["not_measured"]
    # The released model reads digits that others wrote.
    assert (scanned["total"], tested["total"]) == (50, 50)
    assert scanned["accuracy"] > 0.7
    assert tested["accuracy"] > 0.9
    assert entry["known"]["inputs"]["images"] == entry["calibration"]["images"] == 50
    by_name = {(one["name"], one["fed"]): one for one in entry["not_digits"]}
    assert "/nowhere/fashion" in by_name["fashion-mnist", "inputs"]["not_measured"]
    assert by_name["uniform noise", "pictures"]["auroc"] > 0.99
    part = by_name["letters unlike digits", "inputs"]
    assert 0 < part["images"] < by_name["letters", "inputs"]["images"] == 40


def test_real_sheet_is_read(
    model: Path, digits_npz: Path, opencv_sheet: Path, few: None, nowhere: None
) -> None:
    record = measure(model, data=str(digits_npz), sheet=opencv_sheet, limit=300)
    assert record["models"]["int8"]["digits"][0]["accuracy"] > 0.95


def test_images_that_a_model_may_have_learned_say_nothing_about_it(
    model: Path, few: None, nowhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring.train_data, "load", lambda *_, **__: load_fallback())
    record = measure(model, limit=20)
    assert record["data"]["notice"]
    entry = record["models"]["int8"]
    assert " may have been trained on the images that stand in for MNIST" in entry["withheld"]
    assert entry["digits"][2]["not_measured"] == entry["withheld"]
    assert entry["known"] == {}
    assert entry["calibration"] is None
    assert all(one.get("auroc") is None for one in entry["not_digits"])
    # What was never in MNIST still says something.
    assert entry["digits"][1]["accuracy"] > 0.6


def test_model_of_something_else_is_refused_before_anything_is_gathered(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = load_sealed(model)
    other = tmp_path / "letters.tflite"
    contract = sealed.require_contract().replace(labels=tuple("abcdefghij"))
    other.write_bytes(seal(sealed.flatbuffer, contract))
    monkeypatch.setattr(measuring, "gather", None)
    with pytest.raises(
        InputError, match=r"letters\.tflite are a, b, .*; a model that reads digits"
    ):
        measure(other)


def test_models_of_one_kind_are_asked_the_same_sets(
    model: Path, digits_npz: Path, few: None, nowhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates = measuring.read_candidates([model])
    gathered: list[object] = []
    real = measuring.gather
    monkeypatch.setattr(measuring, "gather", lambda *a: gathered.append(a) or real(*a))
    sources = measuring.Sources(str(digits_npz), limit=10)
    found, _ = measuring.measure_all([*candidates, *candidates], sources, lambda _: None)
    assert len(found) == 2
    assert len(gathered) == 1
    assert found[0].to_dict() == found[1].to_dict()
