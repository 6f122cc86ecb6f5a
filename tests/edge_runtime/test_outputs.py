from __future__ import annotations

import errno
from typing import Any

import pytest

from edge_runtime.errors import OutputError
from edge_runtime.frames import CameraState
from edge_runtime.health import Health
from edge_runtime.outputs import Outputs


class Recorder:
    def __init__(self, failure: Exception | None = None, at_close: Exception | None = None) -> None:
        self.failure, self.at_close = failure, at_close
        self.seen: list[Any] = []

    def reading(self, reading: Any) -> None:
        if self.failure:
            raise self.failure
        self.seen.append(reading.text)

    def status(self, status: Any, health: Any) -> None:
        self.seen.append(status.state)

    def close(self) -> None:
        self.seen.append("closed")
        if self.at_close:
            raise self.at_close


@pytest.fixture
def said() -> list[str]:
    return []


def test_all_outputs_get_everything_and_are_closed(
    live_reading: Any, source_status: Any, said: list[str]
) -> None:
    outputs = Outputs(said.append)
    recorders = [Recorder(), Recorder()]
    for recorder in recorders:
        outputs.add(recorder)
    outputs.status(source_status(CameraState.RUNNING), Health())
    outputs.reading(live_reading("4"))
    outputs.close()
    assert [recorder.seen for recorder in recorders] == [
        [CameraState.RUNNING, "4", "closed"]
    ] * 2  # fmt: skip
    assert said == []
    assert not outputs.failed


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (OutputError("a.mp4 has reached its limit"), "a.mp4 has reached its limit; the loop goes"),
        (OSError(errno.ENOSPC, "No space left on device", "a.mp4"), "a.mp4: No space left on dev"),
    ],
)
def test_one_that_fails_is_closed_and_named_once_and_the_others_go_on(
    failure: Exception, words: str, live_reading: Any, said: list[str]
) -> None:
    outputs = Outputs(said.append)
    broken, whole = Recorder(failure), Recorder()
    outputs.add(broken)
    outputs.add(whole)
    for text in ("4", "5"):
        outputs.reading(live_reading(text))
    assert broken.seen == ["closed"]
    assert whole.seen == ["4", "5"]
    assert len(said) == 1
    assert words in said[0]
    assert outputs.failed


def test_without_any_output_left_the_loop_has_to_end(live_reading: Any, said: list[str]) -> None:
    outputs = Outputs(said.append)
    outputs.add(Recorder(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        outputs.reading(live_reading("4"))


def test_a_reader_that_went_away_ends_everything_without_a_word(
    live_reading: Any, said: list[str]
) -> None:
    outputs = Outputs(said.append)
    other = Recorder()
    outputs.add(Recorder(BrokenPipeError(), at_close=BrokenPipeError()))
    outputs.add(other)
    with pytest.raises(BrokenPipeError):
        outputs.reading(live_reading("4"))
    outputs.close()
    assert other.seen == ["closed"]
    assert said == []


def test_an_output_that_cannot_be_finished_does_not_keep_others_from_it(said: list[str]) -> None:
    outputs = Outputs(said.append)
    other = Recorder()
    outputs.add(Recorder(at_close=OutputError("a.mp4 could not be finished")))
    outputs.add(other)
    outputs.close()
    assert other.seen == ["closed"]
    assert said == ["a.mp4 could not be finished"]
    assert outputs.failed
