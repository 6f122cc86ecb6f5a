"""The report for people, as Markdown, and for programs, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_runtime.files import write_atomic

from .report import Report, kilobytes, recommended

__all__ = ["markdown_table", "report_page", "write_report"]

CONFUSIONS_SHOWN = 5


def write_report(report: Report, out: Path, images: Mapping[str, Path]) -> tuple[Path, Path]:
    """Writes ``report.json`` and ``report.md``.

    Args:
        report: What was found.
        out: The folder.
        images: Plots beside them: "accuracy", "latency" and "confusion".

    Returns:
        The two paths.
    """
    facts = json.dumps(report.to_dict(), indent=2, ensure_ascii=False)
    return (
        write_atomic(out / "report.json", facts + "\n"),
        write_atomic(out / "report.md", report_page(report, images)),
    )


def report_page(report: Report, images: Mapping[str, Path]) -> str:
    """The report's text.

    Args:
        report: What was found.
        images: Plots beside it, as `draw_all` gives them.

    Returns:
        Markdown.
    """
    data = report.data
    part = "test images, drawn in their proportions from those" if report.limited else "test images"
    compared = "Answers compared" if report.withheld else "Accuracy"
    parts = [f"# {report.comparison.name}: converted models against the float model"]
    if data.notice:
        parts.append(f"> **{data.notice.upper()}**")
    if report.withheld:
        parts.append(f"> {report.withheld}")
    parts += [
        f"{compared} on {len(data.y_test):,} {part} of `{data.name}`. "
        f"Measured {report.measured_at} on {_machine(report.machine)}.",
        f"Recommended: **{recommended(report)}**, the fastest variant that McNemar's test does not "
        "call worse than the float model.",
        *(f"> Note: {warning}." for warning in report.warnings),
        "## Accuracy",
        _accuracy_table(report),
        f"![Accuracy and size of each variant]({images['accuracy'].name})",
        "Intervals are 95 % Wilson intervals. *Change* is in percentage points against the float "
        "model on the same images; *other labels* counts the images to which the two give "
        "different labels, and in brackets how many were lost and won; *p* is the exact McNemar "
        "test's probability of such a difference by chance.",
        "## Latency",
        *_latency_tables(report),
        f"![Distribution of latencies]({images['latency'].name})",
        _latency_note(report),
        "## Interpreters",
        _interpreter_table(report),
        "*Differing* counts the images to which an interpreter gives another label than the first.",
    ]
    if not report.withheld:
        parts += [
            "## Confusions",
            f"![Confusion matrices]({images['confusion'].name})",
            _confusions(report),
        ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _accuracy_table(report: Report) -> str:
    keras = report.comparison.keras.stat().st_size
    original = report.float_accuracy
    rows = [("Keras float", kilobytes(keras), report.interval(original), "", "", "")]
    for candidate in report.comparison.candidates:
        found = report.accuracy[candidate.label]
        change = found.change
        rows.append(
            (
                candidate.label,
                kilobytes(candidate.size_bytes),
                report.interval(found.accuracy),
                f"{change.points:+.2f}",
                f"{change.disagreements} (-{change.lost} +{change.won})",
                f"{change.p_value:.2g}",
            )
        )
    return markdown_table(("variant", "size", "accuracy", "change", "other labels", "p"), rows)


def _latency_tables(report: Report) -> list[str]:
    parts = []
    for group in dict.fromkeys((r.num_threads, r.backend) for r in report.latency):
        records = [r for r in report.latency if (r.num_threads, r.backend) == group]
        threads = f"{group[0]} thread{'s' if group[0] > 1 else ''}"
        parts.append(f"**{group[1]} {records[0].backend_version}, {threads}** (milliseconds)")
        rows = [
            (
                r.label,
                *(
                    f"{value:.3f}"
                    for value in (
                        r.latency.p50_ms,
                        r.latency.p90_ms,
                        r.latency.p95_ms,
                        r.latency.p99_ms,
                        r.latency.mean_ms,
                    )
                ),
                f"{r.relative:.2f}",
                f"{r.latency.throughput_per_s:,.0f}",
                f"{r.whole_latency.p50_ms:.3f}",
                f"{r.cold_start_ms:.0f}",
                _megabytes(r.peak_memory_bytes),
            )
            for r in records
        ]
        parts.append(
            markdown_table(
                (
                    "variant",
                    "median",
                    "p90",
                    "p95",
                    "p99",
                    "mean",
                    "relative",
                    "per second",
                    "whole",
                    "cold start",
                    "peak memory",
                ),
                rows,
            )
        )
    return parts


def _latency_note(report: Report) -> str:
    first = report.latency[0]
    return (
        f"One inference at a time, {first.latency.runs} of them after {first.latency.warmup} for "
        f"warm-up, in {first.rounds} rounds; in each round every model takes its turn in a process "
        "of its own. *Relative* is the median over the rounds of a variant's median divided by "
        f"{'that of float32' if any(r.label == 'float32' for r in report.latency) else 'the first'}"
        " in the same round. *Whole* is the median from a picture in memory to its label, *cold "
        "start* from starting the program to its first answer. Times hold for this machine; "
        "`edge-run bench` measures on yours."
    )


def _interpreter_table(report: Report) -> str:
    rows = [
        (label, f"{one.backend} {one.version}", report.interval(one.accuracy), str(one.differing))
        for label, found in report.accuracy.items()
        for one in found.interpreters
    ]
    return markdown_table(("variant", "interpreter", "accuracy", "differing"), rows)


def _confusions(report: Report) -> str:
    """The float model's most frequent mistakes, in words."""
    labels, matrix = report.data.labels, report.float_confusion
    mistakes = sorted(
        (
            (-int(matrix[row, column]), row, column)
            for row in range(len(labels))
            for column in range(len(labels))
            if row != column and matrix[row, column]
        ),
    )[:CONFUSIONS_SHOWN]
    if not mistakes:
        return "The float model makes no mistake on these images."
    listed = ", ".join(
        f"{labels[row]} taken for {labels[column]} ({-count})" for count, row, column in mistakes
    )
    return f"The float model's most frequent mistakes: {listed}."


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all but the first column stand right.

    >>> print(markdown_table(["variant", "bytes"], [["int8", "104"]]))
    | variant | bytes |
    | --- | ---: |
    | int8 | 104 |
    """
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _machine(machine: Mapping[str, Any]) -> str:
    memory = machine["memory_bytes"]
    facts = [
        machine["board"] or machine["cpu"] or machine["machine"],
        f"{machine['cores']} cores",
        f"{memory / 2**30:.0f} GiB" if memory else "",
        f"governor {machine['governor']}" if machine["governor"] else "",
        f"{machine['system']} on {machine['machine']}",
        f"Python {machine['python']}",
        f"NumPy {machine['numpy']}",
    ]
    return ", ".join(fact for fact in facts if fact)


def _megabytes(size_bytes: int | None) -> str:
    return "" if size_bytes is None else f"{size_bytes / 1e6:.0f} MB"
