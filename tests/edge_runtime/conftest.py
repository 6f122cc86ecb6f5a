"""Parts of a camera loop for tests, and devices that take models.

Results made by hand, a supply of frames, a stand-in reader; bundles signed by a key of the tests,
and a folder in which a model is active.
"""

from __future__ import annotations

import functools
import io
import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.bundle import pack
from edge_runtime.classifier import Classifier
from edge_runtime.contract import load_sealed, seal
from edge_runtime.device import receive
from edge_runtime.frames import CameraState, Frame, LiveReading, SourceStatus
from edge_runtime.reading import Box, Digit, Reading, Timings

LABELS = tuple("0123456789")


def make_digit(label: str, x: int = 0, rejected: bool = False) -> Digit:
    probabilities = np.full(10, 0.01, np.float32)
    probabilities[LABELS.index(label)] = 0.91
    return Digit(label, LABELS.index(label), 0.91, Box(x, 4, 8, 12), rejected, 0, probabilities)


def make_frame(text: str = "", number: int = 0, size: tuple[int, int] = (24, 96)) -> Frame:
    """A grey frame that carries its text in its first pixels, for `Reader` to find."""
    pixels = np.full(size, 200, np.uint8)
    codes = text.encode()
    pixels[0, : len(codes) + 1] = [*codes, 0]
    return Frame(pixels, number, time.time(), time.monotonic(), capture_ms=1.5)


class Reader:
    """Reads what `make_frame` wrote; stands in for a classifier where its answers do not matter."""

    def __init__(self) -> None:
        self.frames = 0

    def read(self, pixels: np.ndarray) -> Reading:
        self.frames += 1
        row = pixels[0] if pixels.ndim == 2 else pixels[0, :, 0]
        text = bytes(row[: int(np.argmin(row))]).decode()
        digits = tuple(make_digit(c, 10 * i) for i, c in enumerate(text) if c in LABELS)
        inputs = np.zeros((len(digits), 28, 28, 1), np.uint8)
        return Reading(text, digits, inputs, Timings(0.0, 2.0, 0.5, 0.25))


class Supply:
    """Gives the frames it was given, then a state; what a `Capture` does, without a thread."""

    def __init__(
        self,
        frames: Sequence[Frame | CameraState],
        after: CameraState = CameraState.ENDED,
        dropped: int = 0,
    ) -> None:
        self._waiting = list(frames)
        self._after = after
        self._state = CameraState.RUNNING
        self.dropped = dropped
        self.timeouts: list[float] = []

    @property
    def status(self) -> SourceStatus:
        while self._waiting and isinstance(self._waiting[0], CameraState):
            self._state = self._waiting.pop(0)
            break
        else:
            if not self._waiting:
                self._state = self._after
        reason = "" if self._state is CameraState.RUNNING else f"it is {self._state.value}"
        return SourceStatus(self._state, reason, 1.0, None, 0, "a camera", {"fps": 10.0})

    def newest(self, timeout: float) -> Frame | None:
        self.timeouts.append(timeout)
        if self._waiting and isinstance(self._waiting[0], Frame):
            return self._waiting.pop(0)
        time.sleep(min(timeout, 0.01))
        return None


@pytest.fixture
def frame() -> Callable[..., Frame]:
    """``frame("47", number=3)`` is a frame on which `reader` finds that."""
    return make_frame


@pytest.fixture
def reader() -> Reader:
    """Stands in for a classifier."""
    return Reader()


@pytest.fixture
def supply() -> Callable[..., Supply]:
    """``supply([frame, frame, CameraState.ABSENT, frame])`` gives one after the other."""
    return Supply


@pytest.fixture
def live_reading() -> Callable[..., LiveReading]:
    """``live_reading("47", changed=True)`` is a result of the loop."""

    def make(text: str = "", changed: bool = False, **others: Any) -> LiveReading:
        made = others.pop("frame", None) or make_frame(text)
        reading = Reader().read(made.pixels)
        return LiveReading(made, reading, text, changed, others.get("age_ms", 12.5), 0)

    return make


@pytest.fixture
def source_status() -> Callable[..., SourceStatus]:
    """``source_status(CameraState.ABSENT, "gone")`` is a source's state."""

    def make(state: CameraState, reason: str = "", **granted: Any) -> SourceStatus:
        return SourceStatus(state, reason, 1.0, None, 0, "a camera", granted)

    return make


@pytest.fixture
def deadline() -> Iterator[None]:
    """Ends a test that hangs as a failure, also within a system call. Not on Windows."""
    seconds = 60

    def overdue(number: int, stack: object) -> None:
        pytest.fail(f"it hung for {seconds} s")

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, overdue)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def free_port() -> Callable[[], int]:
    """``free_port()`` is a port of 127.0.0.1 that nobody listens on."""
    import socket

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


GOLDEN_PIXELS = np.random.default_rng(7).integers(0, 256, (2, 28, 28, 1), np.uint8)


class MakeBundle:
    """Makes bundles of the released models, as `flash` does."""

    def __init__(
        self, released_model: Callable[[str], Path], sign: Callable[[bytes], bytes]
    ) -> None:
        self._released_model = released_model
        self._sign = sign
        self.model = functools.cache(self._model)
        self._scores = functools.cache(lambda model: Classifier(model).scores(GOLDEN_PIXELS))

    def _model(self, variant: str, labels: str = "0123456789") -> bytes:
        """A released model; sealed anew where its labels are to be others."""
        sealed = load_sealed(self._released_model(variant))
        if labels == "0123456789":
            return self._released_model(variant).read_bytes()
        assert sealed.contract is not None
        return seal(sealed.flatbuffer, sealed.contract.replace(labels=tuple(labels)))

    def __call__(
        self,
        variant: str,
        counter: int = 1,
        *,
        labels: str = "0123456789",
        wrong: bool = False,
        signed: bool = True,
        sign: Callable[[bytes], bytes] | None = None,
        **fields: Any,
    ) -> bytes:
        model = self.model(variant, labels)
        scores = self._scores(model)
        golden = io.BytesIO()
        answers = np.roll(scores, 1, axis=1) if wrong else scores
        np.savez(golden, pixels=GOLDEN_PIXELS, scores=answers)
        facts: dict[str, Any] = {
            "name": "digits",
            "variant": variant,
            "tolerance": 0.05,
            "model": model,
            "golden": golden.getvalue(),
            "counter": counter,
            "created_at": "2026-11-20T12:00:00+00:00",
            "contract": {"height": 28, "width": 28, "channels": 1, "labels": list(labels)},
            "sign": (sign or self._sign) if signed else None,
        }
        return pack(**(facts | fields))


@pytest.fixture(scope="session")
def make_bundle(released_model: Callable[[str], Path], signer: Any) -> MakeBundle:
    """``make_bundle("int8", counter=3)`` is a bundle that the tests' devices take.

    ``wrong=True`` gives it answers of another model, ``signed=False`` no signature; further
    arguments are those of `pack`.
    """
    return MakeBundle(released_model, signer.sign)


@pytest.fixture
def write_settings(signer: Any) -> Callable[..., Path]:
    """``write_settings(folder, keep=1)`` writes a ``device.json`` that knows the tests' signer."""

    def write(folder: Path, **settings: Any) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        values = {"allowed_signers": str(signer.allowed), **settings}
        (folder / "device.json").write_text(json.dumps(values))
        return folder

    return write


@pytest.fixture
def empty_device(tmp_path: Path, write_settings: Callable[..., Path]) -> Path:
    """A folder without a model, whose device knows the tests' signer."""
    return write_settings(tmp_path / "models")


@pytest.fixture(scope="session")
def _installed_once(
    tmp_path_factory: pytest.TempPathFactory, make_bundle: MakeBundle, signer: Any
) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    (folder / "device.json").write_text(json.dumps({"allowed_signers": str(signer.allowed)}))
    receive(io.BytesIO(make_bundle("int8")), folder)
    return folder


@pytest.fixture
def installed(tmp_path: Path, _installed_once: Path) -> Path:
    """A folder in which int8 is active, its counter being 1."""
    return shutil.copytree(_installed_once, tmp_path / "models", symlinks=True)


@pytest.fixture
def fast_health(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the service count as steady after half a second."""
    from edge_runtime import device_health

    monkeypatch.setattr(device_health, "STEADY_S", 0.5)
    monkeypatch.setattr(device_health, "POLL_S", 0.1)
    monkeypatch.setattr(device_health, "FIRST_ANSWER_S", 1.0)
