"""Pictures of what was found: how reliable scores are, and the most confident mistakes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import seaborn as sns
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from edge_runtime.contract import ModelContract
from edge_runtime.files import folder_name
from edge_runtime.images import decode_image, fit_image
from edge_runtime.measure import wilson_interval

from ..plots import ALARM, BLUE, GREY, INK, LOOK, ORANGE, save_figure, write_notice
from .findings import MISTAKES, Asked, Findings, confident_mistakes, most_confident
from .samples import PICTURES
from .scores import Calibration

__all__ = ["draw_all"]

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class _Cell:
    """One picture of a contact sheet, what the model saw of it, and what stands below."""

    picture: Pixels
    seen: Pixels | None
    caption: str
    accepted: bool


def draw_all(found: Sequence[Findings], notice: str | None, out: Path) -> dict[str, Path]:
    """Draws the reliability diagram, and for each model its most confident mistakes.

    Args:
        found: What was found about each model.
        notice: As in `DataSet`.
        out: The folder.

    Returns:
        The PNG files by subject: "reliability" unless withheld for all models, and for each
        "LABEL.mistakes" and "LABEL.not-digits" where there are any.
    """
    figures: dict[str, Figure] = {}
    # Whatever settings the caller has for plots of its own stay as they are.
    with rc_context(), sns.axes_style("whitegrid", LOOK):
        for one in found:
            label = one.candidate.label
            for subject, figure in (
                ("mistakes", _mistakes(one)),
                ("not-digits", _not_digits(one)),
            ):
                if figure is not None:
                    figures[f"{label}.{subject}"] = figure
        calibrated = {f.candidate.label: f.calibration for f in found if f.calibration is not None}
        if calibrated:
            figures["reliability"] = _reliability(calibrated)
        paths = {}
        for subject, figure in figures.items():
            if notice:
                write_notice(figure, notice)
            path = out / f"robustness.{folder_name(subject)}.png"
            paths[subject] = save_figure(figure, path)
    return paths


def _reliability(calibrated: dict[str, Calibration]) -> Figure:
    """A panel for each model: accuracy over confidence, and below how many answers are where."""
    columns = min(3, len(calibrated))
    rows = math.ceil(len(calibrated) / columns)
    figure = Figure(figsize=(4.6 * columns, 5.4 * rows), layout="constrained")
    panels = figure.subplots(
        2 * rows, columns, squeeze=False, sharex=True, height_ratios=[3, 1] * rows
    )
    for axes in panels.flat:
        axes.set_axis_off()
    for place, (label, found) in enumerate(calibrated.items()):
        row, column = divmod(place, columns)
        upper, lower = panels[2 * row, column], panels[2 * row + 1, column]
        upper.set_axis_on()
        lower.set_axis_on()
        _reliability_panel(upper, found)
        _histogram(lower, found)
        upper.set_title(f"{label}: expected calibration error {found.ece:.4f}", pad=26)
    figure.suptitle("reliability: right answers by confidence", fontsize=13)
    return figure


def _reliability_panel(axes: Axes, found: Calibration) -> None:
    filled = [one for one in found.bins if one.accuracy is not None]
    places = [(one.low + one.high) / 2 for one in filled]
    width = 1 / len(found.bins)
    accuracy = np.array([one.accuracy for one in filled], float)
    confidence = np.array([one.confidence for one in filled], float)
    ends = np.array([wilson_interval(round(a * b.images), b.images)
                     for a, b in zip(accuracy, filled, strict=True)])  # fmt: skip
    axes.bar(places, accuracy, width * 0.92, color=BLUE, label="right answers, 95 % interval")
    axes.vlines(places, ends[:, 0], ends[:, 1], color=INK, linewidth=1)
    axes.plot(confidence, confidence, "_", color=ORANGE, markersize=12, mew=2.5, label="confidence")
    axes.plot((0, 1), (0, 1), "--", color=GREY, linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="right answers")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=9)


def _histogram(axes: Axes, found: Calibration) -> None:
    """Most answers are in the last interval, so the axis is logarithmic."""
    width = 1 / len(found.bins)
    axes.bar(
        [(one.low + one.high) / 2 for one in found.bins],
        [one.images for one in found.bins],
        width * 0.92,
        color=GREY,
    )
    axes.set(xlabel="confidence", ylabel="answers", ylim=(0.7, None))
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))


def _mistakes(found: Findings) -> Figure | None:
    labels = found.candidate.contract.labels
    rows = {}
    for one in found.digits:
        if isinstance(one, Asked) and (places := confident_mistakes(one)):
            truth = one.samples.truth
            assert truth is not None
            rows[one.samples.name] = [
                _cell(found, one, i, f"{labels[truth[i]]}→{labels[one.answers.best[i]]}")
                for i in places
            ]
    title = f"{found.candidate.label}: the most confident mistakes (true → read, score)"
    return _contact_sheet(title, rows)


def _not_digits(found: Findings) -> Figure | None:
    labels = found.candidate.contract.labels
    rows = {}
    for one in found.others:
        if isinstance(one, Asked) and (places := most_confident(one)):
            name = f"{one.samples.name},\n{one.samples.fed}"
            rows[name] = [_cell(found, one, i, labels[one.answers.best[i]]) for i in places]
    title = f"{found.candidate.label}: what is not a digit and has the highest scores (read, score)"
    return _contact_sheet(title, rows)


def _cell(found: Findings, asked: Asked, index: int, words: str) -> _Cell:
    score = float(asked.answers.score[index])
    accepted = not asked.answers.rejected(found.threshold)[index]
    picture, seen = _pictures(asked.samples.images[index], found.candidate.contract)
    return _Cell(
        picture,
        seen if asked.samples.fed == PICTURES else None,
        f"{words}  {score:.3f}" + ("" if accepted else "\nrejected"),
        accepted,
    )


def _pictures(image: bytes | Pixels, contract: ModelContract) -> tuple[Pixels, Pixels]:
    """An image, and what the model sees of it: pixels as Matplotlib shows them."""
    if not isinstance(image, bytes):
        return _shown(image), _shown(image)
    decoded = decode_image(image, "a picture")
    return _shown(decoded), _shown(fit_image(decoded, contract).pixels)


def _shown(pixels: Pixels) -> Pixels:
    return pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels


def _contact_sheet(title: str, rows: dict[str, list[_Cell]]) -> Figure | None:
    """Small pictures with a caption each; a row for each set, and another for what was seen.

    Args:
        title: Of the whole.
        rows: Pictures by the name of their set.

    Returns:
        The figure; None where there is nothing to show.
    """
    if not rows:
        return None
    lines = [
        (name, cells, seen)
        for name, cells in rows.items()
        for seen in (False, True)
        if not seen or any(cell.seen is not None for cell in cells)
    ]
    figure = Figure(figsize=(1.15 * MISTAKES + 1.2, 1.25 * len(lines) + 0.6), layout="constrained")
    panels = figure.subplots(len(lines), MISTAKES, squeeze=False)
    for axes in panels.flat:
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(False)
    for line, (name, cells, seen) in zip(panels, lines, strict=True):
        line[0].set_ylabel("as seen" if seen else name, fontsize=8.5, rotation=0, ha="right",
                           va="center")  # fmt: skip
        for axes, cell in zip(line, cells, strict=False):
            pixels = cell.seen if seen else cell.picture
            if pixels is None:
                continue
            axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            if seen or cell.seen is None:
                axes.set_xlabel(cell.caption, fontsize=8.5, color=ALARM if cell.accepted else GREY)
    figure.suptitle(title, fontsize=13)
    return figure
