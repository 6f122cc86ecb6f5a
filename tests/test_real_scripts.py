"""The scripts in tests/real notice what they are there to notice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REAL = Path(__file__).parent / "real"


def compare(folder: Path, here: str, there: str) -> subprocess.CompletedProcess[str]:
    """Compares two runs over pictures 00000_1.png, 00001_2.png, …, given as labels."""
    for side, labels in (("x86", here), ("pi", there)):
        lines = [
            json.dumps({"path": f"/p/{index:05}_{index + 1}.png", "label": label, "score": 0.9})
            for index, label in enumerate(labels)
        ]
        (folder / f"seed_int8.{side}.jsonl").write_text("\n".join(lines))
    return subprocess.run(
        [sys.executable, REAL / "compare_labels.py", "3", folder / "seed_int8.x86.jsonl"],
        capture_output=True,
        text=True,
        check=False,
    )


def test_same_labels_pass_and_are_counted(tmp_path: Path) -> None:
    done = compare(tmp_path, "125", "125")
    assert done.returncode == 0, done.stderr
    assert "| seed_int8 | 3 | 3 | 2 | 2 | 0 |" in done.stdout


@pytest.mark.parametrize("there", ["124", "12"])
def test_other_label_or_missing_picture_fails(tmp_path: Path, there: str) -> None:
    done = compare(tmp_path, "125", there)
    assert done.returncode == 1
    assert "differ" in done.stderr


def compare_readings(
    folder: Path, here: list[str], there: list[str], shift: int = 0
) -> subprocess.CompletedProcess[str]:
    """Compares two runs over a video whose frames show 12, 34 and 5."""
    for side, texts, x in (("here", here, 10), ("there", there, 10 + shift)):
        lines = [json.dumps({"state": "running"})]
        for number, text in enumerate(texts):
            digits = [
                {"label": c, "score": 0.9, "rejected": False, "line": 0, "box": [x, 5, 20, 30]}
                for c in text
            ]
            lines.append(json.dumps({"frame": number, "text": text, "digits": digits}))
        (folder / side).write_text("\n".join(lines))
    (folder / "truth").write_text(json.dumps(["12", "34", "5"]))
    return subprocess.run(
        [
            sys.executable,
            REAL / "compare_readings.py",
            *(folder / n for n in ("truth", "here", "there")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )


def test_same_readings_pass_and_are_counted(tmp_path: Path) -> None:
    done = compare_readings(tmp_path, ["12", "34", "6"], ["12", "34", "6"])
    assert done.returncode == 0, done.stderr
    assert "| 3 | 5 | 5 | 3 | 3 | 2 | 2 | 0 |" in done.stdout


@pytest.mark.parametrize(
    ("there", "shift"), [(["12", "34", "5"], 0), (["12", "34"], 0), (["12", "34", "6"], 1)]
)
def test_other_text_box_or_missing_frame_fails(
    tmp_path: Path, there: list[str], shift: int
) -> None:
    done = compare_readings(tmp_path, ["12", "34", "6"], there, shift)
    assert done.returncode == 1
    assert "differ" in done.stderr
