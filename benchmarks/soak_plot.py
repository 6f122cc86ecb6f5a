"""The picture of a soak: memory, threads and files, frame age, over time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import seaborn as sns
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .plots import BLUE, GREY, LOOK, ORANGE, save_figure

__all__ = ["draw_soak"]


def draw_soak(record: Mapping[str, Any], path: Path) -> Path:
    """Draws a soak.

    Args:
        record: What ``soak.json`` holds.
        path: The PNG file.

    Returns:
        The path.
    """
    with rc_context(), sns.axes_style("whitegrid", LOOK):
        figure = Figure(figsize=(10, 7.5), layout="constrained")
        memory, counts, age = figure.subplots(3, 1, sharex=True)
        unit, seconds = _unit(record["seconds"])
        times = [sample["s"] / seconds for sample in record["samples"]]
        for axes in (memory, counts, age):
            axes.axvspan(0, record["warm_up_s"] / seconds, color=GREY, alpha=0.08, linewidth=0)
            axes.tick_params(length=0)
        _line(memory, times, record, "resident_bytes", BLUE, "", 1e-6)
        memory.set(title="resident memory, MB", ylim=_around(memory))
        _line(counts, times, record, "threads", BLUE, "threads")
        _line(counts, times, record, "descriptors", ORANGE, "open files")
        counts.set(title="threads and open files", ylim=(0, None))
        _line(age, times, record, "age_p50_ms", BLUE, "median of the latest")
        _line(age, times, record, "age_p95_ms", ORANGE, "95 % of the latest")
        for frames in (1, 2):
            age.axhline(frames * record["frame_ms"], color=GREY, linestyle="--", linewidth=1)
            age.annotate(
                f"{frames} frame time{'s' * (frames > 1)}",
                (1, frames * record["frame_ms"]),
                xycoords=("axes fraction", "data"),
                xytext=(-4, 3),
                textcoords="offset points",
                ha="right",
                fontsize=8,
                color=GREY,
            )
        age.set(title="age of a result, ms", ylim=(0, None), xlabel=unit, xlim=(0, times[-1]))
        for axes in (counts, age):
            axes.legend(frameon=False, loc="upper left", ncols=2)
        figure.suptitle(
            f"{record['frames']:,} frames at {record['frames_per_s']:.1f} a second "
            "(grey: warm-up, not judged)",
            fontsize=13,
        )
        return save_figure(figure, path)


def _line(
    axes: Axes,
    times: list[float],
    record: Mapping[str, Any],
    name: str,
    colour: str,
    label: str,
    scale: float = 1.0,
) -> None:
    values = [sample[name] * scale for sample in record["samples"]]
    axes.plot(times, values, color=colour, linewidth=1.3, label=label)


def _around(axes: Axes) -> tuple[float, float]:
    """At least 10 MB high: a flat line must look flat."""
    low, high = axes.get_ylim()
    room = max(0.0, 10 - (high - low)) / 2
    return max(0.0, low - room), high + room


def _unit(seconds: float) -> tuple[str, float]:
    for name, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 3 * length:
            return name, length
    return "seconds", 1.0
