from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from edge_runtime import ModelContract
from edge_runtime.quantization import softmax
from train import fit
from train.config import CONFIGS
from train.data import DataSet
from train.dataset import split_validation
from train.errors import ConfigError
from train.fit import TrainResult
from train.progress import Progress

# Dropout and augmentation are on: whatever is random has to repeat and to survive an interruption.
CONFIG = replace(
    CONFIGS["nano"], name="tiny", epochs=3, batch_size=40, dropout=0.2, validation_fraction=0.2,
    teacher="",
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(few_digits: DataSet, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A run that nothing interrupted."""
    return fit.run(CONFIG, few_digits, tmp_path_factory.mktemp("whole"))


def weights(path: Path) -> list[np.ndarray]:
    return keras.saving.load_model(path).get_weights()


def assert_same_weights(first: Path, second: Path) -> None:
    for one, other in zip(weights(first), weights(second), strict=True):
        np.testing.assert_array_equal(one, other)


def test_run_writes_five_files_and_nothing_else(whole: TrainResult) -> None:
    out = whole.keras_path.parent
    assert sorted(path.name for path in out.iterdir()) == [
        "tiny.confusion.png", "tiny.contract.json", "tiny.curves.png", "tiny.keras",
        "tiny.metrics.json",
    ]  # fmt: skip


def test_metrics_say_how_good_and_how_made(whole: TrainResult, few_digits: DataSet) -> None:
    metrics = json.loads(whole.metrics_path.read_text())
    assert metrics == json.loads(json.dumps(whole.metrics))
    images = {part: metrics[part]["images"] for part in ("train", "validation", "test")}
    assert images == {"train": 320, "validation": 80, "test": 100}
    assert np.sum(metrics["confusion"]) == 100
    assert np.trace(metrics["confusion"]) / 100 == pytest.approx(metrics["test"]["accuracy"])
    assert metrics["per_class"]["7"].keys() == {"precision", "recall", "f1", "support"}
    assert {len(values) for values in metrics["history"].values()} == {3}
    assert metrics["history"].keys() >= {"loss", "accuracy", "val_loss", "val_accuracy", "seconds"}
    assert metrics["versions"].keys() == {"python", "tensorflow", "keras", "numpy"}
    assert metrics["config"] == CONFIG.to_dict()
    assert metrics["data"]["sha256"] == dict(few_digits.sha256)
    assert metrics["seconds_in_all"] >= metrics["seconds"] > 0
    assert metrics["notice"] == few_digits.notice


def test_figures_are_those_of_the_saved_model(whole: TrainResult, few_digits: DataSet) -> None:
    model = keras.saving.load_model(whole.keras_path)
    x = few_digits.x_test.astype(np.float32) / 255
    scores = softmax(model.predict(x, verbose=0))
    accuracy = np.mean(scores.argmax(axis=1) == few_digits.y_test)
    assert whole.metrics["test"]["accuracy"] == pytest.approx(accuracy)
    right = scores[np.arange(100), few_digits.y_test]
    assert whole.metrics["test"]["loss"] == pytest.approx(-np.log(right).mean(), rel=1e-4)


def test_keras_file_carries_its_contract(whole: TrainResult, few_digits: DataSet) -> None:
    with zipfile.ZipFile(whole.keras_path) as archive:
        assert archive.testzip() is None
        inside = archive.read("contract.json").decode()
    assert inside == whole.contract_path.read_text()
    contract = ModelContract.from_json(inside)
    assert (contract.name, contract.labels) == ("tiny", few_digits.labels)
    assert contract.input_shape == (28, 28, 1)
    assert (contract.fit, contract.polarity) == ("ink", "light-on-dark")
    assert contract.output == "logits"
    assert contract.training["config"] == CONFIG.to_dict()
    assert contract.training["data"]["sha256"] == dict(few_digits.sha256)


def test_contract_depends_on_no_place_and_no_time(whole: TrainResult) -> None:
    text = whole.contract_path.read_text()
    assert str(whole.keras_path.parent) not in text
    assert "seconds" not in text
    assert "$MNIST_DIR" not in text


def test_threshold_rejects_one_validation_image_in_a_hundred(
    whole: TrainResult, few_digits: DataSet
) -> None:
    _, held = split_validation(few_digits.y_train, CONFIG.validation_fraction, CONFIG.split_seed)
    model = keras.saving.load_model(whole.keras_path)
    x = few_digits.x_train[held].astype(np.float32) / 255
    top = softmax(model.predict(x, verbose=0)).max(axis=1)
    threshold = ModelContract.from_json(whole.contract_path.read_text()).rejection_threshold
    assert threshold is not None
    assert threshold == pytest.approx(np.quantile(top, 0.01), abs=1e-4)


def test_same_seed_gives_the_same_model(
    whole: TrainResult, few_digits: DataSet, tmp_path: Path
) -> None:
    again = fit.run(CONFIG, few_digits, tmp_path)
    assert_same_weights(again.keras_path, whole.keras_path)
    assert again.contract_path.read_bytes() == whole.contract_path.read_bytes()
    assert again.curves_path.read_bytes() == whole.curves_path.read_bytes()


def interrupt_at(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the next run stop, as by Ctrl-C, in the middle of an epoch."""

    def stop(self: Progress, steps_done: int) -> None:
        if steps_done == 3 and self.done == epoch:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "step", stop)


@pytest.fixture
def interrupted(few_digits: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The output folder of a run that stopped in its third epoch."""
    with monkeypatch.context() as patch:
        interrupt_at(2, patch)
        with pytest.raises(KeyboardInterrupt):
            fit.run(CONFIG, few_digits, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.backup"]
    return tmp_path


def test_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    whole: TrainResult, interrupted: Path, few_digits: DataSet, capsys: pytest.CaptureFixture[str]
) -> None:
    resumed = fit.run(CONFIG, few_digits, interrupted, resume=True)
    told = capsys.readouterr()
    assert "epochs done already: 2 of 3" in told.err
    assert "epoch 3/3" in told.err
    assert "epoch 2/3" not in told.err
    assert told.out == "", "progress does not belong on stdout"
    assert_same_weights(resumed.keras_path, whole.keras_path)
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(resumed.metrics["history"][name], whole.metrics["history"][name])
    assert not (interrupted / "tiny.backup").exists()


def test_run_with_other_settings_cannot_be_resumed(interrupted: Path, few_digits: DataSet) -> None:
    other = replace(CONFIG, learning_rate=0.002, epochs=4)
    with pytest.raises(ConfigError, match="had another epochs, learning_rate; the same settings"):
        fit.run(other, few_digits, interrupted, resume=True)
    fewer = few_digits.limited(100)
    with pytest.raises(ConfigError, match="had another training_images"):
        fit.run(CONFIG, fewer, interrupted, resume=True)


def test_without_resume_a_run_starts_afresh(
    whole: TrainResult, interrupted: Path, few_digits: DataSet
) -> None:
    fresh = fit.run(CONFIG, few_digits, interrupted)
    assert len(fresh.metrics["history"]["loss"]) == 3
    assert_same_weights(fresh.keras_path, whole.keras_path)


def test_failed_save_leaves_the_old_model(
    whole: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "old.keras"
    shutil.copy(whole.keras_path, path)
    contract = ModelContract.from_json(whole.contract_path.read_text())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OSError, match="No space left"):
        fit.save_keras(keras.saving.load_model(path), contract, path)
    assert path.read_bytes() == whole.keras_path.read_bytes()
    assert [entry.name for entry in tmp_path.iterdir()] == ["old.keras"]


def test_colour_images_of_three_classes_are_learned(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    y = np.arange(240) % 3
    x = random.integers(0, 120, (240, 20, 24, 3), dtype=np.uint8)
    x[np.arange(240), :, :, y] += 100
    colours = DataSet(
        "colours", x[:180], y[:180], x[180:], y[180:], ("red", "green", "blue"), "stretch", "any",
        None, "made here", {},
    )  # fmt: skip
    config = replace(
        CONFIGS["nano"].for_pictures(), name="colours", epochs=8, batch_size=16, teacher=""
    )
    result = fit.run(config, colours, tmp_path)
    assert result.metrics["test"]["accuracy"] > 0.95
    contract = ModelContract.from_json(result.contract_path.read_text())
    assert (contract.input_shape, contract.fit) == ((20, 24, 3), "stretch")


def test_notice_is_repeated_in_the_metrics(whole: TrainResult, few_digits: DataSet) -> None:
    facts = fit._data_facts(replace(few_digits, notice="NOT ALL OF MNIST"))
    assert facts["notice"] == "NOT ALL OF MNIST"
