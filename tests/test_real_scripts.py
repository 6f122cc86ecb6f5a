"""The scripts in tests/real notice what they are there to notice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMPARE = Path(__file__).parent / "real" / "compare_labels.py"


def compare(folder: Path, here: str, there: str) -> subprocess.CompletedProcess[str]:
    """Compares two runs over pictures 00000_1.png, 00001_2.png, …, given as labels."""
    for side, labels in (("x86", here), ("pi", there)):
        lines = [
            json.dumps({"path": f"/p/{index:05}_{index + 1}.png", "label": label, "score": 0.9})
            for index, label in enumerate(labels)
        ]
        (folder / f"seed_int8.{side}.jsonl").write_text("\n".join(lines))
    return subprocess.run(
        [sys.executable, COMPARE, "3", folder / "seed_int8.x86.jsonl"],
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
