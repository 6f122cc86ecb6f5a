from __future__ import annotations

import builtins
import os
import sys
import threading
from typing import Any

import pytest

from edge_runtime.errors import MissingDependencyError
from edge_runtime.opencv import import_opencv, quiet


class Log:
    """OpenCV's log level."""

    def __init__(self) -> None:
        self.level = 3

    def setLogLevel(self, level: int) -> int:  # noqa: N802 - OpenCV's name.
        before, self.level = self.level, level
        return before


def test_level_comes_back_when_the_last_of_several_is_through() -> None:
    log = Log()
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with quiet(log):
            inside.set()
            leave.wait(30)

    with quiet(log):
        assert log.level == 0
        thread = threading.Thread(target=other)
        thread.start()
        assert inside.wait(30)
    assert log.level == 0
    leave.set()
    thread.join()
    assert log.level == 3


def test_missing_opencv_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name == "cv2":
            raise ModuleNotFoundError("No module named 'cv2'", name="cv2")
        return whole(name, *rest)

    monkeypatch.delitem(sys.modules, "cv2", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingDependencyError, match=r"edge-runtime\[camera\]"):
        import_opencv()


def test_what_a_person_set_for_opencv_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cv2", reason="OpenCV is not installed; pip install -e '.[camera]'")
    monkeypatch.setenv("OPENCV_FFMPEG_LOGLEVEL", "32")
    import_opencv()
    assert os.environ["OPENCV_FFMPEG_LOGLEVEL"] == "32"
