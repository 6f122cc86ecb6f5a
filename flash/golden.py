"""Golden inputs: the ten pictures with known answers that travel with a model.

``convert`` writes them as ``NAME.golden.npz``, for all variants at once and with the SHA-256 of
each variant's flatbuffer, so that answers are never compared with those of another model.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.inspect import inspect_model
from edge_runtime.contract import SealedModel
from edge_runtime.files import read_limited

from .errors import FlashError

__all__ = ["TOLERANCES", "Golden", "find_golden", "load_golden"]

TOLERANCES = {
    "float32": 0.001,
    "float16": 0.01,
    "dynamic": 0.02,
    "int16x8": 0.01,
    "int8": 0.05,
}
"""How far a score may lie from its golden score on another interpreter or processor.

Measured between ai-edge-litert 2.3 (XNNPACK) and tflite-runtime 2.14 (TensorFlow Lite's own
kernels), the largest difference over MNIST's 10,000 test images (int16x8: 2,000) with the seed
network: float32 7e-7, float16 8e-7, dynamic 0.0007, int16x8 0.0002, int8 0.035, which is nine steps
of its output. Above that is room for other processors, none for a model that answers wrongly.
"""
OTHER_TOLERANCE = 0.05

# Between the same two interpreters quantized logits lay at most 1 step apart (nano, 10,000 images)
# and at most 3 over several models.
LOGIT_STEPS = 3
# Only answers with a lead of twice the tolerance count; beyond this none could.
MAX_TOLERANCE = 0.4

# Ten 512 × 512 RGB pictures with the inputs and outputs of five variants stay below this.
MAX_BYTES = 256 * 2**20
RELEASED_MODELS = Path(__file__).resolve().parent.parent / "models"


@dataclass(frozen=True)
class Golden:
    """Ready inputs and what one variant of a model answered when it was converted.

    Attributes:
        path: The file they come from.
        tolerance: How far a score may lie from these on another machine, 0 to 1.
        pixels: uint8 (N, height, width, channels).
        scores: float32 (N, classes), probabilities.
        raw_inputs: (N, height, width, channels) in the dtype of the model's input.
        raw_outputs: (N, classes) in the dtype of the model's output.
    """

    path: Path
    tolerance: float
    pixels: NDArray[np.uint8]
    scores: NDArray[np.float32]
    raw_inputs: NDArray
    raw_outputs: NDArray


def find_golden(model_path: Path, model: SealedModel) -> Golden:
    """The golden inputs of a model: beside it, else among the released models.

    Args:
        model_path: The model's file.
        model: Its content; must carry a contract.

    Returns:
        The first that belong to this very model.

    Raises:
        FlashError: There are none, or only those of another model.
    """
    assert model.contract is not None
    name = f"{model.contract.name}.golden.npz"
    problem = None
    released = RELEASED_MODELS / model.contract.name
    for folder in dict.fromkeys((model_path.resolve().parent, released)):
        if not (folder / name).is_file():
            continue
        try:
            return load_golden(folder / name, model)
        except FlashError as error:
            problem = problem or error
    raise problem or FlashError(
        f"there are no golden inputs for {model_path}",
        f"{name} beside the model, as python -m convert writes it",
        "convert the model again, or name the file with --golden",
    )


def load_golden(path: Path, model: SealedModel) -> Golden:
    """Reads the part of a golden file that belongs to a model.

    Args:
        path: A ``NAME.golden.npz``.
        model: The model; must carry a contract that names its variant.

    Returns:
        Its golden inputs, without those on which the model is undecided: there, rounding on
        another machine may rightly choose the other label.

    Raises:
        FlashError: The file belongs to another model, is damaged, or has no clear answer.
        ModelError: The model is damaged.
        InputError: There is no such file.
    """
    assert model.contract is not None
    variant, shape = model.contract.variant, model.contract.input_shape
    remedy = "convert the model again: both files are written together"
    tolerance = _tolerance(model)  # reads the model: what is wrong with it is not the file's fault
    data = io.BytesIO(read_limited(path, MAX_BYTES))
    try:
        with np.load(data, allow_pickle=False) as arrays:
            if f"sha256_{variant}" not in arrays:
                raise FlashError(f"{path} says nothing of the variant {variant!r}", "", remedy)
            sha256 = str(arrays[f"sha256_{variant}"])
            golden = Golden(
                path,
                tolerance,
                arrays["pixels"],
                arrays[f"scores_{variant}"],
                arrays[f"raw_in_{variant}"],
                arrays[f"raw_out_{variant}"],
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, FlashError):
            raise
        raise FlashError(f"{path} cannot be read ({error})", "a golden file", remedy) from None
    own = hashlib.sha256(model.flatbuffer).hexdigest()
    if sha256 != own:
        raise FlashError(
            f"{path} belongs to another {variant} model (SHA-256 {sha256[:12]}…)",
            f"{own[:12]}…",
            remedy,
        )
    count = len(golden.pixels)
    if (
        count == 0
        or golden.pixels.dtype != np.uint8
        or golden.pixels.shape[1:] != shape
        or golden.raw_inputs.shape != golden.pixels.shape
        or golden.scores.shape != (count, len(model.contract.labels))
        or golden.scores.dtype != np.float32
        or golden.raw_outputs.shape != golden.scores.shape
    ):
        raise FlashError(f"the arrays of {path} do not fit the model's contract", "", remedy)
    return _clear(golden)


def _tolerance(model: SealedModel) -> float:
    """The table's, or what a few steps of quantized logits make of a probability.

    The derivative of softmax, p(1 - p) by the own logit and p·q by another, sums to 2p(1 - p): a
    probability moves by at most half of what each logit moves.
    """
    assert model.contract is not None
    tolerance = TOLERANCES.get(str(model.contract.variant), OTHER_TOLERANCE)
    if model.contract.output == "logits":
        for output in inspect_model(model.flatbuffer, model.source).outputs:
            tolerance = max([tolerance, *(LOGIT_STEPS * scale / 2 for scale in output.scales)])
    return min(tolerance, MAX_TOLERANCE)


def _clear(golden: Golden) -> Golden:
    best_two = np.sort(golden.scores, axis=1)[:, -2:]
    clear = best_two[:, 1] - best_two[:, 0] > 2 * golden.tolerance
    if not clear.any():
        raise FlashError(
            f"the model is undecided on all {len(clear)} golden inputs of {golden.path}",
            f"one whose two best scores lie more than {2 * golden.tolerance} apart",
            "train the model longer",
        )
    return replace(
        golden,
        pixels=golden.pixels[clear],
        scores=golden.scores[clear],
        raw_inputs=golden.raw_inputs[clear],
        raw_outputs=golden.raw_outputs[clear],
    )
