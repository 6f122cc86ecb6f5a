"""``edge-run camera`` as a person or systemd runs it: a process of its own, with real signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_runtime
from edge_runtime.cli import main
from edge_runtime.testing import FakeCamera

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed; pip install -e '.[camera]'")

# Where this very package was imported from: a checkout, or a wheel that was unpacked.
PACKAGE = Path(edge_runtime.__file__).resolve().parent.parent
NO_CAMERA = "/dev/video77"
# Only a loop that misses the end of its file runs as long; the state "ended" is then missing.
IN_TIME = ("--seconds", "60")
KEYS = [
    "frame", "captured_at", "age_ms", "text", "digits", "timings_ms", "dropped", "percentiles_ms",
]  # fmt: skip


@pytest.fixture
def pages(tmp_path: Path, mnist_test: tuple[np.ndarray, np.ndarray]) -> Path:
    """A folder with three pages: a handwritten 7 on white paper, nothing, the 7 again."""
    images, labels = mnist_test
    seven = images[int(np.argmax(labels == 7)), :, :, 0]
    page = np.full((120, 160), 235, np.uint8)
    page[40:96, 50:106] -= (cv2.resize(seven, (56, 56)) * 0.85).astype(np.uint8)
    folder = tmp_path / "pages"
    folder.mkdir()
    for name, pixels in (("a", page), ("b", np.full_like(page, 235)), ("c", page)):
        assert cv2.imwrite(str(folder / f"{name}.png"), pixels)
    return folder


def write_video(path: Path, frames: int, fps: float) -> None:
    """A video of blank paper."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"MJPG"), fps,
                             (96, 64))  # fmt: skip
    assert writer.isOpened()
    for _ in range(frames):
        writer.write(np.full((64, 96, 3), 235, np.uint8))
    writer.release()


def test_a_source_may_come_by_the_environment(
    pages: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """So that no list of processes shows an address with a password."""
    monkeypatch.setenv("EDGE_CAMERA_SOURCE", str(pages))
    assert main(["camera", "--max-frames", "1"]) == 0
    assert "7" in capfd.readouterr().out
    monkeypatch.setenv("EDGE_CAMERA_SOURCE", NO_CAMERA)
    assert main(["camera", str(pages), "--max-frames", "1"]) == 0  # A word beats it.


class Loop:
    """A running ``edge-run camera``."""

    def __init__(self, *arguments: object, **environment: str) -> None:
        command = [sys.executable, "-m", "edge_runtime", "camera", *map(str, arguments)]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(PACKAGE)} | environment,
        )
        self.errors: list[str] = []
        self._hearing = threading.Thread(target=self._hear, daemon=True)
        self._hearing.start()

    def _hear(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(iter(self.process.stderr.readline, ""))

    def line(self) -> dict[str, Any]:
        """The next line of JSON."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"it ended: {self.words()}"
        return dict(json.loads(line))

    def line_with(self, **wanted: Any) -> dict[str, Any]:
        """The next line that has these values."""
        while True:
            line = self.line()
            if all(line.get(key) == value for key, value in wanted.items()):
                return line

    def end(self, number: int | None = None) -> int:
        """The exit status, after a signal if one is given; what it still prints is read."""
        if number is not None:
            self.process.send_signal(number)
        assert self.process.stdout is not None
        self.process.stdout.read()
        status = self.process.wait(60)
        self._hearing.join(10)
        return status

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._hearing.join(10)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def words(self) -> str:
        return "".join(self.errors)


@pytest.fixture
def run() -> Iterator[Callable[..., Loop]]:
    """``run("--json", "0")`` starts a loop that is killed when the test ends."""
    loops: list[Loop] = []

    def begin(*arguments: object, **environment: str) -> Loop:
        loops.append(Loop(*arguments, **environment))
        return loops[-1]

    yield begin
    for loop in loops:
        loop.close()


@pytest.fixture
def mute() -> Iterator[str]:
    """The address of a camera that takes a connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/stream.mjpg"


def test_json_lines_have_results_and_states(
    pages: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["camera", str(pages), "--json", *IN_TIME]) == 0
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    states = [line["state"] for line in lines if "state" in line]
    results = [line for line in lines if "state" not in line]
    assert states == ["opening", "running", "ended"]
    assert set(lines[0]["machine"]) == {"temperature_c", "troubles"}
    assert [list(result) for result in results] == [KEYS] * 3
    assert [result["text"] for result in results] == ["7", "", "7"]
    assert [result["frame"] for result in results] == [0, 1, 2]
    assert results[0]["digits"][0]["label"] == "7"
    assert set(results[0]["timings_ms"]) == {"capture", "preprocess", "invoke", "postprocess"}
    # Words to a person go to standard error, the last of them a summary.
    assert "camera running: " in captured.err
    assert "3 frames" in captured.err.splitlines()[-1]


def test_a_person_gets_a_line_for_each_result(
    pages: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["camera", str(pages), *IN_TIME]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ["  7  (1 read" in line for line in lines] == [True, False, True]
    assert "(nothing)" in lines[1]


def test_smoothing_and_on_change_leave_one_line(
    pages: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--loop", "--max-frames", "9", "--stable", "2", "--on-change", "--json"]
    assert main(["camera", str(pages), *arguments]) == 0
    texts = [
        line["text"] for line in map(json.loads, capsys.readouterr().out.splitlines())
        if "text" in line
    ]  # fmt: skip
    assert texts == ["", "7"]


def test_it_ends_after_so_many_results_or_seconds(
    pages: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["camera", str(pages), "--loop", "--max-frames", "5", "--json"]) == 0
    assert capsys.readouterr().out.count('"text"') == 5
    assert main(["camera", str(pages), "--loop", "--seconds", "1", "--on-change"]) == 0


def test_without_any_frame_it_fails_with_the_cameras_own_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["camera", NO_CAMERA, "--seconds", "1"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    # The reason as it is, without what was true only while the camera was waited for.
    assert last == (
        f"edge-run camera: error: no frame came: there is no camera at {NO_CAMERA}; plug it in; "
        "edge-run doctor lists the cameras of this machine"
    )


def test_an_address_stands_once_in_the_last_error(
    free_port: Callable[[], int], capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{free_port()}/x"
    assert main(["camera", url, "--seconds", "1"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"edge-run camera: error: no frame came: {url}: 127.0.0.1 refuses the")
    assert last.count(url) == 1
    assert "tried again" not in last


def test_a_camera_that_gives_no_reason_is_named(
    mute: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["camera", mute, "--seconds", "0.5"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"edge-run camera: error: no frame came from {mute}; a picture was")


def test_a_broken_picture_in_a_folder_is_named_once_and_passed_over(
    pages: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pages / "ab.png").touch()
    assert main(["camera", str(pages), "--json", "--loop", "--max-frames", "5"]) == 0
    captured = capsys.readouterr()
    results = [line for line in map(json.loads, captured.out.splitlines()) if "text" in line]
    assert [result["text"] for result in results] == ["7", "", "7", "7", ""]
    assert captured.err.count("ab.png") == 1
    assert f"edge-run camera: {pages / 'ab.png'} is empty" in captured.err
    assert "it is passed over" in captured.err
    assert "5 frames" in captured.err.splitlines()[-1]


def test_a_source_that_breaks_has_its_tally_and_one_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = FakeCamera(live=False, fps=None, fail_after=2)
    monkeypatch.setattr("edge_runtime.cli.camera.open_source", lambda *_, **__: broken)
    assert main(["camera", *IN_TIME]) == 1
    *before, tally, last = capsys.readouterr().err.splitlines()
    assert tally.startswith("edge-run camera: 2 frames")
    assert "error: a fake camera gives no frames" in last
    assert "gives no frames" not in "".join(before)


@pytest.mark.parametrize("count", [1, 3])
def test_a_folder_without_a_picture_that_can_be_read_is_one_error(
    count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(count):
        (tmp_path / f"{number}.png").touch()
    assert main(["camera", str(tmp_path), *IN_TIME]) == 1
    *said, last = capsys.readouterr().err.splitlines()
    reason = "0.png is empty" if count == 1 else f"none of the 3 pictures in {tmp_path} can be read"
    assert last.startswith("edge-run camera: error: ")
    assert reason in last
    assert not any(reason in line for line in said if count > 1 or "error" in line)
    assert sum("0.png" in line for line in [*said, last]) == 1
    assert "camera ended" not in "".join(said)


def test_closed_standard_error_leaves_the_json_as_it_is(pages: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-m", "edge_runtime", "camera",
         str(pages), "--json", *IN_TIME],
        env=os.environ | {"PYTHONPATH": str(PACKAGE)}, stdout=subprocess.PIPE, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["text"] for line in lines if "text" in line] == ["7", "", "7"]


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_a_video_is_not_saved_over_what_it_shows(
    link: Callable[..., None] | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = out = tmp_path / "v.avi"
    write_video(source, 3, fps=30)
    if link is not None:
        out = tmp_path / "linked.avi"
        link(source, out)
    before = source.read_bytes()
    assert main(["camera", str(source), "--save", str(out)]) == 1
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert f"--save would write over {source}, which is read; another file" in line
    assert captured.out == ""
    assert source.read_bytes() == out.read_bytes() == before


@pytest.mark.parametrize("frames", [1, 20])
def test_a_saved_file_has_the_speed_and_the_frames_of_its_source(
    frames: int, tmp_path: Path
) -> None:
    source, saved = tmp_path / "v.avi", tmp_path / "out.mp4"
    write_video(source, frames, fps=30)
    assert main(["camera", str(source), "--save", str(saved), *IN_TIME]) == 0
    video = cv2.VideoCapture(str(saved))
    assert video.get(cv2.CAP_PROP_FPS) == 30
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == frames
    video.release()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.mp4"], "'nowhere.mp4' is no source: it does not exist"),
        (["--mqtt", "broker"], "broker is no address of a broker"),
        (["--mqtt", "me:hunter2@broker/a"], "EDGE_RUN_MQTT_PASSWORD"),
        (["--mqtt-password-file", "x"], "without --mqtt"),
        (["--token-file", "x"], "without --preview"),
        (["--save-limit", "5"], "without --save"),
        (["--save", "read.gif"], "one of .avi, .mkv, .mp4 was expected"),
        (["--width", "640"], "width and height go together"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    source = [] if "nowhere" in arguments[0] else [NO_CAMERA]
    assert main(["camera", *source, *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    "arguments",
    [["--preview", "99999"], ["--preview", "here:x"], ["--seconds", "0"], ["--seconds", "nan"],
     ["--stable", "0"], ["--max-frames", "0"], ["--threshold", "2"]],
)  # fmt: skip
def test_wrong_usage_has_its_own_exit_status(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["camera", *arguments]) == 2
    assert arguments[1] in capsys.readouterr().err


def test_where_there_is_no_display_the_page_is_named(
    pages: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert main(["camera", str(pages), "--show"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "there is no display here" in line
    assert "--preview" in line


def test_an_opencv_without_windows_is_told_from_a_display_that_is_not_there(
    pages: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":77")
    assert main(["camera", str(pages), "--show"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "--preview" in line
    headless = "GUI:                           NONE" in cv2.getBuildInformation()
    assert ("edge-runtime[window]" in line) is headless


def test_a_saved_video_shows_every_page(pages: Path, tmp_path: Path) -> None:
    assert main(["camera", str(pages), "--save", str(tmp_path / "read.mp4")]) == 0
    video = cv2.VideoCapture(str(tmp_path / "read.mp4"))
    assert [video.read()[0] for _ in range(4)] == [True, True, True, False]
    video.release()


SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 0)]


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_a_signal_ends_it_and_finishes_the_video(
    number: int, status: int, pages: Path, tmp_path: Path, run: Any
) -> None:
    path = tmp_path / "read.mp4"
    loop = run(pages, "--loop", "--json", "--save", path)
    loop.line_with(text="7")
    loop.line_with(text="7")
    assert not path.exists()
    assert loop.end(number) == status
    video = cv2.VideoCapture(str(path))
    assert video.read()[0]
    video.release()
    assert {entry.name for entry in tmp_path.iterdir()} == {"pages", "read.mp4"}
    assert "Traceback" not in loop.words()


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_a_signal_ends_it_while_there_is_no_camera(number: int, status: int, run: Any) -> None:
    loop = run(NO_CAMERA, "--json")
    assert loop.line_with(state="absent")["next_try_s"] is not None
    assert loop.end(number) == status
    assert "Traceback" not in loop.words()


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_a_signal_ends_it_while_the_camera_and_the_broker_say_nothing(
    number: int, status: int, mute: str, run: Any, free_port: Any
) -> None:
    for module in ("flask", "waitress", "paho"):
        pytest.importorskip(module)
    broker = mute.split("/")[2]
    loop = run(mute, "--json", "--mqtt", f"{broker}/meter", "--preview", free_port())
    loop.line_with(state="opening")
    assert loop.end(number) == status
    assert "Traceback" not in loop.words()


def test_without_a_package_its_extra_is_named(
    pages: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    assert main(["camera", str(pages), "--mqtt", "broker/meter"]) == 1
    assert "pip install 'edge-runtime[mqtt]'" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_a_signal_ends_it_while_nobody_reads_what_it_prints(
    number: int, status: int, pages: Path, run: Any, wait_until: Any
) -> None:
    loop = run(pages, "--loop", "--json")
    stdout = loop.process.stdout
    # A pipe holds 64 KiB. When nothing more comes into it, the loop is stuck in a write.
    waiting = [0, -1]

    def is_full() -> bool:
        import fcntl
        import struct
        import termios

        waiting.append(
            struct.unpack("i", fcntl.ioctl(stdout.fileno(), termios.FIONREAD, b"\0" * 4))[0]
        )
        return waiting[-1] > 60_000

    wait_until(is_full, "a full pipe", 120)
    loop.process.send_signal(number)
    assert loop.process.wait(60) == status


def test_a_reader_that_leaves_ends_it_without_a_word(pages: Path, run: Any) -> None:
    loop = run(pages, "--loop", "--json")
    loop.line()
    loop.process.stdout.close()
    assert loop.process.wait(60) == 1
    loop._hearing.join(10)
    assert "error" not in loop.words().lower()
    assert "Traceback" not in loop.words()


def test_systemd_hears_of_a_loop_without_a_camera(tmp_path: Path, run: Any) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        loop = run(NO_CAMERA, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="1000000")
        heard = ""
        while not ("READY=1" in heard and heard.count("WATCHDOG=1") >= 3):
            heard += manager.recv(4096).decode() + "\n"
        assert "STATUS=camera absent: there is no camera at" in heard
        assert loop.end(signal.SIGTERM) == 0
        while "STOPPING=1" not in heard:
            heard += manager.recv(4096).decode() + "\n"


def test_systemd_hears_of_results(pages: Path, tmp_path: Path, run: Any) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        run(pages, "--loop", "--on-change", NOTIFY_SOCKET=str(tmp_path / "notify"))
        heard = ""
        while "STATUS=reads '7'" not in heard:
            heard += manager.recv(4096).decode() + "\n"
        assert heard.index("READY=1") < heard.index("STATUS=reads")
        assert "WATCHDOG" not in heard


def test_a_board_that_is_throttled_is_shown_once(pages: Path, tmp_path: Path, run: Any) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "vcgencmd").write_text("#!/bin/sh\necho throttled=0x50005\n")
    (tools / "vcgencmd").chmod(0o755)
    loop = run(pages, "--loop", "--json", PATH=f"{tools}{os.pathsep}{os.environ['PATH']}")
    machine = {"machine": {"troubles": []}}
    while machine["machine"]["troubles"] == []:
        machine = loop.line()
        machine = machine if "machine" in machine else {"machine": {"troubles": []}}
    assert machine["machine"]["troubles"] == ["under-voltage now", "throttled now"]
    for _ in range(3):
        assert "state" not in loop.line_with(text="7")
    loop.end(signal.SIGTERM)
    assert loop.words().count("the board reports under-voltage now, throttled now") == 1
