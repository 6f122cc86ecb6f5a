"""The larger models that a small one learns from beside the labels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from edge_runtime.cli.shell import say
from edge_runtime.contract import ModelContract
from edge_runtime.files import atomic_path

from .config import TrainConfig
from .dataset import DataSet
from .errors import ConfigError
from .keras_file import contained_contract, load_keras

__all__ = ["Teacher", "find_teacher"]

# Where the released teacher is kept.
RELEASED = Path(__file__).resolve().parent.parent / "models" / "teacher"


@dataclass(frozen=True)
class Teacher:
    """One or several networks that suit the images; they answer with the mean of their logits.

    Attributes:
        paths: Their ``.keras`` files.
        facts: What identifies them, for the records of what they taught.
    """

    paths: tuple[Path, ...]
    facts: list[dict[str, str]]

    def answers(self, batches: tf.data.Dataset, kept: Path) -> NDArray[np.float16]:
        """The mean logits for every image of a data set, asked for once.

        Args:
            batches: Begin with float32 (B, H, W, C).
            kept: An ``.npy`` file. If it holds the answers already, they are read; else they are
                written there.

        Returns:
            float16 (N, classes).
        """
        if kept.is_file():
            return np.load(kept, allow_pickle=False)
        networks = [load_keras(path).model for path in self.paths]

        @tf.function(reduce_retracing=True)
        def ask(inputs: tf.Tensor) -> tf.Tensor:
            return tf.add_n([network(inputs, training=False) for network in networks])

        parts = [
            (ask(inputs) / len(networks)).numpy().astype(np.float16)
            for inputs, *_ in tqdm(batches, "asking the teacher", unit="batch", disable=None)
        ]
        answers = np.concatenate(parts)
        with atomic_path(kept) as temporary, open(temporary, "wb") as file:
            np.save(file, answers, allow_pickle=False)
        return answers


def find_teacher(
    config: TrainConfig, dataset: DataSet, out: Path, path: Path | None = None
) -> Teacher | None:
    """The teacher that a configuration wants, if it knows the images' classes.

    Args:
        config: Names the teacher's configuration, or none.
        dataset: What is to be learned.
        out: Looked in first, then the released models. All files ``NAME*.keras`` there answer
            together: several networks err less than each of them.
        path: Its file, if it is neither here nor there.

    Returns:
        The teacher; None if the configuration has none, or if it knows other classes: then there
        are only the labels to learn from, and stderr says so.

    Raises:
        ConfigError: The teacher has not been trained yet, does not end in logits, or has learned
            images that are to be held out.
    """
    if not config.teacher:
        return None
    pattern = f"{config.teacher}*.keras"
    found = [path] if path else sorted(out.glob(pattern)) or sorted(RELEASED.glob(pattern))
    if not found:
        raise ConfigError(
            f"there is no {config.teacher}.keras to learn from",
            f"it in {out} or {RELEASED}",
            f"python -m train --config {config.teacher} --out {out}",
        )
    for file in found:
        contract = contained_contract(file)
        if contract.labels != dataset.labels or contract.input_shape != dataset.input_shape:
            say(f"{file} knows other classes: {config.name} learns from the labels alone")
            return None
        if contract.output != "logits":
            raise ConfigError(
                f"{file} answers with {contract.output}",
                "logits, which can be softened",
                "choose another --teacher, or train one: python -m train --config teacher",
            )
        _check_split(file, contract, config)
    return Teacher(
        tuple(found),
        [
            {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
            for file in found
        ],
    )


def _check_split(file: Path, contract: ModelContract, config: TrainConfig) -> None:
    """Validation tells nothing of a pupil whose teacher knows the images by heart."""
    theirs = contract.training.get("config", {})
    for name in ("validation_fraction", "split_seed"):
        wanted = getattr(config, name)
        if theirs.get(name, wanted) != wanted:
            raise ConfigError(
                f"{file} was trained with {name} {theirs[name]!r} and has learned images that "
                f"{config.name} is to be validated on",
                f"{wanted!r}",
                'train both with the same, or learn without a teacher: "teacher": ""',
            )
