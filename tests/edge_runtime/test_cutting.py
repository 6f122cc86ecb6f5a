from __future__ import annotations

from edge_runtime.cutting import may_be_two
from edge_runtime.reading import Box

WIDE, USUAL = Box(0, 0, 40, 30), Box(0, 0, 27, 30)


def test_wide_character_is_doubted_if_its_halves_are_as_sure() -> None:
    assert may_be_two(WIDE, 0.99, 0.99, touching=False)
    assert not may_be_two(WIDE, 0.9999, 0.99, touching=False)
    assert not may_be_two(USUAL, 0.99, 0.99, touching=False)


def test_less_is_needed_where_others_touch() -> None:
    assert not may_be_two(USUAL, 0.99, 0.99, touching=False)
    assert may_be_two(USUAL, 0.99, 0.99, touching=True)


def test_certainty_has_an_end() -> None:
    assert not may_be_two(USUAL, 1.0, 1.0, touching=False)
