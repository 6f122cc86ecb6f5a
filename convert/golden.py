"""Golden inputs and outputs: ten pictures with what each variant must answer to them.

A device that gives these answers runs the model as this machine did: to the bit for integers, up
to rounding for floats.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.contract import read_sealed
from edge_runtime.errors import InputError
from edge_runtime.files import atomic_path

from .answers import answers

__all__ = ["PICTURES", "reference_backend", "write_golden"]

PICTURES = 10


def reference_backend(names: tuple[str, ...]) -> str:
    """Which of several interpreters gives the golden answers.

    tflite-runtime runs TensorFlow Lite's own kernels, as microcontrollers do. LiteRT and
    TensorFlow hand over to XNNPACK, which differs from them by up to three steps of an integer.
    """
    return "tflite-runtime" if "tflite-runtime" in names else names[0]


def write_golden(
    path: str | os.PathLike[str],
    models: Mapping[str, bytes],
    pixels: NDArray[np.uint8],
    labels: NDArray[np.int64],
    backend: str,
) -> Path:
    """Writes ``NAME.golden.npz``.

    It holds ``pixels`` uint8 (N, height, width, channels), ready inputs; ``labels`` int64, their
    true classes; ``label_names``; ``backend`` and ``backend_version``, which made the answers; and
    for each variant V ``scores_V`` float32 (N, classes) as `Classifier.scores` gives them,
    ``raw_in_V`` and ``raw_out_V`` in the model's own types, and ``sha256_V`` of the flatbuffer.
    The same arguments give the same bytes.

    Args:
        path: The file to write.
        models: The sealed bytes of each variant, at least one.
        pixels: The pictures.
        labels: Their class indices.
        backend: The interpreter to ask.

    Returns:
        The path written.
    """
    arrays: dict[str, NDArray[np.generic]] = {
        "pixels": pixels,
        "labels": np.asarray(labels, np.int64),
    }
    for variant, sealed in models.items():
        contract = read_sealed(sealed).contract
        if contract is None:
            raise InputError(f"the {variant} model carries no contract", "a sealed model")
        given = answers(sealed, pixels, backend)
        arrays |= {
            "label_names": np.array(contract.labels),
            "backend": np.array(given.backend),
            "backend_version": np.array(given.version),
            f"scores_{variant}": given.scores,
            f"raw_in_{variant}": given.raw_in,
            f"raw_out_{variant}": given.raw_out,
            f"sha256_{variant}": np.array(contract.sha256),
        }
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)
    return Path(path)
