"""A device behind NAT: the units of docs/examples fetch a bundle from a web server, with curl."""

from __future__ import annotations

import configparser
import hashlib
import http.server
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flash.bundle import make_bundle

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"
SERVICE, TIMER = EXAMPLES / "edge-run-pull.service", EXAMPLES / "edge-run-pull.timer"


class Offer:
    """A web server that offers one file, with its ETag.

    Attributes:
        data: The file; None for 404.
        cut: The connection ends after half of it.
        sent: How often it was sent.
    """

    def __init__(self) -> None:
        self.data: bytes | None = None
        self.cut = False
        self.sent = 0
        offer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if offer.data is None:
                    self.send_error(404)
                    return
                tag = f'"{hashlib.sha256(offer.data).hexdigest()}"'
                same = self.headers.get("If-None-Match") == tag
                self.send_response(304 if same else 200)
                self.send_header("ETag", tag)
                self.send_header("Content-Length", "0" if same else str(len(offer.data)))
                self.end_headers()
                if not same:
                    offer.sent += 1
                    half = len(offer.data) // 2
                    self.wfile.write(offer.data[:half] if offer.cut else offer.data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/stable.edge"


@pytest.fixture
def offer() -> Iterator[Offer]:
    offer = Offer()
    thread = threading.Thread(target=offer.server.serve_forever)
    thread.start()
    yield offer
    offer.server.shutdown()
    offer.server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def bundles(models: Path, signer: Any) -> list[bytes]:
    """Two bundles, the second newer."""
    return [
        make_bundle(models / f"seed_{variant}.tflite", key=signer.key, counter=counter).data
        for counter, variant in enumerate(("int8", "int16x8"), 1)
    ]


class Pulling:
    """The service's commands, as systemd runs them, in a folder instead of /run and /var."""

    def __init__(self, folder: Path, url: str, signer: Any, tool: Callable[[str], str]) -> None:
        tool("curl")
        self.folder, self.state = folder, folder / "state"
        for name in ("run", "cache", "state"):
            (folder / name).mkdir()
        (self.state / "device.json").write_text(
            json.dumps({"allowed_signers": str(signer.allowed)})
        )
        self.program = folder / "edge-run"
        self.program.write_text(
            f"#!/bin/sh\necho >> {folder / 'calls'}\n"
            f"export EDGE_RUNTIME_DIR={self.state} PYTHONPATH={ROOT}\n"
            f'exec {sys.executable} -m edge_runtime "$@"\n'
        )
        self.program.chmod(0o755)
        text = SERVICE.read_text().replace("\\\n", "")
        for name, value in {
            "/run/edge-run-pull": str(folder / "run"),
            "/var/cache/edge-run-pull": str(folder / "cache"),
            "/opt/edge/bin/edge-run": str(self.program),
            "${EDGE_BUNDLE_URL}": url,
            "--proto =https": "--proto =http",  # no certificate here
            "--retry 3": "--retry 0",
        }.items():
            assert name in text
            text = text.replace(name, value)
        lines = re.findall(r"^ExecStart(?:Pre)?=(.+)$", text, re.M)
        self.commands = [shlex.split(line) for line in lines]

    def run(self) -> subprocess.CompletedProcess[str]:
        """One start of the service: a command that fails ends it; /run is made anew."""
        for path in (self.folder / "run").iterdir():
            path.unlink()
        for command in self.commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                break
        return done

    def active(self) -> str | None:
        link = self.state / "active"
        return link.readlink().name if link.is_symlink() else None

    def calls(self) -> int:
        path = self.folder / "calls"
        return len(path.read_text()) if path.exists() else 0


@pytest.fixture
def pulling(tmp_path: Path, offer: Offer, signer: Any, require_tool: Any) -> Pulling:
    return Pulling(tmp_path, offer.url, signer, require_tool)


def test_device_fetches_what_is_offered_and_only_what_is_new(pulling, offer, bundles):
    offer.data = bundles[0]
    assert pulling.run().returncode == 0
    first = pulling.active()
    assert first is not None
    assert pulling.run().returncode == 0
    assert (offer.sent, pulling.calls()) == (1, 1)  # the second time there was nothing new
    offer.data = bundles[1]
    assert pulling.run().returncode == 0
    assert pulling.active() not in (None, first)


@pytest.mark.parametrize("fault", ["cut", "missing", "changed", "older"])
def test_what_goes_wrong_on_the_way_leaves_the_old_model(pulling, offer, bundles, fault):
    offer.data = bundles[1]
    assert pulling.run().returncode == 0
    before = pulling.active()
    offer.cut = fault == "cut"
    changed = bytearray(bundles[0])
    changed[50_000] ^= 1
    offer.data = {"cut": bundles[0], "missing": None, "changed": bytes(changed),
                  "older": bundles[0]}[fault]  # fmt: skip
    done = pulling.run()
    assert done.returncode != 0
    assert pulling.active() == before
    assert ("edge-run receive: error: " in done.stderr) == (fault in ("changed", "older"))
    offer.data, offer.cut = bundles[1], False
    assert pulling.run().returncode == 0  # and the next pull goes on as ever


def test_refused_bundle_is_not_tried_each_hour_but_a_new_one_at_once(pulling, offer, bundles):
    offer.data = bundles[0][:-1] + b"x"
    assert pulling.run().returncode != 0
    assert pulling.run().returncode == 0
    assert (offer.sent, pulling.calls(), pulling.active()) == (1, 1, None)
    offer.data = bundles[0]
    assert pulling.run().returncode == 0
    assert pulling.active() is not None
    assert not (pulling.folder / "cache" / "refused").exists()


def test_refused_bundle_is_tried_again_after_a_day(pulling, offer, bundles):
    # As where its signer became known meanwhile.
    settings = pulling.state / "device.json"
    known = settings.read_text()
    settings.write_text("{}")
    offer.data = bundles[0]
    assert pulling.run().returncode != 0
    settings.write_text(known)
    assert pulling.run().returncode == 0
    assert pulling.active() is None
    refused = pulling.folder / "cache" / "refused"
    ago = refused.stat().st_mtime - 24 * 3600 - 120
    os.utime(refused, (ago, ago))
    assert pulling.run().returncode == 0
    assert pulling.active() is not None


def test_bundle_can_be_piped_from_the_web(pulling, offer, bundles):
    """The shortest pull there is: curl … | edge-run receive."""

    def pull() -> int:
        with subprocess.Popen(
            ["curl", "-sS", "--fail", offer.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as curl:
            done = subprocess.run(
                [pulling.program, "receive"], stdin=curl.stdout, capture_output=True, check=False
            )
        return done.returncode

    offer.data = bundles[0]
    assert pull() == 0
    first = pulling.active()
    offer.data, offer.cut = bundles[1], True
    assert pull() == 1
    assert pulling.active() == first is not None


def test_systemd_understands_the_units(require_tool, tmp_path):
    program = tmp_path / "edge-run"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for unit in (SERVICE, TIMER):
        text = unit.read_text().replace("/opt/edge/bin/edge-run", str(program))
        (tmp_path / unit.name).write_text(text)
    done = subprocess.run(
        [require_tool("systemd-analyze"), "verify", "--man=no", str(tmp_path / TIMER.name),
         str(tmp_path / SERVICE.name)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if "edge-run-pull" in line]
    assert done.returncode == 0, done.stderr
    assert not ours, "\n".join(ours)


def test_timer_calls_each_device_once_an_hour_at_a_moment_of_its_own(require_tool):
    """By systemd.timer(5): a delay that is fixed for a device leaves the interval as it is."""
    read = configparser.RawConfigParser()
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read(TIMER)
    timer = dict(read["Timer"])
    calendar = timer.pop("OnCalendar")
    # Nothing else, above all no other On…Sec=, to which the delay would be added each time.
    assert timer == {"RandomizedDelaySec": "1h", "FixedRandomDelay": "yes"}
    done = subprocess.run(
        [require_tool("systemd-analyze"), "calendar", "--iterations=3", calendar],
        capture_output=True, text=True, check=True, env={**os.environ, "TZ": "UTC"},
    )  # fmt: skip
    elapses = re.findall(r"(?:Next elapse|Iter\. #\d): \w+ (\S+ \S+) UTC", done.stdout)
    times = [datetime.fromisoformat(text) for text in elapses]
    assert [b - a for a, b in itertools.pairwise(times)] == [timedelta(hours=1)] * 2
