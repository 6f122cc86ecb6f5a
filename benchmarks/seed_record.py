"""Notes what training from one seed gave: a small record of the accuracies of one training."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_runtime.files import write_atomic

from .records import Records, read_records, whole_records

__all__ = ["EPILOG", "configure", "handle", "recipe_of", "seed_record"]

EPILOG = """\
examples:
  python -m train --config nano --seed 2 --out build/seed-2
  python -m convert build/seed-2/nano.keras --out build/seed-2
  python -m benchmarks --models build/seed-2 --out build/seed-2
  python -m benchmarks seed-record build/seed-2 --out models/nano/seeds/2.json

DIR holds what these commands wrote. `python -m benchmarks overview` shows mean and range over the
records in models/NAME/seeds/."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds this command's arguments."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder with one training")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the record (default: DIR/seeds/SEED.json)"
    )


def handle(args: argparse.Namespace) -> int:
    """Writes the record."""
    with whole_records(args.folder):
        record = seed_record(read_records(args.folder))
    path = args.out or args.folder / "seeds" / f"{record['seed']}.json"
    print(write_atomic(path, json.dumps(record, indent=2) + "\n"))
    return 0


def seed_record(records: Records) -> dict[str, Any]:
    """What training from one seed gave.

    Args:
        records: What the rooms wrote down about it.

    Returns:
        The seed, accuracies (0 to 1) of the float model and its int8 file, and the recipe.
    """
    training = records.training
    return {
        "seed": training["config"]["seed"],
        "float": {part: training[part]["accuracy"] for part in ("validation", "test")},
        "int8": {"test": records.report["variants"]["int8"]["accuracy"]["accuracy"]},
        "recipe": recipe_of(training),
    }


def recipe_of(training: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a training without its seed and its name.

    Args:
        training: What ``NAME.metrics.json`` holds.

    Returns:
        What two trainings have in common that differ in their seed alone.
    """
    own = ("seed", "name")
    return {key: value for key, value in training["config"].items() if key not in own}
