from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from train.config import CONFIGS

SEED = CONFIGS["nano"].seed


@pytest.fixture
def folder(small_run: Path, measured: tuple[Path, str, str], tmp_path: Path) -> Path:
    """A folder with one training's records, its report as if made with the whole test set."""
    for name in ("nano.keras", "nano.metrics.json", "nano.convert.json"):
        shutil.copy(small_run / name, tmp_path)
    report = json.loads((measured[0] / "report.json").read_text())
    report["data"]["limited"] = False
    (tmp_path / "report.json").write_text(json.dumps(report))
    return tmp_path


def test_record_has_seed_and_accuracies(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["seed-record", str(folder)]) == 0
    path = folder / "seeds" / f"{SEED}.json"
    assert capsys.readouterr().out.strip() == str(path)
    record = json.loads(path.read_text())
    metrics = json.loads((folder / "nano.metrics.json").read_text())
    report = json.loads((folder / "report.json").read_text())
    recipe = record.pop("recipe")
    assert record == {
        "seed": SEED,
        "float": {
            "validation": metrics["validation"]["accuracy"],
            "test": metrics["test"]["accuracy"],
        },
        "int8": {"test": report["variants"]["int8"]["accuracy"]["accuracy"]},
    }
    assert {**recipe, "seed": SEED, "name": "nano"} == metrics["config"]


def test_record_can_be_written_elsewhere(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "models" / "nano" / "seeds" / "1.json"
    assert main(["seed-record", str(folder), "--out", str(out)]) == 0
    assert json.loads(out.read_text())["seed"] == SEED


def test_training_whose_int8_file_was_not_measured_makes_none(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = json.loads((folder / "report.json").read_text())
    del report["variants"]["int8"]
    (folder / "report.json").write_text(json.dumps(report))
    assert main(["seed-record", str(folder)]) == 1
    assert "lack the entry 'int8'" in capsys.readouterr().err
    assert not (folder / "seeds").exists()
