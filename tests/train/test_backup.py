from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from train.backup import Backup
from train.errors import ConfigError

RUN = {"config": {"epochs": 3, "seed": 1}, "data": {"name": "mnist", "image_size": (28, 28, 1)}}


def backup_of(folder: Path, value: float = 0.0) -> tuple[Backup, keras.Model]:
    """A backup, and the network that it keeps: one weight of this value."""
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    network.set_weights([np.full((1, 1), value, np.float32)])
    optimizer = keras.optimizers.Adam()
    optimizer.build(network.trainable_variables)
    return Backup(folder, network, optimizer), network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The backup folder of an interrupted run that had done two epochs."""
    folder = tmp_path / "a.backup"
    backup, network = backup_of(folder)
    backup.begin(RUN)
    for epoch in (1, 2):
        network.set_weights([np.full((1, 1), epoch, np.float32)])
        backup.save({"loss": 1 / epoch})
    return folder


def test_resuming_brings_back_weights_and_history(folder: Path) -> None:
    backup, network = backup_of(folder)
    assert backup.resume(RUN)
    assert network.get_weights()[0].item() == 2
    assert backup.history == {"loss": [1.0, 0.5]}


def test_resuming_brings_back_the_optimizer(tmp_path: Path) -> None:
    backup, _ = backup_of(tmp_path / "a.backup")
    optimizer = backup.checkpoint.optimizer
    backup.begin(RUN)
    optimizer.iterations.assign(77)
    backup.save({"loss": 1.0})
    optimizer.iterations.assign(0)
    assert backup.resume(RUN)
    assert int(optimizer.iterations) == 77


def test_resuming_where_nothing_was_begun_begins(tmp_path: Path) -> None:
    backup, _ = backup_of(tmp_path / "a.backup")
    assert not backup.resume(RUN)
    assert backup.resume(RUN)
    assert backup.epochs == []


def test_fresh_start_empties_the_folder(folder: Path) -> None:
    backup_of(folder)[0].begin(RUN)
    assert [path.name for path in folder.iterdir()] == ["run.json"]


def test_changed_settings_are_named(folder: Path) -> None:
    other = {"config": {"epochs": 5, "seed": 1}, "data": {**RUN["data"], "name": "letters"}}
    with pytest.raises(ConfigError, match=r"a\.backup had another epochs, name; the same settings"):
        backup_of(folder)[0].resume(other)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.json", b"{"),
        ("run.json", b"\x00"),
        ("history.json", b"[1"),
        ("history.json", b"3"),
        ("after-2.index", b"nothing"),
        ("after-2.data-00000-of-00001", b""),
    ],
)
def test_damaged_folder_says_how_to_start_afresh(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.backup is damaged .*start afresh without --resume"):
        backup_of(folder)[0].resume(RUN)


def test_backup_of_another_network_is_refused(folder: Path) -> None:
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5)])
    optimizer = keras.optimizers.Adam()
    optimizer.build(network.trainable_variables)
    with pytest.raises(ConfigError, match="is damaged"):
        Backup(folder, network, optimizer).resume(RUN)


def test_checkpoint_that_a_crash_left_without_history_does_not_count(folder: Path) -> None:
    epochs = json.loads((folder / "history.json").read_text())
    backup, network = backup_of(folder)
    assert backup.resume(RUN)
    network.set_weights([np.full((1, 1), 9.0, np.float32)])
    backup.checkpoint.write(str(folder / "after-3"))
    again, network = backup_of(folder)
    assert again.resume(RUN)
    assert again.epochs == epochs
    assert network.get_weights()[0].item() == 2
    again.save({"loss": 0.1})
    assert backup_of(folder)[0].resume(RUN)
