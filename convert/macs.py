"""Multiply-accumulates of one operator, from the shapes of its tensors."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

__all__ = ["multiply_accumulates"]

Shape = Sequence[int]

# These multiply too, and have no formula here; they are reported as unknown, never as nothing.
UNKNOWN = frozenset(
    {
        "BATCH_MATMUL",
        "BIDIRECTIONAL_SEQUENCE_LSTM",
        "BIDIRECTIONAL_SEQUENCE_RNN",
        "CONV_3D",
        "CONV_3D_TRANSPOSE",
        "CUSTOM",
        "DELEGATE",
        "LSTM",
        "RNN",
        "SVDF",
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        "UNIDIRECTIONAL_SEQUENCE_RNN",
        "WHILE",
    }
)


def multiply_accumulates(
    operator: str, inputs: Sequence[Shape], outputs: Sequence[Shape]
) -> int | None:
    """Multiply-accumulates of one operator for one picture.

    One multiplication with its addition counts as one; biases and activations are left out, as is
    usual. With the layouts of the TensorFlow Lite operator specification:

    - CONV_2D, filter (out, h, w, in / groups): elements of the output x h x w x in / groups
    - DEPTHWISE_CONV_2D, filter (1, h, w, out): elements of the output x h x w
    - FULLY_CONNECTED, weights (units, in): elements of the output x in
    - TRANSPOSE_CONV, filter (out, h, w, in), third input the picture: elements of the input x
      h x w x out, because every input value is spread over a window of every output channel

    Args:
        operator: The operator's name in the schema.
        inputs: The shapes of its inputs, in order.
        outputs: The shapes of its outputs, in order.

    Returns:
        The count; 0 for operators that add, compare or move; None for those that multiply and
        have no formula here.

    Raises:
        LookupError: Inputs or outputs are missing.
        ValueError: A filter has another rank than the specification says.

    >>> multiply_accumulates("CONV_2D", [(1, 28, 28, 1), (32, 3, 3, 1)], [(1, 26, 26, 32)])
    194688
    """
    if operator == "CONV_2D":
        _, height, width, depth = inputs[1]
        return prod(outputs[0]) * height * width * depth
    if operator == "DEPTHWISE_CONV_2D":
        _, height, width, _ = inputs[1]
        return prod(outputs[0]) * height * width
    if operator == "FULLY_CONNECTED":
        _, depth = inputs[1]
        return prod(outputs[0]) * depth
    if operator == "TRANSPOSE_CONV":
        channels, height, width, _ = inputs[1]
        return prod(inputs[2]) * height * width * channels
    return None if operator in UNKNOWN else 0
