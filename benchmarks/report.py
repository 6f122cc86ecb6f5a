"""All that one run of the benchmarks found, and what follows from it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from convert.tables import text_table
from train.dataset import DataSet

from .accuracy import Accuracy, VariantAccuracy
from .candidates import Candidate, Comparison
from .latency import VariantLatency
from .withheld import may_have_learned

__all__ = ["Report", "kilobytes", "next_commands", "recommended", "summary_table"]

SCHEMA_VERSION = 1
# Medians of one model differ by so much from run to run: what is nearer counts as equally fast.
EQUALLY_FAST = 1.1
# A difference that would come up by chance less often than this is called one.
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Report:
    """All that one run of the benchmarks found.

    Attributes:
        comparison: The models.
        data: The images; its test set is the one that was used.
        limited: Whether only a part of the test set was used.
        float_accuracy: The Keras model's accuracy.
        float_confusion: Its confusion matrix.
        accuracy: What each variant did, by label.
        latency: One record for each variant, interpreter and number of threads.
        machine: What `machine_facts` said.
        warnings: What makes the figures hard to trust.
        measured_at: Date and time, ISO 8601.
    """

    comparison: Comparison
    data: DataSet
    limited: bool
    float_accuracy: Accuracy
    float_confusion: Any
    accuracy: Mapping[str, VariantAccuracy]
    latency: Sequence[VariantLatency]
    machine: Mapping[str, Any]
    warnings: Sequence[str]
    measured_at: str

    @property
    def withheld(self) -> str | None:
        """Why there are no accuracies: the model may have been trained on these images; or None."""
        if not may_have_learned(self.comparison.contract, self.data):
            return None
        return (
            f"No accuracies are given: {self.comparison.name} may have been trained on these "
            "images. Changes and disagreements hold all the same."
        )

    def share(self, accuracy: Accuracy) -> str:
        """An accuracy in words, or a dash where it is withheld."""
        return "–" if self.withheld else f"{accuracy.accuracy:.2%}"

    def interval(self, accuracy: Accuracy) -> str:
        """`share` with its interval."""
        interval = "" if self.withheld else f" ({accuracy.low:.2%} to {accuracy.high:.2%})"
        return self.share(accuracy) + interval

    def _variant(self, candidate: Candidate) -> dict[str, Any]:
        found = self.accuracy[candidate.label].to_dict()
        if self.withheld:
            found["accuracy"] = found["confusion"] = None
            for one in found["interpreters"]:
                one["accuracy"] = None
        return {
            "file": candidate.path.name,
            "size_bytes": candidate.size_bytes,
            "sha256": candidate.sha256,
            **found,
            "latency": [r.to_dict() for r in self.latency if r.label == candidate.label],
        }

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values; None for accuracies that are withheld."""
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.comparison.name,
            "measured_at": self.measured_at,
            "data": {
                "name": self.data.name,
                "notice": self.data.notice,
                "test_images": len(self.data.y_test),
                "limited": self.limited,
                "withheld": self.withheld,
                "sha256": dict(self.data.sha256),
                "labels": list(self.data.labels),
            },
            "float": {
                "file": self.comparison.keras.name,
                "size_bytes": self.comparison.keras.stat().st_size,
                "accuracy": None if self.withheld else asdict(self.float_accuracy),
                "confusion": None if self.withheld else self.float_confusion.tolist(),
            },
            "variants": {c.label: self._variant(c) for c in self.comparison.candidates},
            "recommended": recommended(self),
            "machine": dict(self.machine),
            "warnings": list(self.warnings),
        }

    def default_latency(self, label: str) -> VariantLatency:
        """A variant's record with the default interpreter and the first number of threads."""
        return next(record for record in self.latency if record.label == label)


def recommended(report: Report) -> str:
    """The variant to try first: the fastest of those that did not become measurably worse.

    Args:
        report: The report.

    Returns:
        Its label. Worse is what McNemar's test calls so; if all are, the most accurate wins. Among
        equally fast ones it is the last, which conversion changed most and more devices can run.
    """
    changes = {label: found.change for label, found in report.accuracy.items()}
    kept = [
        label
        for label, change in changes.items()
        if change.points >= 0 or change.p_value >= SIGNIFICANCE
    ]
    if not kept:
        return max(changes, key=lambda label: changes[label].points)
    medians = {label: report.default_latency(label).latency.p50_ms for label in kept}
    fastest = min(medians.values())
    return [label for label in kept if medians[label] <= fastest * EQUALLY_FAST][-1]


def summary_table(report: Report) -> str:
    """The table for the terminal: variant, size, accuracy, change, median latency, p95."""
    header = ("variant", "size", "accuracy", "change against float", "median", "p95")
    keras = report.comparison.keras.stat().st_size
    rows = [("Keras float", kilobytes(keras), report.share(report.float_accuracy), "", "", "")]
    for candidate in report.comparison.candidates:
        found = report.accuracy[candidate.label]
        latency = report.default_latency(candidate.label).latency
        rows.append(
            (
                candidate.label,
                kilobytes(candidate.size_bytes),
                report.share(found.accuracy),
                f"{found.change.points:+.2f} points",
                f"{latency.p50_ms:.3f} ms",
                f"{latency.p95_ms:.3f} ms",
            )
        )
    return text_table(header, rows)


def next_commands(report: Report) -> list[str]:
    """Commands to try next, with the recommended variant."""
    label = recommended(report)
    path = str(next(c.path for c in report.comparison.candidates if c.label == label))
    return [
        shlex.join(command)
        for command in (
            ["edge-run", "info", path],
            ["edge-run", "classify", "PATH...", "--model", path],
            ["python", "-m", "flash", "pi", "USER@HOST", "--key", "KEY", "--model", path],
        )
    ]


def kilobytes(size_bytes: int) -> str:
    """A file's size in words: thousands of bytes."""
    return f"{size_bytes / 1000:,.1f} KB"
