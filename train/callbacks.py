"""What has to survive an interruption besides the weights: the epoch, the history, the settings."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from edge_runtime.files import write_atomic

from .errors import ConfigError

__all__ = ["Journal", "open_backup"]

RUN_FILE = "run.json"
HISTORY_FILE = "history.json"


class Journal(keras.callbacks.Callback):
    """Tells the batches and the dropout which epoch it is, and keeps the history on disk.

    Args:
        folder: Where `history.json` is kept.
        epoch: Set at the beginning of each epoch; the training batches read it.
        seed: Of dropout.
    """

    def __init__(self, folder: Path, epoch: tf.Variable, seed: int) -> None:
        super().__init__()
        self.path = folder / HISTORY_FILE
        self.epoch = epoch
        self.seed = seed
        self.epochs: list[dict[str, float]] = []

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Reads what earlier sittings wrote."""
        if self.path.is_file():
            self.epochs = json.loads(self.path.read_text())

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Sets everything random to where an uninterrupted run would have it."""
        self.epoch.assign(epoch)
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.Dropout) and layer.rate > 0:
                # A seed generator's state is a pair of 32-bit numbers, and is not in a backup.
                layer.seed_generator.state.assign([self.seed, epoch])
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Adds the epoch to the history, in place of one that a crash left without its backup."""
        figures = {name: float(value) for name, value in (logs or {}).items()}
        figures["seconds"] = time.perf_counter() - self.started
        self.epochs = [*self.epochs[:epoch], figures]
        write_atomic(self.path, json.dumps(self.epochs))

    @property
    def history(self) -> dict[str, list[float]]:
        """Each figure's values, one an epoch."""
        names = self.epochs[0] if self.epochs else {}
        return {name: [figures[name] for figures in self.epochs] for name in names}


def open_backup(folder: Path, run: Mapping[str, Any], resume: bool) -> int:
    """Prepares the folder in which the state of an unfinished run is kept.

    Args:
        folder: The folder; emptied unless the run is resumed.
        run: What makes this run: configuration and data. Another run cannot be resumed.
        resume: Whether to go on where an interrupted run stopped.

    Returns:
        Epochs done already.

    Raises:
        ConfigError: The backup belongs to a run with other settings.
    """
    if resume and (folder / RUN_FILE).is_file():
        try:
            before = json.loads((folder / RUN_FILE).read_text())
            metadata = folder / "training_metadata.json"  # BackupAndRestore's own
            done = int(json.loads(metadata.read_text())["epoch"]) if metadata.is_file() else 0
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{folder} is damaged ({error})", remedy="start afresh without --resume"
            ) from None
        # As it would be read back: tuples have become lists.
        if differences := _differences(before, json.loads(json.dumps(run))):
            raise ConfigError(
                f"the interrupted run in {folder} had another {', '.join(differences)}",
                "the same settings",
                "repeat them, or start afresh without --resume",
            )
        return done
    shutil.rmtree(folder, ignore_errors=True)
    write_atomic(folder / RUN_FILE, json.dumps(run, indent=2))
    return 0


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names of the settings that differ, looked for one level down too."""
    names = []
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            names += [inner for inner in sorted({*old, *new}) if old.get(inner) != new.get(inner)]
        elif old != new:
            names.append(name)
    return names
