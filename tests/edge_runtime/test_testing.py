from __future__ import annotations

import threading

import numpy as np
import pytest

from edge_runtime.errors import SourceError
from edge_runtime.sources import FrameSource
from edge_runtime.testing import FakeCamera

LONG_ENOUGH_S = 30.0


def values(camera: FrameSource, count: int) -> list[int | None]:
    found: list[int | None] = []
    for _ in range(count):
        frame = camera.read()
        found.append(None if frame is None else int(frame.pixels.flat[0]))
    return found


PICTURES = [np.full((2, 3), value, np.uint8) for value in (1, 2, 3)]


def test_list_goes_round_if_live_and_ends_if_not() -> None:
    live, file = FakeCamera(PICTURES, fps=None), FakeCamera(PICTURES, fps=None, live=False)
    assert live.open() == {"width": 3, "height": 2, "fps": None, "format": "fake"}
    file.open()
    assert values(live, 5) == [1, 2, 3, 1, 2]
    assert values(file, 5) == [1, 2, 3, None, None]


def test_generator_is_shown_once() -> None:
    camera = FakeCamera(iter(PICTURES), fps=None)
    camera.open()
    assert values(camera, 4) == [1, 2, 3, None]


def test_default_pictures_all_differ() -> None:
    camera = FakeCamera(fps=None)
    camera.open()
    seen = set()
    for _ in range(20):
        frame = camera.read()
        assert frame is not None
        seen.add(frame.pixels.tobytes())
    assert len(seen) == 20


def test_faults_come_when_they_are_told_to() -> None:
    camera = FakeCamera(PICTURES, fps=None, frozen_after=2, end_after=4)
    camera.open()
    assert values(camera, 5) == [1, 2, 2, 2, None]
    failing = FakeCamera(PICTURES, fps=None, fail_after=1, faulty_openings=1)
    failing.open()
    assert values(failing, 1) == [1]
    with pytest.raises(SourceError, match="gives no frames"):
        failing.read()
    second = failing.renew()
    second.open()
    assert values(second, 4) == [1, 2, 3, 1]
    assert failing.openings == 2
    assert failing.frames_given == 5


def test_read_that_blocks_does_so_whoever_closes() -> None:
    camera = FakeCamera(fps=None, block_after=0)
    camera.open()
    ended = threading.Event()
    threading.Thread(target=lambda: (camera.read(), ended.set()), daemon=True).start()
    camera.close()
    assert not ended.wait(0.2)
    camera.unblock()
    assert ended.wait(LONG_ENOUGH_S)


def test_cable_can_be_pulled_and_put_back() -> None:
    camera = FakeCamera(fps=None)
    camera.open()
    camera.unplug()
    with pytest.raises(SourceError, match="is gone"):
        camera.read()
    with pytest.raises(SourceError, match="there is no camera"):
        camera.renew().open()
    camera.plug()
    assert camera.renew().open()["width"] == 64
