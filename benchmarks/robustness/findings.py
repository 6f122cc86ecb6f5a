"""What a model's answers to all sets amount to, and the record that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.measure import wilson_interval

from ..accuracy import accuracy_of
from ..candidates import Candidate
from .answers import Answers, Interpreter
from .samples import INPUTS, Absent, Samples
from .scores import Calibration, auroc, calibration

__all__ = ["MISTAKES", "Asked", "Findings", "confident_mistakes", "most_confident"]

MISTAKES = 10
NOWHERE = -1
"""The answer to an empty picture: no label, so never the right one."""


@dataclass(frozen=True)
class Asked:
    """A set with a model's answers to it."""

    samples: Samples
    answers: Answers


@dataclass(frozen=True)
class Findings:
    """All that was found about one model.

    Attributes:
        candidate: The model.
        interpreter: What ran it.
        withheld: Why nothing is said that rests on the test images, or None.
        known: The answers to the test images, by how they were fed; empty where withheld.
        digits: Digits from elsewhere, through the file pipeline.
        others: What is not a digit.
    """

    candidate: Candidate
    interpreter: Interpreter
    withheld: str | None
    known: Mapping[str, Asked] = field(default_factory=dict)
    digits: tuple[Asked | Absent, ...] = ()
    others: tuple[Asked | Absent, ...] = ()

    @property
    def threshold(self) -> float | None:
        """The contract's rejection threshold."""
        return self.candidate.contract.rejection_threshold

    @property
    def calibration(self) -> Calibration | None:
        """Of the answers to the test images as inputs; None where withheld."""
        asked = self.known.get(INPUTS)
        if asked is None:
            return None
        return calibration(asked.answers.score, asked.answers.best == asked.samples.truth)

    def to_dict(self) -> dict[str, Any]:
        """The entry of this model in ``robustness.json``; see docs/benchmarks.md."""
        calibrated = self.calibration
        return {
            "name": self.candidate.contract.name,
            "file": self.candidate.path.name,
            "sha256": self.candidate.sha256,
            "backend": self.interpreter.backend,
            "backend_version": self.interpreter.version,
            "fit": self.candidate.contract.fit,
            "threshold": self.threshold,
            "withheld": self.withheld,
            "digits": [self._digits(one) for one in self.digits],
            "known": {fed: self._rejection(one.answers) for fed, one in self.known.items()},
            "not_digits": [row for one in self.others for row in self._others(one)],
            "calibration": calibrated and calibrated.to_dict(),
        }

    def _digits(self, one: Asked | Absent) -> dict[str, Any]:
        if isinstance(one, Absent):
            return _not_measured(one)
        samples, answers = one.samples, one.answers
        truth = samples.truth
        assert truth is not None
        labels = self.candidate.contract.labels
        given = np.where(answers.empty, NOWHERE, answers.best)
        rejected = answers.rejected(self.threshold)
        kept = ~rejected
        return {
            **_named(samples),
            **asdict(accuracy_of(given, truth)),
            "empty": int(np.count_nonzero(answers.empty)),
            "rejected": int(np.count_nonzero(rejected)),
            "accepted": asdict(accuracy_of(given[kept], truth[kept])) if kept.any() else None,
            "mistakes": [
                {
                    "index": index,
                    "true": labels[truth[index]],
                    "read": labels[answers.best[index]],
                    "score": float(answers.score[index]),
                    "rejected": bool(rejected[index]),
                }
                for index in confident_mistakes(one)
            ],
        }

    def _rejection(self, answers: Answers, part: NDArray[np.bool_] | None = None) -> dict[str, Any]:
        """How many images, or how many of a part of them, are rejected."""
        chosen = slice(None) if part is None else part
        rejected = answers.rejected(self.threshold)[chosen]
        count, total = int(np.count_nonzero(rejected)), len(rejected)
        low, high = wilson_interval(count, total)
        return {
            "images": total,
            "empty": int(np.count_nonzero(answers.empty[chosen])),
            "rejected": count,
            "share": count / total,
            "low": low,
            "high": high,
        }

    def _others(self, one: Asked | Absent) -> list[dict[str, Any]]:
        if isinstance(one, Absent):
            return [_not_measured(one)]
        known = self.known.get(one.samples.fed)
        parts = {one.samples.name: np.ones(len(one.answers.rank), bool), **one.samples.parts}
        return [
            {
                **_named(one.samples),
                "name": name,
                **self._rejection(one.answers, part),
                "auroc": known and auroc(known.answers.rank, one.answers.rank[part]),
            }
            for name, part in parts.items()
            if part.any()  # A small limit may leave nothing of a part.
        ]


def confident_mistakes(asked: Asked, count: int = MISTAKES) -> list[int]:
    """The wrong answers with the highest scores; empty pictures have no answer.

    Args:
        asked: A set whose truth is known.
        count: How many at most.

    Returns:
        Indices into the set, the most confident first; of equal ones the first.
    """
    answers = asked.answers
    wrong = ~answers.empty & (answers.best != asked.samples.truth)
    return _first(answers.score, wrong, count)


def most_confident(asked: Asked, count: int = MISTAKES) -> list[int]:
    """The answers with the highest scores, as `confident_mistakes`."""
    return _first(asked.answers.score, ~asked.answers.empty, count)


def _first(score: NDArray[np.float64], among: NDArray[np.bool_], count: int) -> list[int]:
    places = np.flatnonzero(among)
    return places[np.argsort(-score[places], kind="stable")][:count].tolist()


def _named(samples: Samples) -> dict[str, Any]:
    return {"name": samples.name, "fed": samples.fed, "about": samples.about, "not_measured": None}


def _not_measured(absent: Absent) -> dict[str, Any]:
    return {
        "name": absent.name,
        "fed": absent.fed,
        "about": absent.about,
        "not_measured": absent.reason,
    }
