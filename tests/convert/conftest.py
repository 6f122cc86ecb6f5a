"""A classifier that needs no training: it tells red, green and blue pictures apart."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime import ModelContract
from train.data import DataSet

LABELS = ("red", "green", "blue")
HEIGHT, WIDTH = 12, 10


@pytest.fixture(scope="session")
def colours() -> DataSet:
    """Noisy pictures in three colours; every tenth is so dark that it calibrates nothing."""
    random = np.random.default_rng(3)
    y = np.arange(600, dtype=np.int64) % 3
    x = random.integers(0, 100, (600, HEIGHT, WIDTH, 3), dtype=np.uint8)
    x[np.arange(600), :, :, y] += 120
    x[::10] //= 40
    return DataSet(
        "colours", x[:500], y[:500], x[500:], y[500:], LABELS, "stretch", "any", None, "made", {}
    )


@pytest.fixture(scope="session")
def colour_contract() -> ModelContract:
    return ModelContract("colours", LABELS, HEIGHT, WIDTH, 3, output="logits")


@pytest.fixture(scope="session")
def save_keras() -> Callable[..., Path]:
    """``save_keras(model, path, contract)`` writes a file as `train` does."""

    def save(model: Any, path: Path, contract: ModelContract | None) -> Path:
        model.save(path)
        if contract is not None:
            with zipfile.ZipFile(path, "a") as archive:
                archive.writestr("contract.json", contract.to_json())
        return path

    return save


@pytest.fixture(scope="session")
def colour_model() -> Callable[..., Any]:
    """``colour_model(layer, …)`` builds the classifier, with layers of one's own in the middle."""

    def build(*layers: Any, batch_size: int | None = None, activation: str | None = None) -> Any:
        import keras

        identity = np.eye(3, dtype=np.float32)
        model = keras.Sequential(
            [
                keras.Input((HEIGHT, WIDTH, 3), batch_size=batch_size),
                keras.layers.Conv2D(3, 1, name="mix"),
                *layers,
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(3, activation=activation, name="colour"),
            ]
        )
        model.get_layer("mix").set_weights([identity[np.newaxis, np.newaxis], np.zeros(3)])
        model.get_layer("colour").set_weights([4 * identity, np.zeros(3)])
        return model

    return build


@pytest.fixture(scope="session")
def colour_keras(
    tmp_path_factory: pytest.TempPathFactory,
    colour_model: Callable[..., Any],
    colour_contract: ModelContract,
    save_keras: Callable[..., Path],
) -> Path:
    """The classifier's ``.keras`` file, with its contract."""
    path = tmp_path_factory.mktemp("colours") / "colours.keras"
    return save_keras(colour_model(), path, colour_contract)


@pytest.fixture(scope="session")
def converted(
    tmp_path_factory: pytest.TempPathFactory, colour_keras: Path, colours: DataSet
) -> Path:
    """A folder with the classifier in all variants."""
    from convert.converter import convert

    out = tmp_path_factory.mktemp("converted")
    convert(colour_keras, out=out, representative=colours)
    return out
