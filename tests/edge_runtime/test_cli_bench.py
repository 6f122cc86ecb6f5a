from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import Classifier
from edge_runtime.cli import main
from edge_runtime.contract import load_sealed, seal
from edge_runtime.measure import LatencySummary, machine_facts, sample_picture, wilson_interval
from edge_runtime.models import DEFAULT_NAME

KEYS = [
    "model", "name", "variant", "backend", "backend_version", "num_threads", "size_bytes",
    "cold_start_ms", "latency", "whole_latency", "peak_memory_bytes", "accuracy", "machine",
]  # fmt: skip
FAST = ["--runs", "5", "--warmup", "1"]


@pytest.fixture
def model(released_model: Callable[[str], Path]) -> Path:
    return released_model("int8")


@pytest.fixture
def tree(model: Path, tmp_path: Path) -> Path:
    """Eight zeros, three of them in the folder of the ones, and a file that is no picture."""
    cv2 = pytest.importorskip("cv2")
    picture = sample_picture(Classifier(model).contract)
    for label, count in (("0", 5), ("1", 3)):
        (tmp_path / label).mkdir()
        for index in range(count):
            shifted = np.roll(picture, index - 2, axis=1)
            assert cv2.imwrite(str(tmp_path / label / f"{index}.png"), shifted)
    (tmp_path / "1" / "spoilt.png").write_bytes(b"spoilt")
    return tmp_path


def test_json_has_the_keys_of_the_record(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--json", *FAST]) == 0
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    result = json.loads(line)
    assert list(result) == KEYS
    assert result["name"] == DEFAULT_NAME
    assert result["variant"] == "int8"
    assert result["size_bytes"] == model.stat().st_size
    assert result["accuracy"] is None
    for kind in ("latency", "whole_latency"):
        assert list(result[kind]) == [field.name for field in fields(LatencySummary)]
        assert (result[kind]["runs"], result[kind]["warmup"]) == (5, 1)
        assert 0 < result[kind]["min_ms"] <= result[kind]["p50_ms"] <= result[kind]["max_ms"]
    # A whole answer contains an inference.
    assert result["whole_latency"]["min_ms"] > result["latency"]["min_ms"]
    assert list(result["machine"]) == list(machine_facts())
    assert "measuring latency" in captured.err


def test_each_model_gives_a_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.tflite"
    copy.write_bytes(model.read_bytes())
    assert main(["bench", "--model", str(model), str(copy), "--json", *FAST]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["model"], second["model"]) == (str(model), str(copy))


def test_accuracy_is_counted_from_one_folder_a_label(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # One file is no picture: it is named, the rest are counted, and the exit status tells.
    assert main(["bench", "--images", str(tree), "--json", *FAST]) == 1
    captured = capsys.readouterr()
    accuracy = json.loads(captured.out)["accuracy"]
    assert accuracy["correct"] == 5
    assert accuracy["total"] == 8
    assert accuracy["accuracy"] == 5 / 8
    assert accuracy["interval_95"] == list(wilson_interval(5, 8))
    assert accuracy["unreadable"] == 1
    assert "spoilt.png: error: " in captured.err


def test_label_that_cannot_be_a_folder_is_found_under_its_folder_name(
    model: Path, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sealed = load_sealed(model)
    assert sealed.contract is not None
    labels = ("T-shirt/top", *sealed.contract.labels[1:])
    fashion = tree.parent / "fashion.tflite"
    fashion.write_bytes(seal(sealed.flatbuffer, sealed.contract.replace(labels=labels)))
    (tree / "0").rename(tree / "T-shirt-top")
    (tree / ".hidden").mkdir()
    (tree / "1" / "spoilt.png").unlink()
    assert main(["bench", "--model", str(fashion), "--images", str(tree), "--json", *FAST]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"]["correct"] == 5


def test_label_with_odd_characters_may_be_a_folder_as_it_is(
    model: Path, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sealed = load_sealed(model)
    assert sealed.contract is not None
    labels = ('a "b"?', *sealed.contract.labels[1:])
    odd = tree.parent / "odd.tflite"
    odd.write_bytes(seal(sealed.flatbuffer, sealed.contract.replace(labels=labels)))
    (tree / "0").rename(tree / 'a "b"?')
    (tree / "1" / "spoilt.png").unlink()
    assert main(["bench", "--model", str(odd), "--images", str(tree), "--json", *FAST]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"]["correct"] == 5


def test_text_shows_percentiles_accuracy_and_machine(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--images", str(tree), *FAST]) == 1
    text = capsys.readouterr().out
    assert "; 1 unreadable" in text
    for fact in ("median", "p99", "inference", "whole", "cold start", "peak memory",
                 "accuracy 62.50% (5 of 8; 95 % interval ", machine_facts()["python"]):  # fmt: skip
        assert fact in text


def test_subfolder_that_is_no_label_is_named_with_the_labels(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "ten").mkdir()
    assert main(["bench", "--images", str(tree), *FAST]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "the subfolder 'ten'" in line
    assert "0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in line


def test_folder_without_pictures_and_no_folder_are_refused_before_measuring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "0").mkdir()
    assert main(["bench", "--images", str(tmp_path)]) == 1
    assert main(["bench", "--images", str(tmp_path / "missing")]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "has no pictures; a subfolder of pictures for each label was expected" in first
    assert "is not a folder" in second


def test_no_readable_picture_is_an_error(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "a.png").write_bytes(b"")
    assert main(["bench", "--images", str(tmp_path), *FAST]) == 1
    assert "none of the pictures can be read" in capsys.readouterr().err


def test_damaged_model_is_one_line_of_error(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(model.read_bytes()[:-40])
    assert main(["bench", "--model", str(damaged)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("edge-run bench: error: ")
    assert "damaged.tflite" in line
