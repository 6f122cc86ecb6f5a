"""Draws the video for pi.sh: ``page_video.py VIDEO TRUTH``.

One frame for each kind of page in tests/pages.py, with MNIST's test digits; TRUTH is a JSON list
of their texts, a line of digits a line of text. The video is lossless (FFV1): decoders of JPEG
differ by a grey level between processors, and a box then by a pixel.
"""

from __future__ import annotations

import json
import os
import sys
from itertools import groupby
from pathlib import Path

import cv2

from benchmarks.pages import load_generator
from train import data

SIZE, FPS = (640, 480), 10
SEED = 11


def main(video: Path, truth: Path) -> None:
    generator = load_generator()
    digits = data.load(os.environ.get("MNIST_DIR", "mnist"))
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"FFV1"), FPS, SIZE)
    texts = []
    for kind in generator.PAPERS:
        page = generator.make_page(kind, SEED, digits.x_test, digits.y_test, SIZE)
        writer.write(cv2.cvtColor(page.pixels, cv2.COLOR_RGB2BGR))
        lines = groupby(page.digits, lambda digit: digit.line)
        texts.append("\n".join("".join(str(d.label) for d in line) for _, line in lines))
    writer.release()
    truth.write_text(json.dumps(texts))
    print(f"{len(texts)} frames, {sum(len(text.split()) for text in texts)} lines of digits")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
