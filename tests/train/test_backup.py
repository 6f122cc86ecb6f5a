from __future__ import annotations

import json
from pathlib import Path

import keras
import pytest
import tensorflow as tf

from train.callbacks import Journal, open_backup
from train.errors import ConfigError

RUN = {"config": {"epochs": 3, "seed": 1}, "data": {"name": "mnist", "image_size": (28, 28, 1)}}


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """The backup folder of an interrupted run that had done two epochs."""
    folder = tmp_path / "a.backup"
    open_backup(folder, RUN, resume=False)
    (folder / "training_metadata.json").write_text('{"epoch": 2, "batch": 0}')
    return folder


def test_resuming_tells_the_epochs_done(backup: Path) -> None:
    assert open_backup(backup, RUN, resume=True) == 2


def test_resuming_where_nothing_was_begun_begins(tmp_path: Path) -> None:
    assert open_backup(tmp_path / "a.backup", RUN, resume=True) == 0
    assert open_backup(tmp_path / "a.backup", RUN, resume=True) == 0


def test_fresh_start_empties_the_folder(backup: Path) -> None:
    assert open_backup(backup, RUN, resume=False) == 0
    assert [path.name for path in backup.iterdir()] == ["run.json"]


def test_changed_settings_are_named(backup: Path) -> None:
    other = {"config": {"epochs": 5, "seed": 1}, "data": {**RUN["data"], "name": "letters"}}
    with pytest.raises(ConfigError, match=r"a\.backup had another epochs, name; the same settings"):
        open_backup(backup, other, resume=True)


@pytest.mark.parametrize(
    ("name", "content"),
    [("run.json", "{"), ("run.json", "\x00"), ("training_metadata.json", '{"batch": 0}')],
)
def test_damaged_folder_says_how_to_start_afresh(backup: Path, name: str, content: str) -> None:
    (backup / name).write_text(content)
    with pytest.raises(ConfigError, match=r"a\.backup is damaged .*start afresh without --resume"):
        open_backup(backup, RUN, resume=True)


def test_epoch_begins_where_an_uninterrupted_run_would_be(tmp_path: Path) -> None:
    epoch = tf.Variable(0, dtype=tf.int64)
    journal = Journal(tmp_path, epoch, seed=6)
    dropout = keras.layers.Dropout(0.5)
    journal.set_model(keras.Sequential([keras.Input((3,)), dropout, keras.layers.Dropout(0.0)]))
    journal.on_epoch_begin(4)
    assert epoch.numpy() == 4
    assert dropout.seed_generator.state.numpy().tolist() == [6, 4]


def test_epoch_that_a_crash_left_without_backup_is_written_over(tmp_path: Path) -> None:
    written = [{"loss": 3.0, "seconds": 1.0}, {"loss": 2.0, "seconds": 1.0}]
    (tmp_path / "history.json").write_text(json.dumps(written))
    journal = Journal(tmp_path, tf.Variable(0, dtype=tf.int64), seed=1)
    journal.started = 0.0
    journal.on_train_begin()
    journal.on_epoch_end(1, {"loss": 1.5})
    assert journal.history["loss"] == [3.0, 1.5]
    assert [epoch["loss"] for epoch in json.loads((tmp_path / "history.json").read_text())] == [
        3.0,
        1.5,
    ]
