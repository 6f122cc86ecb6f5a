"""Numbers on a command line."""

from __future__ import annotations

import argparse

import pytest

from edge_runtime.cli.numbers import decimal_number, probability, whole_number


@pytest.mark.parametrize("text", ["0", "-3", "+3", "1.5", "x", "", " 3", "1_000", "٣", "9" * 5000])
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a whole number from 1$"):
        whole_number(1)(text)


def test_whole_numbers_have_limits_and_a_name() -> None:
    port = whole_number(0, 65535, "port")
    assert [port(text) for text in ("0", "080", "65535")] == [0, 80, 65535]
    with pytest.raises(argparse.ArgumentTypeError, match="'65536' is not a port from 0 to 65535"):
        port("65536")


def test_decimal_numbers_take_their_limits_and_nothing_beyond() -> None:
    percentage = decimal_number(0, 100)
    assert [percentage(text) for text in ("0", "12.5", "1e2")] == [0, 12.5, 100]
    for text in ("-0.1", "100.1", "nan", "inf", "ten", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="is not a number from 0 to 100"):
            percentage(text)
    with pytest.raises(argparse.ArgumentTypeError, match="'2' is not a probability from 0 to 1"):
        probability("2")
