"""What fine-tuning was worth: the figures before and after, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from edge_runtime.contract import ModelContract
from edge_runtime.measure import wilson_interval

from .dataset import DataSet, Images, Labels
from .finetune import FEW, Start
from .keras_file import KerasModel, load_keras
from .report import summary

__all__ = ["compare", "report_lines"]


def compare(
    start: Start, network: keras.Model, contract: ModelContract, dataset: DataSet
) -> dict[str, Any]:
    """Measures the model that was and the model that is.

    Args:
        start: Names the model that was.
        network: The tuned one.
        contract: Its contract.
        dataset: The pictures it was tuned on, with those held out as test set.

    Returns:
        "before" and "after", each with "held_out" (the held-out pictures) and "original" (test
        images of what the model was trained on): loss, accuracy, images and the accuracy's 95 %
        Wilson interval, or None where there is nothing to measure. And "unmeasured": why, or None.
    """
    after = KerasModel(network, contract, free_batch=True)
    before = load_keras(start.path, start.contract) if start.keeps_labels else None
    return {
        "before": _figures(before, start, dataset),
        "after": _figures(after, start, dataset),
        "unmeasured": _unmeasured(start),
    }


def report_lines(metrics: Mapping[str, Any]) -> list[str]:
    """What a person wants to know after fine-tuning.

    Args:
        metrics: Holds what `compare` gave.
    """
    lines = []
    for when in ("before", "after"):
        own, original = metrics[when]["held_out"], metrics[when]["original"]
        parts = []
        if own:
            low, high = own["interval_95"]
            share = f"{own['accuracy']:.2%} of {own['images']:,} held-out pictures"
            parts.append(f"{share} ({low:.1%} to {high:.1%})")
        if original:
            images = f"{original['images']:,} test images of {original['name']}"
            parts.append(f"{original['accuracy']:.2%} of {images}")
        if parts:
            lines.append(f"{when}: {', '.join(parts)}")
    images = metrics["after"]["held_out"]["images"]
    if images < FEW:
        lines.append(
            f"{images} held-out pictures are few: the true accuracy is anywhere in the range in "
            "brackets (95 % confidence)"
        )
    notice = (metrics["after"]["original"] or {}).get("notice")
    return lines + [words for words in (metrics["unmeasured"], notice) if words]


def _figures(model: KerasModel | None, start: Start, dataset: DataSet) -> dict[str, Any]:
    figures: dict[str, Any] = {"held_out": None, "original": None}
    if model:
        figures["held_out"] = _accuracy(model, dataset.x_test, dataset.y_test)
    if model and (known := start.original):
        about = {"name": known.name, "notice": known.notice}
        figures["original"] = about | _accuracy(model, known.x_test, known.y_test)
    return figures


def _accuracy(model: KerasModel, x: Images, y: Labels) -> dict[str, Any]:
    figures = summary(model.scores(x), y)
    right = round(figures["accuracy"] * len(y))
    return {**figures, "interval_95": list(wilson_interval(right, len(y)))}


def _unmeasured(start: Start) -> str | None:
    name, origin = start.contract.name, start.learned_from
    if not start.keeps_labels:
        return (
            f"there is no before: {name} knows {_shown(start.contract.labels)}, "
            f"not {_shown(start.labels)}"
        )
    if start.original is None:
        was = f"{origin}, on which {name} was trained," if origin else f"what {name} learned from"
        return f"{was} was not found: name it with --rehearse to keep more of it, and to measure"
    return None


def _shown(labels: tuple[str, ...]) -> str:
    return ", ".join(labels[:5]) + (", …" if len(labels) > 5 else "")
