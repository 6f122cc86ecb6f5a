from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edge_runtime import Classifier, Reading, characters
from edge_runtime.contract import ModelContract
from edge_runtime.page import read_page
from edge_runtime.strokes import find_strokes

cv2 = pytest.importorskip("cv2")

SIZE = (640, 480)


@pytest.fixture(scope="module")
def classifier(released_model: Callable[[str], Path]) -> Classifier:
    return Classifier(released_model("int8"))


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """`tests/pages.py`, which no package holds."""
    folder = Path(__file__).resolve().parent.parent
    spec = importlib.util.spec_from_file_location("page_generator", folder / "pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


@pytest.fixture(scope="module")
def digits(mnist_test: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    images, labels = mnist_test
    return images[:500, :, :, 0] if images.ndim == 4 else images[:500], labels[:500]


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    return wide * high / (a[2] * a[3] + b[2] * b[3] - wide * high)


def right(page: Any, reading: Reading) -> int:
    return sum(
        any(
            not digit.rejected
            and digit.label == str(truth.label)
            and overlap(truth.box, digit.box) > 0.3
            for digit in reading.digits
        )
        for truth in page.digits
    )


def laid(digits: tuple[np.ndarray, np.ndarray], rows: list[list[tuple[int, int, int]]]) -> Any:
    """Dark digits on light paper: for each its index, x and y."""
    page = np.full((480, 640), 225, np.uint8)
    for row in rows:
        for index, x, y in row:
            large = digits[0][index].repeat(2, 0).repeat(2, 1)
            part = page[y : y + 56, x : x + 56]
            np.minimum(part, 225 - (large * 0.75).astype(np.uint8), out=part)
    return page


def labels_of(digits: tuple[np.ndarray, np.ndarray], *indices: int) -> str:
    return "".join(str(digits[1][index]) for index in indices)


# Two pages of each, among them hard ones; `python -m benchmarks pages` measures many.
@pytest.mark.parametrize(
    "kind",
    [
        "plain", "hard shadow", "ruled", "squared", "textured", "pencil", "ball pen",
        "chalk on a board", "tilted", "perspective", "compressed", "noise and blur",
        "different sizes", "crossed sevens", "sheet on a desk", "thumb",
    ],
)  # fmt: skip
def test_digits_on_a_page_are_read(
    classifier: Classifier, generator: ModuleType, digits: tuple[np.ndarray, np.ndarray], kind: str
) -> None:
    pages = [generator.make_page(kind, seed, *digits, SIZE) for seed in (7001, 7002)]
    count = sum(len(page.digits) for page in pages)
    read = sum(right(page, classifier.read(page.pixels)) for page in pages)
    assert read >= 0.85 * count, f"{read} of {count}"


def test_pages_without_digits_give_hardly_any(
    classifier: Classifier, generator: ModuleType, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    false = {
        kind: classifier.read(
            generator.make_page(f"no digits: {kind}", 7001, *digits, SIZE).pixels
        ).text
        for kind in generator.EMPTY
    }
    assert sum(len(text) for text in false.values()) <= 1, false


def test_negative_of_a_page_reads_the_same(
    classifier: Classifier, generator: ModuleType, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    page = generator.make_page("plain", 7003, *digits, SIZE)
    text = classifier.read(page.pixels).text
    assert len(text) > 5
    assert classifier.read(255 - page.pixels).text == text


def test_text_has_lines_and_spaces_in_reading_order(
    classifier: Classifier, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    good = surely_read(classifier, digits, 6)
    a, b, c, d, e, f = good
    page = laid(digits, [[(a, 40, 60), (b, 90, 64), (c, 400, 60)], [(d, 60, 250), (e, 110, 246)]])
    reading = classifier.read(page)
    expected = f"{labels_of(digits, a, b)} {labels_of(digits, c)}\n{labels_of(digits, d, e)}"
    assert reading.text == expected
    assert [digit.line for digit in reading.digits] == [0, 0, 0, 1, 1]
    assert f not in (a, b)


def surely_read(
    classifier: Classifier, digits: tuple[np.ndarray, np.ndarray], count: int
) -> list[int]:
    """Indices of digits that nobody could mistake, none of them a 1."""
    scores = classifier.scores(digits[0][:, :, :, np.newaxis])
    sure = (scores.max(1) > 0.999) & (scores.argmax(1) == digits[1]) & (digits[1] != 1)
    return np.flatnonzero(sure)[:count].tolist()


def test_boxes_lie_around_the_digits(
    classifier: Classifier, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    (index,) = surely_read(classifier, digits, 1)
    page = laid(digits, [[(index, 300, 200)]])
    (digit,) = classifier.read(page).digits
    rows, columns = np.nonzero(page < 150)
    x, y, width, height = digit.box
    assert abs(x - columns.min()) <= 3
    assert abs(y - rows.min()) <= 3
    assert abs(x + width - columns.max()) <= 4
    assert abs(y + height - rows.max()) <= 4


def test_large_photo_has_boxes_in_its_own_pixels(
    classifier: Classifier, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    (index,) = surely_read(classifier, digits, 1)
    page = laid(digits, [[(index, 300, 200)]])
    large = page.repeat(5, 0).repeat(5, 1)
    (small,), (digit,) = classifier.read(page).digits, classifier.read(large).digits
    assert digit.label == small.label
    assert np.allclose(np.array(digit.box) / 5, small.box, atol=3)


def test_mnist_image_is_a_page_of_one_digit(
    classifier: Classifier, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    indices = surely_read(classifier, digits, 30)
    texts = [classifier.read(digits[0][index]).text for index in indices]
    assert sum(
        text == str(digits[1][index]) for text, index in zip(texts, indices, strict=True)
    ) >= 0.9 * len(indices)


def test_inputs_are_what_the_model_saw(
    classifier: Classifier, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    a, b = surely_read(classifier, digits, 2)
    reading = classifier.read(laid(digits, [[(a, 40, 60), (b, 200, 64)]]))
    assert reading.inputs.shape == (2, 28, 28, 1)
    answers = classifier.scores(reading.inputs)
    for digit, answer in zip(reading.digits, answers, strict=True):
        assert np.allclose(digit.probabilities, answer, atol=1e-6)
        assert digit.score == pytest.approx(float(answer.max()))


def test_digits_of_a_frame_are_one_batch(
    classifier: Classifier, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    indices = surely_read(classifier, digits, 10)
    page = laid(digits, [[(i, 20 + 60 * n, 100) for n, i in enumerate(indices)]])
    sizes: list[int] = []

    def counted(inputs: np.ndarray) -> np.ndarray:
        sizes.append(len(inputs))
        return classifier.scores(inputs)

    read_page(page[:, :, np.newaxis], classifier.contract, counted, classifier.threshold)
    assert len(sizes) == 1
    assert sizes[0] >= 10


def test_threshold_rejects_what_the_model_doubts(
    classifier: Classifier, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    (index,) = surely_read(classifier, digits, 1)
    page = laid(digits, [[(index, 300, 200)]])

    def doubtful(inputs: np.ndarray) -> np.ndarray:
        return np.full((len(inputs), 10), 0.1, np.float32)

    reading = read_page(page[:, :, np.newaxis], classifier.contract, doubtful, 0.5)
    assert reading.text == ""
    assert [digit.rejected for digit in reading.digits] == [True]


def test_touching_digits_are_cut_where_the_model_is_sure_of_both(
    classifier: Classifier, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    indices = surely_read(classifier, digits, 60)
    # A line of digits that are sure, without which no cut is believed.
    company = [(index, 20 + 80 * n, 380) for n, index in enumerate(indices[:6])]
    cut = 0
    for a, b in zip(indices[::2], indices[1::2], strict=True):
        page = laid(digits, [[(a, 200, 200), (b, 238, 200)], company])
        page[226:229, 225:262] = 100  # A stroke that joins them.
        lines = classifier.read(page).text.splitlines()
        cut += lines[0] == labels_of(digits, a, b)
    assert cut >= 8, f"{cut} of {len(indices) // 2}"


@pytest.mark.parametrize(("apart", "text"), [(31, ""), (0, "8")])
def test_wide_character_whose_halves_are_digits_too_is_rejected(
    classifier: Classifier, apart: int, text: str
) -> None:
    page = np.zeros((480, 640), np.uint8)
    for x in (300, 300 + apart):
        cv2.ellipse(page, (x, 200), (14, 28), 0, 0, 360, 255, 5)

    def scores(inputs: np.ndarray) -> np.ndarray:
        # Neither sure enough to be cut, nor much less sure than the whole.
        answers = np.zeros((len(inputs), 10), np.float32)
        answers[:, 8] = 0.95 if len(inputs) == 1 else 0.985
        return answers

    reading = read_page(page[:, :, np.newaxis], classifier.contract, scores, 0.66)
    assert (reading.text, [digit.rejected for digit in reading.digits]) == (text, [not text])


def test_no_more_groups_are_looked_at_than_a_page_holds(
    monkeypatch: pytest.MonkeyPatch, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    monkeypatch.setattr(characters, "MAX_GROUPS", 3)
    page = laid(digits, [[(index, 20 + 60 * index, 100) for index in range(10)]])
    assert len(characters.find_groups(find_strokes(page)).groups) == 3


def test_touching_digits_are_never_one_confident_digit_where_that_is_wide(
    classifier: Classifier, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    indices = surely_read(classifier, digits, 40)
    wrong = 0
    for a, b in zip(indices[::2], indices[1::2], strict=True):
        page = laid(digits, [[(a, 200, 200), (b, 238, 200)]])
        accepted = [d for d in classifier.read(page).digits if not d.rejected]
        truth = labels_of(digits, a, b)
        wrong += bool(accepted) and "".join(d.label for d in accepted) != truth
    assert wrong <= 3


def test_model_of_something_else_sees_the_whole_picture() -> None:
    contract = ModelContract("colours", ("red", "green"), 4, 4, 3, fit="stretch")

    def green(inputs: np.ndarray) -> np.ndarray:
        assert inputs.shape == (1, 4, 4, 3)
        return np.array([[0.2, 0.8]], np.float32)

    picture = np.zeros((30, 20, 3), np.uint8)
    reading = read_page(picture, contract, green, 0.5)
    assert reading.text == "green"
    assert tuple(reading.digits[0].box) == (0, 0, 20, 30)
    rejected = read_page(picture, contract, green, 0.9)
    assert rejected.text == ""
    assert rejected.digits[0].rejected


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((1, 1), np.uint8),
        np.full((1, 1, 3), 255, np.uint8),
        np.zeros((1, 500), np.uint8),
        np.full((700, 1), 9, np.uint8),
        np.zeros((480, 640), np.uint8),
        np.full((300, 300, 3), 255, np.uint8),
        np.full((2, 2), 100, np.uint8),
        np.arange(300, dtype=np.uint8).reshape(3, 100),
    ],
    ids=lambda picture: "x".join(map(str, picture.shape)),
)
def test_nothing_to_read_gives_no_text(classifier: Classifier, picture: np.ndarray) -> None:
    reading = classifier.read(picture)
    assert reading.text == ""
    assert reading.inputs.shape == (len(reading.digits), 28, 28, 1)


@pytest.mark.parametrize(("width", "text"), [(14, "1"), (3, "")], ids=["pen", "line"])
def test_upright_stroke_alone_is_a_one_if_a_pen_drew_it(
    classifier: Classifier, width: int, text: str
) -> None:
    picture = np.full((360, 480), 255, np.uint8)
    picture[80:280, 240 : 240 + width] = 20
    assert classifier.read(picture).text == text


def test_much_noise_ends(classifier: Classifier) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3000, 4000), np.uint8)
    began = time.monotonic()
    reading = classifier.read(noise)
    assert time.monotonic() - began < 60
    assert len(reading.text) < 20


def test_sheet_of_blocks_ends(classifier: Classifier) -> None:
    """More things than a page can hold."""
    random = np.random.default_rng(1)
    blocks = random.integers(0, 2, (250, 330), np.uint8).repeat(8, 0).repeat(8, 1) * np.uint8(255)
    began = time.monotonic()
    classifier.read(blocks)
    assert time.monotonic() - began < 120
