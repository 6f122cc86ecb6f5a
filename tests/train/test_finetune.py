from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import ModelContract
from edge_runtime.errors import ModelError
from train import finetune, fit, model, opening
from train.config import CONFIGS, HANDWRITING
from train.dataset import DataSet, split_validation
from train.errors import ConfigError, DataError
from train.finetune import Start
from train.fit import TrainResult, save_keras
from train.keras_file import contained_contract, load_keras
from train.opening import open_start
from train.progress import Progress


@pytest.fixture
def nano(tmp_path: Path) -> Path:
    """An untrained network with batch normalization, saved as training would."""
    config = replace(CONFIGS["nano"], dropout=0.2)
    contract = ModelContract(
        "nano", tuple("0123456789"), 28, 28, 1, polarity="light-on-dark", fit="ink",
        output="logits", rejection_threshold=0.4,
        training={"config": config.to_dict(), "data": {"name": "mnist"}},
    )  # fmt: skip
    return save_keras(model.build(config, (28, 28, 1), 10), contract, tmp_path / "nano.keras")


def start_from(path: Path, labels: tuple[str, ...], original: DataSet | None = None) -> Start:
    digest = sha256(path.read_bytes()).hexdigest()
    return Start(path, contained_contract(path), digest, labels, original)


def test_a_model_for_one_picture_at_a_time_is_refused(nano: Path, tmp_path: Path) -> None:
    import keras

    network = keras.Sequential(
        [keras.Input(batch_shape=(1, 28, 28, 1)), *load_keras(nano).model.layers]
    )
    path = save_keras(network, contained_contract(nano), tmp_path / "one.keras")
    with pytest.raises(ModelError, match=r"one\.keras takes one picture at a time; a model with"):
        start_from(path, tuple("0123456789")).network()


# The recipe.


def test_recipe_is_the_models_own_but_gentler(nano: Path) -> None:
    own = CONFIGS["nano"]
    config = start_from(nano, tuple("0123456789")).recipe()
    assert (config.name, config.architecture) == ("nano-tuned", "nano")
    assert config.learning_rate < own.learning_rate
    assert (config.teacher, config.teacher_weight, config.varied_epochs) == ("", 0, 0)
    for kept in ("rotation_degrees", "elastic", "negatives", "weight_decay", "split_seed"):
        assert getattr(config, kept) == getattr(own, kept)


def test_recipe_understands_the_record_of_an_older_release(nano: Path) -> None:
    record = {"architecture": "nano", "seed": 7, "shear": 0.1, "long_forgotten": 3}
    contract = contained_contract(nano).replace(training={"config": record})
    config = replace(start_from(nano, contract.labels), contract=contract).recipe()
    # There was one seed, and it chose the validation images too.
    assert (config.seed, config.split_seed, config.shear) == (7, 7, 0.1)


def test_impossible_record_is_an_error_that_names_the_file(nano: Path) -> None:
    contract = contained_contract(nano).replace(training={"config": {"dropout": 3}})
    with pytest.raises(ConfigError, match=r"the contract of .*nano\.keras: dropout is 3"):
        replace(start_from(nano, contract.labels), contract=contract).recipe()


def test_other_labels_are_learned_with_larger_steps_and_less_certainty(
    nano: Path, seed: Path
) -> None:
    same = start_from(nano, tuple("0123456789")).recipe()
    other = start_from(nano, ("a", "b")).recipe()
    assert other.learning_rate > same.learning_rate
    assert other.label_smoothing > same.label_smoothing == 0
    assert other.elastic == same.elastic
    # Seven pictures of a letter need augmentation, whatever the body was trained with.
    assert not start_from(seed, tuple("0123456789")).recipe().augments
    assert start_from(seed, ("a", "b")).recipe().negatives > 0
    stretched = contained_contract(seed).replace(fit="stretch")
    photos = replace(start_from(seed, ("a", "b")), contract=stretched).recipe()
    assert (photos.negatives, photos.elastic) == (0, HANDWRITING["elastic"])


@pytest.mark.parametrize("count", [30, 400])
def test_few_pictures_take_as_many_steps_as_needed(
    nano: Path, few_digits: DataSet, count: int
) -> None:
    start = start_from(nano, few_digits.labels)
    dataset = few_digits.limited(count)
    config = start.scaled(start.recipe(), dataset)
    kept, _ = split_validation(dataset.y_train, config.validation_fraction, config.split_seed)
    x, _ = start.lesson(dataset.x_train[kept], dataset.y_train[kept], config)
    steps = config.epochs * -(-len(x) // config.batch_size)
    assert finetune.MIN_STEPS <= steps < 1.2 * finetune.MIN_STEPS


def test_many_pictures_are_all_seen_ten_times(nano: Path, few_digits: DataSet) -> None:
    many = replace(
        few_digits,
        x_train=np.tile(few_digits.x_train, (10, 1, 1, 1)),
        y_train=np.tile(few_digits.y_train, 10),
    )
    start = start_from(nano, few_digits.labels)
    assert start.scaled(start.recipe(), many).epochs == 10


def test_one_picture_of_a_class_is_too_few(nano: Path, few_digits: DataSet) -> None:
    rows = [int(np.flatnonzero(few_digits.y_train == digit)[0]) for digit in range(10)]
    one = replace(few_digits, x_train=few_digits.x_train[rows], y_train=few_digits.y_train[rows])
    start = start_from(nano, few_digits.labels)
    with pytest.raises(DataError, match="class 0 has only 1 image and cannot be split"):
        start.scaled(start.recipe(), one)
    start = start_from(nano, few_digits.labels, replace(one, name="photos"))
    with pytest.raises(DataError, match="class 0 of photos has only 1 image and cannot be split"):
        start.scaled(start.recipe(), few_digits)


# What an epoch consists of.


def test_three_known_images_go_with_each_new_one(nano: Path, few_digits: DataSet) -> None:
    new_x = np.zeros((40, 28, 28, 1), np.uint8)
    new_y = np.arange(40) % 10
    original = replace(
        few_digits,
        x_train=np.tile(few_digits.x_train, (20, 1, 1, 1)),
        y_train=np.tile(few_digits.y_train, 20),
    )
    start = start_from(nano, few_digits.labels, original)
    x, y = start.lesson(new_x, new_y, start.recipe())
    new = ~x.any(axis=(1, 2, 3))
    assert new.sum() >= finetune.OWN_IMAGES
    assert new.sum() % 40 == 0, "every picture equally often"
    assert len(x) == len(y) == 4 * new.sum()
    assert set(y[~new]) == set(range(10))


def test_images_that_the_model_was_validated_on_are_never_rehearsed(
    nano: Path, few_digits: DataSet
) -> None:
    # The first pixels of an image tell which it is.
    marked = few_digits.x_train.copy()
    numbers = np.arange(len(marked))
    marked[:, 0, 0, 0], marked[:, 0, 1, 0] = numbers // 256, numbers % 256
    start = start_from(nano, few_digits.labels, replace(few_digits, x_train=marked))
    config = start.recipe()
    own = np.full((20, 28, 28, 1), 255, np.uint8)
    x, _ = start.lesson(own, np.arange(20) % 10, config)
    rehearsed = x[(x < 255).any(axis=(1, 2, 3))].astype(int)
    seen = rehearsed[:, 0, 0, 0] * 256 + rehearsed[:, 0, 1, 0]
    kept, held_out = split_validation(
        few_digits.y_train, CONFIGS["nano"].validation_fraction, CONFIGS["nano"].split_seed
    )
    assert set(seen) == set(kept)
    assert not set(seen) & set(held_out)


def test_where_nothing_is_rehearsed_weights_go_part_of_the_way(
    nano: Path, few_digits: DataSet
) -> None:
    labels = few_digits.labels
    for start, way in (
        (start_from(nano, labels), 0.3),
        (start_from(nano, labels, few_digits), 1),
        (start_from(nano, ("a", "b")), 1),
    ):
        network = start.network()
        before = network.get_weights()
        network.set_weights([weights + 1 for weights in before])
        start.settle(network, before)
        for old, new in zip(before, network.get_weights(), strict=True):
            np.testing.assert_allclose(new - old, way, atol=1e-5)


# Whole runs.


@pytest.fixture(scope="module")
def mirrored(few_digits: DataSet) -> DataSet:
    """Ten pictures a class of a style that no model has met: digits in a mirror."""
    few = few_digits.limited(100)
    return replace(
        few, name="mirrored", x_train=few.x_train[:, :, ::-1], x_test=few.x_test[:, :, ::-1],
        notice=None, sha256={"train-images": "mirrored"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def tuned(
    seed_model: Callable[[str], Path],
    few_digits: DataSet,
    mirrored: DataSet,
    tmp_path_factory: pytest.TempPathFactory,
) -> TrainResult:
    """The released seed model after tuning on digits in a mirror."""
    start = start_from(seed_model("seed.keras"), few_digits.labels, few_digits)
    config = start.scaled(start.recipe(), mirrored)
    result = fit.run(config, mirrored, tmp_path_factory.mktemp("tuned"), start=start)
    assert result is not None
    return result


def accuracy(path: Path, x: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean(load_keras(path).scores(x).argmax(axis=1) == y))


def test_pictures_of_a_new_style_are_learned_and_little_is_forgotten(tuned: TrainResult) -> None:
    before, after = tuned.metrics["before"], tuned.metrics["after"]
    assert after["held_out"]["accuracy"] > before["held_out"]["accuracy"] + 0.1
    assert after["original"]["accuracy"] > before["original"]["accuracy"] - 0.03
    assert tuned.metrics["unmeasured"] is None


def test_before_and_after_are_those_of_the_two_files(
    tuned: TrainResult, seed: Path, mirrored: DataSet, few_digits: DataSet
) -> None:
    metrics = json.loads(tuned.metrics_path.read_text())
    for when, path in (("before", seed), ("after", tuned.keras_path)):
        for part, dataset in (("held_out", mirrored), ("original", few_digits)):
            figures = metrics[when][part]
            assert figures["accuracy"] == pytest.approx(
                accuracy(path, dataset.x_test, dataset.y_test)
            )
            low, high = figures["interval_95"]
            assert low < figures["accuracy"] < high or figures["accuracy"] in (0, 1)
    assert metrics["after"]["held_out"]["accuracy"] == metrics["test"]["accuracy"]


def test_contract_says_where_the_model_came_from(tuned: TrainResult, seed: Path) -> None:
    contract, source = contained_contract(tuned.keras_path), contained_contract(seed)
    assert contract.name == "seed-tuned"
    origin = contract.training["from"]
    assert (origin["name"], origin["sha256"]) == ("seed", sha256(seed.read_bytes()).hexdigest())
    assert origin["data"]["name"] == "mnist"
    assert contract.training["data"]["name"] == "mirrored"
    assert tuned.metrics["from"] == origin
    for field in ("labels", "input_shape", "mean", "scale", "fit", "polarity", "output"):
        assert getattr(contract, field) == getattr(source, field)


def test_of_few_pictures_no_threshold_is_taken(tuned: TrainResult, seed: Path) -> None:
    threshold = contained_contract(seed).rejection_threshold
    assert contained_contract(tuned.keras_path).rejection_threshold == threshold
    assert tuned.metrics["temperature"] == 1


def test_of_many_pictures_threshold_and_temperature_are_measured(
    nano: Path, few_digits: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "FEW", 60)
    start = start_from(nano, few_digits.labels, few_digits)
    result = fit.run(start.recipe(), few_digits, tmp_path, start=start)
    assert result is not None
    assert result.metrics["validation"]["images"] == 67
    assert contained_contract(result.keras_path).rejection_threshold != 0.4
    assert result.metrics["temperature"] != 1


def test_normalization_goes_on_with_what_it_learned(
    nano: Path, mirrored: DataSet, tmp_path: Path
) -> None:
    start = start_from(nano, mirrored.labels)
    result = fit.run(replace(start.recipe(), epochs=1), mirrored, tmp_path, start=start)
    assert result is not None
    before, after = load_keras(nano).model, load_keras(result.keras_path).model
    for layer in before.layers:
        pairs = zip(layer.get_weights(), after.get_layer(layer.name).get_weights(), strict=True)
        changed = [bool((old != new).any()) for old, new in pairs]
        normalizes = "batch_normalization" in layer.name
        assert all(changed) != normalizes or not changed, layer.name
        assert not (normalizes and any(changed))


def test_other_labels_are_learned_by_a_new_last_layer(
    seed: Path, mirrored: DataSet, tmp_path: Path
) -> None:
    letters = replace(mirrored, labels=tuple("abcdefghij"), name="letters")
    start = start_from(seed, letters.labels)
    config = replace(start.recipe(), epochs=3)
    result = fit.run(config, letters, tmp_path, start=start)
    assert result is not None
    contract = contained_contract(result.keras_path)
    assert contract.labels == letters.labels
    assert contract.rejection_threshold is None
    assert contract.training["from"].keys() == {"name", "sha256"}
    assert result.metrics["before"] == {"held_out": None, "original": None}
    assert result.metrics["after"]["original"] is None
    assert result.metrics["after"]["held_out"]["accuracy"] > 0.3
    assert result.metrics["unmeasured"].startswith("there is no before: seed knows 0, 1, 2, 3, 4")


def test_interrupted_run_goes_on_to_the_same_model(
    nano: Path, mirrored: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = start_from(nano, mirrored.labels)
    config = replace(start.recipe(), epochs=2)
    whole = fit.run(config, mirrored, tmp_path / "whole", start=start)

    def stop(self: Progress, steps_done: int) -> None:
        if steps_done == 3 and self.done == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Progress, "step", stop)
        fit.run(config, mirrored, tmp_path / "again", start=start)
    other = replace(start, sha256="another")
    with pytest.raises(ConfigError, match="had another sha256"):
        fit.run(config, mirrored, tmp_path / "again", start=other, resume=True)
    resumed = fit.run(config, mirrored, tmp_path / "again", start=start, resume=True)
    assert whole is not None
    assert resumed is not None
    pairs = zip(
        load_keras(whole.keras_path).model.get_weights(),
        load_keras(resumed.keras_path).model.get_weights(),
        strict=True,
    )
    for one, other_weights in pairs:
        np.testing.assert_array_equal(one, other_weights)


def test_a_tuned_model_can_be_tuned_again(
    tuned: TrainResult, pictures: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "find_original", lambda *_: None)
    start, dataset = open_start(tuned.keras_path, str(pictures("3", "5")))
    assert start.learned_from == "mnist"
    assert start.recipe().name == "seed-tuned-tuned"
    assert start.recipe().split_seed == CONFIGS["seed"].split_seed
    assert dataset.labels == tuple("0123456789")


def test_the_source_is_untouched(tuned: TrainResult, seed: Path) -> None:
    assert tuned.metrics["from"]["sha256"] == sha256(seed.read_bytes()).hexdigest()
    with zipfile.ZipFile(seed) as archive:
        assert archive.testzip() is None
