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


def test_python_example_reads_a_seven(
    tmp_path: Path, mnist_test: tuple[np.ndarray, np.ndarray]
) -> None:
    import cv2

    images, labels = mnist_test
    seven = images[np.flatnonzero(labels == 7)[0]]
    assert cv2.imwrite(str(tmp_path / "seven.png"), seven)
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", example],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    label, score = done.stdout.split()
    assert label == "7"
    assert 0.5 < float(score) <= 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    absent = [target for target in local if not (page.parent / target).exists()]
    assert not absent, f"{page.name} links to {absent}"
