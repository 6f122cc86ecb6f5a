from __future__ import annotations

import os
import signal
import stat
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.cli import main, serve
from edge_runtime.preview import Preview

for needed in ("cv2", "flask", "prometheus_client", "waitress"):
    pytest.importorskip(needed)


@pytest.fixture(autouse=True)
def _released(released_model: Callable[[str], Path]) -> None:
    released_model("int8")


@pytest.fixture
def visited(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the page says of its health while it is open; then Ctrl-C is pressed."""
    seen: list[str] = []
    said = serve.say_where

    def visit(preview: Preview, token_file: Path | None) -> None:
        said(preview, token_file)
        url = f"http://127.0.0.1:{preview.url.rpartition(':')[2]}healthz"
        with urllib.request.urlopen(url, timeout=30) as answer:
            seen.append(answer.read().decode())
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()

    monkeypatch.setattr(serve, "say_where", visit)
    return seen


def test_serves_until_ctrl_c_and_says_where(
    visited: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGINT)
    assert main(["serve", "--port", "0"]) == 0
    assert visited == ['{"status":"ok"}\n']
    captured = capsys.readouterr()
    assert captured.err.startswith("open http://127.0.0.1:")
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert signal.getsignal(signal.SIGINT) is before


def test_token_is_printed_once_for_the_network(
    visited: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--port", "0", "--host", "0.0.0.0"]) == 0
    assert capsys.readouterr().err.count("?token=") == 1


def test_token_of_a_file_is_not_printed_and_stays(
    visited: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "token"
    command = ["serve", "--port", "0", "--token-file", str(path)]
    assert main(command) == 0
    token = path.read_text().strip()
    path.chmod(0o644)
    assert main(command) == 0
    error = capsys.readouterr().err
    assert token not in error
    assert f"(the token is in {path})" in error
    assert f"chmod 600 {path}" in error
    assert path.read_text().strip() == token
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--port", "70000"], 2, "'70000' is not a port from 0 to 65535"),
        (["--port", "http"], 2, "'http' is not a port"),
        (["--host", "name.invalid"], 1, "edge-run serve: error: name.invalid is no address"),
        (["--model", "none.tflite"], 1, "none.tflite does not exist"),
    ],
)
def test_what_cannot_be_is_one_line(
    options: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--port", "0", *options]) == status
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
