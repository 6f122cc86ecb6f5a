from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks import overview as module
from benchmarks.__main__ import main
from benchmarks.overview import overview

SPEED = {"ratio": 1.5, "ratio_low": 1.25, "ratio_high": 1.75}


@pytest.fixture
def models(small_run: Path, measured: tuple[Path, str, str], tmp_path: Path) -> Path:
    """A folder of released models: `nano`, and a teacher that was not converted."""
    nano = tmp_path / "models" / "nano"
    nano.mkdir(parents=True)
    for path in small_run.glob("nano*"):
        if path.is_file():
            shutil.copy(path, nano)
    report = json.loads((measured[0] / "report.json").read_text())
    report["data"]["limited"] = False
    (nano / "report.json").write_text(json.dumps(report))
    teacher = nano.with_name("teacher")
    teacher.mkdir()
    for name in ("teacher", "teacher-2"):
        shutil.copy(nano / "nano.keras", teacher / f"{name}.keras")
    metrics = json.loads((nano / "nano.metrics.json").read_text())
    metrics["parameters"] = 1_234_567
    metrics["test"] = {"accuracy": 0.9975, "images": 10_000}
    (teacher / "teacher.metrics.json").write_text(json.dumps(metrics))
    metrics["test"] = {"accuracy": 0.9976, "images": 10_000}
    (teacher / "teacher-2.metrics.json").write_text(json.dumps(metrics))
    return nano.parent


def report_of(models: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((models / "nano" / "report.json").read_text())
    return report


def write_speed(models: Path, sha256: str) -> None:
    interpreters = [{"backend": b, "version": "1", **SPEED} for b in ("litert", "tflite-runtime")]
    record = {
        "baseline": "seed_int8",
        "rounds": 9,
        "measured_at": "2026-01-02T03:04:05+00:00",
        "machine": {"board": None, "cpu": "Toy CPU"},
        "warnings": ["the toy is warm"],
        "models": {
            "seed_int8": {"file": "seed_int8.tflite", "sha256": "0" * 64, "interpreters": []},
            "nano_int8": {
                "file": "nano_int8.tflite", "sha256": sha256, "interpreters": interpreters,
            },
        },
    }  # fmt: skip
    (models / "speed.json").write_text(json.dumps(record))


def write_seed(models: Path, seed: int, accuracy: float, **recipe: Any) -> None:
    folder = models / "nano" / "seeds"
    folder.mkdir(exist_ok=True)
    record = {"seed": seed, "int8": {"test": accuracy}, "recipe": recipe}
    (folder / f"{seed}.json").write_text(json.dumps(record))


def cells(text: str) -> dict[str, str]:
    """The table's only row, by column."""
    header, row = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if re.match(r"\| (model|\[nano)", line)
    )
    return dict(zip(header, row, strict=True))


def test_page_has_a_row_for_each_converted_model(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["overview", "--models", str(models)]) == 0
    assert capsys.readouterr().out.strip() == str(models / "README.md")
    text = (models / "README.md").read_text()
    assert text == overview(models)
    row = cells(text)
    accuracy = report_of(models)["variants"]["int8"]["accuracy"]
    metrics = json.loads((models / "nano" / "nano.metrics.json").read_text())
    size = (models / "nano" / "nano_int8.tflite").stat().st_size
    assert row.keys() == {"model", "int8 file", "parameters", "MACs", "accuracy"}
    assert row["model"] == "[nano](nano/README.md)"
    assert row["int8 file"] == f"{size / 1000:.1f} KB"
    assert row["parameters"] == f"{metrics['parameters']:,}"
    assert int(row["MACs"].replace(",", "")) > 100_000
    assert row["accuracy"] == (
        f"{accuracy['accuracy']:.2%} ({accuracy['low']:.2%} to {accuracy['high']:.2%})"
    )
    assert "- [nano](nano/README.md): for microcontrollers." in text


def test_teachers_are_told_of_with_their_own_figures(models: Path) -> None:
    (line,) = [line for line in overview(models).splitlines() if "teacher" in line]
    assert line.startswith(
        "- [teacher](teacher/teacher.metrics.json), [teacher-2](teacher/teacher-2.metrics.json): a "
    )
    assert line.endswith(
        "1,234,567 parameters, 99.75% (99.63% to 99.83%); "
        "1,234,567 parameters, 99.76% (99.64% to 99.84%)."
    )


def test_default_model_is_marked(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEFAULT_NAME", "nano")
    assert "- [nano](nano/README.md): the default; for microcontrollers." in overview(models)


def test_speed_stands_in_a_column_for_each_interpreter(models: Path) -> None:
    write_speed(models, report_of(models)["variants"]["int8"]["sha256"])
    text = overview(models)
    row = cells(text)
    assert row["litert 1"] == row["tflite-runtime 1"] == "1.50 (1.25 to 1.75)"
    assert "times as fast as `seed_int8.tflite`" in text
    assert "over 9 rounds" in text
    assert "Toy CPU, 2026-01-02." in text
    assert "> Note: the toy is warm." in text


def test_speed_of_another_file_makes_no_page(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_speed(models, "f" * 64)
    assert main(["overview", "--models", str(models)]) == 1
    error = capsys.readouterr().err
    assert "speed.json does not tell of nano's int8 file" in error
    assert f"python -m benchmarks speed --out {models}" in error
    assert not (models / "README.md").exists()


def test_seeds_give_mean_range_and_their_number(models: Path) -> None:
    for seed, accuracy in ((1, 0.9951), (2, 0.9945), (3, 0.9948)):
        write_seed(models, seed, accuracy, architecture="nano", setting_of_another_version=1)
    text = overview(models)
    assert cells(text)["over seeds"] == "99.48% (99.45% to 99.51%; 3)"
    assert "*Over seeds*" in text


def test_seed_of_another_recipe_is_left_out_with_a_word(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_seed(models, 1, 0.99)
    write_seed(models, 2, 0.11, batch_size=1, epochs=5000)
    # One is no spread.
    assert "over seeds" not in cells(overview(models))
    write_seed(models, 3, 0.98)
    assert cells(overview(models))["over seeds"] == "98.50% (98.00% to 99.00%; 2)"
    said = capsys.readouterr().err
    assert "2.json is left out: it tells of a training with another batch_size, epochs" in said


def test_seed_that_is_told_of_twice_makes_no_page(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_seed(models, 1, 0.99)
    shutil.copy(models / "nano" / "seeds" / "1.json", models / "nano" / "seeds" / "2.json")
    assert main(["overview", "--models", str(models)]) == 1
    assert "2.json tells of seed 1 once more" in capsys.readouterr().err


def test_seed_record_that_lacks_its_accuracy_is_named(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_seed(models, 1, 0.99)
    (models / "nano" / "seeds" / "2.json").write_text('{"seed": 2}')
    assert main(["overview", "--models", str(models)]) == 1
    assert "2.json lacks the seed or its int8 accuracy" in capsys.readouterr().err


def test_report_about_another_file_makes_no_page(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(models / "nano" / "nano_int16x8.tflite", models / "nano" / "nano_int8.tflite")
    assert main(["overview", "--models", str(models)]) == 1
    assert "report.json is about another file than " in capsys.readouterr().err


def test_record_of_another_version_is_one_line_of_error(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (models / "nano" / "nano.metrics.json").write_text("{}")
    assert main(["overview", "--models", str(models)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "lack the entry" in line


def test_notice_stands_at_the_top_in_capitals(models: Path) -> None:
    report = report_of(models)
    report["data"]["notice"] = "only a few images"
    (models / "nano" / "report.json").write_text(json.dumps(report))
    assert overview(models).split("\n\n")[2] == "> **ONLY A FEW IMAGES**"
