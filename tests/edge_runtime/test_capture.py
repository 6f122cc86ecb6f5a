from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_runtime.capture import Capture
from edge_runtime.errors import InputError, SourceError
from edge_runtime.frames import CameraState, SourceStatus
from edge_runtime.recovery import Patience
from edge_runtime.sources import FrameData
from edge_runtime.testing import FakeCamera

# A hundredth of the real times; what is checked is the order of things, not their speed.
QUICK = Patience().scaled(0.01)
LONG_ENOUGH_S = 30.0


def wait_for(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + LONG_ENOUGH_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.005)


def wait_for_state(capture: Capture, state: CameraState) -> SourceStatus:
    seen: list[SourceStatus] = []

    def reached() -> bool:
        seen.append(capture.status)
        return seen[-1].state is state

    wait_for(reached, f"{state}; the last was {seen[-1:]}")
    return seen[-1]


def pictures(count: int) -> list[np.ndarray]:
    return [np.full((4, 6), value, np.uint8) for value in range(count)]


def alive(name: str) -> int:
    return sum(thread.name.startswith(name) for thread in threading.enumerate())


def test_newest_frame_is_handed_out_and_the_rest_counted() -> None:
    camera = FakeCamera(fps=200)
    with Capture(camera) as capture:
        first = capture.newest(LONG_ENOUGH_S)
        assert first is not None
        wait_for(lambda: camera.frames_given >= first.number + 6, "frames that nobody takes")
        second = capture.newest(LONG_ENOUGH_S)
        assert second is not None
        assert second.number >= first.number + 5
        assert capture.dropped >= second.number - 1  # All but these two, and perhaps newer ones.
        assert second.monotonic > first.monotonic
        assert time.monotonic() - second.monotonic < LONG_ENOUGH_S
        status = capture.status
    assert status.state is CameraState.RUNNING
    assert status.reason == ""
    assert status.next_try_s is None
    assert status.granted["width"] == 64
    assert status.name == "a fake camera"
    assert not second.pixels.flags.writeable


def test_a_frame_is_handed_out_once() -> None:
    camera = FakeCamera(fps=None, block_after=1)
    with Capture(camera) as capture:
        assert capture.newest(LONG_ENOUGH_S) is not None
        assert capture.newest(0.05) is None
        camera.unblock()


def test_of_a_file_every_frame_is_handed_out_in_order_and_then_it_ends() -> None:
    file = FakeCamera(pictures(7), live=False, fps=None)
    with Capture(file) as capture:
        seen = []
        while (frame := capture.newest(LONG_ENOUGH_S)) is not None:
            seen.append((frame.number, int(frame.pixels[0, 0])))
        assert seen == [(value, value) for value in range(7)]
        assert capture.dropped == 0
        assert capture.status.state is CameraState.ENDED
        assert capture.newest(LONG_ENOUGH_S) is None
    assert file.openings == file.closings == 1


def test_a_file_may_be_read_as_a_camera_is() -> None:
    file = FakeCamera(pictures(100), live=False, fps=None)
    with Capture(file, keep_all=False) as capture:
        wait_for(lambda: capture.status.state is CameraState.ENDED, "the end")
        frame = capture.newest(0)
        assert frame is not None
        assert frame.number == 99
        assert capture.dropped == 99
        assert capture.newest(0) is None


def test_a_camera_may_wait_for_each_frame_to_be_taken() -> None:
    with Capture(FakeCamera(fps=None), keep_all=True, patience=QUICK) as capture:
        numbers = []
        for _ in range(5):
            frame = capture.newest(LONG_ENOUGH_S)
            assert frame is not None
            numbers.append(frame.number)
            time.sleep(2 * QUICK.read_s)  # Its reader waits for us; that is no blocked device.
        assert numbers == [0, 1, 2, 3, 4]
        assert capture.status.reconnections == 0


def test_frames_that_the_source_threw_away_are_counted_as_dropped() -> None:
    class Hurried(FakeCamera):
        """A camera that gives every fourth of its frames: three had piled up before it."""

        def renew(self) -> Hurried:
            return self

        def _read(self) -> FrameData | None:
            data = super()._read()
            return None if data is None else data._replace(skipped=3)

    with Capture(Hurried(fps=None), keep_all=True) as capture:
        for count in (1, 2, 3):
            frame = capture.newest(LONG_ENOUGH_S)
            assert frame is not None
            assert frame.number == 4 * count - 1
        # The next may be at hand already.
        assert capture.dropped in (9, 12)


def test_still_picture_of_a_file_is_not_frozen() -> None:
    same = [np.zeros((4, 4), np.uint8)] * 40
    file = FakeCamera(same, live=False, fps=1 / QUICK.frozen_s * 8)
    with Capture(file, patience=QUICK) as capture:
        for _ in range(40):
            assert capture.newest(LONG_ENOUGH_S) is not None
        assert capture.newest(LONG_ENOUGH_S) is None
    assert file.openings == 1


def test_file_that_cannot_be_read_is_an_error_and_not_tried_again() -> None:
    file = FakeCamera(live=False, absent_openings=-1)
    with Capture(file, patience=QUICK) as capture:
        for _ in range(2):
            with pytest.raises(SourceError, match="there is no camera at a fake camera"):
                capture.newest(LONG_ENOUGH_S)
        assert capture.status.state is CameraState.ENDED
        assert "there is no camera" in capture.status.reason
    assert file.openings == 1


def test_what_trying_again_cannot_mend_is_an_error_for_a_camera_too() -> None:
    class Impossible(FakeCamera):
        def renew(self) -> Impossible:
            return self

        def _open(self) -> dict[str, Any]:
            raise InputError("the width is odd")

    with (
        Capture(Impossible(), patience=QUICK) as capture,
        pytest.raises(InputError, match="the width is odd"),
    ):
        capture.newest(LONG_ENOUGH_S)


def test_absent_camera_is_reported_tried_again_and_found() -> None:
    camera = FakeCamera(absent_openings=3)
    with Capture(camera, patience=QUICK) as capture:
        status = wait_for_state(capture, CameraState.ABSENT)
        assert "there is no camera" in status.reason
        assert "tried again" in status.reason
        assert capture.newest(LONG_ENOUGH_S) is not None
        status = capture.status
        assert status.state is CameraState.RUNNING
        assert status.reconnections == 0  # It was never here before.
        assert status.reason == ""
    assert camera.openings == 4


def test_next_try_is_announced() -> None:
    with Capture(FakeCamera(absent_openings=-1)) as capture:
        status = wait_for_state(capture, CameraState.ABSENT)
        assert status.next_try_s is not None
        assert 0 <= status.next_try_s <= 1


def test_waits_between_tries_grow() -> None:
    camera = FakeCamera(absent_openings=-1)
    patience = Patience().scaled(0.002)
    with Capture(camera, patience=patience):
        time.sleep(1.0)
    # Waits of 2, 4, 8, … ms up to 120: a constant first wait would have made hundreds of tries.
    assert 3 <= camera.openings <= 20


def test_waits_begin_anew_after_a_good_run() -> None:
    camera = FakeCamera(fps=400, fail_after=40)
    patience = Patience(first_retry_s=0.02, last_retry_s=1000, well_s=0.03)
    with Capture(camera, patience=patience):
        # Waits that went on doubling would take 80 s before the thirteenth opening alone.
        wait_for(lambda: camera.openings >= 14, "fourteen openings")


def test_pulled_cable_is_reported_and_recovered_from() -> None:
    camera = FakeCamera(fps=200)
    with Capture(camera, patience=QUICK) as capture:
        before = capture.newest(LONG_ENOUGH_S)
        camera.unplug()
        wait_for_state(capture, CameraState.ABSENT)
        wait_for(lambda: "there is no camera" in capture.status.reason, "a failed try")
        camera.plug()
        wait_for_state(capture, CameraState.RUNNING)
        capture.newest(LONG_ENOUGH_S)
        after = capture.newest(LONG_ENOUGH_S)
        assert before is not None
        assert after is not None
        assert after.number > before.number  # Numbers go on over a reconnection.
        assert capture.status.reconnections == 1


@pytest.mark.parametrize(
    ("fault", "state", "reason"),
    [
        ({"fail_after": 3}, CameraState.ABSENT, "gives no frames"),
        ({"end_after": 3}, CameraState.ABSENT, "ended"),
        ({"block_after": 3}, CameraState.STALLED, "has not given a frame for 0.1 s"),
        ({"frozen_after": 3}, CameraState.STALLED, "the same picture"),
        ({"block_open": True}, CameraState.ABSENT, "did not open within 0.15 s"),
    ],
)
def test_fault_is_reported_and_recovered_from(
    fault: dict[str, Any], state: CameraState, reason: str
) -> None:
    camera = FakeCamera(fps=200, faulty_openings=2, **fault)
    with Capture(camera, patience=QUICK) as capture:
        assert reason in wait_for_state(capture, state).reason
        wait_for(lambda: camera.openings >= 3, "the third opening")
        wait_for_state(capture, CameraState.RUNNING)
        frame = capture.newest(LONG_ENOUGH_S)
        assert frame is not None
        camera.unblock()
    assert camera.openings == 3


def test_picture_that_stays_frozen_is_not_called_running_after_reopening() -> None:
    class Photo(FakeCamera):
        """A camera whose picture moves while `moving` is set."""

    moving = threading.Event()
    moving.set()

    def frames() -> Any:
        value = 0
        while True:
            value = (value + 1) % 251 if moving.is_set() else value
            yield np.full((4, 4), value, np.uint8)

    camera = Photo(frames(), fps=300)
    with Capture(camera, patience=QUICK) as capture:
        wait_for_state(capture, CameraState.RUNNING)
        moving.clear()
        wait_for_state(capture, CameraState.STALLED)
        while capture.newest(0) is not None:
            pass
        opened = camera.openings
        wait_for(lambda: camera.openings >= opened + 2, "two more openings")
        assert capture.status.state is CameraState.STALLED
        assert capture.newest(0) is None
        moving.set()
        wait_for_state(capture, CameraState.RUNNING)
        assert capture.status.reconnections == 1


def test_calls_that_never_return_do_not_pile_up() -> None:
    camera = FakeCamera(block_after=0)
    with Capture(camera, patience=QUICK) as capture:
        wait_for(lambda: "never returned" in capture.status.reason, "giving up")
        time.sleep(0.3)
        assert camera.openings == QUICK.max_stuck
        assert alive("capture-read") == QUICK.max_stuck
        status = capture.status
        assert status.state is CameraState.STALLED
        assert f"{QUICK.max_stuck} calls to a fake camera have never returned" in status.reason
        camera.unblock()
        # The device answers again: what was stuck ends, and it is opened anew.
        wait_for(lambda: camera.openings > QUICK.max_stuck, "a new opening")
    wait_for(lambda: alive("capture") == 0, "the end of all threads")
    assert camera.closings == camera.openings


def test_frames_of_a_read_that_was_given_up_are_not_taken_for_new() -> None:
    camera = FakeCamera(pictures(200), fps=500, block_after=2, faulty_openings=1)
    with Capture(camera, patience=QUICK) as capture:
        wait_for(lambda: camera.openings == 2, "the second opening")
        wait_for_state(capture, CameraState.RUNNING)
        camera.unblock()
        last = -1
        for _ in range(10):
            frame = capture.newest(LONG_ENOUGH_S)
            assert frame is not None
            assert frame.number > last
            last = frame.number
        assert capture.status.reconnections == 1


@pytest.mark.parametrize("fault", [{"block_after": 0}, {"block_open": True}, {}])
def test_close_returns_while_the_device_does_not(fault: dict[str, Any]) -> None:
    camera = FakeCamera(**fault)
    capture = Capture(camera)
    capture.start()
    wait_for(lambda: camera.openings == 1, "the opening")
    began = time.monotonic()
    capture.close()
    # Generous for a busy machine; a join without a limit would not come back at all.
    assert time.monotonic() - began < LONG_ENOUGH_S
    assert capture.newest(LONG_ENOUGH_S) is None
    assert capture.status.state is CameraState.ENDED
    camera.unblock()
    wait_for(lambda: alive("capture") == 0, "the end of all threads")
    wait_for(lambda: camera.closings == 1, "the device to be given back")


def test_close_wakes_whoever_waits_for_a_frame() -> None:
    capture = Capture(FakeCamera(absent_openings=-1))
    threading.Timer(0.1, capture.close).start()
    assert capture.newest(10 * LONG_ENOUGH_S) is None


def test_close_before_the_start_opens_nothing() -> None:
    camera = FakeCamera()
    capture = Capture(camera)
    capture.close()
    assert capture.newest(0) is None
    assert camera.openings == 0


def test_little_is_done_while_there_is_no_camera() -> None:
    with Capture(FakeCamera(absent_openings=-1)) as capture:
        wait_for_state(capture, CameraState.ABSENT)
        began = time.process_time()
        time.sleep(1.0)
        # Processor time, which a busy machine does not lengthen: a loop that does not wait takes
        # all of the second.
        assert time.process_time() - began < 0.5


def test_source_without_renew_is_opened_again_itself() -> None:
    class Plain:
        name, live = "plain", True

        def __init__(self) -> None:
            self.openings = 0

        def open(self) -> dict[str, Any]:
            self.openings += 1
            raise SourceError("plain is not there")

        def read(self) -> None:
            return None

        def close(self) -> None:
            pass

    plain = Plain()
    with Capture(plain, patience=QUICK):  # type: ignore[arg-type]
        wait_for(lambda: plain.openings >= 3, "three openings")
