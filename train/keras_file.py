"""Reading what `train` wrote: a Keras model and the contract inside its file."""

from __future__ import annotations

import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.contract import ModelContract
from edge_runtime.errors import ContractError, InputError, MissingDependencyError, ModelError
from edge_runtime.files import read_limited
from edge_runtime.quantization import softmax

from .captured import captured_output

__all__ = ["KerasModel", "contained_contract", "load_contract", "load_keras"]

CONTRACT_MEMBER = "contract.json"
# What makes a ZIP archive a Keras 3 file (keras.src.saving.saving_lib).
KERAS_MEMBERS = ("config.json", "model.weights.h5")
MAX_CONTRACT_BYTES = 2**20
MAX_KERAS_BYTES = 2**30
# A library's whole explanation does not fit in a line; its beginning mostly says it.
MAX_REASON = 160
PREDICT_BATCH = 256


@dataclass(frozen=True)
class KerasModel:
    """A Keras model with its contract: the original that every variant is held against.

    Attributes:
        model: The `keras.Model`.
        contract: What it expects and what its outputs mean.
        free_batch: Whether it takes any number of pictures at once.
    """

    model: Any
    contract: ModelContract
    free_batch: bool

    def inputs(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The model's real-valued input for pictures of shape (N, height, width, channels)."""
        return self.contract.pixel_values()[pixels, np.arange(self.contract.channels)]

    def scores(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities for pictures, float32 of shape (N, labels), as `Classifier.scores` gives.

        Raises:
            ModelError: The model gives something that is not a number.
            ContractError: The contract says probabilities, and the model gives something else.
        """
        size = PREDICT_BATCH if self.free_batch else 1
        parts = [
            np.asarray(self.model(self.inputs(pixels[i : i + size]), training=False))
            for i in range(0, len(pixels), size)
        ]
        output = np.concatenate(parts).reshape(len(pixels), -1).astype(np.float32)
        if not np.isfinite(output).all():
            raise ModelError(
                "the Keras model answers with values that are not numbers",
                "finite scores",
                "its training has diverged: train it again with a lower learning rate",
            )
        if self.contract.output == "logits":
            return softmax(output)
        # Rounding may step over 1 by an epsilon or two.
        if not (output.min() >= -1e-3 and output.max() <= 1 + 1e-3):
            raise ContractError(
                f"the model gives values from {output.min():.3g} to {output.max():.3g}",
                "0 to 1, because its contract says probabilities",
                'if it ends in logits, its contract must say "output": "logits"',
            )
        return output


def load_contract(path: str | os.PathLike[str]) -> ModelContract:
    """Reads a contract from a file of its own, as `train` writes it beside a model.

    Args:
        path: A JSON file.

    Returns:
        The contract.

    Raises:
        InputError: The file cannot be read.
        ContractError: It is not a contract.
    """
    return _parse(read_limited(path, MAX_CONTRACT_BYTES), str(path))


def load_keras(path: str | os.PathLike[str], contract: ModelContract | None = None) -> KerasModel:
    """Loads a ``.keras`` file, with Keras' safe mode on: code inside the file is not run.

    Args:
        path: The file.
        contract: Taken instead of the one inside the file.

    Returns:
        The model and its contract, checked to fit each other.

    Raises:
        InputError: There is no such file.
        ModelError: It is not a whole ``.keras`` file, or Keras cannot load it, for example
            because it needs layers that Keras does not have.
        ContractError: It holds no contract and none was given, or contract and model disagree.
        MissingDependencyError: Keras or TensorFlow is not installed.
    """
    path = Path(path)
    if contract is None:
        contract = contained_contract(path)
    else:
        _read_archive(path)
    keras = _import_keras()
    try:
        with captured_output():
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its layers' constructors do.
        raise ModelError(
            f"Keras cannot load {path}: {_reason(error)}",
            "a model made of Keras' own layers",
            "Lambda layers and custom classes must be replaced by those",
        ) from error
    return KerasModel(model, contract, _check_shapes(model, contract, path))


def contained_contract(path: str | os.PathLike[str]) -> ModelContract:
    """Reads the contract inside a ``.keras`` file, and checks that the file is whole.

    Args:
        path: The file.

    Returns:
        The contract.

    Raises:
        InputError: There is no such file.
        ModelError: It is not a whole ``.keras`` file.
        ContractError: It holds no contract.
    """
    text = _read_archive(Path(path))
    if text is None:
        raise ContractError(
            f"{path} holds no contract",
            "a model trained with `python -m train`",
            "describe its input and labels with --contract FILE",
        )
    return _parse(text, f"the contract in {path}")


def _read_archive(path: Path) -> bytes | None:
    """The text of the contract in a ``.keras`` file, if it has one; checks that it is whole."""
    read_limited(path, MAX_KERAS_BYTES)
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if lacking := [name for name in KERAS_MEMBERS if name not in names]:
                raise ModelError(f"{path} is a ZIP archive without {lacking[0]}", "a .keras file")
            if sum(member.file_size for member in archive.infolist()) > MAX_KERAS_BYTES:
                raise ModelError(f"{path} unpacks to more than {MAX_KERAS_BYTES:,} bytes")
            if (damaged := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
            if CONTRACT_MEMBER not in names:
                return None
            if archive.getinfo(CONTRACT_MEMBER).file_size > MAX_CONTRACT_BYTES:
                raise ContractError(f"the contract in {path} is too large")
            return archive.read(CONTRACT_MEMBER)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelError(
            f"{path} is not a whole .keras file ({error})",
            "a file that Keras saved",
            "copy the file again, or train the model again",
        ) from None


def _parse(data: bytes, source: str) -> ModelContract:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ContractError(f"{source} is not text", "JSON in UTF-8") from None
    return ModelContract.from_json(text, source)


def _import_keras() -> Any:
    try:
        with captured_output():
            import keras
            import tensorflow  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f"{error.name or error} is not installed", "", "pip install -e '.[convert]'"
        ) from error
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"Keras runs on {keras.backend.backend()}",
            "its backend tensorflow",
            "set KERAS_BACKEND=tensorflow",
        )
    return keras


def _reason(error: Exception) -> str:
    """What Keras says, short enough for a line; where it quotes an inner error, that one."""
    text = str(error).rpartition("Exception encountered: ")[2]
    return shorten(text, MAX_REASON, placeholder=" …") or type(error).__name__


def _check_shapes(model: Any, contract: ModelContract, path: Path) -> bool:
    """Whether the batch is free, once input and output are known to fit the contract."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(
            f"{path} has {len(model.inputs)} inputs and {len(model.outputs)} outputs",
            "one picture in and one list of scores out",
        )
    batch, *given = model.inputs[0].shape
    if tuple(given) != contract.input_shape:
        raise ContractError(
            f"the input of {path} is {given}, its contract says {list(contract.input_shape)}"
        )
    outputs = [side for side in model.outputs[0].shape[1:] if side != 1]
    if outputs != [len(contract.labels)]:
        raise ContractError(
            f"the output of {path} is {list(model.outputs[0].shape[1:])}, its contract has "
            f"{len(contract.labels)} labels"
        )
    if batch not in (None, 1):
        raise ModelError(
            f"{path} takes {batch} pictures at a time, no more and no less",
            "a model with a free batch dimension, or one picture at a time",
        )
    return batch is None
