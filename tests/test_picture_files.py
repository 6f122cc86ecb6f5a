"""Digits that arrive as picture files are read as well as the arrays they were made from.

The whole way counts: PNG encoder, file, decoder, ink fit, interpreter. With $MNIST_DIR the allowed
loss is judged on the 10,000 test images. On the 1,000 images of the fallback one image is 0.1
points, and chance alone takes a true loss of 0.1 or 0.3 points (1 or 3 images) to 4 or 7 images
once in forty times (Poisson distribution), so that much is allowed there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import Classifier
from edge_runtime.images import decode_image

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed; pip install -e '.[camera]'")

ALLOWED_IMAGES_OF_1000 = {0.1: 4, 0.3: 7}
BATCH = 500


@pytest.fixture(scope="module")
def digits() -> Classifier:
    return Classifier()


@pytest.fixture(scope="module")
def correct_as_arrays(digits, mnist_test) -> np.ndarray:
    """Which test images are read correctly when nothing is fitted."""
    images, labels = mnist_test
    scores = [digits.scores(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
    return np.concatenate(scores).argmax(axis=1) == labels


@pytest.fixture
def folder(request, tmp_path, mnist_test) -> Path:
    """The test images as PNG files, dark on light where the test's parameter says so."""
    images, labels = mnist_test
    for index, (image, label) in enumerate(zip(images[:, :, :, 0], labels, strict=True)):
        stored = 255 - image if request.param == "dark on light" else image
        assert cv2.imwrite(str(tmp_path / f"{index:05}_{label}.png"), stored)
    return tmp_path


def enlarged(image: np.ndarray, interpolation: int) -> np.ndarray:
    """Four times as large, with a border of 15 %."""
    large = cv2.resize(image, None, fx=4, fy=4, interpolation=interpolation)
    return np.pad(large, round(0.15 * len(large)))


def read(digits: Classifier, pictures: Iterable[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Which pictures are read correctly, each having been through the PNG format."""
    fitted = []
    for picture in pictures:
        done, data = cv2.imencode(".png", picture)
        assert done
        fitted.append(digits.prepare(decode_image(data.tobytes(), "picture.png")))
    answers = []
    for first in range(0, len(fitted), BATCH):
        answers += digits.predict(fitted[first : first + BATCH], top_k=1)
    return np.array([answer.index for answer in answers]) == labels


def assert_within(points: float, correct: np.ndarray, reference: np.ndarray) -> None:
    """Accuracies differ by at most `points`; the fit loses no more than chance allows it."""
    images = len(reference)
    difference = int(correct.sum()) - int(reference.sum())
    allowed = points / 100 * images if images >= 10_000 else ALLOWED_IMAGES_OF_1000[points]
    print(f"{difference:+} of {images} images, {difference / images * 100:+.2f} points")
    assert abs(difference) <= allowed


@pytest.mark.parametrize("folder", ["light on dark", "dark on light"], indirect=True)
def test_folder_of_png_files_is_read_like_the_arrays(folder, correct_as_arrays):
    command = [sys.executable, "-m", "edge_runtime", "classify", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    names = [Path(record["path"]).name for record in records]
    assert names == sorted(path.name for path in folder.iterdir())
    correct = [name.endswith(f"_{r['label']}.png") for name, r in zip(names, records, strict=True)]
    assert_within(0.1, np.array(correct), correct_as_arrays)


@pytest.mark.parametrize(
    ("interpolation", "points"),
    [(cv2.INTER_NEAREST, 0.1), (cv2.INTER_LINEAR, 0.3), (cv2.INTER_CUBIC, 0.3)],
    ids=["nearest neighbour", "bilinear", "bicubic"],
)
def test_enlarged_pictures_are_read_like_the_arrays(
    interpolation: int,
    points: float,
    digits: Classifier,
    mnist_test: tuple[np.ndarray, np.ndarray],
    correct_as_arrays: np.ndarray,
) -> None:
    images, labels = mnist_test
    pictures = (enlarged(image, interpolation) for image in images[:, :, :, 0])
    assert_within(points, read(digits, pictures, labels), correct_as_arrays)


PAPERS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "shaded": lambda ink, rng: (1 - 0.5 * np.linspace(0, 1, ink.shape[1])) * (215 - 175 * ink),
    "pencil": lambda ink, rng: 215 - 60 * ink + rng.normal(0, 4, ink.shape),
    "noisy": lambda ink, rng: 200 - 150 * ink + rng.normal(0, 14, ink.shape),
    "blackboard": lambda ink, rng: 40 + 150 * ink + rng.normal(0, 5, ink.shape),
}


@pytest.mark.parametrize("paper", PAPERS)
def test_digits_on_paper_are_read_like_the_arrays(paper, digits, mnist_test, correct_as_arrays):
    # Judged on images of the arrays' own: what is lost is the fit's doing.
    images, labels = mnist_test[0][:500, :, :, 0], mnist_test[1][:500]
    rng = np.random.default_rng(0)
    pictures = []
    for image in images:
        ink = np.zeros((150, 200))
        top, left = rng.integers(0, 150 - 112), rng.integers(0, 200 - 112)
        large = cv2.resize(image, (112, 112), interpolation=cv2.INTER_CUBIC)
        ink[top : top + 112, left : left + 112] = large / 255
        pictures.append(PAPERS[paper](ink, rng).clip(0, 255).astype(np.uint8))
    lost = correct_as_arrays[:500] & ~read(digits, pictures, labels)
    assert lost.sum() <= 5
