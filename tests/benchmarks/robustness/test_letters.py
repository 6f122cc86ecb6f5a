from __future__ import annotations

from collections import Counter

import numpy as np

from benchmarks.robustness.letters import FONTS, LETTERS, LIKE_DIGITS, on_paper, printed_letters


def test_every_letter_comes_once_in_every_font_before_one_comes_again() -> None:
    images, drawn = printed_letters(len(FONTS) * 52, 1)
    assert images.shape == (364, 112, 112)
    assert Counter(drawn) == dict.fromkeys(LETTERS, len(FONTS))
    assert set(LIKE_DIGITS) < set(LETTERS)


def test_first_letters_do_not_depend_on_how_many_are_asked_for() -> None:
    few, many = printed_letters(5, 2), printed_letters(400, 2)
    assert few[1] == many[1][:5]
    assert (few[0] == many[0][:5]).all()
    assert printed_letters(20, 3)[1] != many[1][:20]


def test_letters_fill_the_box_in_the_middle() -> None:
    images, _ = printed_letters(200, 4)
    for image in images:
        rows, columns = (np.flatnonzero((image > 127).any(axis=axis)) for axis in (1, 0))
        assert 55 <= max(np.ptp(rows), np.ptp(columns)) <= 100
        for place in (rows, columns):
            assert abs((place[0] + place[-1]) / 2 - 55.5) < 9
        assert image.max() > 200


def test_same_letter_is_drawn_otherwise_each_time() -> None:
    images, drawn = printed_letters(3 * 364, 5)
    same = images[[letter == "K" for letter in drawn]]
    assert len(np.unique(same, axis=0)) == len(same) == 21


def test_letters_on_paper_are_dark_on_light() -> None:
    images, _ = printed_letters(10, 6)
    for coverage, picture in zip(images, on_paper(images, 7), strict=True):
        assert picture.shape == coverage.shape
        paper, ink = picture[coverage == 0], picture[coverage == 255]
        assert np.median(paper) > 150
        assert np.median(ink) < 0.4 * np.median(paper)
    assert (on_paper(images, 7)[3] == on_paper(images[:4], 7)[3]).all()
