from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.errors import InputError, OutputError
from edge_runtime.frames import CameraState, Frame, LiveReading
from edge_runtime.health import Health
from edge_runtime.outputs.video import VideoOutput
from edge_runtime.reading import Reading, Timings

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed; pip install -e '.[camera]'")


def result(at: float, shade: int = 128, size: tuple[int, int] = (48, 64)) -> LiveReading:
    """A result of a frame that came `at` seconds after the first."""
    pixels = np.full((*size, 3), shade, np.uint8)
    pixels[:, : size[1] // 2] = (255, 0, 0)
    frame = Frame(pixels, 0, 1000 + at, 50 + at)
    reading = Reading("", (), np.zeros((0, 28, 28, 1), np.uint8), Timings(0, 0, 0, 0))
    return LiveReading(frame, reading, "", False, 1.0, 0)


def frames_of(path: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    found = []
    while (read := capture.read())[0]:
        found.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
    capture.release()
    return found


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_a_video_is_in_its_place_once_it_is_whole(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"read{suffix}"
    output = VideoOutput(path, live=False)
    for shade in (0, 100, 200):
        output.reading(result(0, shade))
        assert not path.exists()
    output.close()
    frames = frames_of(path)
    assert len(frames) == 3
    assert frames[0].shape == (48, 64, 3)
    # Red stays red: OpenCV's own order of colours is another one.
    assert frames[2][24, 16] == pytest.approx([255, 0, 0], abs=40)
    assert [frame[40, 56].mean() for frame in frames] == pytest.approx([0, 100, 200], abs=25)
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_video_runs_at_the_speed_of_what_it_shows(tmp_path: Path, source_status: Any) -> None:
    path = tmp_path / "read.avi"
    output = VideoOutput(path)
    output.status(source_status(CameraState.RUNNING, fps=10.0), Health())
    # Half a second without a result is filled, and results that come too fast are left out.
    for at in (0.0, 0.1, 0.6, 0.61, 0.62, 0.7):
        output.reading(result(at))
    output.close()
    assert len(frames_of(path)) == 8


def test_hours_without_a_camera_are_left_out(tmp_path: Path, source_status: Any) -> None:
    path = tmp_path / "read.avi"
    output = VideoOutput(path)
    output.status(source_status(CameraState.RUNNING, fps=10.0), Health())
    for at in (0.0, 0.1, 7200.0, 7200.1):
        output.reading(result(at))
    output.close()
    assert len(frames_of(path)) == 4


def test_a_camera_that_came_back_with_another_size_fits_in(tmp_path: Path) -> None:
    path = tmp_path / "read.avi"
    output = VideoOutput(path, live=False)
    for size in ((48, 64), (96, 128), (47, 63)):
        output.reading(result(0, 90, size))
    output.close()
    assert [frame.shape for frame in frames_of(path)] == [(48, 64, 3)] * 3


def test_odd_sides_lose_a_pixel(tmp_path: Path) -> None:
    path = tmp_path / "read.mp4"
    output = VideoOutput(path, live=False)
    output.reading(result(0, 90, (49, 65)))
    output.close()
    assert [frame.shape for frame in frames_of(path)] == [(48, 64, 3)]


def test_without_a_frame_there_is_no_file(tmp_path: Path) -> None:
    VideoOutput(tmp_path / "read.mp4").close()
    assert not list(tmp_path.iterdir())


def test_an_old_video_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "read.mp4"
    path.write_bytes(b"old")
    output = VideoOutput(path, live=False)
    output.reading(result(0))
    assert path.read_bytes() == b"old"
    output.close()
    assert len(frames_of(path)) == 1


def test_the_video_ends_at_its_limit_and_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "read.avi"
    output = VideoOutput(path, live=False, limit_bytes=500_000)
    random = np.random.default_rng(1)
    noise = result(0)
    with pytest.raises(OutputError, match="has reached its limit of 500,000 bytes"):
        for _ in range(1000):
            noise.frame.pixels[:] = random.integers(0, 255, noise.frame.pixels.shape)
            output.reading(noise)
    output.close()
    assert 500_000 <= path.stat().st_size < 1_000_000
    assert frames_of(path)


@pytest.mark.parametrize("name", ["read.gif", "read"])
def test_another_format_is_refused_with_those_that_are_known(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.avi, \.mkv, \.mp4"):
        VideoOutput(tmp_path / name)


def test_a_folder_that_is_not_there_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        VideoOutput(tmp_path / "nowhere" / "read.mp4")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        VideoOutput(tmp_path / "folder.mp4")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB, as only the superuser can make one."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs the superuser")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_refused_at_the_start(small_disk: Path) -> None:
    with pytest.raises(InputError, match="bytes free; at least 67,108,864 was expected; free some"):
        VideoOutput(small_disk / "read.avi")


def test_a_disk_that_fills_up_ends_the_video_while_it_can_be_finished(small_disk: Path) -> None:
    path = small_disk / "read.avi"
    output = VideoOutput(path, live=False, reserve_bytes=1_000_000)
    random = np.random.default_rng(1)
    noise = result(0)
    with pytest.raises(OutputError, match="bytes left; at least 1,000,000 was expected"):
        for _ in range(1000):
            noise.frame.pixels[:] = random.integers(0, 255, noise.frame.pixels.shape)
            output.reading(noise)
    output.close()
    assert frames_of(path)


def test_a_disk_that_filled_up_behind_our_back_is_told_and_leaves_nothing(small_disk: Path) -> None:
    path = small_disk / "read.mp4"
    output = VideoOutput(path, live=False, reserve_bytes=0)
    output.reading(result(0))
    other = os.open(small_disk / "another", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="No space"):
        while True:
            os.write(other, bytes(4096))
    os.close(other)
    random = np.random.default_rng(1)
    noise = result(0)
    for _ in range(20):
        noise.frame.pixels[:] = random.integers(0, 255, noise.frame.pixels.shape)
        output.reading(noise)
    with pytest.raises((OutputError, OSError), match="could not be finished|No space"):
        output.close()
    assert [entry.name for entry in small_disk.iterdir()] == ["another"]
