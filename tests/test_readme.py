"""The front page keeps its promises: the Python example runs, and what it links to is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("models/**/*.md")])


def run_example(number: int, folder: Path, **replaced: str) -> str:
    """What the front page's Python example prints in a folder."""
    example = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[
        number
    ]
    for old, new in replaced.items():
        assert old in example
        example = example.replace(old, new)
    done = subprocess.run(
        [sys.executable, "-c", example],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def seven(mnist_test: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    images, labels = mnist_test
    return np.asarray(images[np.flatnonzero(labels == 7)[0]])


def test_python_example_reads_a_seven(tmp_path: Path, seven: np.ndarray) -> None:
    import cv2

    assert cv2.imwrite(str(tmp_path / "seven.png"), seven)
    label, score = run_example(0, tmp_path).split()
    assert label == "7"
    assert 0.5 < float(score) <= 1


def test_python_example_reads_a_page_and_watches(tmp_path: Path, seven: np.ndarray) -> None:
    import cv2

    page = np.full((200, 300), 230, np.uint8)
    page[60:116, 100:156] -= (cv2.resize(seven, (56, 56)) * 0.8).astype(np.uint8)
    assert cv2.imwrite(str(tmp_path / "page.jpg"), page)
    # No test has a camera; a picture is a source too.
    read, text, age_ms = run_example(
        1, tmp_path, **{"open_source(0)": 'open_source("page.jpg")'}
    ).split()
    assert (read, text) == ("7", "7")
    assert float(age_ms) > 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    absent = [target for target in local if not (page.parent / target).exists()]
    assert not absent, f"{page.name} links to {absent}"
