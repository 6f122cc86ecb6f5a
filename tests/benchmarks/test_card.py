from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import main
from benchmarks.card import model_card
from benchmarks.records import read_records


@pytest.fixture
def folder(small_run: Path, measured: tuple[Path, str, str], tmp_path: Path) -> Path:
    """A folder with a model's records, its report as if made with the whole test set."""
    for name in ("nano.keras", "nano.metrics.json", "nano.convert.json"):
        shutil.copy(small_run / name, tmp_path)
    shutil.copy(measured[0] / "report.json", tmp_path)
    change(tmp_path / "report.json", data={"limited": False})
    return tmp_path


def change(path: Path, **entries: dict[str, Any]) -> None:
    facts = json.loads(path.read_text())
    for name, values in entries.items():
        facts[name].update(values)
    path.write_text(json.dumps(facts))


def failure(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["card", "--models", str(folder)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("python -m benchmarks card: error: ")
    return line


def test_card_tells_data_accuracy_limits_and_how_to_remake(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["card", "--models", str(folder)]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "README.md")
    text = (folder / "README.md").read_text()
    report = json.loads((folder / "report.json").read_text())
    metrics = json.loads((folder / "nano.metrics.json").read_text())
    assert text.startswith("# Model card: nano\n")
    for fact in (
        "`make release`", "one 28×28 grey picture", f"{metrics['parameters']:,} parameters",
        "`nano_int16x8.tflite`", f"{report['float']['accuracy']['accuracy']:.2%}",
        metrics["data"]["sha256"]["test-images"][:16],
        f"batch_size {metrics['config']['batch_size']}", "## Intended use and limits",
        f"{metrics['per_class']['7']['recall']:.2%}", metrics["versions"]["keras"],
    ):  # fmt: skip
        assert fact in text


def test_same_records_give_the_same_text(folder: Path) -> None:
    assert model_card(read_records(folder)) == model_card(read_records(folder))


def test_card_can_be_written_elsewhere(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "docs" / "card.md"
    assert main(["card", "--models", str(folder), "--out", str(out)]) == 0
    assert out.read_text() == model_card(read_records(folder))


def test_notice_stands_at_the_top_in_capitals(folder: Path) -> None:
    change(folder / "report.json", data={"notice": "only a few images"})
    assert model_card(read_records(folder)).split("\n\n")[2] == "> **ONLY A FEW IMAGES**"


@pytest.mark.parametrize("entry", [{"limited": True}, {"withheld": "trained on these"}])
def test_report_on_a_part_of_the_images_makes_no_card(
    entry: dict[str, Any], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder / "report.json", data=entry)
    assert "other images than the whole test set" in failure(folder, capsys)


def test_report_about_other_files_makes_no_card(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = json.loads((folder / "report.json").read_text())
    facts["variants"]["int8"]["sha256"] = "0" * 64
    (folder / "report.json").write_text(json.dumps(facts))
    assert "is about another int8 file than nano.convert.json" in failure(folder, capsys)


@pytest.mark.parametrize(
    ("name", "writer"),
    [("report.json", "python -m benchmarks"), ("nano.metrics.json", "python -m train"),
     ("nano.convert.json", "python -m convert")],
)  # fmt: skip
def test_missing_record_is_named_with_the_command_that_writes_it(
    name: str, writer: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).write_text("[]")
    line = failure(folder, capsys)
    assert f"{name} is not a JSON object" in line
    assert writer in line
    (folder / name).unlink()
    line = failure(folder, capsys)
    assert f"{name} does not exist" in line
    assert writer in line


def test_record_of_another_version_is_one_line_of_error(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "nano.metrics.json").write_text("{}")
    assert "lack the entry" in failure(folder, capsys)


def test_robustness_is_in_the_card_if_it_was_measured(
    folder: Path, digits_npz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], small_run: Path,
) -> None:  # fmt: skip
    assert "## Robustness" not in model_card(read_records(folder))
    for name in ("INPUT_COUNT", "PICTURE_COUNT", "LETTER_COUNT"):
        monkeypatch.setattr(f"benchmarks.robustness.outliers.{name}", 20)
    monkeypatch.setenv("FASHION_MNIST_DIR", str(tmp_path / "none"))
    model = small_run / "nano_int8.tflite"
    arguments = ["--models", str(model), "--data", str(digits_npz), "--out", str(folder)]
    assert main(["robustness", *arguments, "--json"]) == 0
    entry = json.loads(capsys.readouterr().out)["models"]["int8"]
    text = model_card(read_records(folder))
    assert "## Robustness\n\nMeasured on `nano_int8.tflite`." in text
    assert f"{entry['calibration']['ece']:.4f}" in text
    facts = json.loads((folder / "report.json").read_text())
    facts["variants"].pop("int8")
    (folder / "report.json").write_text(json.dumps(facts))
    assert "robustness.json is about other files than report.json" in failure(folder, capsys)
