from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.robustness.samples import png_bytes
from edge_runtime.models import default_model_path

ROOT = Path(__file__).resolve().parents[3]


def test_command_leaves_record_page_and_pictures(
    digits_npz: Path, few: None, nowhere: None, tmp_path: Path, released_model: object,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    arguments = ["robustness", "--data", str(digits_npz), "--limit", "40", "--out", str(tmp_path)]
    assert main(arguments) == 0
    stdout, stderr = capsys.readouterr()
    shown = re.findall(r"\((\S+\.png)\)", (tmp_path / "robustness.md").read_text())
    # There is a picture of mistakes only if the model makes any with so few digits.
    assert {"robustness.int8.not-digits.png", "robustness.reliability.png"} <= set(shown)
    assert {path.name for path in tmp_path.iterdir()} == {
        "robustness.json", "robustness.md", *shown,
    }  # fmt: skip
    lines = stdout.splitlines()
    assert lines[0].startswith(f"int8: {default_model_path().name}, rejects scores below ")
    assert lines[-1] == f"report: {tmp_path / 'robustness.md'}"
    assert any(line.startswith("squared paper") for line in lines)
    assert "int8: scikit-learn digits: 40 pictures answered" in stderr

    assert main([*arguments, "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    record = json.loads(line)
    assert record == json.loads((tmp_path / "robustness.json").read_text())
    assert record["schema_version"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "nothing.tflite"], "nothing.tflite does not exist"),
        (["--models", str(ROOT / "tests")], "tests holds no models"),
        (["--sheet", "nothing.png"], "nothing.png does not exist"),
        (["--fashion", "nothing/"], "nothing is no folder"),
        (["--out", str(ROOT / "setup.cfg")], "setup.cfg"),
    ],
)
def test_bad_input_is_one_line_of_error(
    arguments: list[str], message: str, few: None, nowhere: None, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert main(["robustness", "--out", str(tmp_path), *arguments]) == 1
    *before, line = capsys.readouterr().err.splitlines()
    assert all(one.startswith("[") for one in before)
    assert line.startswith("python -m benchmarks robustness: error: ")
    assert message in line


def test_sheet_of_another_size_is_refused(
    few: None, nowhere: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "other.png"
    picture.write_bytes(png_bytes(np.zeros((10, 10), np.uint8)))
    assert main(["robustness", "--sheet", str(picture), "--out", str(tmp_path)]) == 1
    assert "other.png is a grey picture of 10×10; OpenCV's sheet" in capsys.readouterr().err


def test_wrong_limit_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["robustness", "--limit", "0"]) == 2
    assert "whole number" in capsys.readouterr().err
