from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from train import fit, teacher
from train.config import CONFIGS, TrainConfig
from train.dataset import DataSet
from train.errors import ConfigError
from train.keras_file import contained_contract
from train.teacher import find_teacher

LEARNER = replace(CONFIGS["nano"], name="learner", epochs=1, batch_size=40)


@pytest.fixture(scope="module")
def taught(few_digits: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a teacher, trained for a moment: as `nano` is built, which is quicker."""
    out = tmp_path_factory.mktemp("taught")
    config = replace(LEARNER, name="teacher", teacher="", epochs=1)
    fit.run(config, few_digits, out)
    return out


@pytest.fixture(autouse=True)
def _nothing_released(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(teacher, "RELEASED", tmp_path / "released")


def test_configuration_without_teacher_has_none(few_digits: DataSet, tmp_path: Path) -> None:
    assert find_teacher(CONFIGS["seed"], few_digits, tmp_path) is None


def test_missing_teacher_is_an_error_with_the_command_that_makes_it(
    few_digits: DataSet, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"no teacher\.keras .*python -m train --config teacher"):
        find_teacher(LEARNER, few_digits, tmp_path)


def test_output_folder_comes_before_the_released_models(
    taught: Path, few_digits: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_teacher(LEARNER, few_digits, taught)
    assert found is not None
    assert found.paths == (taught / "teacher.keras",)
    assert [fact["file"] for fact in found.facts] == ["teacher.keras"]
    monkeypatch.setattr(teacher, "RELEASED", taught)
    assert find_teacher(LEARNER, few_digits, tmp_path) == found
    assert find_teacher(LEARNER, few_digits, tmp_path, found.paths[0]) == found


def test_teacher_of_other_classes_is_left_out_with_a_word(
    taught: Path, few_digits: DataSet, capsys: pytest.CaptureFixture[str]
) -> None:
    letters = replace(few_digits, labels=tuple("abcdefghij"))
    assert find_teacher(LEARNER, letters, taught) is None
    assert "knows other classes: learner learns from the labels alone" in capsys.readouterr().err


def run(config: TrainConfig, dataset: DataSet, out: Path, source: Path | None) -> dict:
    result = fit.run(config, dataset, out, teacher=source)
    assert result is not None
    return dict(result.metrics)


@pytest.mark.parametrize("changed", [{"split_seed": 2}, {"validation_fraction": 0.25}])
def test_teacher_that_learned_the_images_held_out_is_refused(
    taught: Path, few_digits: DataSet, changed: dict[str, Any]
) -> None:
    (name,) = changed
    with pytest.raises(ConfigError, match=rf"teacher\.keras was trained with {name} .*validated"):
        find_teacher(replace(LEARNER, **changed), few_digits, taught)


def test_learning_from_a_teacher_is_another_learning_and_is_recorded(
    taught: Path, few_digits: DataSet, tmp_path: Path
) -> None:
    file = taught / "teacher.keras"
    with_teacher = run(LEARNER, few_digits, tmp_path / "a", file)
    alone = run(replace(LEARNER, teacher=""), few_digits, tmp_path / "b", None)
    assert (
        with_teacher["teacher"][0]["sha256"] in (tmp_path / "a/learner.contract.json").read_text()
    )
    assert alone["teacher"] is None
    assert with_teacher["history"]["loss"] != alone["history"]["loss"]


def test_several_teachers_answer_with_their_mean(
    taught: Path, few_digits: DataSet, tmp_path: Path
) -> None:
    for number in (1, 2):
        shutil.copy(taught / "teacher.keras", tmp_path / f"teacher-{number}.keras")
    second = keras.saving.load_model(tmp_path / "teacher-2.keras")
    second.layers[-1].bias.assign_add(np.arange(10.0))
    contract = contained_contract(tmp_path / "teacher-2.keras")
    fit.save_keras(second, contract, tmp_path / "teacher-2.keras")
    both = find_teacher(LEARNER, few_digits, tmp_path)
    assert both is not None
    inputs = few_digits.x_test[:20].astype(np.float32) / 255
    batches = tf.data.Dataset.from_tensors((inputs, 0)).repeat(2)
    answers = both.answers(batches, tmp_path / "answers.npy")
    one = keras.saving.load_model(taught / "teacher.keras").predict(inputs, verbose=0)
    np.testing.assert_allclose(answers[:20], one + np.arange(10) / 2, atol=0.02)
    np.testing.assert_array_equal(answers[:20], answers[20:])


def test_answers_that_are_kept_are_not_asked_for_again(
    taught: Path, few_digits: DataSet, tmp_path: Path
) -> None:
    found = find_teacher(LEARNER, few_digits, taught)
    assert found is not None
    batches = tf.data.Dataset.from_tensors((np.zeros((3, 28, 28, 1), np.float32),))
    first = found.answers(batches, tmp_path / "answers.npy")
    assert first.shape == (3, 10)
    nothing = tf.data.Dataset.from_tensors((np.zeros((1, 28, 28, 1), np.float32),)).take(0)
    np.testing.assert_array_equal(found.answers(nothing, tmp_path / "answers.npy"), first)
