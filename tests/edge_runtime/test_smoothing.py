from __future__ import annotations

import random

import pytest

from edge_runtime.errors import InputError
from edge_runtime.smoothing import SteadyText


def steady_texts(stable: int, *texts: str) -> list[str]:
    steady = SteadyText(stable)
    shown = []
    for text in texts:
        before = steady.text
        assert steady.update(text) is (steady.text != before)
        shown.append(steady.text)
    return shown


def test_without_smoothing_every_frame_counts() -> None:
    assert steady_texts(1, "7", "", "7", "1") == ["7", "", "7", "1"]


def test_a_text_is_steady_once_enough_frames_agree() -> None:
    assert steady_texts(3, "7", "7", "7", "7") == ["", "", "7", "7"]


@pytest.mark.parametrize("odd", ["1", "", "77"])
def test_a_single_odd_frame_changes_nothing(odd: str) -> None:
    for stable in (2, 3, 5):
        shown = steady_texts(stable, *["7"] * 6, odd, *["7"] * 6, odd, "7")
        assert set(shown[5:]) == {"7"}


def test_an_empty_page_must_be_as_steady_as_any_other() -> None:
    assert steady_texts(2, "7", "7", "", "7", "", "") == ["", "7", "7", "7", "7", ""]


def test_two_readings_that_alternate_for_ever_change_nothing() -> None:
    shown = steady_texts(2, "7", "7", *["1", "7"] * 50)
    assert set(shown[1:]) == {"7"}
    shown = steady_texts(3, *["7"] * 3, *["1", "2"] * 50)
    assert set(shown[2:]) == {"7"}


def test_an_odd_frame_delays_a_real_change_but_does_not_start_it_anew() -> None:
    shown = steady_texts(4, *["7"] * 4, "1", "1", "1", "7", "1", "1", "1")
    assert shown[3:] == ["7"] * 6 + ["1", "1"]


def test_a_change_never_comes_with_fewer_agreeing_frames_than_asked_for() -> None:
    random_numbers = random.Random(4)
    for stable in (2, 3, 5):
        texts = [random_numbers.choice(["7", "7", "1", ""]) for _ in range(3000)]
        shown = steady_texts(stable, *texts)
        began = 0
        for i in range(1, len(texts)):
            if shown[i] != shown[i - 1]:
                assert texts[began : i + 1].count(shown[i]) >= stable
                assert texts[i] == shown[i]
                began = i + 1


def test_less_than_one_frame_is_refused() -> None:
    with pytest.raises(InputError, match="stable is 0; a whole number from 1 was expected"):
        SteadyText(0)
