"""The options that several verbs share: which model, and how to use one that does not say."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..backend import BACKENDS, open_interpreter, probe
from ..classifier import Classifier
from ..contract import FITS, OUTPUTS, POLARITIES, ModelContract, SealedModel, load_sealed
from ..errors import InputError, ModelError
from ..files import read_limited
from ..models import default_model_path
from .numbers import whole_number

__all__ = [
    "add_contract_options",
    "add_interpreter_options",
    "add_model_option",
    "contract_for",
    "open_classifier",
]

# A thousand ImageNet labels have 12 KB.
MAX_LABELS_BYTES = 2**20


def add_model_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--model``."""
    parser.add_argument(
        "--model", type=Path, metavar="FILE", help="a .tflite (default: the released model)"
    )


def add_interpreter_options(parser: argparse.ArgumentParser) -> None:
    """Adds ``--num-threads`` and ``--backend``."""
    parser.add_argument(
        "--num-threads",
        type=whole_number(1),
        default=1,
        metavar="N",
        help="threads for one inference (default: 1)",
    )
    parser.add_argument(
        "--backend",
        choices=("auto", *BACKENDS),
        default="auto",
        help="the interpreter to use (default: the fastest that is installed)",
    )


def add_contract_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that stand in for a contract, and override one where they are given."""
    group = parser.add_argument_group(
        "describing a model's input and output",
        "for a model without a contract, made by other tools; they override a contract's entries",
    )
    group.add_argument("--labels", type=Path, metavar="FILE", help="the labels, one a line")
    group.add_argument("--fit", choices=FITS, help="how a picture comes to the input's size")
    group.add_argument(
        "--mean",
        type=_numbers,
        metavar="X[,X,X]",
        help="subtracted from a pixel of 0 to 255 (default: 0)",
    )
    group.add_argument(
        "--scale",
        type=_numbers,
        metavar="X[,X,X]",
        help="divides what is left (default: 255)",
    )
    group.add_argument("--polarity", choices=POLARITIES, help="strokes that the model was made for")
    group.add_argument("--output", choices=OUTPUTS, help="what the model ends in")


def contract_for(model: Path, args: argparse.Namespace) -> ModelContract:
    """The contract to use a model with: its own, changed or replaced by the options given.

    Args:
        model: Path of a ``.tflite`` file.
        args: Arguments parsed with the options of this module.

    Returns:
        The contract.

    Raises:
        ContractError: The model carries none and ``--labels`` was not given, or the options make
            no sense together.
        ModelError: The file cannot be used.
    """
    return _described(model, args).require_contract()


def open_classifier(args: argparse.Namespace, threshold: float | None = None) -> Classifier:
    """The classifier that ``--model`` and the options of this module describe.

    Args:
        args: Arguments parsed with the options of this module and ``--model``.
        threshold: Rejection threshold instead of the contract's.

    Returns:
        The classifier.

    Raises:
        EdgeRuntimeError: See `Classifier`.
    """
    return Classifier(
        _described(args.model or default_model_path(), args),
        backend=args.backend,
        num_threads=args.num_threads,
        threshold=threshold,
    )


def _described(model: Path, args: argparse.Namespace) -> SealedModel:
    """A model with the contract it is to be used with; see `contract_for`."""
    given = _given(args)
    sealed = load_sealed(model)
    if sealed.contract is None and "labels" in given:
        height, width, channels = _input_shape(sealed, args.backend)
        # The name is for people; a contract takes at most so many characters.
        contract = ModelContract(
            model.stem[:64], height=height, width=width, channels=channels, **given
        )
    else:
        contract = sealed.require_contract().replace(**given)
    return replace(sealed, contract=contract)


def _input_shape(sealed: SealedModel, backend: str) -> tuple[int, ...]:
    """Height, width and channels. Nothing says that the file is whole, so it is tried first."""
    probe(sealed.flatbuffer, backend)
    shape = open_interpreter(sealed.flatbuffer, backend).input.shape
    if len(shape) != 4 or min(shape[1:]) < 1:
        raise ModelError(
            f"the input of {sealed.source} has the shape {list(shape)}",
            "batch, height, width and channels",
        )
    return shape[1:]


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """The contract's fields that the command line names."""
    names = ("fit", "mean", "scale", "polarity", "output")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if args.labels is not None:
        try:
            lines = read_limited(args.labels, MAX_LABELS_BYTES).decode("utf-8-sig").splitlines()
        except UnicodeDecodeError:
            raise InputError(f"{args.labels} is not UTF-8 text", "one label a line") from None
        given["labels"] = tuple(line.strip() for line in lines if line.strip())
    return given


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number, or one for each channel as in 123.7,116.8,103.9"
        ) from None
