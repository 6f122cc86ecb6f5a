from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from edge_runtime.errors import InputError
from edge_runtime.frames import CameraState, LiveReading, SourceStatus
from edge_runtime.live import events, watch

# A loop that misses its end waits for ever.
pytestmark = pytest.mark.usefixtures("deadline")


def test_results_come_in_order_with_their_own_frames(frame: Any, reader: Any, supply: Any) -> None:
    frames = [frame("4", 0), frame("47", 3), frame("", 4)]
    results = list(watch(reader, supply(frames, dropped=2)))
    assert [result.text for result in results] == ["4", "47", ""]
    assert [result.frame for result in results] == frames
    assert [result.changed for result in results] == [True, True, True]
    assert results[1].dropped == 2
    assert [digit.label for digit in results[1].digits] == ["4", "7"]


def test_timings_have_the_capture_and_a_result_knows_its_age(
    frame: Any, reader: Any, supply: Any
) -> None:
    old = frame("4")
    (result,) = watch(reader, supply([old]))
    assert result.timings_ms.to_dict() == {
        "capture": 1.5, "preprocess": 2.0, "invoke": 0.5, "postprocess": 0.25,
    }  # fmt: skip
    assert 0 <= result.age_ms <= (time.monotonic() - old.monotonic) * 1000


def test_spreads_run_over_the_results(frame: Any, reader: Any, supply: Any) -> None:
    results = list(watch(reader, supply([frame("4", n) for n in range(5)])))
    spreads = results[-1].spreads
    assert list(spreads) == ["capture", "preprocess", "invoke", "postprocess", "age"]
    assert spreads["preprocess"].p50 == spreads["preprocess"].p95 == 2.0
    ages = sorted(result.age_ms for result in results)
    assert spreads["age"].p50 == pytest.approx(ages[2])


def test_json_has_the_keys_of_the_record(frame: Any, reader: Any, supply: Any) -> None:
    (result,) = watch(reader, supply([frame("4", 9)]))
    record = json.loads(json.dumps(result.to_dict()))
    assert list(record) == [
        "frame", "captured_at", "age_ms", "text", "digits", "timings_ms", "dropped",
        "percentiles_ms",
    ]  # fmt: skip
    assert record["frame"] == 9
    assert record["percentiles_ms"]["preprocess"] == {"p50": 2.0, "p95": 2.0}


def test_a_steady_text_hides_a_flicker_that_the_reading_still_shows(
    frame: Any, reader: Any, supply: Any
) -> None:
    frames = [frame(text, n) for n, text in enumerate(["4", "4", "9", "4"])]
    results = list(watch(reader, supply(frames), stable=2))
    assert [result.text for result in results] == ["", "4", "4", "4"]
    assert [result.changed for result in results] == [False, True, False, False]
    assert [result.reading.text for result in results] == ["4", "4", "9", "4"]


def test_it_ends_after_so_many_results(frame: Any, reader: Any, supply: Any) -> None:
    frames = [frame("4", n) for n in range(10)]
    assert len(list(watch(reader, supply(frames), max_frames=3))) == 3
    assert reader.frames == 3


def test_it_ends_after_so_many_seconds_without_a_camera(reader: Any, supply: Any) -> None:
    absent = supply([], after=CameraState.ABSENT)
    assert list(watch(reader, absent, seconds=0.3)) == []


def test_it_ends_when_it_is_told_to_even_without_a_camera(reader: Any, supply: Any) -> None:
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    assert list(watch(reader, supply([], after=CameraState.ABSENT), stop=stop)) == []
    assert stop.is_set()


def test_it_never_waits_long_without_looking_whether_to_end(reader: Any, supply: Any) -> None:
    absent = supply([], after=CameraState.ABSENT)
    list(watch(reader, absent, seconds=0.2))
    assert max(absent.timeouts) <= 0.25


def test_frames_that_came_before_the_end_are_read(frame: Any, reader: Any) -> None:
    """The end may be declared between asking for a frame in vain and asking for the state."""

    class Hasty:
        def __init__(self) -> None:
            self.dropped = 0
            self.ended = False
            self.frames = [frame("4", 0), frame("5", 1)]

        @property
        def status(self) -> SourceStatus:
            state = CameraState.ENDED if self.ended else CameraState.RUNNING
            return SourceStatus(state, "", 1.0, None, 0, "hasty", {})

        def newest(self, timeout: float) -> Any:
            if not self.ended:
                self.ended = True
                return None
            return self.frames.pop(0) if self.frames else None

    assert [result.text for result in watch(reader, Hasty())] == ["4", "5"]


def test_states_and_quiet_moments_are_events_too(frame: Any, reader: Any, supply: Any) -> None:
    source = supply([frame("4", 0), CameraState.ABSENT, CameraState.RUNNING, frame("5", 1)])
    seen = [
        event.state.value if isinstance(event, SourceStatus) else event and event.text
        for event in events(reader, source)
    ]
    assert [event for event in seen if event is not None] == [
        "running", "4", "absent", "running", "5", "ended",
    ]  # fmt: skip
    assert None in seen


@pytest.mark.parametrize("after", [CameraState.RUNNING, CameraState.ENDED, CameraState.ABSENT])
def test_what_was_granted_is_told_before_the_first_result(
    after: CameraState, frame: Any, reader: Any
) -> None:
    """Frames come while they are waited for; a file of one frame is at its end by then."""

    class Opening:
        def __init__(self) -> None:
            self.dropped = 0
            self.frames = [frame("4", 0)]
            self.state = CameraState.OPENING
            self.granted: dict[str, Any] = {}

        @property
        def status(self) -> SourceStatus:
            reason = "it is gone" if self.state is CameraState.ABSENT else ""
            return SourceStatus(self.state, reason, 1.0, None, 0, "a file", self.granted)

        def newest(self, timeout: float) -> Any:
            self.state, self.granted = after, {"fps": 30.0}
            if self.frames:
                return self.frames.pop()
            self.state = CameraState.ENDED
            return None

    told = [event for event in events(reader, Opening()) if event is not None]
    first, running, result, *later = told
    assert isinstance(first, SourceStatus)
    assert first.state is CameraState.OPENING
    assert isinstance(running, SourceStatus)
    assert (running.state, running.reason) == (CameraState.RUNNING, "")
    assert running.granted == {"fps": 30.0}
    assert isinstance(result, LiveReading)
    states = [event.state for event in later if isinstance(event, SourceStatus)]
    between = [after] if after is CameraState.ABSENT else []
    assert states == [*between, CameraState.ENDED]


def test_a_frame_left_from_before_the_camera_went_does_not_call_it_running(
    frame: Any, reader: Any, supply: Any
) -> None:
    source = supply([frame("4", 0), CameraState.ABSENT, frame("5", 1)])
    states = [event.state for event in events(reader, source) if isinstance(event, SourceStatus)]
    assert states == [CameraState.RUNNING, CameraState.ABSENT, CameraState.ENDED]


def test_a_source_is_opened_for_the_loop_and_closed_after_it(
    reader: Any, supply: Any, frame: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture = pytest.importorskip("edge_runtime.capture")
    opened: list[Any] = []

    class Recorded(type(supply([]))):  # type: ignore[misc]
        def __init__(self, source: Any) -> None:
            super().__init__([frame("4", 0), frame("5", 1)])
            self.source, self.closed = source, False
            opened.append(self)

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            self.closed = True

    monkeypatch.setattr(capture, "Capture", Recorded)
    source = object()
    for result in watch(reader, source):
        assert result.text == "4"
        assert not opened[0].closed
        break
    del result
    assert opened[0].source is source
    assert opened[0].closed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stable": 0}, "stable is 0"),
        ({"max_frames": 0}, "max_frames is 0"),
        ({"seconds": 0.0}, "seconds is 0.0"),
        ({"seconds": float("nan")}, "seconds is nan"),
    ],
)
def test_impossible_options_are_refused_at_once(
    options: dict[str, Any], message: str, reader: Any, supply: Callable[..., Any]
) -> None:
    with pytest.raises(InputError, match=message):
        watch(reader, supply([]), **options)


def test_the_loop_hands_out_results_not_states(frame: Any, reader: Any, supply: Any) -> None:
    source = supply([frame("4", 0), CameraState.STALLED, frame("5", 1)])
    assert all(isinstance(result, LiveReading) for result in watch(reader, source))
