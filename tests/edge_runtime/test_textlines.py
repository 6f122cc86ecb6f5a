from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.context import believable
from edge_runtime.textlines import TextOrder, order_text, word_starts


def row(y: float, count: int, *, x: int = 20, pitch: int = 40, slope: float = 0.0) -> list[list]:
    return [[x + pitch * i, round(y + slope * pitch * i), 20, 30] for i in range(count)]


@pytest.mark.parametrize("slope", [0.0, 0.17, -0.17])
def test_tilted_lines_keep_together_whatever_the_order(slope: float) -> None:
    boxes = np.array(row(200, 12, slope=slope) + row(260, 12, slope=slope), np.intp)
    shuffle = np.random.default_rng(0).permutation(24)
    text = order_text(boxes[shuffle])
    assert [int(shuffle[i]) for i in text.order] == list(range(24))
    assert sorted(text.line) == [0] * 12 + [1] * 12


def test_words_far_apart_on_a_tilted_line_are_one_line() -> None:
    slope = 0.17
    words = [(20, 0), (60, 0), (100, 0), (500, 0), (540, 0), (580, 0)]
    boxes = [[x, round(y + 100 + slope * x), 20, 30] for y in (0, 60) for x, _ in words]
    assert order_text(np.array(boxes, np.intp)).line == [0] * 6 + [1] * 6


def test_small_and_tall_characters_share_a_line() -> None:
    boxes = np.array([[0, 100, 20, 60], [40, 130, 12, 30], [70, 98, 22, 62]], np.intp)
    assert order_text(boxes).line == [0, 0, 0]


def test_nothing_has_no_lines() -> None:
    assert order_text(np.empty((0, 4), np.intp)).order == []


def test_word_begins_after_a_wide_gap() -> None:
    boxes = np.array([*row(0, 3, pitch=25), *row(0, 2, x=200, pitch=25)], np.intp)
    assert word_starts(boxes).tolist() == [True, False, False, True, False]


def test_evenly_spaced_characters_are_one_word() -> None:
    assert word_starts(np.array(row(0, 6, pitch=60), np.intp)).tolist() == [True] + [False] * 5


def judged(
    boxes: np.ndarray,
    scores: list[float],
    ink: float | list[float] = 200.0,
    edge: int = -1,
    labels: str = "4" * 99,
) -> list[bool]:
    text: TextOrder = order_text(boxes)
    count = len(boxes)
    edges = np.arange(count) == edge
    inks = np.broadcast_to(np.array(ink, np.float64), (count,))
    return believable(
        boxes,
        np.array(scores),
        labels[:count],
        inks,
        edges,
        np.zeros(count, bool),
        text,
        0.9,
        (480, 640),
    ).tolist()


def test_doubtful_character_among_sure_ones_is_believed() -> None:
    boxes = np.array(row(100, 4), np.intp)
    assert judged(boxes, [0.9999, 0.6, 0.9999, 0.9999]) == [True] * 4
    assert judged(boxes[:1], [0.6]) == [False]


def test_sure_character_among_doubtful_ones_is_not() -> None:
    assert judged(np.array(row(100, 5), np.intp), [0.3, 0.99, 0.4, 0.5, 0.2]) == [False] * 5


def test_word_like_so_in_prose_is_no_number() -> None:
    # Words of three, of which one letter each looks like nothing; and one of two that looks sure.
    boxes = np.array([b for x in (0, 150, 300) for b in row(0, 3, x=x, pitch=25)], np.intp)
    prose = np.concatenate([boxes, row(0, 2, x=450, pitch=25)])
    scores = [0.3, 0.99, 0.4] * 3 + [0.9999, 0.9999]
    assert judged(prose, scores, labels="850" * 3 + "50")[-2:] == [False, False]
    assert judged(prose, scores, labels="850" * 3 + "73")[-2:] == [True, True]


def test_zeros_and_fives_alone_are_a_number_however_long() -> None:
    boxes = np.array(row(100, 40, pitch=15), np.intp)
    assert judged(boxes, [0.9999] * 40, labels="50" * 20) == [True] * 40


def test_character_of_another_size_or_ink_or_at_an_edge_is_not() -> None:
    boxes = np.array(row(100, 4), np.intp)
    sure = [0.9999] * 4
    large = boxes.copy()
    large[3] = (300, 20, 130, 200)
    assert judged(large, sure) == [True, True, True, False]
    assert judged(boxes, sure, [200, 200, 200, 40]) == [True, True, True, False]
    assert judged(boxes, sure, edge=1) == [True, False, True, True]


def test_lone_bar_is_a_one_only_if_it_is_no_line() -> None:
    assert judged(np.array([[300, 200, 12, 50]], np.intp), [0.9999]) == [True]
    assert judged(np.array([[300, 200, 4, 50]], np.intp), [0.9999]) == [False]
    assert judged(np.array([[300, 20, 60, 400]], np.intp), [0.9999]) == [False]
