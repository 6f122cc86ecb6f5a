"""What a trained model learned from: which data set, and where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_runtime.contract import ModelContract
from edge_runtime.files import folder_name

from .data import load, load_local_mnist
from .dataset import DataSet
from .declaration import MNIST, Declaration
from .errors import DataError
from .idx import find_idx_files
from .matching import matched
from .pictures import is_picture_tree

__all__ = ["check_named", "find_original", "knows", "learned_data", "stated_labels"]


def find_original(contract: ModelContract, named: str | None = None) -> DataSet | None:
    """What a model was trained on, as the model takes it.

    Args:
        contract: Of the model.
        named: What the user says it is, as commands name a data set; like there "mnist" may be
            downloaded. None looks for MNIST, on this machine only, if the contract names that.

    Returns:
        The data set; None if the user named none and it is not found or has other labels.

    Raises:
        DataError: `named` cannot be used or has other labels, or $MNIST_DIR does not hold MNIST.
    """
    size = (contract.height, contract.width)
    if named is not None:
        check_named(contract, named)
        found = matched(load(named, fit=contract.fit, image_size=size), contract)
        if found.labels != contract.labels:
            raise _strange(contract, named)
        return found
    if learned_data(contract).get("name") != "mnist":
        return None
    local = load_local_mnist(fit=contract.fit, image_size=size)
    if local is None:
        return None
    local = matched(local, contract)
    suits = (local.labels, local.input_shape) == (contract.labels, contract.input_shape)
    return local if suits else None


def check_named(contract: ModelContract, named: str) -> None:
    """Finds what is wrong with what the user says a model was trained on, as far as names show it.

    Args:
        contract: Of the model.
        named: As commands name a data set. None of its images is read or downloaded.

    Raises:
        DataError: It does not exist or has labels that the model does not know.
    """
    if named != "mnist" and not Path(named).exists():
        raise DataError(
            f"{named} does not exist", f"what {contract.name} was trained on", "check --rehearse"
        )
    if not knows(contract, stated_labels(named)):
        raise _strange(contract, named)


def stated_labels(named: str) -> tuple[str, ...]:
    """Labels that a data set shows before any of its images is read or downloaded.

    Args:
        named: As commands name a data set.

    Returns:
        MNIST's labels, those that a folder declares, or the names of its subfolders; empty where
        only reading tells.

    Raises:
        DataError: A folder's declaration is damaged.
    """
    if named == "mnist":
        return MNIST.declaration.labels or ()
    folder = Path(named)
    if not folder.is_dir():
        return ()
    declared = Declaration.of_folder(folder).labels
    if declared or find_idx_files(folder):
        return declared or ()
    train = folder / "train"
    root = train if train.is_dir() and is_picture_tree(train) else folder
    return tuple(path.name for path in root.iterdir() if path.is_dir() and path.name[0] != ".")


def knows(contract: ModelContract, labels: Sequence[str]) -> bool:
    """Whether a model has all of these labels, written as they are or as folders are called."""
    return set(labels) <= {*contract.labels, *map(folder_name, contract.labels)}


def learned_data(contract: ModelContract) -> Mapping[str, Any]:
    """What a model was trained on; if it was tuned before, what it knew before that."""
    before = contract.training.get("from")
    told = before.get("data") if isinstance(before, Mapping) else None
    facts = told or contract.training.get("data")
    return facts if isinstance(facts, Mapping) else {}


def _strange(contract: ModelContract, named: str) -> DataError:
    return DataError(
        f"{named} has labels that {contract.name} does not know",
        f"what {contract.name} was trained on",
        "correct --rehearse, or leave it out",
    )
