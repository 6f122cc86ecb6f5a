from __future__ import annotations

import pytest

from convert.tables import text_table


def test_columns_of_numbers_stand_right_and_words_left() -> None:
    assert text_table(["name", "count"], [["a", "5"], ["longer", "1,000"]]).splitlines() == [
        "name    count",
        "a           5",
        "longer  1,000",
    ]


def test_a_table_without_rows_is_its_header() -> None:
    assert text_table(["name", "count"], []) == "name  count"


def test_a_row_of_another_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        text_table(["name", "count"], [["a"]])
