"""Many clients at once, against `edge-run serve` in a process of its own: nothing is lost."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for needed in ("cv2", "flask", "prometheus_client", "waitress"):
    pytest.importorskip(needed)

CLIENTS, REQUESTS = 24, 25


@dataclass
class Served:
    """A running `edge-run serve`."""

    process: subprocess.Popen[str]
    port: int

    def memory_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s*(\d+) kB", status)[1]) * 1024  # type: ignore[index]

    def handles(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


@pytest.fixture
def served(model: Path) -> Iterator[Served]:
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_runtime", "serve", "--port", "0", "--model", str(model)],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        found = re.fullmatch(r"open http://127\.0\.0\.1:(\d+)/\n", line)
        assert found, line + process.stderr.read()
        yield Served(process, int(found[1]))
    finally:
        process.kill()
        process.communicate(timeout=30)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_every_request_gets_an_answer_and_memory_is_bounded(
    served: Served, seven_png: bytes, make_png: Any
) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (700, 700, 3), dtype=np.uint8)
    photo = make_png(noise)
    assert len(photo) > 1_000_000
    asked = [
        ("POST", "/api/classify", seven_png),
        ("POST", "/api/classify", photo),
        ("GET", "/healthz", None),
        ("POST", "/api/classify", b"no picture"),
        ("GET", "/api/status", None),
    ]
    answers: Counter[tuple[str, int]] = Counter()
    lost: list[str] = []
    lock = threading.Lock()

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=120)
        for turn in range(REQUESTS):
            method, path, body = asked[(number + turn) % len(asked)]
            try:
                connection.request(method, path, body)
                response = connection.getresponse()
                response.read()
            except Exception as error:
                lost.append(f"{method} {path}: {error!r}")
                connection.close()
                continue
            with lock:
                answers[path, response.status] += 1
        connection.close()

    def load() -> None:
        threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    load()
    first = served.memory_bytes()
    handles = served.handles()
    load()
    assert not lost, lost[:5]
    assert sum(answers.values()) == 2 * CLIENTS * REQUESTS
    assert {status for (path, status) in answers if path == "/api/classify"} <= {200, 400, 429, 503}
    assert {status for (path, status) in answers if path != "/api/classify"} == {200}
    assert answers["/api/classify", 200] > 0
    # Room for a picture at work and those that wait: what allocators keep, not what grows.
    assert served.memory_bytes() - first < 48 * 2**20
    assert served.handles() <= handles + 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_well_while_somebody_is_connected(
    served: Served, number: signal.Signals
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    connection.request("GET", "/healthz")
    assert connection.getresponse().read() == b'{"status":"ok"}\n'
    served.process.send_signal(number)
    assert served.process.wait(timeout=30) == 0
    assert served.process.stderr is not None
    assert served.process.stderr.read() == ""
    connection.close()
