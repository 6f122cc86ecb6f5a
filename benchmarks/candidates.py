"""Which models are compared, and with which float model."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from convert.recipes import VARIANTS
from edge_runtime.contract import MAX_MODEL_BYTES, ModelContract, read_sealed
from edge_runtime.errors import ContractError, InputError
from edge_runtime.files import read_limited
from edge_runtime.models import default_model_path

from .released import RELEASED

__all__ = ["Candidate", "Comparison", "find_comparison", "read_candidates"]

BUILD = Path("build")
MAX_RECORD_BYTES = 2**22


@dataclass(frozen=True)
class Candidate:
    """A converted model.

    Attributes:
        label: What reports call it: its variant, or its file's name where variants repeat.
        path: The ``.tflite`` file.
        size_bytes: Its size.
        sha256: SHA-256 of the flatbuffer in it.
        contract: Its contract.
    """

    label: str
    path: Path
    size_bytes: int
    sha256: str
    contract: ModelContract


@dataclass(frozen=True)
class Comparison:
    """A float model and the converted models that are held against it.

    Attributes:
        name: The float model's name.
        keras: Its ``.keras`` file.
        candidates: The converted models, at least one; all with the same labels and input.
        warnings: What makes the comparison hard to trust.
    """

    name: str
    keras: Path
    candidates: tuple[Candidate, ...]
    warnings: tuple[str, ...] = ()

    @property
    def contract(self) -> ModelContract:
        """What all of them expect."""
        return self.candidates[0].contract


def find_comparison(
    models: Sequence[Path] = (), keras: Path | None = None, build: Path = BUILD
) -> Comparison:
    """Finds what to compare.

    Args:
        models: ``.tflite`` files or folders of them; none for the models in `build` that were
            converted last, or, where there are none, for the released default model.
        keras: The float model; None for ``NAME.keras`` beside them. If the record of the conversion
            says that they come from another file, a model named here is taken with a warning.
        build: Where `convert` writes.

    Returns:
        The comparison.

    Raises:
        InputError: A path is wrong, or there is nothing to compare.
        ModelError: A model is damaged, has no contract, or is of another kind than the others.
    """
    candidates = read_candidates(models or _by_themselves(build))
    first = candidates[0]
    for other in candidates[1:]:
        for what, name in (("labels", "labels"), ("input_shape", "input sizes")):
            if getattr(first.contract, what) != getattr(other.contract, what):
                raise InputError(
                    f"{first.path} and {other.path} have different {name}",
                    "models for the same task",
                    "compare them one after the other",
                )
    chosen, keras = keras is not None, keras or _beside(first)
    if not keras.is_file():
        raise InputError(
            f"the float model {keras} does not exist",
            "the .keras file that the models were converted from",
            "name it with --keras FILE",
        )
    try:
        _check_origin(keras, first)
    except InputError as error:
        if not chosen:
            raise
        return Comparison(keras.stem, keras, candidates, (str(error),))
    return Comparison(keras.stem, keras, candidates)


def read_candidates(models: Sequence[Path], *, by_variant: bool = True) -> tuple[Candidate, ...]:
    """Reads converted models.

    Args:
        models: ``.tflite`` files or folders of them, at least one.
        by_variant: Whether a model's label may be its variant; else it is its file's name.

    Returns:
        The models, each with a label of its own, in the order of the recipes.

    Raises:
        InputError: A path is wrong.
        ModelError: A model is damaged or has no contract.
    """
    read = [_read(path) for path in _expanded(models)]
    if not by_variant:
        read = [replace(candidate, label=candidate.path.stem) for candidate in read]
    candidates = _labelled(read)
    return tuple(sorted(candidates, key=lambda c: (_rank(c), c.label)))


def _expanded(models: Sequence[Path]) -> list[Path]:
    paths: list[Path] = []
    for model in models:
        found = sorted(model.glob("*.tflite")) if model.is_dir() else [model]
        if not found:
            raise InputError(f"{model} holds no models", "files that end in .tflite")
        paths += found
    return list({path.resolve(): path for path in paths}.values())


def _by_themselves(build: Path) -> list[Path]:
    """The variants of the model that was converted last, else those of the released default."""
    converted = [
        path
        for path in build.glob("*_*.tflite")
        if path.with_name(f"{path.stem.rpartition('_')[0]}.keras").is_file()
    ]
    if converted:
        latest = max(converted, key=lambda path: path.stat().st_mtime).stem.rpartition("_")[0]
        return [path for path in sorted(converted) if path.stem.rpartition("_")[0] == latest]
    released = sorted(RELEASED.glob("*.tflite"))
    if not released:
        raise InputError(
            f"there are no models in {build} and none in {RELEASED}",
            "converted models beside their .keras file",
            "python -m train && python -m convert build/seed.keras",
        )
    return released


def _read(path: Path) -> Candidate:
    data = read_limited(path, MAX_MODEL_BYTES)
    sealed = read_sealed(data, str(path))
    if sealed.contract is None:
        raise ContractError(
            f"{path} carries no contract",
            "a model sealed by `python -m convert`",
            "convert it again; a file that should have one is truncated",
        )
    digest = hashlib.sha256(sealed.flatbuffer).hexdigest()
    label = sealed.contract.variant or path.stem
    return Candidate(label, path, len(data), digest, sealed.contract)


def _labelled(candidates: list[Candidate]) -> list[Candidate]:
    """Calls each by its variant; where two have the same, by the file's name, then by its path."""
    for name in (lambda c: c.path.stem, lambda c: str(c.path)):
        counts = Counter(candidate.label for candidate in candidates)
        candidates = [c if counts[c.label] == 1 else replace(c, label=name(c)) for c in candidates]
    return candidates


def _rank(candidate: Candidate) -> int:
    """Reports go from the variant that is nearest to the float model to the farthest."""
    variant = candidate.contract.variant
    return VARIANTS.index(variant) if variant in VARIANTS else len(VARIANTS)


def _beside(candidate: Candidate) -> Path:
    name = f"{candidate.contract.name}.keras"
    beside = candidate.path.with_name(name)
    # The package holds a copy of the default model's int8 file alone.
    in_package = candidate.path.resolve() == default_model_path().resolve()
    return RELEASED / name if in_package else beside


def _check_origin(keras: Path, candidate: Candidate) -> None:
    """A model trained again after its conversion is another model, and no change against it counts.

    Raises:
        InputError: The record of the conversion names another file's hash.
    """
    made_from = candidate.contract.conversion.get("keras_file")
    name = f"{Path(made_from if isinstance(made_from, str) else keras).stem}.convert.json"
    folders = (candidate.path.parent, keras.parent)
    record = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if record is None:
        return
    convert_again = f"python -m convert {keras} --out {candidate.path.parent}"
    try:
        digest = json.loads(read_limited(record, MAX_RECORD_BYTES))["keras_sha256"]
    except (ValueError, LookupError, TypeError):
        raise InputError(
            f"{record} is not a record of a conversion",
            "what `python -m convert` writes",
            convert_again,
        ) from None
    if digest != hashlib.sha256(keras.read_bytes()).hexdigest():
        raise InputError(
            f"{keras} is not the file that {candidate.path} was converted from",
            f"SHA-256 {str(digest)[:12]}…",
            convert_again,
        )
