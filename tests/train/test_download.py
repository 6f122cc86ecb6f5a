from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from train import download
from train.errors import DataError

CONTENT = bytes(range(256)) * 1024


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT whole, without a length, cut short, or never ending."""

    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        if self.path in ("/whole", "/short"):
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:1000] if self.path == "/short" else CONTENT)
        if self.path == "/stalls":
            self.server.stalled.wait(20)

    def do_HEAD(self) -> None:
        self.send_response(200 if self.path == "/whole" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.stalled = threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.stalled.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("name", ["whole", "no-length"])
def test_whole_file_arrives_with_progress_on_stderr(
    server: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    download.fetch(f"{server}/{name}", tmp_path / "file", 10**6)
    assert (tmp_path / "file").read_bytes() == CONTENT
    told = capsys.readouterr()
    assert name in told.err
    assert told.out == ""


@pytest.mark.parametrize(
    ("name", "limit_bytes", "message"),
    [
        ("missing", 10**6, "could not be downloaded: .*404"),
        ("short", 10**6, "broke off after 1,000 of 262,144 bytes"),
        ("whole", 1000, "sent more than 1,000 bytes"),
        ("no-length", 1000, "sent more than 1,000 bytes"),
    ],
)
def test_failed_download_names_its_address(
    server: str, name: str, limit_bytes: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        download.fetch(f"{server}/{name}", tmp_path / "file", limit_bytes)
    assert f"{server}/{name}" in str(caught.value)


def test_mirror_that_falls_silent_is_given_up(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "STALL_S", 0.3)
    with pytest.raises(DataError, match="could not be downloaded: .*timed out"):
        download.fetch(f"{server}/stalls", tmp_path / "file", 10**6)


def test_unreachable_host_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="could not be downloaded: .*refused"):
        download.fetch("http://127.0.0.1:9/file", tmp_path / "file", 10**6)


def test_only_mirrors_that_answer_are_named_in_their_order(server: str) -> None:
    urls = [f"{server}/missing", f"{server}/whole", "http://127.0.0.1:9/", "nonsense"]
    assert download.answering(urls, 5.0) == [f"{server}/whole"]
