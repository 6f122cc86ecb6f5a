"""Writes the front page of the released models: one table, and where to read more."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.inspect import ModelReport, inspect_model
from edge_runtime.cli.shell import say
from edge_runtime.contract import MAX_MODEL_BYTES
from edge_runtime.errors import InputError
from edge_runtime.files import read_limited, write_atomic
from edge_runtime.measure import wilson_interval
from edge_runtime.models import DEFAULT_NAME

from .markdown import markdown_table
from .records import Records, read_record, read_records, whole_records
from .released import BASELINE, MODELS, int8_file, released_names
from .report import kilobytes
from .seed_record import recipe_of
from .speed import ratio_words

__all__ = ["EPILOG", "Released", "configure", "handle", "overview", "read_released"]

EPILOG = """\
examples:
  python -m benchmarks overview
  python -m benchmarks overview --models build/release/models

DIR holds a folder for each model, with all that its training, conversion and benchmarks wrote, and
perhaps speed.json from `python -m benchmarks speed`. The same records give the same text."""

ROLES = {
    "digits": "for a Raspberry Pi and anything larger",
    "nano": "for microcontrollers",
    "seed": "the network of the public notebook *Classification_Chiffres_MNIST*, with which the "
    "others are compared",
    "teacher": "a large network, of which others learned; it is not converted for devices",
}
MEASURE_SPEED = "python -m benchmarks speed"


@dataclass(frozen=True)
class Released:
    """A released model that was converted.

    Attributes:
        name: Its name.
        records: What the rooms wrote down about it.
        inside: What is inside its int8 file.
        seeds: The records of trainings that differ in their seed alone; may be empty.
        speeds: The model's entries in ``speed.json``, one for each interpreter; may be empty.
    """

    name: str
    records: Records
    inside: ModelReport
    seeds: tuple[Mapping[str, Any], ...]
    speeds: tuple[Mapping[str, Any], ...]

    @property
    def accuracy(self) -> Mapping[str, Any]:
        """Of the int8 file on the test images, as `benchmarks.accuracy.Accuracy`."""
        found: Mapping[str, Any] = self.records.report["variants"]["int8"]["accuracy"]
        return found


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds this command's arguments."""
    parser.add_argument(
        "--models",
        type=Path,
        default=MODELS,
        metavar="DIR",
        help="the folder of the released models, in which README.md is written (default: models)",
    )


def handle(args: argparse.Namespace) -> int:
    """Writes the page."""
    with whole_records(args.models):
        text = overview(args.models)
    print(write_atomic(args.models / "README.md", text))
    return 0


def overview(models: Path) -> str:
    """The page's text.

    Args:
        models: The folder of the released models.

    Returns:
        Markdown; the same records give the same text.

    Raises:
        InputError: A record is missing, or is about something else than the others.
        ModelError: A model file is damaged.
    """
    speed_path = models / "speed.json"
    speed = read_record(speed_path, MEASURE_SPEED) if speed_path.is_file() else None
    names = released_names(models)
    found = [
        read_released(models, name, speed) for name in names if int8_file(name, models).is_file()
    ]
    others = [name for name in names if not int8_file(name, models).is_file()]
    notices = {released.records.report["data"]["notice"] for released in found} - {None}
    parts = [
        "# Released models",
        "Written by `python -m benchmarks overview` from the records in these folders; `make "
        "release` makes all of them anew.",
        *(f"> **{notice.upper()}**" for notice in sorted(notices)),
        *([_table(found), _note(found), *_speed_note(speed)] if found else []),
        "\n".join([*map(_bullet, found), *(_unconverted(models, name) for name in others)]),
        "The default model is what `Classifier()` and `edge-run` use by themselves; the wheel "
        "carries it. For another: `edge-run classify PATH --model models/NAME/NAME_int8.tflite`. "
        "Each folder has the other formats, the records and a model card.",
    ]
    return "\n\n".join(parts) + "\n"


def read_released(models: Path, name: str, speed: Mapping[str, Any] | None) -> Released:
    """Reads what the page tells of one model.

    Args:
        models: The folder of the released models.
        name: The model.
        speed: What ``speed.json`` holds, or None.

    Returns:
        The model.

    Raises:
        InputError: A record is missing, or is about something else than the others.
        ModelError: The model file is damaged.
    """
    path = int8_file(name, models)
    records = read_records(path.parent)
    inside = inspect_model(read_limited(path, MAX_MODEL_BYTES), str(path))
    sha256 = records.report["variants"]["int8"]["sha256"]
    if inside.contract is None or inside.contract["sha256"] != sha256:
        raise InputError(
            f"{path.with_name('report.json')} is about another file than {path}",
            "records of the released files",
            "make release",
        )
    return Released(
        name, records, inside, _seeds(path.parent, records), _speeds(models, speed, name, sha256)
    )


def _seeds(folder: Path, records: Records) -> tuple[Mapping[str, Any], ...]:
    recipe = recipe_of(records.training)
    seeds: dict[Any, Mapping[str, Any]] = {}
    for path in sorted(folder.glob("seeds/*.json")):
        seed = read_record(path, "python -m benchmarks seed-record")
        theirs = seed.get("recipe", {})
        # A configuration may have gained a setting since.
        changed = [key for key in recipe.keys() & theirs.keys() if recipe[key] != theirs[key]]
        if changed:
            why = f"it tells of a training with another {', '.join(sorted(changed))}"
            say(f"{path} is left out: {why}")
        elif "seed" not in seed or "test" not in seed.get("int8", {}):
            raise InputError(
                f"{path} lacks the seed or its int8 accuracy",
                "a record of one training",
                "python -m benchmarks seed-record writes it",
            )
        elif seed["seed"] in seeds:
            raise InputError(
                f"{path} tells of seed {seed['seed']} once more",
                "one record for each seed",
                f"remove one of those in {path.parent}",
            )
        else:
            seeds[seed["seed"]] = seed
    return tuple(seeds.values())


def _speeds(
    models: Path, speed: Mapping[str, Any] | None, name: str, sha256: str
) -> tuple[Mapping[str, Any], ...]:
    if speed is None:
        return ()
    entry = next((e for e in speed["models"].values() if e["sha256"] == sha256), None)
    if entry is None:
        raise InputError(
            f"{models / 'speed.json'} does not tell of {name}'s int8 file",
            "all released models",
            f"{MEASURE_SPEED} --out {models}",
        )
    return tuple(entry["interpreters"])


def _table(found: Sequence[Released]) -> str:
    several = _several_seeds(found)
    interpreters = [f"{one['backend']} {one['version']}" for one in found[0].speeds]
    rows = [
        (
            f"[{released.name}]({released.name}/README.md)",
            kilobytes(released.inside.file_bytes),
            f"{released.records.training['parameters']:,}",
            f"{released.inside.macs:,}",
            "{accuracy:.2%} ({low:.2%} to {high:.2%})".format(**released.accuracy),
            *([_over_seeds(released.seeds)] if several else []),
            *("1" if released.name == BASELINE else ratio_words(one) for one in released.speeds),
        )
        for released in found
    ]
    header = ("model", "int8 file", "parameters", "MACs", "accuracy")
    return markdown_table((*header, *(["over seeds"] if several else []), *interpreters), rows)


def _several_seeds(found: Sequence[Released]) -> bool:
    return any(len(released.seeds) > 1 for released in found)


def _over_seeds(seeds: Sequence[Mapping[str, Any]]) -> str:
    if len(seeds) < 2:
        return ""
    shares = [seed["int8"]["test"] for seed in seeds]
    spread = f"{min(shares):.2%} to {max(shares):.2%}"
    return f"{statistics.mean(shares):.2%} ({spread}; {len(shares)})"


def _note(found: Sequence[Released]) -> str:
    data = found[0].records.report["data"]
    seeds = (
        " *Over seeds*: mean, range and number of trainings that differ in their seed alone."
        if _several_seeds(found)
        else ""
    )
    return (
        f"*Accuracy* is that of the int8 file on the {data['test_images']:,} test images of "
        f"`{data['name']}`, with 95 % Wilson interval.{seeds} *MACs* are multiply-accumulates for "
        "one picture."
    )


def _speed_note(speed: Mapping[str, Any] | None) -> list[str]:
    if speed is None:
        return []
    machine = speed["machine"]
    baseline = speed["models"][speed["baseline"]]
    return [
        f"The last columns tell how many times as fast as `{baseline['file']}` one inference is in "
        f"that interpreter, on one thread: median and range over {speed['rounds']} rounds, in each "
        f"of which the models took turns, on {machine['board'] or machine['cpu']}, "
        f"{speed['measured_at'][:10]}.",
        *(f"> Note: {warning}." for warning in speed["warnings"]),
    ]


def _bullet(released: Released) -> str:
    tags = ["the default"] if released.name == DEFAULT_NAME else []
    tags += [ROLES[released.name]] if released.name in ROLES else []
    return f"- [{released.name}]({released.name}/README.md): {'; '.join(tags) or 'a model'}."


def _unconverted(models: Path, name: str) -> str:
    """A bullet; there may be several such networks in a folder, which differ in their seed."""
    folder = models / name
    links, figures = [], []
    for path in sorted(folder.glob("*.keras"), key=lambda path: (path.stem != name, path.stem)):
        metrics = path.with_suffix(".metrics.json")
        training = read_record(metrics, "python -m train")
        accuracy, images = training["test"]["accuracy"], training["test"]["images"]
        low, high = wilson_interval(round(accuracy * images), images)
        links.append(f"[{path.stem}]({name}/{metrics.name})")
        figures.append(
            f"{training['parameters']:,} parameters, {accuracy:.2%} ({low:.2%} to {high:.2%})"
        )
    return (
        f"- {', '.join(links)}: {ROLES.get(name, 'not converted')}. As Keras writes it: "
        f"{'; '.join(figures)}."
    )
