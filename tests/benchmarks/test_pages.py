from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.pages import load_generator, match
from edge_runtime import Box

pytest.importorskip("cv2")


def test_record_counts_what_was_read(
    tmp_path: Path, mnist_dir: Path | None, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(mnist_dir)] if mnist_dir else []
    kinds = ["--kinds", "plain", "no digits: blank", "--size", "640", "480", "--count", "1"]
    assert main(["pages", *data, *kinds, "--out", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "pages.json").read_text())
    written, blank = record["kinds"]
    assert written["digits"] > 0
    assert 0 < written["right"] <= written["found"] <= written["boxed"] <= written["digits"]
    assert (blank["digits"], blank["false"]) == (0, 0)
    assert record["split"] == "train"
    assert record["cost"]["digits"] == 10
    assert record["cost"]["ratio"] > 1
    assert "all without digits" in capsys.readouterr().out


def test_unknown_kind_is_refused_with_the_known_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pages", "--kinds", "papyrus", "--out", str(tmp_path)]) == 1
    assert "pencil" in capsys.readouterr().err


def test_page_comes_from_its_seed_and_its_truth_is_where_the_ink_is() -> None:
    generator = load_generator()
    images = np.zeros((3, 28, 28), np.uint8)
    images[:, 4:24, 12:16] = 255
    labels = np.array([1, 1, 1])
    first, again, other = (
        generator.make_page("plain", seed, images, labels, (640, 480)) for seed in (1, 1, 2)
    )
    assert (first.pixels == again.pixels).all()
    assert (first.pixels != other.pixels).any()
    grey = first.pixels.mean(2)
    for truth in first.digits:
        x, y, width, height = (round(value) for value in truth.box)
        assert grey[y : y + height, x : x + width].min() < np.median(grey) - 15


def test_each_character_belongs_to_one_digit_at_most() -> None:
    page = SimpleNamespace(
        digits=[
            SimpleNamespace(box=(0.0, 0.0, 10.0, 10.0)),
            SimpleNamespace(box=(2.0, 0.0, 10.0, 10.0)),
        ]
    )
    reading = SimpleNamespace(digits=[SimpleNamespace(box=Box(0, 0, 10, 10))])
    assert match(page, reading) == [0, None]
