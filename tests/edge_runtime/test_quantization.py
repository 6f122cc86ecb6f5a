import numpy as np
import pytest

from edge_runtime.errors import InputError
from edge_runtime.quantization import dequantize, normalize, quantize, softmax, top_k


def test_normalize_is_exactly_division_in_float32():
    pixels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(normalize(pixels, (0.0,), (255.0,)), pixels / np.float32(255))


def test_normalize_takes_one_mean_and_scale_a_channel():
    pixels = np.full((2, 2, 3), 100, np.uint8)
    result = normalize(pixels, (100.0, 90.0, 0.0), (1.0, 2.0, 50.0))
    assert result[0, 0].tolist() == [0.0, 5.0, 2.0]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
def test_int_input_outside_range_is_clipped(dtype):
    limits = np.iinfo(dtype)
    assert quantize([-1e9, 1e9, np.inf, -np.inf], 0.1, 3, dtype).tolist() == [
        limits.min,
        limits.max,
        limits.max,
        limits.min,
    ]


def test_halves_round_away_from_zero_as_the_quantize_kernel_does():
    assert quantize([0.5, 1.5, 2.5, -0.5, -1.5, 0.49], 1.0, 0, "int8").tolist() == [
        1,
        2,
        3,
        -1,
        -2,
        0,
    ]


def test_dequantize_undoes_quantize_to_half_a_step():
    values = np.linspace(-1, 1, 1001)
    back = dequantize(quantize(values, 0.01, 5, "int8"), 0.01, 5)
    assert np.abs(back - values).max() <= 0.005 + 1e-6


def test_dequantize_does_not_overflow_at_the_ends():
    assert dequantize(np.array([-128, 127], np.int8), 1.0, 127).tolist() == [-255.0, 0.0]
    assert dequantize(np.array([-32768], np.int16), 1.0, 100).tolist() == [-32868.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], 1.0, 0, "float32"), "cannot be quantized to float32; int8, uint8 or int16"),
        (([1.0], 0.0, 0, "int8"), "scale of 0.0 has no meaning"),
        (([float("nan")], 1.0, 0, "int8"), "NaN cannot be quantized"),
    ],
)
def test_quantize_refuses_what_has_no_integer(arguments, message):
    with pytest.raises(InputError, match=message):
        quantize(*arguments)


def test_softmax_of_large_logits_is_finite_and_sums_to_one():
    result = softmax(np.array([[1e30, 0.0], [-1e30, -1e30]]))
    assert result.tolist() == [[1.0, 0.0], [0.5, 0.5]]


def test_top_k_orders_by_score_and_ties_by_index():
    assert top_k(np.array([3, 9, 9, 1], np.uint8), 9).tolist() == [1, 2, 0, 3]
    with pytest.raises(InputError, match="top-k is 0"):
        top_k([0.5], 0)
    with pytest.raises(InputError, match="one score a class"):
        top_k([[0.5]], 1)
