"""Fine-tuning: a trained model goes on learning from a few pictures of its user's own.

Two things can go wrong: it learns nothing, or it forgets what it knew. Measured with 100 digits of
a style that was new to the released models (MNIST slanted and turned by 30 to 40 degrees; 8x8 scans
of others), on 1,000 more of that style and on MNIST's 10,000 or 12,000 validation images:

    model     style      its own way      MNIST
    digits    slanted    87.7 -> 96.8 %   -1.94 points   nothing done about it
    digits    slanted    87.7 -> 95.9 %   -0.17          rehearsal
    digits    slanted    87.7 -> 92.2 %   -0.05          0.3 of the way
    digits    scans      97.7 -> 98.7 %   -0.11          rehearsal
    seed      slanted    68.6 -> 83.5 %   -0.11          rehearsal
    seed      scans      95.0 -> 98.1 %   -0.02          rehearsal

So three of four images that it learns from are ones that it knew (rehearsal), where this machine
has them; the 5,000 that come with a package do nearly as well (-0.20). Where it has none, the
weights go only 0.3 of the way from what they were to what they would become (Wortsman et al.,
"Robust Fine-Tuning of Zero-Shot Models", 2022). Other labels need neither: their last layer is new,
and what it replaces is given up.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.contract import ModelContract
from edge_runtime.errors import ModelError

from .config import AUGMENTATIONS, ELSEWHERE, HANDWRITING, TrainConfig
from .dataset import DataSet, Images, Labels, split_validation
from .errors import ConfigError
from .keras_file import load_keras
from .original import learned_data

if TYPE_CHECKING:
    import keras

__all__ = ["FEW", "Start"]

# Below this many validation images the score that one in a hundred does not reach is a guess.
FEW = 300
# Smaller than in training: what is known should move, not go. A new layer has farther to go.
LEARNING_RATE, NEW_HEAD_LEARNING_RATE = 3e-4, 1e-3
# A new layer learns a few pictures by heart; without this it is too sure of others. Measured with 7
# pictures a class of Fashion-MNIST: cross-entropy 0.87 instead of 0.94, accuracy the same.
NEW_HEAD_SMOOTHING = 0.1
BATCH_SIZE = 64
# Twice as many brought 0.6 points more on the slanted digits and cost 0.05 more on MNIST.
MIN_STEPS = 300
# An epoch shows at least so many own images, repeated (and changed each time) if there are fewer;
# of rehearsed ones three times as many.
OWN_IMAGES, REHEARSED_FOR_EACH = 1300, 3
# Times that every own image is seen at least, where there are many.
MIN_VIEWS = 10
# How far the weights go where nothing can be rehearsed.
WAY_ALONE = 0.3


@dataclass(frozen=True)
class Start:
    """The model from which a fine-tuning starts, and what the way from there takes.

    Attributes:
        path: Its ``.keras`` file.
        contract: Its contract.
        sha256: Of the file.
        labels: What it is to know in the end: its own labels, or others.
        original: What it was trained on, as far as it was found or the user named it; None if not,
            or if the labels are others.
    """

    path: Path
    contract: ModelContract
    sha256: str
    labels: tuple[str, ...]
    original: DataSet | None

    @property
    def keeps_labels(self) -> bool:
        """Whether the model's labels, and with them all its weights, are kept."""
        return self.labels == self.contract.labels

    @property
    def threshold(self) -> float | None:
        """The rejection threshold where there are too few pictures to find another.

        The model's own: below it lay 1.0 % of MNIST's validation images before `digits` was tuned
        and 1.1 to 1.6 % after. Its temperature stays as well: 1.03 to 1.05 would have been best
        afterwards. New labels have no threshold.
        """
        return self.contract.rejection_threshold if self.keeps_labels else None

    @property
    def learned_from(self) -> str | None:
        """Name of the data set that the model was trained on, if its contract tells."""
        name = learned_data(self.contract).get("name")
        return str(name) if name else None

    @property
    def facts(self) -> dict[str, Any]:
        """What identifies the model and, if its labels are kept, what it knew and rehearsed."""
        facts: dict[str, Any] = {"name": self.contract.name, "sha256": self.sha256}
        if self.keeps_labels:
            facts["data"] = dict(learned_data(self.contract))
            facts["rehearsed"] = dict(self.original.sha256) if self.original else None
        return facts

    def recipe(self) -> TrainConfig:
        """The configuration that made the model, made gentler.

        Network, augmentation, weight decay and the choice of validation images stay. `seed` was
        trained without augmentation: for its own labels it stays so (with it, 96.4 instead of
        98.9 % of the scans in so few steps), for other labels it gets that of handwriting (7
        pictures a class: 90.7 instead of 83.1 %).

        Raises:
            ConfigError: The contract's record of it says something impossible.
        """
        known = {field.name for field in dataclasses.fields(TrainConfig)}
        made_by = self.contract.training.get("config")
        made_by = dict(made_by) if isinstance(made_by, Mapping) else {}
        # Older releases chose the validation images by the one seed that they had.
        made_by.setdefault("split_seed", made_by.get("seed", 1))
        gentler = {
            "name": f"{self.contract.name}-tuned",
            "epochs": 1,
            "batch_size": BATCH_SIZE,
            "learning_rate": LEARNING_RATE if self.keeps_labels else NEW_HEAD_LEARNING_RATE,
            "schedule": "cosine",
            "label_smoothing": 0.0 if self.keeps_labels else NEW_HEAD_SMOOTHING,
            "teacher": "",
            "teacher_weight": 0.0,
            "varied_epochs": 0,
            "min_steps": MIN_STEPS,
        }
        settings = {"architecture": ELSEWHERE, **made_by, **gentler}
        try:
            config = TrainConfig(**{name: settings[name] for name in settings if name in known})
        except ConfigError as error:
            raise ConfigError(f"the contract of {self.path}: {error}") from None
        if self.keeps_labels or config.augments:
            return config
        strengths = {name: HANDWRITING[name] for name in AUGMENTATIONS if name in HANDWRITING}
        config = dataclasses.replace(config, **strengths)
        return config if self.contract.fit == "ink" else config.for_pictures()

    def scaled(self, config: TrainConfig, dataset: DataSet) -> TrainConfig:
        """The configuration with the epochs that so many pictures need.

        Args:
            config: Of `recipe`.
            dataset: The pictures.

        Raises:
            DataError: A class has too few images to hold one out.
        """
        kept, _ = split_validation(
            dataset.y_train, config.validation_fraction, config.split_seed, dataset.labels
        )
        repeats = _repeats(len(kept))
        images = repeats * len(kept) + len(self._rehearsed(repeats * len(kept), config))
        steps = math.ceil(images / config.batch_size)
        epochs = max(math.ceil(config.min_steps / steps), math.ceil(MIN_VIEWS / repeats))
        return dataclasses.replace(config, epochs=epochs)

    def lesson(self, x: Images, y: Labels, config: TrainConfig) -> tuple[Images, Labels]:
        """What an epoch goes through: the pictures, repeated, and what is rehearsed.

        Args:
            x: The pictures to learn from, uint8 (N, H, W, C).
            y: int64 (N,).
            config: Has the split of the original images.

        Returns:
            Images and labels, more of both.
        """
        repeats = _repeats(len(y))
        x, y = np.tile(x, (repeats, 1, 1, 1)), np.tile(y, repeats)
        chosen = self._rehearsed(len(y), config)
        if self.original is None:
            return x, y
        return (
            np.concatenate([x, self.original.x_train[chosen]]),
            np.concatenate([y, self.original.y_train[chosen]]),
        )

    def network(self) -> keras.Model:
        """The network to start with.

        Raises:
            ModelError: Keras cannot load it, it takes one picture at a time, or its last layer
                cannot be made anew.
            ContractError: Network and contract disagree.
        """
        loaded = load_keras(self.path, self.contract)
        if not loaded.free_batch:
            raise ModelError(
                f"{self.path} takes one picture at a time",
                "a model with a free batch dimension",
                "save it with keras.Input(shape) instead of a fixed batch size",
            )
        # What it answers to a black picture tells whether its contract is right about its output.
        loaded.scores(np.zeros((1, *self.contract.input_shape), np.uint8))
        if self.keeps_labels:
            network: keras.Model = loaded.model
            return network
        from .transfer import with_new_head

        return with_new_head(loaded.model, len(self.labels), str(self.path))

    def settle(self, trained: keras.Model, before: Sequence[NDArray[Any]]) -> None:
        """Takes the weights back part of the way if nothing kept them from going astray.

        Args:
            trained: Changed in place.
            before: The weights that it started with.
        """
        if self.keeps_labels and self.original is None:
            pairs = zip(before, trained.get_weights(), strict=True)
            trained.set_weights([old + WAY_ALONE * (new - old) for old, new in pairs])

    def _rehearsed(self, own: int, config: TrainConfig) -> NDArray[np.int64]:
        """Which original images go with so many own ones; never those it was validated on."""
        if self.original is None:
            return np.empty(0, np.int64)
        names = [f"{label} of {self.original.name}" for label in self.original.labels]
        kept, _ = split_validation(
            self.original.y_train, config.validation_fraction, config.split_seed, names
        )
        return kept[: REHEARSED_FOR_EACH * own]


def _repeats(images: int) -> int:
    return math.ceil(OWN_IMAGES / images)
