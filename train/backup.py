"""What has to survive an interruption: weights, optimizer, history and their settings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from edge_runtime.files import write_atomic

from .errors import ConfigError

__all__ = ["Backup", "differences"]

RUN_FILE = "run.json"
HISTORY_FILE = "history.json"
# What JSON and TensorFlow's checkpoint reader raise over files that are not whole.
DAMAGE = (
    ValueError, TypeError, AttributeError, AssertionError, LookupError, RuntimeError,
    tf.errors.OpError,
)  # fmt: skip


class Backup:
    """The state of an unfinished run after its last whole epoch, in a folder.

    The history is written last and counts: a checkpoint that it does not tell of is left over from
    a crash.

    Args:
        folder: The folder; made when something is written.
        network: Its weights are kept.
        optimizer: Its state is kept.
    """

    def __init__(
        self, folder: Path, network: keras.Model, optimizer: keras.optimizers.Optimizer
    ) -> None:
        self.folder = folder
        self.epochs: list[dict[str, float]] = []
        self.checkpoint = tf.train.Checkpoint(network=network, optimizer=optimizer)

    def begin(self, run: Mapping[str, Any]) -> None:
        """Starts afresh: what another run left is removed.

        Args:
            run: What makes this run: configuration and data.
        """
        self.remove()
        write_atomic(self.folder / RUN_FILE, json.dumps(run, indent=2))

    def resume(self, run: Mapping[str, Any]) -> bool:
        """Brings weights and optimizer to where the interrupted run was.

        Args:
            run: What makes this run; another run cannot be resumed.

        Returns:
            Whether there was a run to resume; if not, one is begun.

        Raises:
            ConfigError: The backup is damaged or belongs to a run with other settings.
        """
        if not (self.folder / RUN_FILE).is_file():
            self.begin(run)
            return False
        try:
            before = json.loads((self.folder / RUN_FILE).read_text())
            history = self.folder / HISTORY_FILE
            epochs = json.loads(history.read_text()) if history.is_file() else []
            # As it would be read back: tuples have become lists.
            differing = differences(before, json.loads(json.dumps(run)))
            if not differing and epochs:
                status = self.checkpoint.read(str(self._checkpoint(len(epochs))))
                status.assert_consumed()
        except DAMAGE as error:
            reason = str(error).partition("\n")[0]
            raise ConfigError(
                f"{self.folder} is damaged ({reason})", remedy="start afresh without --resume"
            ) from None
        if differing:
            raise ConfigError(
                f"the interrupted run in {self.folder} had another {', '.join(differing)}",
                "the same settings",
                "repeat them, or start afresh without --resume",
            )
        self.epochs = epochs
        return True

    def save(self, figures: Mapping[str, float]) -> None:
        """Keeps the state after one more epoch.

        Args:
            figures: The epoch's line of the history.
        """
        before, after = len(self.epochs), len(self.epochs) + 1
        self.checkpoint.write(str(self._checkpoint(after)))
        self.epochs.append(dict(figures))
        write_atomic(self.folder / HISTORY_FILE, json.dumps(self.epochs))
        for old in self.folder.glob(f"{self._checkpoint(before).name}.*"):
            old.unlink()

    def remove(self) -> None:
        """Removes the folder: everything is written elsewhere, or nothing is to be kept."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def history(self) -> dict[str, list[float]]:
        """Each figure's values, one an epoch."""
        names = self.epochs[0] if self.epochs else {}
        return {name: [figures[name] for figures in self.epochs] for name in names}

    def _checkpoint(self, epochs: int) -> Path:
        return self.folder / f"after-{epochs}"


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names of the settings that differ, looked for one level down too.

    >>> differences({"data": {"name": "a", "fit": "ink"}}, {"data": {"name": "b", "fit": "ink"}})
    ['name']
    """
    names = []
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            names += [inner for inner in sorted({*old, *new}) if old.get(inner) != new.get(inner)]
        elif old != new:
            names.append(name)
    return names
