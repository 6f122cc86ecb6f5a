"""Draws the video for webcam.sh: ``webcam_video.py VIDEO TRUTH``.

Pages of handwritten digits, each shown for two seconds, with a sensor's noise; TRUTH is a JSON list
of their texts.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import cv2
import numpy as np

from train import data

WIDTH, HEIGHT, FPS, SECONDS_A_PAGE = 640, 480, 10, 2
DIGITS_A_PAGE, DIGIT_SIDE = 5, 96
PAGES = 4
PAPER, INK = 225, 40


def main(video: Path, truth: Path) -> None:
    random = np.random.default_rng(7)
    digits = data.load(os.environ.get("MNIST_DIR", "mnist"))
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), FPS, (WIDTH, HEIGHT))
    texts = []
    for chosen in random.choice(len(digits.x_test), (PAGES, DIGITS_A_PAGE), replace=False):
        page = np.full((HEIGHT, WIDTH), PAPER, np.float32)
        for place, index in enumerate(chosen):
            size = (DIGIT_SIDE, DIGIT_SIDE)
            strokes = cv2.resize(digits.x_test[index][:, :, 0], size, interpolation=cv2.INTER_CUBIC)
            y, x = HEIGHT // 2 - DIGIT_SIDE // 2, 40 + place * (DIGIT_SIDE + 20)
            part = page[y : y + DIGIT_SIDE, x : x + DIGIT_SIDE]
            part -= strokes.astype(np.float32) / 255 * (PAPER - INK)
        texts.append("".join(str(digits.y_test[index]) for index in chosen))
        for _ in range(FPS * SECONDS_A_PAGE):
            noisy = np.clip(page + random.normal(0, 3, page.shape), 0, 255).astype(np.uint8)
            writer.write(cv2.cvtColor(noisy, cv2.COLOR_GRAY2BGR))
    writer.release()
    truth.write_text(json.dumps(texts))
    print(f"{PAGES} pages: {', '.join(texts)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
