"""Through all rooms by their commands, on real images: data → train → convert → run → compare → C.

Three data sets go the same way with no change of code: MNIST, Fashion-MNIST, and a folder of colour
pictures. What each room does in depth is tested in its own folder; here it is that they join.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.contract import load_sealed
from edge_runtime.files import folder_name

ROOT = Path(__file__).resolve().parent.parent
# 500 steps tell a joined pipeline from a broken one; the epochs follow from the number of images.
BRIEFLY = {"base": "nano", "epochs": 1, "batch_size": 32, "min_steps": 500, "teacher": ""}


def command(room: str, *arguments: str | Path) -> None:
    """``python -m ROOM …`` in this process, where TensorFlow is loaded once."""
    status = importlib.import_module(f"{room}.__main__").main([str(word) for word in arguments])
    assert status == 0, f"{room} {arguments}: exit status {status}"


def edge_run(*arguments: str | Path) -> list[dict[str, Any]]:
    """``edge-run …`` in a process of its own, as on a device; its JSON Lines."""
    done = subprocess.run(
        [sys.executable, "-m", "edge_runtime", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@dataclass(frozen=True)
class Walk:
    """A data set after training, export and conversion."""

    out: Path
    name: str
    metrics: dict[str, Any]
    # Pictures of the test set, one folder for each class.
    pictures: Path

    def model(self, variant: str) -> Path:
        return self.out / f"{self.name}_{variant}.tflite"


def walk(out: Path, name: str, data: str | Path, variants: str, limit: int) -> Walk:
    """Trains briefly on `data`, converts, and writes test images as pictures."""
    config = out / f"{name}.json"
    config.write_text(json.dumps(BRIEFLY))
    where = ("--data", data)
    command("train", "--config", config, *where, "--limit", str(limit), "--out", out)
    command(
        "convert", out / f"{name}.keras", "--variant", variants, "--representative", data,
        "--samples", "200", "--out", out,
    )  # fmt: skip
    pictures = out / "pictures"
    command(
        "train", "export", *where, "--split", "test", "--limit", "200", "--per-class-folders",
        "--out", pictures,
    )  # fmt: skip
    metrics = json.loads((out / f"{name}.metrics.json").read_text())
    return Walk(out, name, metrics, pictures)


def share_right(records: Sequence[dict[str, Any]]) -> float:
    """Accuracy of `edge-run classify` on a folder for each class."""
    return float(
        np.mean(
            [Path(r["path"]).parent.name == folder_name(r["label"]) for r in records],
        )
    )


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    return walk(tmp_path_factory.mktemp("digits"), "digits", "mnist", "all", 5000)


def test_training_learns_digits(digits: Walk) -> None:
    assert digits.metrics["test"]["accuracy"] > 0.9


@pytest.mark.parametrize("variant", ["float32", "float16", "dynamic", "int8", "int16x8"])
def test_files_on_disk_are_read_as_the_float_model_reads_arrays(digits: Walk, variant: str) -> None:
    records = edge_run("classify", digits.pictures, "--model", digits.model(variant), "--json")
    assert len(records) == 200
    assert share_right(records) == pytest.approx(digits.metrics["test"]["accuracy"], abs=0.06)


def test_device_measures_accuracy_and_latency_alone(digits: Walk) -> None:
    (found,) = edge_run(
        "bench", "--model", digits.model("int8"), "--images", digits.pictures, "--runs", "20",
        "--json",
    )  # fmt: skip
    assert found["variant"] == "int8"
    assert found["accuracy"]["total"] == 200
    assert found["accuracy"]["accuracy"] > 0.85
    assert 0 < found["latency"]["p50_ms"] <= found["latency"]["p99_ms"]


def test_benchmarks_compare_every_variant_with_the_float_model(
    digits: Walk, capsys: pytest.CaptureFixture[str]
) -> None:
    command(
        "benchmarks", "--models", digits.out, "--limit", "500", "--runs", "20", "--out", digits.out
    )
    table = capsys.readouterr().out
    for variant in ("float32", "float16", "dynamic", "int8", "int16x8"):
        assert variant in table
    report = (digits.out / "report.md").read_text()
    assert "95 %" in report
    assert json.loads((digits.out / "report.json").read_text())


def test_microcontroller_gets_the_same_bytes(digits: Walk) -> None:
    out = digits.out / "mcu"
    command("flash", "mcu", digits.model("int8"), "--c-array", "--out", out)
    source = (out / "digits_int8_model.c").read_text()
    array = re.search(r"digits_int8_model\[\w*\] = \{(.*?)\};", source, re.DOTALL)
    assert array is not None, source[:2000]
    written = bytes(int(number, 0) for number in re.findall(r"\w+", array[1]))
    assert written == load_sealed(digits.model("int8")).flatbuffer


def test_a_model_tuned_on_some_classes_goes_the_same_way(digits: Walk, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    for label in "147":
        shutil.copytree(digits.pictures / label, mine / label)
    command(
        "train", "--from", digits.out / "digits.keras", "--data", mine, "--epochs", "1",
        "--out", tmp_path,
    )  # fmt: skip
    command(
        "convert", tmp_path / "digits-tuned.keras", "--representative", mine, "--variant", "int8",
        "--out", tmp_path,
    )  # fmt: skip
    tuned = tmp_path / "digits-tuned_int8.tflite"
    assert load_sealed(tuned).require_contract().labels == tuple("0123456789")
    records = edge_run("classify", digits.pictures, "--model", tuned, "--json")
    assert share_right(records) == pytest.approx(digits.metrics["test"]["accuracy"], abs=0.06)


def test_fashion_goes_the_same_way_with_its_own_labels(fashion_mnist: Path, tmp_path: Path) -> None:
    fashion = walk(tmp_path, "fashion", fashion_mnist, "int8", 4000)
    records = edge_run("classify", fashion.pictures, "--model", fashion.model("int8"), "--json")
    assert {"Ankle boot", "Trouser", "Bag"} <= {record["label"] for record in records}
    assert fashion.metrics["test"]["accuracy"] > 0.6
    assert share_right(records) == pytest.approx(fashion.metrics["test"]["accuracy"], abs=0.12)


def test_colour_pictures_in_folders_go_the_same_way(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    write_photo_crops(photos)
    colour = walk(tmp_path, "colour", photos, "int8", 4000)
    contract = json.loads((tmp_path / "colour.contract.json").read_text())
    assert contract["labels"] == ["flower", "temple"]
    assert contract["channels"] == 3
    assert colour.metrics["test"]["accuracy"] > 0.9
    records = edge_run("classify", colour.pictures, "--model", colour.model("int8"), "--json")
    assert share_right(records) > 0.85


def write_photo_crops(folder: Path) -> None:
    """Crops of the two photographs that scikit-learn carries, a folder for each."""
    import cv2
    from sklearn.datasets import load_sample_image

    random = np.random.default_rng(7)
    for label, name in (("flower", "flower.jpg"), ("temple", "china.jpg")):
        photo = load_sample_image(name)
        (folder / label).mkdir(parents=True)
        for index in range(400):
            top = random.integers(photo.shape[0] - 96)
            left = random.integers(photo.shape[1] - 96)
            crop = cv2.resize(photo[top : top + 96, left : left + 96], (32, 32))
            written = cv2.imwrite(str(folder / label / f"{index}.png"), crop[:, :, ::-1])
            assert written
