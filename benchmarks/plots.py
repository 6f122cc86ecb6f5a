"""The report's pictures: what each variant costs and gives, how fast it is, what it mistakes."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from edge_runtime.files import atomic_path

from .accuracy import Accuracy
from .report import Report

__all__ = ["draw_all", "save_figure", "write_notice"]

INK, GREY, ALARM = "#1f2a36", "#5f6b78", "#b3261e"
# Blue and orange stay apart for every kind of colour blindness.
BLUE, ORANGE = "#2166ac", "#e08214"
LOOK = {
    "axes.edgecolor": "#b8c0c8", "axes.labelcolor": INK, "grid.color": "#e8ebee",
    "text.color": INK, "xtick.color": GREY, "ytick.color": INK, "axes.titlesize": 11,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
}  # fmt: skip
# The line on either side of a box: the slowest twentieth is interruptions by other programs.
WHISKERS = (5, 95)
MAX_ANNOTATED = 20


def draw_all(report: Report, out: Path) -> dict[str, Path]:
    """Draws accuracy and size, latency distributions, and confusion matrices.

    Args:
        report: What was found.
        out: The folder.

    Returns:
        The PNG files by subject: "accuracy", "latency", and "confusion" unless accuracies are
        withheld.
    """
    drawings = {"accuracy": _accuracy, "latency": _latency}
    if not report.withheld:
        drawings["confusion"] = _confusion
    paths = {}
    for subject, draw in drawings.items():
        # Whatever settings the caller has for plots of its own stay as they are.
        with rc_context(), sns.axes_style("whitegrid", LOOK):
            figure = draw(report)
            if report.data.notice:
                write_notice(figure, report.data.notice)
            paths[subject] = save_figure(figure, out / f"report.{subject}.png")
    return paths


def write_notice(figure: Figure, notice: str) -> None:
    """Writes below a figure what a reader of it must be told, lest it be taken for more than it is.

    Args:
        figure: The figure.
        notice: As in `DataSet`.
    """
    text = textwrap.fill(notice.upper(), int(figure.get_figwidth() * 11))
    figure.supxlabel(text, fontsize=8.5, color=ALARM, fontweight="bold")


def save_figure(figure: Figure, path: Path) -> Path:
    """Writes a figure as PNG.

    Args:
        figure: The figure.
        path: The file.

    Returns:
        The path.
    """
    with atomic_path(path) as temporary:
        # Without the library's version in the file the same figures give the same bytes.
        figure.savefig(temporary, dpi=130, facecolor="white", metadata={"Software": None})
    return path


def _accuracy(report: Report) -> Figure:
    """A row for each model: on the left its size, on the right its accuracy with the interval."""
    names = ["Keras float", *report.accuracy]
    sizes = [report.comparison.keras.stat().st_size] + [
        candidate.size_bytes for candidate in report.comparison.candidates
    ]
    found = [report.float_accuracy, *(one.accuracy for one in report.accuracy.values())]
    figure = Figure(figsize=(10, 1.5 + 0.5 * len(names)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 3))
    rows = np.arange(len(names))
    colours = [GREY, *[BLUE] * len(report.accuracy)]

    left.barh(rows, [size / 1000 for size in sizes], height=0.55, color=colours)
    for row, size in zip(rows, sizes, strict=True):
        left.annotate(
            f"{size / 1000:,.0f} KB",
            (size / 1000, row),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=GREY,
        )
    left.set(title="size of the file", yticks=rows, yticklabels=names, xticks=[])
    left.set_xlim(0, max(sizes) / 1000 * 1.28)
    left.invert_yaxis()

    if report.withheld:
        right.text(
            0.5,
            0.5,
            textwrap.fill(report.withheld, 48),
            transform=right.transAxes,
            ha="center",
            va="center",
            color=GREY,
        )
        right.set(xticks=[])
    else:
        _intervals(right, found, colours)
    for axes in (left, right):
        axes.grid(visible=False, axis="y")
        axes.tick_params(length=0)
    figure.suptitle(f"{report.comparison.name}: size and accuracy", fontsize=13)
    return figure


def _intervals(axes: Axes, found: Sequence[Accuracy], colours: Sequence[str]) -> None:
    """Each accuracy with its interval; the first, the float model's, as a band behind all."""
    original = found[0]
    axes.axvspan(original.low, original.high, color=GREY, alpha=0.10, linewidth=0)
    axes.axvline(original.accuracy, color=GREY, linestyle="--", linewidth=1)
    for row, (one, colour) in enumerate(zip(found, colours, strict=True)):
        axes.plot((one.low, one.high), (row, row), color=colour, linewidth=2, alpha=0.55)
        axes.plot(one.accuracy, row, "o", color=colour, markersize=8)
        axes.annotate(
            f"{one.accuracy:.2%}",
            (one.accuracy, row),
            xytext=(0, 8),
            textcoords="offset points",
            ha="center",
            fontsize=9,
        )
    axes.set(title=f"accuracy on {original.total:,} images, with 95 % Wilson interval")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.margins(y=0.12)


def _latency(report: Report) -> Figure:
    """Distributions of single inferences, a panel for each number of threads."""
    threads = list(dict.fromkeys(record.num_threads for record in report.latency))
    backends = list(dict.fromkeys(record.backend for record in report.latency))
    labels = list(report.accuracy)
    height = 0.32 * len(labels) * len(backends) + 0.7
    figure = Figure(figsize=(10, 1.2 + height * len(threads)), layout="constrained")
    panels = figure.subplots(len(threads), 1, squeeze=False, sharex=True)[:, 0]
    for axes, count in zip(panels, threads, strict=True):
        records = [record for record in report.latency if record.num_threads == count]
        _latency_panel(axes, records, labels, backends)
        axes.set(title=f"{count} thread{'s' if count > 1 else ''}", xlabel="", ylabel="")
        axes.legend(frameon=False, loc="upper right").set_visible(bool(axes is panels[0]))
        axes.tick_params(length=0)
    ticks = _round_numbers(*panels[0].get_xlim())
    panels[-1].set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panels[-1].minorticks_off()
    panels[-1].set_xlabel(
        "milliseconds for one inference, logarithmic (box: middle half and median; "
        f"line: {WHISKERS[0]} % to {WHISKERS[1]} %)"
    )
    figure.suptitle(f"{report.comparison.name}: latency", fontsize=13)
    return figure


def _latency_panel(
    axes: Axes, records: Sequence[Any], labels: list[str], backends: list[str]
) -> None:
    table: dict[str, list[Any]] = {"milliseconds": [], "variant": [], "interpreter": []}
    for record in records:
        table["milliseconds"] += record.samples_ms
        table["variant"] += [record.label] * len(record.samples_ms)
        table["interpreter"] += [record.backend] * len(record.samples_ms)
    sns.boxplot(
        table, x="milliseconds", y="variant", hue="interpreter", order=labels, hue_order=backends,
        ax=axes, log_scale=True, whis=WHISKERS, showfliers=False, linewidth=1.1, width=0.75,
        gap=0.2, palette=[BLUE, ORANGE, GREY][: len(backends)],
    )  # fmt: skip


def _round_numbers(low: float, high: float) -> list[float]:
    """Ticks for a logarithmic axis: the wider it is, the fewer to a power of ten."""
    powers = math.log10(high / low)
    digits = (1, 1.5, 2, 3, 5, 7) if powers < 1 else (1, 2, 5) if powers < 4 else (1,)
    return [
        digit * 10.0**power for power in range(-6, 7) for digit in digits
        if low <= digit * 10.0**power <= high
    ]  # fmt: skip


def _confusion(report: Report) -> Figure:
    """A matrix for the float model and one for each variant."""
    labels = report.data.labels
    matrices = {"Keras float": report.float_confusion} | {
        label: found.confusion for label, found in report.accuracy.items()
    }
    columns = min(3, len(matrices))
    rows = math.ceil(len(matrices) / columns)
    side = min(8.0, max(3.2, 0.34 * len(labels)))
    figure = Figure(figsize=(side * columns, (side + 0.5) * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for axes, (name, matrix) in zip(panels, matrices.items(), strict=False):
        _confusion_panel(axes, matrix, labels)
        axes.set_title(f"{name}: {int(matrix.sum() - matrix.trace()):,} mistakes")
    for axes in panels:  # What the models leave of the last row.
        axes.set_axis_off()
    figure.suptitle(
        f"{report.comparison.name}: confusion matrices (row: true label, column: answer)",
        fontsize=13,
    )
    return figure


def _confusion_panel(axes: Axes, matrix: NDArray[np.int64], labels: Sequence[str]) -> None:
    """Beside thousands of right answers a mistake has no colour, so mistakes have their own."""
    diagonal = np.eye(len(labels), dtype=bool)
    mistakes = int(matrix[~diagonal].max(initial=0))
    for hidden, colours, top in (
        (diagonal | (matrix == 0), "Reds", max(1.5 * mistakes, 3)),
        (~diagonal, "Blues", 2 * int(matrix.max())),
    ):
        sns.heatmap(
            matrix, mask=hidden, ax=axes, cmap=colours, vmin=0, vmax=top, cbar=False, square=True,
            linewidths=1, linecolor="white", annot=len(labels) <= MAX_ANNOTATED, fmt="d",
            annot_kws={"size": 7}, xticklabels=labels, yticklabels=labels,
        )  # fmt: skip
    axes.grid(visible=False)
    axes.tick_params(length=0, labelsize=8)
    axes.tick_params(axis="x", rotation=45 if max(map(len, labels)) > 3 else 0)
    axes.tick_params(axis="y", rotation=0)
