"""When figures on a data set say nothing about a model."""

from __future__ import annotations

from edge_runtime.contract import ModelContract
from train.dataset import DataSet

__all__ = ["may_have_learned"]


def may_have_learned(contract: ModelContract, data: DataSet) -> bool:
    """Whether a model may have been trained on a data set's test images.

    The images that stand in for MNIST where it cannot be had are a part of its training set. A
    model trained on those same images kept the test part aside; any other model may not have.

    Args:
        contract: Of the model.
        data: The data set.

    Returns:
        True if no figure on these images says anything about the model.
    """
    trained_on = contract.training.get("data", {}).get("sha256")
    return data.notice is not None and trained_on != dict(data.sha256)
