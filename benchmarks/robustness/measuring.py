"""Gathers the sets, lets models answer them, and puts what was found into a record."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.contract import ModelContract
from edge_runtime.errors import InputError
from train import data as train_data
from train.dataset import DataSet

from ..accuracy import images_to_test
from ..candidates import Candidate, Comparison, read_candidates
from ..withheld import may_have_learned
from .answers import ask
from .elsewhere import data_digits, scanned_digits, sheet_digits
from .findings import Asked, Findings
from .outliers import outliers
from .samples import INPUTS, PICTURES, Absent, Samples

__all__ = ["Material", "Sources", "examine", "gather", "measure", "measure_all", "record_of"]

Progress = Callable[[str], None]
SCHEMA_VERSION = 1
DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class Sources:
    """Where the images come from.

    Attributes:
        data: The data set whose test images are what the model knows, as for `train.data.load`.
        sheet: OpenCV's sheet of digits; None to look for it.
        fashion: The folder with Fashion-MNIST; None to look for it.
        limit: Images of each set at most; None for all.
    """

    data: str = "mnist"
    sheet: Path | None = None
    fashion: Path | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Material:
    """All sets for one kind of model.

    Attributes:
        data: The data set, its test images limited.
        limited: Whether some test images were left out.
        known: The test images, by how they are fed.
        digits: Digits from elsewhere.
        others: What is not a digit.
    """

    data: DataSet
    limited: bool
    known: Mapping[str, Samples]
    digits: tuple[Samples | Absent, ...]
    others: tuple[Samples | Absent, ...]


def measure(
    model: str | Path,
    *,
    data: str = "mnist",
    sheet: Path | None = None,
    fashion: Path | None = None,
    limit: int | None = None,
    progress: Progress = lambda line: None,
) -> Mapping[str, Any]:
    """How well a model reads digits from elsewhere, and whether it knows what is no digit.

    The model runs in new processes, so a script that calls this has to be a file that does its work
    below ``if __name__ == "__main__":``.

    Args:
        model: A sealed ``.tflite`` file.
        data: As in `Sources`.
        sheet: As in `Sources`.
        fashion: As in `Sources`.
        limit: As in `Sources`.
        progress: Called with a line for the person who waits.

    Returns:
        The record of ``robustness.json`` (docs/benchmarks.md describes it), with this model alone.

    Raises:
        EdgeRuntimeError: The model reads no digits or cannot be used, or a source is wrong.
    """
    sources = Sources(data, sheet, fashion, limit)
    found, material = measure_all(read_candidates([Path(model)]), sources, progress)
    return record_of(found, material, sources)


def measure_all(
    candidates: Sequence[Candidate], sources: Sources, progress: Progress
) -> tuple[list[Findings], Material]:
    """Examines models one after the other.

    Args:
        candidates: The models, at least one.
        sources: Where the images come from.
        progress: Called with a line for the person who waits.

    Returns:
        What was found about each, and the sets that the first was asked.

    Raises:
        EdgeRuntimeError: As `measure`.
    """
    for candidate in candidates:
        _check_labels(candidate)
    gathered: dict[Any, Material] = {}
    found = []
    for candidate in candidates:
        contract = candidate.contract
        # What sets for inputs depend on; models of one training share it.
        kind = (contract.input_shape, contract.fit, contract.polarity)
        if kind not in gathered:
            progress(f"gathering digits and what is none for {candidate.path.name}")
            gathered[kind] = gather(candidate, sources)
        found.append(examine(candidate, gathered[kind], progress))
    return found, next(iter(gathered.values()))


def gather(candidate: Candidate, sources: Sources) -> Material:
    """Reads and draws all sets.

    Args:
        candidate: The model that they are for.
        sources: Where the images come from.

    Returns:
        The sets.

    Raises:
        EdgeRuntimeError: A source is wrong.
    """
    contract, limit = candidate.contract, sources.limit
    # What the person named comes first: it may be wrong, and the rest takes seconds.
    sheet = sheet_digits(sources.sheet)
    others = outliers(contract, sources.fashion)
    whole = train_data.load(
        sources.data, fit=contract.fit, image_size=(contract.height, contract.width)
    )
    data = images_to_test(whole, _alone(candidate), limit)
    pictures = data_digits(data)
    ready = Samples(
        pictures.name,
        f"the test images of `{data.name}`",
        data.x_test,
        np.asarray(data.y_test, np.int64),
    )
    return Material(
        data,
        len(data.y_test) < len(whole.y_test),
        {INPUTS: ready, PICTURES: pictures},
        tuple(_limited(one, limit) for one in (sheet, scanned_digits())),
        tuple(_limited(one, limit) for one in others),
    )


def examine(candidate: Candidate, material: Material, progress: Progress) -> Findings:
    """Lets one model answer all sets.

    Args:
        candidate: The model.
        material: The sets.
        progress: Called with a line for the person who waits.

    Returns:
        What was found.

    Raises:
        EdgeRuntimeError: The model cannot be used.
    """
    reason = _withheld(candidate.contract, material.data)
    known = {} if reason else material.known
    sets = [
        one
        for one in (*known.values(), *material.digits, *material.others)
        if isinstance(one, Samples)
    ]
    interpreter, given = ask(
        candidate.path, sets, lambda line: progress(f"{candidate.label}: {line}")
    )
    answers = {id(one): Asked(one, answer) for one, answer in zip(sets, given, strict=True)}

    def asked(one: Samples | Absent) -> Asked | Absent:
        return one if isinstance(one, Absent) else answers[id(one)]

    pictures = material.known[PICTURES]
    tested = (
        Absent(pictures.name, pictures.about, PICTURES, reason) if reason else answers[id(pictures)]
    )
    return Findings(
        candidate,
        interpreter,
        reason,
        {fed: answers[id(one)] for fed, one in known.items()},
        (*map(asked, material.digits), tested),
        tuple(map(asked, material.others)),
    )


def record_of(found: Sequence[Findings], material: Material, sources: Sources) -> dict[str, Any]:
    """The content of ``robustness.json``, as plain JSON values.

    Args:
        found: What was found about each model.
        material: The sets that the first was asked.
        sources: Where the images came from.

    Returns:
        The record that docs/benchmarks.md describes.
    """
    data = material.data
    return {
        "schema_version": SCHEMA_VERSION,
        "measured_at": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "limit": sources.limit,
        "data": {
            "name": data.name,
            "notice": data.notice,
            "test_images": len(data.y_test),
            "limited": material.limited,
            "sha256": dict(data.sha256),
        },
        "models": {one.candidate.label: one.to_dict() for one in found},
    }


def _check_labels(candidate: Candidate) -> None:
    labels = candidate.contract.labels
    if labels != DIGITS:
        shown = ", ".join(labels[:10]) + (", …" if len(labels) > 10 else "")
        raise InputError(
            f"the labels of {candidate.path} are {shown}",
            "a model that reads digits (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)",
            "for other models there is `python -m benchmarks`",
        )


def _withheld(contract: ModelContract, data: DataSet) -> str | None:
    if not may_have_learned(contract, data):
        return None
    return (
        f"{contract.name} may have been trained on the images that stand in for MNIST's test images"
    )


def _alone(candidate: Candidate) -> Comparison:
    """A comparison of one, whose float model plays no part."""
    name = candidate.contract.name
    return Comparison(name, candidate.path.with_name(f"{name}.keras"), (candidate,))


def _limited(one: Samples | Absent, limit: int | None) -> Samples | Absent:
    return one if isinstance(one, Absent) else one.limited(limit)
