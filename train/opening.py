"""Opening what a fine-tuning starts with: the model, and the pictures as the model takes them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edge_runtime.contract import ModelContract
from edge_runtime.files import read_limited

from . import data
from .dataset import DataSet
from .errors import ConfigError, DataError
from .finetune import Start
from .fitting import Size
from .keras_file import MAX_KERAS_BYTES, contained_contract, load_contract
from .matching import matched
from .original import check_named, find_original, knows, learned_data, stated_labels

__all__ = ["open_start"]


def open_start(
    path: Path, pictures: str, *, contract_path: Path | None = None, rehearse: str | None = None,
    fit: str | None = None, image_size: Size | None = None,
) -> tuple[Start, DataSet]:  # fmt: skip
    """Opens a trained model and the pictures that it is to learn.

    Args:
        path: A ``.keras`` file.
        pictures: A data set as commands name it.
        contract_path: The model's contract, where the file holds none.
        rehearse: What the model was trained on, where the user says it; see `find_original`.
        fit: What the user asked for; the contract decides.
        image_size: Likewise.

    Returns:
        The start, and the data set as the model takes it.

    Raises:
        InputError: A file is missing.
        ModelError: The model's file is damaged.
        ContractError: It holds no contract, or an impossible one.
        ConfigError: The contract says something else than `fit` or `image_size`; or there is
            something to rehearse although the labels are others, or it is the pictures themselves.
        DataError: The pictures or what to rehearse cannot be used, or the pictures are those that
            the model was trained on.
    """
    sha256 = hashlib.sha256(read_limited(path, MAX_KERAS_BYTES)).hexdigest()
    contract = load_contract(contract_path) if contract_path else contained_contract(path)
    size = (contract.height, contract.width)
    for option, asked, given in (("fit", fit, contract.fit), ("image-size", image_size, size)):
        if asked is not None and asked != given:
            raise ConfigError(
                f"--{option} is {_shown(asked)}, but {path} was trained with {_shown(given)}",
                "the model's own",
                f"leave --{option} out",
            )
    known = learned_data(contract)
    again = DataError(
        f"{path} was trained on {known.get('name')} already",
        "pictures of your own",
        "name them with --data FOLDER",
    )
    if pictures == known.get("name") == "mnist":
        raise again
    original = None
    if rehearse is not None:
        _check_names(path, contract, pictures, rehearse)
        # Before the pictures, which may be many; but a download waits until they are known good.
        if rehearse != "mnist":
            original = find_original(contract, rehearse)
    dataset = matched(data.load(pictures, fit=contract.fit, image_size=size), contract)
    if dataset.input_shape != contract.input_shape:
        raise DataError(
            f"the images of {dataset.name} are {list(dataset.input_shape)}",
            f"{list(contract.input_shape)}, as {path} takes them",
        )
    if dataset.labels != contract.labels:
        if rehearse is not None:
            raise _other_labels(path, pictures, rehearse)
        return Start(path, contract, sha256, dataset.labels, None), dataset
    if dict(dataset.sha256) == known.get("sha256"):
        raise again
    original = original or find_original(contract, rehearse)
    if rehearse is not None and original and dict(original.sha256) == dict(dataset.sha256):
        raise _the_same(pictures, rehearse)
    return Start(path, contract, sha256, dataset.labels, original), dataset


def _check_names(path: Path, contract: ModelContract, pictures: str, rehearse: str) -> None:
    """Finds what is wrong with two data sets before an image of either is read or downloaded."""
    check_named(contract, rehearse)
    if pictures == rehearse:
        raise _the_same(pictures, rehearse)
    if "mnist" not in (pictures, rehearse):
        if not Path(pictures).exists():
            raise DataError(f"{pictures} does not exist", "pictures of your own", "check --data")
        if Path(pictures).samefile(rehearse):
            raise _the_same(pictures, rehearse)
    if not knows(contract, stated_labels(pictures)):
        raise _other_labels(path, pictures, rehearse)


def _the_same(pictures: str, rehearse: str) -> ConfigError:
    return ConfigError(
        f"--data {pictures} and --rehearse {rehearse} are the same images",
        "pictures that are new to the model, and what it was trained on",
        "leave --rehearse out, or correct one of them",
    )


def _other_labels(path: Path, pictures: str, rehearse: str) -> ConfigError:
    return ConfigError(
        f"--rehearse {rehearse} was given, but {pictures} has other labels than {path}",
        "the model's labels, to rehearse them",
        "leave --rehearse out, or correct --data",
    )


def _shown(value: str | Size) -> str:
    return value if isinstance(value, str) else "x".join(map(str, value))
