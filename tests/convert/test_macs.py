from __future__ import annotations

import pytest

from convert.macs import multiply_accumulates


@pytest.mark.parametrize(
    ("operator", "inputs", "output", "expected"),
    [
        # 5x5 outputs of 8 channels, each from a 3x3 window of 4 channels
        ("CONV_2D", [(1, 7, 7, 4), (8, 3, 3, 4), (8,)], (1, 5, 5, 8), 5 * 5 * 8 * 3 * 3 * 4),
        # two groups: every output sees half of the channels
        ("CONV_2D", [(1, 7, 7, 4), (8, 3, 3, 2), (8,)], (1, 5, 5, 8), 5 * 5 * 8 * 3 * 3 * 2),
        ("DEPTHWISE_CONV_2D", [(1, 7, 7, 4), (1, 3, 2, 8)], (1, 5, 6, 8), 5 * 6 * 8 * 3 * 2),
        ("FULLY_CONNECTED", [(1, 20), (6, 20), (6,)], (1, 6), 6 * 20),
        # a dense layer over 5 positions
        ("FULLY_CONNECTED", [(1, 5, 20), (6, 20)], (1, 5, 6), 5 * 6 * 20),
        ("TRANSPOSE_CONV", [(4,), (8, 3, 3, 4), (1, 5, 5, 4)], (1, 10, 10, 8), 25 * 4 * 9 * 8),
        ("MAX_POOL_2D", [(1, 4, 4, 2)], (1, 2, 2, 2), 0),
        ("BATCH_MATMUL", [(1, 4, 4), (1, 4, 4)], (1, 4, 4), None),
    ],
)
def test_multiply_accumulates_are_those_of_the_layer_formula(
    operator: str, inputs: list[tuple[int, ...]], output: tuple[int, ...], expected: int | None
) -> None:
    assert multiply_accumulates(operator, inputs, [output]) == expected


def test_a_filter_of_another_rank_is_an_error() -> None:
    with pytest.raises(ValueError, match="unpack"):
        multiply_accumulates("CONV_2D", [(1, 7, 7, 4), (8, 3)], [(1, 5, 5, 8)])
    with pytest.raises(LookupError):
        multiply_accumulates("FULLY_CONNECTED", [(1, 7)], [(1, 5)])
