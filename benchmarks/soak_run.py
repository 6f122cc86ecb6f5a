"""One long run of ``edge-run camera``, measured from outside."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import EdgeRuntimeError
from edge_runtime.live_stats import RunningPercentiles

__all__ = ["Soak", "SoakError", "free_port"]

# What was promised: flat after the first minute, and a result within two frame times.
WARM_UP_S = 60.0
MAX_GROWTH_BYTES = 2 * 1024**2
MAX_AGE_FRAMES = 2.0
SAMPLE_S = 1.0
WINDOW_S = 10.0
# Ages in steps of 0.1 ms up to 10 s: the whole distribution in a megabyte, however long the run.
AGE_STEP_MS, AGE_STEPS = 0.1, 100_000


class SoakError(EdgeRuntimeError):
    """The loop that was watched has ended or never gave a result."""


class Soak:
    """``edge-run camera --json`` in a child process, its lines and its ``/proc`` entries read."""

    def __init__(self, source: str, *, fps: float, options: Sequence[str] = ()) -> None:
        """Starts it.

        Args:
            source: What it is to read.
            fps: Frames a second that the source gives.
            options: Further options for it.
        """
        self.fps = fps
        self._lock = threading.Lock()
        self._ages = np.zeros(AGE_STEPS, np.int64)
        self._window = RunningPercentiles(int(WINDOW_S * fps))
        self._frames = self._dropped = self._reconnections = 0
        self._first = self._last = 0.0
        self._last_words = ""
        self._samples: list[dict[str, float]] = []
        root = str(Path(__file__).resolve().parent.parent)
        paths = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH")) if p)
        self._child = subprocess.Popen(
            [sys.executable, "-m", "edge_runtime", "camera", source, "--json", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": paths},
        )
        self._threads = [
            threading.Thread(target=reader, daemon=True) for reader in (self._read, self._hear)
        ]
        for thread in self._threads:
            thread.start()

    def run(
        self,
        seconds: float,
        progress: Callable[[str], None],
        cut: Callable[[], None] | None = None,
        cut_every_s: float | None = None,
    ) -> None:
        """Watches for so long, counted from the first result.

        Args:
            seconds: How long.
            progress: Gets a line every ten seconds at first, later every minute.
            cut: Ends the source for a moment.
            cut_every_s: How often to do that.

        Raises:
            SoakError: The child ended early, or gave no result within a minute.
        """
        self._await_first()
        began = told = cut_at = time.monotonic()
        while (now := time.monotonic()) - began < seconds:
            if self._child.poll() is not None:
                raise SoakError(f"edge-run camera ended after {now - began:.0f} s: {self._why()}")
            self._samples.append({"s": now - began, **self._measured()})
            if now - told >= (WINDOW_S if now - began < 120 else 60.0):
                told = now
                progress(self._line(now - began, seconds))
            if cut is not None and cut_every_s is not None and now - cut_at >= cut_every_s:
                cut_at = now
                cut()
            time.sleep(SAMPLE_S)

    def close(self) -> None:
        """Ends the child as a service manager would, or by force."""
        self._child.terminate()
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        for thread in self._threads:
            thread.join(10)
        for stream in (self._child.stdout, self._child.stderr):
            assert stream is not None
            stream.close()

    def findings(self) -> dict[str, Any]:
        """What was seen, and what of it held; all as plain JSON values."""
        samples = self._samples
        total = samples[-1]["s"]
        warm_up = min(WARM_UP_S, total / 3)
        tail = max(5.0, min(60.0, total / 6))
        early = [s for s in samples if warm_up <= s["s"] < warm_up + tail]
        late = [s for s in samples if s["s"] >= total - tail]
        growth = {
            name: float(np.median([s[name] for s in late]) - np.median([s[name] for s in early]))
            for name in ("resident_bytes", "threads", "descriptors")
        }
        ages = {f"p{percent}": self._age(percent) for percent in (50, 95, 99)}
        frame_ms = 1000 / self.fps
        checks = [
            _check("growth of resident memory, MB", growth["resident_bytes"] / 1e6,
                   MAX_GROWTH_BYTES / 1e6),
            _check("growth of threads", growth["threads"], 0),
            _check("growth of open files", growth["descriptors"], 0),
            _check("95 % of frame ages, in frame times", ages["p95"] / frame_ms, MAX_AGE_FRAMES),
        ]  # fmt: skip
        span = max(self._last - self._first, 1e-9)
        return {
            "seconds": total,
            "fps": self.fps,
            "frames": self._frames,
            "frames_per_s": (self._frames - 1) / span,
            "dropped": self._dropped,
            "reconnections": self._reconnections,
            "warm_up_s": warm_up,
            "growth": growth,
            "age_ms": ages,
            "frame_ms": frame_ms,
            "checks": checks,
            "samples": _thinned(samples),
        }

    def _read(self) -> None:
        """Takes the child's lines in."""
        assert self._child.stdout is not None
        for line in self._child.stdout:
            event = json.loads(line)
            with self._lock:
                if "state" in event:
                    self._reconnections = event["reconnections"]
                    continue
                age = float(event["age_ms"])
                self._ages[min(AGE_STEPS - 1, int(age / AGE_STEP_MS))] += 1
                self._window.add(age)
                self._frames += 1
                self._dropped = event["dropped"]
                self._last = event["captured_at"]
                self._first = self._first or self._last

    def _hear(self) -> None:
        """Keeps the child's last words."""
        assert self._child.stderr is not None
        for line in self._child.stderr:
            self._last_words = line.strip()

    def _await_first(self) -> None:
        ends = time.monotonic() + 60
        while not self._frames:
            if self._child.poll() is not None or time.monotonic() > ends:
                raise SoakError(f"edge-run camera gave no result: {self._why()}")
            time.sleep(0.1)

    def _why(self) -> str:
        if self._child.poll() is not None:
            self._threads[1].join(5)
        return self._last_words or f"exit status {self._child.poll()}"

    def _measured(self) -> dict[str, float]:
        process = Path(f"/proc/{self._child.pid}")
        pages = int((process / "statm").read_text().split()[1])
        with self._lock:
            p50, p95 = self._window.percentile(50), self._window.percentile(95)
            frames = self._frames
        return {
            "resident_bytes": float(pages * os.sysconf("SC_PAGE_SIZE")),
            "threads": float(len(os.listdir(process / "task"))),
            "descriptors": float(len(os.listdir(process / "fd"))),
            "age_p50_ms": p50,
            "age_p95_ms": p95,
            "frames": float(frames),
        }

    def _age(self, percent: float) -> float:
        place = np.searchsorted(np.cumsum(self._ages), self._ages.sum() * percent / 100)
        return round((int(place) + 1) * AGE_STEP_MS, 1)

    def _line(self, now: float, seconds: float) -> str:
        last = self._samples[-1]
        return (
            f"{now:,.0f} of {seconds:,.0f} s: {last['resident_bytes'] / 1e6:.1f} MB, "
            f"{last['threads']:.0f} threads, {last['descriptors']:.0f} open files, age "
            f"{last['age_p50_ms']:.1f} ms (95 %: {last['age_p95_ms']:.1f}), "
            f"{last['frames']:,.0f} frames"
        )


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _check(what: str, found: float, limit: float) -> dict[str, Any]:
    return {
        "what": what,
        "found": round(found, 3),
        "limit": round(limit, 3),
        "held": found <= limit,
    }


def _thinned(samples: list[dict[str, float]], most: int = 2000) -> list[dict[str, float]]:
    """Enough of them for a plot."""
    return samples[:: -(-len(samples) // most)]
