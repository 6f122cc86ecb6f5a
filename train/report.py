"""The figures of a trained model, and the two plots that one looks at first."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
)
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

from edge_runtime.files import atomic_path

from .dataset import Labels

__all__ = ["per_class", "plot_confusion", "plot_curves", "summary"]

Scores = NDArray[np.float32]

INK, GREY, ALARM = "#1f2a36", "#5f6b78", "#b3261e"
# Orange and blue stay apart for every kind of colour blindness.
PALETTE = ("#e08214", "#2166ac")
EMPTY = "#f3f5f7"
MAX_ANNOTATED = 25
# Errors of this share of a class and more get the strongest colour.
ALARMING_SHARE = 0.02
ACCURACY_TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)


def summary(scores: Scores, labels: Labels) -> dict[str, float]:
    """Loss (mean cross-entropy, in nats), accuracy and the number of images.

    Args:
        scores: float32 (N, classes), probabilities.
        labels: int64 (N,).

    Returns:
        "loss", "accuracy" and "images".
    """
    # Rounding makes float32 probabilities sum to 1 only nearly, which sklearn warns of.
    exact = scores.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    return {
        "loss": float(log_loss(labels, exact, labels=range(scores.shape[1]))),
        "accuracy": float(np.mean(scores.argmax(axis=1) == labels)),
        "images": len(labels),
    }


def per_class(scores: Scores, labels: Labels, names: Sequence[str]) -> dict[str, Any]:
    """Precision, recall, F1 and support of each class that has images, and the confusion matrix.

    Args:
        scores: float32 (N, classes).
        labels: int64 (N,).
        names: Name of each class.

    Returns:
        "per_class": for each name its figures, none where there is no image to measure on;
        "confusion": counts, a row for each true class.
    """
    classes = range(len(names))
    predicted = scores.argmax(axis=1)
    # A class that is never predicted has no precision; 0 says so without a warning.
    columns = precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=0)
    keys = ("precision", "recall", "f1", "support")
    return {
        "per_class": {
            name: {
                key: int(column[index]) if key == "support" else float(column[index])
                for key, column in zip(keys, columns, strict=True)
            }
            for index, name in enumerate(names)
            # 0 found of 0 is no recall of 0: a class that was not shown was not measured.
            if np.any(labels == index)
        },
        "confusion": confusion_matrix(labels, predicted, labels=classes).tolist(),
    }


def plot_curves(metrics: Mapping[str, Any], path: Path) -> Path:
    """Draws loss and accuracy against epochs, training and validation.

    Args:
        metrics: The figures of a run, as `train.fit.run` collects them.
        path: The PNG to write.

    Returns:
        `path`.
    """
    history = metrics["history"]
    epochs = range(1, len(history["loss"]) + 1)
    # Dots show that a curve is made of epochs; where they would touch, the line is enough.
    marker = "o" if len(epochs) <= 30 else None
    # Dropout and augmentation make training images harder than validation images.
    names = {"": "training, as seen while learning", "val_": "validation"}
    with _style():
        figure = Figure(figsize=(10, 4.6), layout="constrained")
        panels = zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True)
        for axes, quantity in panels:
            for (prefix, name), colour in zip(names.items(), PALETTE, strict=True):
                values = history[prefix + quantity]
                sns.lineplot(
                    x=epochs, y=values, ax=axes, label=name, color=colour, marker=marker,
                    markeredgewidth=0, linewidth=2,
                )  # fmt: skip
            axes.set(xlabel="epoch", title=quantity)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))
            axes.margins(x=0.03, y=0.08)
            if quantity == "loss":
                axes.set_yscale("log")
                axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axes.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
                axes.yaxis.set_minor_formatter(NullFormatter())
                axes.legend(frameon=False)
            else:
                _error_scale(axes)
                axes.legend().remove()
        _title(figure, metrics, f"{metrics['name']}: learning curves")
        return _save(figure, path)


def plot_confusion(metrics: Mapping[str, Any], path: Path) -> Path:
    """Draws the confusion matrix of the test set.

    Args:
        metrics: The figures of a run, as `train.fit.run` collects them.
        path: The PNG to write.

    Returns:
        `path`.
    """
    counts = np.array(metrics["confusion"])
    labels = metrics["labels"]
    side = min(16.0, 3.2 + 0.5 * len(labels))
    diagonal = np.eye(len(labels), dtype=bool)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with _style():
        figure = Figure(figsize=(side + 0.9, side + 0.6), layout="constrained")
        axes = figure.subplots()
        axes.set_facecolor(EMPTY)
        axes.grid(False)
        # Beside thousands of hits a handful of errors has no colour: errors get their own scale,
        # which does not cry over single images.
        worst = max(ALARMING_SHARE, float(shares[~diagonal].max()))
        for shown, colours, top in ((~diagonal, "Reds", worst * 1.25), (diagonal, "Blues", 1.6)):
            sns.heatmap(
                shares, mask=~shown | (counts == 0), ax=axes, cmap=colours, vmin=0, vmax=top,
                cbar=False, square=True, linewidths=1, linecolor="white",
                xticklabels=labels, yticklabels=labels,
            )  # fmt: skip
        if len(labels) <= MAX_ANNOTATED:
            _write_counts(axes, counts, shares, worst)
        axes.set(xlabel="predicted", ylabel="true")
        axes.tick_params(length=0)
        wordy = max(map(len, labels)) > 3
        axes.tick_params(axis="x", rotation=45 if wordy else 0)
        axes.tick_params(axis="y", rotation=0)
        _recall_column(axes, counts)
        _title(figure, metrics, f"{metrics['name']}: confusion matrix of the test set")
        return _save(figure, path)


def _error_scale(axes: Axes) -> None:
    """From 99 % to 99.5 % takes as much room as from 90 % to 95 %: either halves the errors."""

    def scaled(accuracy: NDArray[Any]) -> NDArray[Any]:
        return -np.log10(np.clip(1 - np.asarray(accuracy), 5e-4, None))

    axes.set_yscale("function", functions=(scaled, lambda value: 1 - 10 ** -np.asarray(value)))
    axes.yaxis.set_major_locator(FixedLocator(ACCURACY_TICKS))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share * 100:g} %"))


def _write_counts(axes: Axes, counts: NDArray[Any], shares: NDArray[Any], worst: float) -> None:
    for row, column in np.argwhere(counts > 0):
        # On the darker half of the errors' scale only white can be read.
        dark = row != column and shares[row, column] > worst * 0.6
        axes.text(
            column + 0.5, row + 0.5, f"{counts[row, column]:,}", ha="center", va="center",
            fontsize=9, color="white" if dark else INK,
            fontweight="bold" if row == column else None,
        )  # fmt: skip


def _recall_column(axes: Axes, counts: NDArray[Any]) -> None:
    """Writes at the right of each row which share of that class was found, if it has images."""
    axes.text(
        1.02,
        1.0,
        "recall",
        transform=axes.transAxes,
        ha="left",
        va="bottom",
        fontsize=9,
        color=GREY,
    )
    for row, (found, images) in enumerate(zip(np.diagonal(counts), counts.sum(1), strict=True)):
        share = f"{found / images:.1%}" if images else "–"
        axes.text(
            1.02, row + 0.5, share, transform=axes.get_yaxis_transform(),
            ha="left", va="center", fontsize=9, color=GREY,
        )  # fmt: skip


def _title(figure: Figure, metrics: Mapping[str, Any], title: str) -> None:
    test = metrics["test"]
    facts = (
        f"{metrics['data']['name']}, {metrics['parameters']:,} parameters, "
        f"{test['accuracy']:.2%} of {test['images']:,} test images"
    )
    figure.suptitle(f"{title}\n{facts}", fontsize=12, color=INK)
    if metrics["notice"]:
        # A figure without this line would be taken for more than it is.
        columns = int(figure.get_figwidth() * 11)
        figure.supxlabel(
            textwrap.fill(metrics["notice"], columns), fontsize=8.5, color=ALARM, fontweight="bold"
        )


def _style() -> AbstractContextManager[Any]:
    """Our look, for the time of one plot: a notebook's own settings stay as they are."""
    return sns.axes_style(
        "whitegrid",
        {
            "axes.edgecolor": "#b8c0c8", "axes.labelcolor": INK, "grid.color": "#e8ebee",
            "text.color": INK, "xtick.color": GREY, "ytick.color": GREY,
            "axes.spines.top": False, "axes.spines.right": False,
        },
    )  # fmt: skip


def _save(figure: Figure, path: Path) -> Path:
    with atomic_path(path) as temporary:
        # Without the library's version in the file the same figures give the same bytes.
        figure.savefig(temporary, dpi=130, facecolor="white", metadata={"Software": None})
    return path
