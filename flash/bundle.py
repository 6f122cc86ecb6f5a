"""Makes the bundle for a device from a model's file and its golden inputs."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.bundle import MAX_MODEL_BYTES, FileRecord, pack
from edge_runtime.contract import ModelContract, read_sealed
from edge_runtime.files import read_limited

from .errors import FlashError
from .golden import find_golden, load_golden

__all__ = ["Bundle", "make_bundle"]


@dataclass(frozen=True)
class Bundle:
    """A bundle ready to be sent.

    Attributes:
        data: The archive.
        contract: The model's contract.
        sha256: SHA-256 of the sealed model, the name of the release on the device.
        size_bytes: Size of the sealed model.
        golden_path: Where the golden inputs come from.
        golden_inputs: How many of them go along.
    """

    data: bytes
    contract: ModelContract
    sha256: str
    size_bytes: int
    golden_path: Path
    golden_inputs: int


def make_bundle(model_path: Path, golden_path: Path | None = None) -> Bundle:
    """Checks a model and its golden inputs, and packs both.

    Args:
        model_path: A sealed ``.tflite``.
        golden_path: Its ``NAME.golden.npz``; None looks beside the model, then in ``models/``.

    Returns:
        The bundle.

    Raises:
        InputError: There is no such file, or it is too large.
        ModelError: The file is not a model, or is damaged.
        FlashError: It has no contract, or there are no golden inputs that belong to it.
    """
    data = read_limited(model_path, MAX_MODEL_BYTES)
    model = read_sealed(data, str(model_path))
    contract = model.contract
    if contract is None or contract.variant is None:
        raise FlashError(
            f"{model_path} has no contract"
            if contract is None
            else f"the contract of {model_path} names no variant",
            "a model converted by this toolkit",
            "convert it with python -m convert",
        )
    golden = load_golden(golden_path, model) if golden_path else find_golden(model_path, model)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, pixels=golden.pixels, scores=golden.scores)
    archive = pack(
        name=contract.name,
        variant=contract.variant,
        tolerance=golden.tolerance,
        model=data,
        golden=buffer.getvalue(),
    )
    record = FileRecord.of(data)
    return Bundle(
        archive, contract, record.sha256, record.size_bytes, golden.path, len(golden.pixels)
    )
