from __future__ import annotations

import io

import pytest

from train import progress
from train.progress import Progress, duration

FIGURES = {
    "loss": 0.25, "accuracy": 0.971, "val_loss": 0.031, "val_accuracy": 0.9912, "seconds": 4.0,
}  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def epoch(told: Progress, clock: list[float], seconds_a_step: float = 0.1) -> None:
    for step in range(1, told.steps + 1):
        clock[0] += seconds_a_step
        told.step(step)
    told.epoch(FIGURES)


def test_log_gets_a_line_an_epoch_with_the_time_left(clock: list[float]) -> None:
    told = Progress(epochs=3, done=0, steps=40, stream=io.StringIO())
    epoch(told, clock)
    epoch(told, clock)
    epoch(told, clock)
    assert told.stream.getvalue().splitlines() == [
        "epoch 1/3  loss 0.2500  accuracy 97.10%  validation 0.0310  99.12%  4.0 s  8 s left",
        "epoch 2/3  loss 0.2500  accuracy 97.10%  validation 0.0310  99.12%  4.0 s  4 s left",
        "epoch 3/3  loss 0.2500  accuracy 97.10%  validation 0.0310  99.12%  4.0 s",
    ]


def test_resumed_run_counts_on_and_does_not_take_the_past_for_speed(clock: list[float]) -> None:
    told = Progress(epochs=100, done=60, steps=40, stream=io.StringIO())
    epoch(told, clock, seconds_a_step=1.0)
    assert told.stream.getvalue().startswith("epoch 61/100  ")
    assert told.stream.getvalue().endswith("26 min 0 s left\n")


def test_terminal_sees_the_steps_and_the_line_is_written_over(clock: list[float]) -> None:
    told = Progress(epochs=2, done=0, steps=40, stream=Terminal())
    epoch(told, clock)
    text = told.stream.getvalue()
    assert "\repoch 1/2  step 19/40  " in text
    assert "left\x1b[K" in text
    assert text.count("step") < 12, "not at every step"
    assert text.splitlines()[-1].rpartition("\x1b[K")[2].startswith("epoch 1/2  loss 0.2500")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (3599.6, "1 h 0 min"),
        (90_000, "25 h 0 min"),
    ],
)
def test_duration_is_said_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
