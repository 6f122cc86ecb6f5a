"""Whether a converted model may be used: its tensors, and its answers in every interpreter.

That a file loads proves nothing. A file has been seen that loads in tflite-runtime 2.14 without a
word and answers at random, so each variant is asked about real pictures in each interpreter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_runtime.backend import backends
from edge_runtime.errors import EdgeRuntimeError, InterpreterUnavailableError

from .answers import answers
from .inspect import ModelReport, Tensor, inspect_model
from .parity import agreement
from .recipes import Recipe

__all__ = [
    "BackendCheck",
    "ConversionError",
    "Reference",
    "available_backends",
    "check_answers",
    "check_tensors",
]


class ConversionError(EdgeRuntimeError, RuntimeError):
    """A variant could not be made, or does not hold what its recipe promises.

    Attributes:
        log: What TensorFlow wrote while it failed; empty if it did not fail itself.
    """

    def __init__(
        self, happened: str, expected: str = "", remedy: str = "", *, log: str = ""
    ) -> None:
        """As `EdgeRuntimeError`, with the log beside it."""
        super().__init__(happened, expected, remedy)
        self.log = log


@dataclass(frozen=True)
class Reference:
    """What a variant is held against.

    Attributes:
        pixels: Pictures, uint8 (N, height, width, channels).
        labels: Their class indices.
        scores: The Keras model's scores for them, float32 (N, classes).
        free_batch: Whether the Keras model takes any number of pictures at once.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]
    free_batch: bool

    def accuracy(self, scores: NDArray[np.float32]) -> float:
        """The share of pictures that these scores name rightly."""
        return float((scores.argmax(axis=1) == self.labels).mean())


@dataclass(frozen=True)
class BackendCheck:
    """A variant's answers in one interpreter, against the Keras model.

    Attributes:
        name: The backend.
        version: Its version.
        agreeing: Pictures on which both name the same class.
        max_difference: The largest difference between two scores.
        accuracy: Share of the pictures named rightly.
    """

    name: str
    version: str
    agreeing: int
    max_difference: float
    accuracy: float


def available_backends() -> tuple[str, ...]:
    """Names of the interpreters to try a model in: all that are installed.

    TensorFlow's own counts only where there is no other. No device has it, its kernels are those
    of LiteRT, and it takes six seconds to start.

    Raises:
        InterpreterUnavailableError: There is none.
    """
    found = backends()
    names = tuple(status.name for status in found if status.problem is None)
    if not names:
        reasons = ", ".join(f"{status.name}: {status.problem}" for status in found)
        raise InterpreterUnavailableError(
            f"no interpreter can be imported ({reasons})",
            "one to try the models in",
            "pip install ai-edge-litert",
        )
    return tuple(name for name in names if name != "tensorflow") or names


def check_tensors(flatbuffer: bytes, recipe: Recipe, io: str) -> None:
    """Looks for float tensors where there should be none.

    Args:
        flatbuffer: The converted model.
        recipe: How it was made.
        io: Type of input and output that was asked for.

    Raises:
        ConversionError: An integer variant has a float tensor between input and output, or input
            or output have another type than asked for; the tensor is named.
    """
    if not recipe.integer:
        return
    report = inspect_model(flatbuffer, f"the {recipe.variant} model")
    for tensor in report.tensors:
        at_the_ends = bool(tensor.role) and tensor.subgraph == 0
        if at_the_ends and tensor.dtype != recipe.io(io):
            raise ConversionError(
                f"the {tensor.role} tensor {tensor.name!r} of the {recipe.variant} model is "
                f"{tensor.dtype}",
                recipe.io(io),
            )
        if not at_the_ends and "float" in tensor.dtype:
            raise ConversionError(
                f"the tensor {tensor.name!r} of the {recipe.variant} model is {tensor.dtype}, for "
                f"the operator {_user(report, tensor)}",
                "an integer type throughout",
                "the layer behind it has no integer form: replace it, or use the variant dynamic",
            )


def _user(report: ModelReport, tensor: Tensor) -> str:
    """The operator that computes with a tensor; those that convert types only serve it."""
    return next(
        (
            layer.name
            for layer in report.layers
            if layer.subgraph == tensor.subgraph
            and layer.name not in ("QUANTIZE", "DEQUANTIZE")
            and tensor.index in layer.inputs + layer.outputs
        ),
        "(none)",
    )


def check_answers(
    sealed: bytes, recipe: Recipe, reference: Reference, names: Sequence[str]
) -> tuple[BackendCheck, ...]:
    """Asks a sealed model about the reference pictures, in each interpreter.

    Args:
        sealed: The bytes of the file.
        recipe: How it was made; names the floor.
        reference: The pictures and what the Keras model says of them.
        names: The interpreters, from `available_backends`.

    Returns:
        One check an interpreter.

    Raises:
        ConversionError: An interpreter's answers lie below the floor or are not numbers, or the
            batch is no longer free.
        EdgeRuntimeError: An interpreter refuses the file.
    """
    return tuple(_check_one(sealed, recipe, reference, name) for name in names)


def _check_one(sealed: bytes, recipe: Recipe, reference: Reference, name: str) -> BackendCheck:
    given = answers(sealed, reference.pixels, name)
    where = f"the {recipe.variant} model in {name} {given.version}"
    if reference.free_batch and given.input_shape[0] != -1:
        raise ConversionError(
            f"the input of {where} takes {given.input_shape[0]} picture at a time",
            "a free batch dimension, as the Keras model has",
        )
    scores = given.scores
    if not np.isfinite(scores).all():
        raise ConversionError(f"{where} gives scores that are not numbers")
    result = agreement(reference.scores, scores)
    # A single picture is always allowed to differ: on a small comparison it is more than the floor.
    allowed = max(1, int((1 - recipe.floor) * result.compared))
    if result.compared - result.agreeing > allowed:
        low, high = result.interval
        raise ConversionError(
            f"{where} agrees with the Keras model on {result.agreeing} of {result.compared} "
            f"pictures ({result.fraction:.1%}, 95 % interval {low:.1%} to {high:.1%}; largest "
            f"difference {result.max_difference:.3f}; accuracy {reference.accuracy(scores):.1%} "
            f"against {reference.accuracy(reference.scores):.1%})",
            f"at least {recipe.floor:.1%}",
            "try more representative pictures (--samples), or another variant",
        )
    return BackendCheck(
        name,
        given.version,
        result.agreeing,
        result.max_difference,
        reference.accuracy(scores),
    )
