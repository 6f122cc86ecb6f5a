from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import soak_run
from benchmarks.__main__ import main
from benchmarks.soak_stream import write_pages
from edge_runtime import Classifier
from edge_runtime.images import read_image


def test_a_soak_reports_what_grew_and_how_old_results_were(
    require_tool: Callable[[str], str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    require_tool("ffmpeg")
    # On a loaded machine results may be late; that is not what is tested here.
    monkeypatch.setattr(soak_run, "MAX_AGE_FRAMES", 1000.0)
    monkeypatch.setattr(soak_run, "MAX_GROWTH_BYTES", 10**9)
    command = ["soak", "--seconds", "16", "--fps", "5", "--size", "160x120", "--cut-every", "6"]
    status = main([*command, "--out", str(tmp_path), "--", "--stable", "2"])
    captured = capsys.readouterr()
    assert status in (0, 1)
    record = json.loads((tmp_path / "soak.json").read_text())
    assert record["frames"] > 5
    assert record["reconnections"] >= 1
    assert record["age_ms"]["p50"] <= record["age_ms"]["p95"] <= record["age_ms"]["p99"]
    sample = record["samples"][-1]
    assert sample["resident_bytes"] > 20e6
    assert sample["threads"] >= 3
    assert sample["descriptors"] >= 3
    assert [check["what"].split(",")[0] for check in record["checks"]] == [
        "growth of resident memory", "growth of threads", "growth of open files",
        "95 % of frame ages",
    ]  # fmt: skip
    assert (status == 0) is all(check["held"] for check in record["checks"])
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")
    assert "of 16 s: " in captured.err
    assert "reconnections" in captured.out


def test_a_loop_that_does_not_start_is_reported_with_its_own_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["soak", "--source", "nowhere.mp4", "--out", str(tmp_path)]) == 1
    assert "'nowhere.mp4' is no source" in capsys.readouterr().err.splitlines()[-1]


def test_growth_is_what_came_after_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    soak = soak_run.Soak.__new__(soak_run.Soak)
    soak.fps, soak._frames, soak._dropped, soak._reconnections = 30, 901, 7, 0
    soak._first, soak._last = 1000.0, 1030.0
    soak._ages = np.zeros(soak_run.AGE_STEPS, np.int64)
    soak._ages[[200, 650]] = 90, 10
    soak._samples = [
        {"s": float(s), "resident_bytes": 80e6 + (s * 1e6 if s < 60 else 60e6 + 1e5 * (s - 60)),
         "threads": 5.0 + (s > 500), "descriptors": 9.0}
        for s in range(600)
    ]  # fmt: skip
    found = soak.findings()
    assert found["frames_per_s"] == pytest.approx(30.0)
    assert found["growth"]["resident_bytes"] == pytest.approx(48e6, rel=0.05)
    held = [check["held"] for check in found["checks"]]
    assert held == [False, False, True, True]
    assert found["age_ms"] == {"p50": 20.1, "p95": 65.1, "p99": 65.1}


def test_the_pages_have_the_text_they_say(tmp_path: Path, mnist_data: object) -> None:
    texts = write_pages(tmp_path, 640, 480, pages=4)
    reader = Classifier()
    found = [reader.read(read_image(path)).text for path in sorted(tmp_path.glob("*.jpg"))]
    right = sum(
        a == b for f, t in zip(found, texts, strict=True) for a, b in zip(f, t, strict=False)
    )
    assert right >= 0.8 * sum(map(len, texts)), f"{found} for {texts}"
