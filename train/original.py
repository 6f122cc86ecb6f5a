"""What a trained model learned from: which data set, and where this machine has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_runtime.contract import ModelContract

from .data import load_local_mnist
from .dataset import DataSet
from .matching import matched

__all__ = ["find_original", "learned_data"]


def find_original(contract: ModelContract) -> DataSet | None:
    """What a model was trained on, without a network: MNIST is found by its name, else nothing."""
    if learned_data(contract).get("name") != "mnist":
        return None
    found = load_local_mnist(fit=contract.fit, image_size=(contract.height, contract.width))
    if found is None:
        return None
    found = matched(found, contract)
    suits = (found.labels, found.input_shape) == (contract.labels, contract.input_shape)
    return found if suits else None


def learned_data(contract: ModelContract) -> Mapping[str, Any]:
    """What a model was trained on; if it was tuned before, what it knew before that."""
    before = contract.training.get("from")
    told = before.get("data") if isinstance(before, Mapping) else None
    facts = told or contract.training.get("data")
    return facts if isinstance(facts, Mapping) else {}
