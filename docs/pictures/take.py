"""Takes the pictures of the page that the guides show: page.png, dark.png, phone.png.

    python docs/pictures/take.py --data DIR     # DIR holds MNIST, as for python -m train

Needs Debian's chromium and the extras test and bench. The live picture is a page that
tests/pages.py draws, moved about a little as by a hand; the boxes and readings are real.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from pages import make_page  # noqa: E402

from edge_runtime import Classifier  # noqa: E402
from edge_runtime.frames import CameraState, Frame, LiveReading, SourceStatus  # noqa: E402
from edge_runtime.preview import Preview  # noqa: E402
from train.data import load  # noqa: E402

# What a guide should not exceed, for readers on slow lines.
MAX_BYTES = 150 * 1024
DESKTOP = {"viewport": {"width": 1120, "height": 1320}}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 1.5,
    "has_touch": True,
    "is_mobile": True,
}
# Kinds and seeds of pages that show something: see tests/pages.py.
LIVE, PHOTO = ("ruled", 4), ("ruled", 10)


def page_of(kind: tuple[str, int], data: Any, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A page of handwriting, RGB."""
    return make_page(*kind, data.x_train[:5000], data.y_train[:5000], size).pixels


def film(preview: Preview, pixels: NDArray[np.uint8], stop: threading.Event) -> None:
    """Reads the page again and again as a camera in a hand sees it."""
    classifier, number, dropped = Classifier(), 0, 0
    granted = {"width": 640, "height": 480, "format": "MJPG", "fps": 30}
    preview.publish_status(
        SourceStatus(CameraState.RUNNING, "", time.time(), None, 0, "/dev/video0", granted)
    )
    while not stop.wait(0.03):
        x, y = round(6 * np.sin(number / 9)), round(4 * np.cos(number / 7))
        moved = np.roll(pixels, (y, x), (0, 1))
        began = time.monotonic()
        reading = classifier.read(moved)
        age_ms = (time.monotonic() - began) * 1000
        frame = Frame(moved, number, time.time(), began, 4.1)
        preview.publish(LiveReading(frame, reading, reading.text, False, age_ms, dropped))
        number += 1


def draw(page: Any, strokes: list[list[tuple[float, float]]]) -> None:
    """Draws with the mouse; points are shares of the sheet's height."""
    area = page.locator("#draw-area")
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    for stroke in strokes:
        for index, (x, y) in enumerate(stroke):
            page.mouse.move(box["x"] + x * box["height"], box["y"] + y * box["height"], steps=4)
            if index == 0:
                page.mouse.down()
        page.mouse.up()


def take(browser: Any, preview: Preview, photo: Path, path: Path, **options: Any) -> None:
    """One picture of the page with something live, drawn and uploaded."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.goto(preview.url, wait_until="domcontentloaded")
    page.wait_for_selector("#stream:visible")
    seven = [(0.3, 0.22), (0.62, 0.22), (0.42, 0.78)]
    four = [[(0.98, 0.2), (0.85, 0.55), (1.25, 0.55)], [(1.16, 0.36), (1.1, 0.82)]]
    draw(page, [seven, *four])
    page.wait_for_selector("#draw-digits li")
    page.set_input_files("#file", photo)
    page.wait_for_selector("#photo-digits li")
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(1500)
    taken = Image.open(io.BytesIO(page.screenshot()))
    context.close()
    for colours in (256, 128, 64, 32):
        # This method keeps colours that are rare: those of small lights and thin boxes.
        small = taken.convert("RGB").quantize(
            colours, Image.Quantize.MAXCOVERAGE, kmeans=4, dither=Image.Dither.NONE
        )
        small.save(path, optimize=True)
        if path.stat().st_size <= MAX_BYTES:
            break
    print(f"{path}: {taken.width} × {taken.height}, {path.stat().st_size:,} bytes")


def main() -> None:
    """Takes all pictures."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    args = parser.parse_args()
    chromium = shutil.which("chromium") or sys.exit("apt-get install chromium")
    data = load(args.data)
    live = cv2.GaussianBlur(page_of(LIVE, data, (640, 480)), (3, 3), 0)
    with tempfile.TemporaryDirectory() as folder, Preview(Classifier, port=0) as preview:
        photo = Path(folder) / "page.png"
        pixels = cv2.GaussianBlur(page_of(PHOTO, data, (640, 480)), (3, 3), 0)
        cv2.imwrite(str(photo), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        stop = threading.Event()
        filming = threading.Thread(target=film, args=(preview, live, stop))
        filming.start()
        try:
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                take(browser, preview, photo, args.out / "page.png", **DESKTOP)
                take(browser, preview, photo, args.out / "dark.png", color_scheme="dark", **DESKTOP)
                take(browser, preview, photo, args.out / "phone.png", **PHONE)
                browser.close()
        finally:
            stop.set()
            filming.join()


if __name__ == "__main__":
    main()
