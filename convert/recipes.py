"""The five variants of a model, and how TensorFlow's converter is set for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.errors import InputError

__all__ = ["IO_TYPES", "RECIPES", "VARIANTS", "Recipe", "RepresentativeDataset", "recipes_for"]

RepresentativeDataset = Callable[[], Iterator[list[NDArray[np.float32]]]]
"""What the converter calls for pictures: each item is the list of the model's inputs."""

IO_TYPES = ("int8", "uint8", "float32")
"""What the int8 variant may take and give."""


@dataclass(frozen=True)
class Recipe:
    """One variant.

    Attributes:
        variant: Its name; part of the file name.
        summary: One line for a reader who chooses.
        optimize: Whether weights are made smaller at all.
        supported_types: Name of the type that weights are stored in, where that is set by type.
        supported_ops: Name in `tf.lite.OpsSet` that restricts the operators, or None.
        activations: Type of the tensors between the operators.
        floor: The least share of pictures on which the variant must name the same class as the
            Keras model.
        floor_reason: Why that much.
    """

    variant: str
    summary: str
    optimize: bool
    supported_types: str | None
    supported_ops: str | None
    activations: str
    floor: float
    floor_reason: str

    @property
    def integer(self) -> bool:
        """Whether every tensor must be an integer; such a variant needs representative pictures."""
        return self.activations != "float32"

    def io(self, wanted: str) -> str:
        """Type of input and output, if `wanted` is asked for the int8 variant."""
        return wanted if self.variant == "int8" else self.activations

    def configure(self, converter: Any, representative: RepresentativeDataset, io: str) -> None:
        """Sets a converter.

        Args:
            converter: A `tf.lite.TFLiteConverter`.
            representative: Gives the pictures that calibrate integer variants.
            io: Type of input and output of the int8 variant, one of `IO_TYPES`.
        """
        import tensorflow as tf

        # With its default, dense layers quantized per channel, the dynamic model needs
        # FULLY_CONNECTED version 12, which tflite-runtime 2.14 does not have.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
        if self.optimize:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if self.supported_types:
            converter.target_spec.supported_types = [tf.dtypes.as_dtype(self.supported_types)]
        if self.supported_ops:
            converter.target_spec.supported_ops = [getattr(tf.lite.OpsSet, self.supported_ops)]
        if self.integer:
            converter.representative_dataset = representative
            kind = tf.dtypes.as_dtype(self.io(io))
            converter.inference_input_type = converter.inference_output_type = kind

    def facts(self) -> dict[str, Any]:
        """How the converter was set, for the record."""
        return {
            "optimize": self.optimize,
            "supported_types": self.supported_types,
            "supported_ops": self.supported_ops,
            "activations": self.activations,
            "per_channel_dense": False,
            "floor": self.floor,
        }


RECIPES = {
    recipe.variant: recipe
    for recipe in (
        Recipe(
            "float32",
            "32-bit float weights, as trained",
            False,
            None,
            None,
            "float32",
            0.998,
            "the same arithmetic in another order: only an exact tie may fall the other way",
        ),
        Recipe(
            "float16",
            "16-bit float weights, computed in 32 bits: half the size",
            True,
            "float16",
            None,
            "float32",
            0.99,
            "weights keep 11 significant bits, so only near ties change",
        ),
        Recipe(
            "dynamic",
            "8-bit weights, activations quantized as they come: a quarter of the size",
            True,
            None,
            None,
            "float32",
            0.98,
            "one scale for each weight tensor or channel costs about 1/256 of its range",
        ),
        Recipe(
            "int8",
            "8-bit integers throughout: a quarter of the size, for microcontrollers too",
            True,
            None,
            "TFLITE_BUILTINS_INT8",
            "int8",
            0.97,
            "activations too have 256 steps, set by the representative pictures",
        ),
        Recipe(
            "int16x8",
            "16-bit activations, 8-bit weights: nearer to float, slow kernels",
            True,
            None,
            "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8",
            "int16",
            0.98,
            "as dynamic: 16-bit activations add next to nothing to what the weights lose",
        ),
    )
}
"""Each variant's recipe. A floor lies well below what trained networks reach (see the model card)
and far above what a broken conversion gives: it is there to stop a wrong file, not to grade."""

VARIANTS = tuple(RECIPES)


def recipes_for(variants: Sequence[str]) -> tuple[Recipe, ...]:
    """The recipes of the named variants, in the order of `VARIANTS`, each once.

    Args:
        variants: Names; "all" stands for every variant.

    Returns:
        The recipes.

    Raises:
        InputError: A name is not known, or there is none.
    """
    names = set(VARIANTS if "all" in variants else variants)
    if unknown := sorted({*variants} - {*VARIANTS, "all"}):
        raise InputError(f"the variant {unknown[0]!r} is not known", f"all, {', '.join(VARIANTS)}")
    if not names:
        raise InputError("no variant was named", f"all, {', '.join(VARIANTS)}")
    return tuple(recipe for name, recipe in RECIPES.items() if name in names)
