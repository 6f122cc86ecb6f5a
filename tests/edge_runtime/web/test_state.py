from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_runtime.frames import LiveReading, SourceStatus
from edge_runtime.web import state
from edge_runtime.web.state import LiveState, MachineState, picture_data


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_nothing_is_told_before_the_first_result() -> None:
    live = LiveState()
    assert live.to_dict() is None
    assert live.status is None
    assert live.rate_fps() == 0


def test_rate_counts_results_and_falls_when_they_stop(
    make_reading: Callable[..., LiveReading],
) -> None:
    clock = Clock()
    live = LiveState(clock)
    for number in range(40):
        live.publish(make_reading(number))
        clock.now += 0.1
    assert live.rate_fps() == pytest.approx(10, rel=0.05)
    clock.now += 1.5
    assert live.rate_fps() < 7
    clock.now += 5
    assert live.rate_fps() == 0
    assert live.results == 40


def test_newest_result_is_told_with_what_the_model_saw(
    make_reading: Callable[..., LiveReading], running: SourceStatus
) -> None:
    live = LiveState()
    for number in range(3):
        live.publish(make_reading(number))
    live.publish_status(running)
    told = live.to_dict()
    assert told is not None
    assert told["frame"] == 2
    assert told["text"] == "7"
    assert told["frame_size"] == [160, 120]
    assert told["age_now_ms"] >= 0
    assert told["latency_ms"] == {"p50": 9.0, "p95": 9.0}
    (digit,) = told["digits"]
    assert digit["probabilities"][7] == 1
    assert len(base64.b64decode(digit["input"]["data"])) == 28 * 28
    assert live.status is running


def test_pixels_come_row_by_row_whatever_their_layout() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    told = picture_data(pixels[:, ::-1])
    assert (told["width"], told["height"], told["channels"]) == (2, 2, 3)
    assert list(base64.b64decode(told["data"])) == [3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8]


def test_machine_is_asked_now_and_then_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def facts() -> dict[str, Any]:
        asked.append(1)
        return dict.fromkeys(("board", "machine", "temperature_c", "throttled", "load"), len(asked))

    machine = MachineState(facts)
    assert [machine.to_dict()["temperature_c"] for _ in range(3)] == [1, 1, 1]
    monkeypatch.setattr(state, "MACHINE_SECONDS", 0)
    assert machine.to_dict()["temperature_c"] == 2
