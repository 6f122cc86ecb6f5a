from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from train.config import AUGMENTATIONS, CONFIGS, LIMITS, TrainConfig, load_config
from train.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def test_seed_is_the_training_of_the_notebook() -> None:
    seed = load_config("seed")
    assert (seed.epochs, seed.validation_fraction, seed.dropout) == (10, 0.2, 0.5)
    assert (seed.batch_size, seed.learning_rate, seed.schedule) == (32, 0.001, "constant")
    assert not seed.augments
    assert seed.scaled_to(100).epochs == 10


def test_every_field_has_limits() -> None:
    assert set(LIMITS) == {field.name for field in dataclasses.fields(TrainConfig)}


def test_few_images_get_the_epochs_that_the_steps_need() -> None:
    nano = CONFIGS["nano"]
    assert nano.scaled_to(60_000).epochs == nano.epochs
    few = nano.scaled_to(4000)
    steps = -(-round(4000 * (1 - nano.validation_fraction)) // nano.batch_size)
    assert few.epochs * steps >= nano.min_steps > (few.epochs - 1) * steps


def write(tmp_path: Path, values: object) -> str:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(values))
    return str(path)


def test_file_builds_on_a_base_and_gives_its_name(tmp_path: Path) -> None:
    found = load_config(write(tmp_path, {"base": "nano", "epochs": 3, "rotation_degrees": 20}))
    expected = dataclasses.replace(CONFIGS["nano"], name="mine", epochs=3, rotation_degrees=20)
    assert found == expected


def test_saved_configuration_is_read_back(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, CONFIGS["nano"].to_dict())) == CONFIGS["nano"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1], "holds a JSON list; an object was expected"),
        ({"base": "huge"}, "builds on 'huge'; seed, teacher, digits, nano was expected"),
        ({"base": ["nano"]}, r"builds on \['nano'\]"),
        ({"base": "nano", "epoch": 3}, "unknown key 'epoch'; any of name, architecture"),
        ({"epochs": 3}, "lacks 'name'; it, or a \"base\" was expected"),
        ({"base": "nano", "epochs": 0}, "epochs is 0; 1 or more"),
        ({"base": "nano", "epochs": "3"}, "epochs is '3'; a whole number"),
        ({"base": "nano", "epochs": True}, "epochs is True; a whole number"),
        ({"base": "nano", "epochs": 2.0}, "epochs is 2.0; a whole number"),
        ({"base": "nano", "learning_rate": -1}, "learning_rate is -1; more than 0"),
        ({"base": "nano", "learning_rate": float("nan")}, "learning_rate is nan"),
        ({"base": "nano", "dropout": 1}, "dropout is 1; 0 or more and less than 1"),
        ({"base": "nano", "validation_fraction": 0}, "validation_fraction is 0; more than 0"),
        (
            {"base": "nano", "architecture": "vgg"},
            "architecture is 'vgg'; seed or digits or nano or teacher",
        ),
        ({"base": "nano", "schedule": "step"}, "schedule is 'step'; constant or cosine"),
        ({"base": "nano", "name": "../x"}, "name is '../x'; a name of at most 64"),
        ({"base": "nano", "name": ""}, "name is ''; a name"),
        ({"base": "nano", "seed": -1}, "seed is -1; 0 to 2147483647"),
    ],
)
def test_impossible_file_is_named(tmp_path: Path, values: object, message: str) -> None:
    path = write(tmp_path, values)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(path)
    assert path in str(caught.value)


def test_what_is_neither_name_nor_file_is_told_the_names(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="no configuration 'sead'; seed, teacher, digits, nano or a JSON file"
    ):
        load_config("sead")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ConfigError, match=r"x\.json is not JSON"):
        load_config(str(tmp_path / "x.json"))


def test_configuration_is_checked_when_it_is_made() -> None:
    with pytest.raises(ConfigError, match="batch_size is 0; 1 or more"):
        dataclasses.replace(CONFIGS["nano"], batch_size=0)


def test_handwriting_networks_hold_out_the_same_ten_thousand() -> None:
    """A teacher that had learned from its pupils' validation images would flatter them."""
    for name in ("teacher", "digits", "nano"):
        config = CONFIGS[name]
        assert round(60_000 * config.validation_fraction) == 10_000
        assert config.split_seed == CONFIGS["teacher"].split_seed


def test_photographs_are_not_augmented_as_handwriting() -> None:
    config = CONFIGS["nano"].for_pictures()
    assert (config.stroke, config.contrast, config.european, config.negatives) == (0, 0, 0, 0)
    assert config.rotation_degrees == CONFIGS["nano"].rotation_degrees
    assert config.augments


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_any_strength_makes_it_augment(name: str) -> None:
    assert not CONFIGS["seed"].augments
    assert dataclasses.replace(CONFIGS["seed"], **{name: 0.1}).augments


def test_demonstration_is_nano_without_a_teacher_and_in_an_eighth_of_the_time() -> None:
    demo = load_config(str(ROOT / "train" / "demo.json"))
    assert (demo.name, demo.architecture, demo.teacher) == ("nano", "nano", "")
    assert demo.scaled_to(60_000).epochs == demo.epochs <= CONFIGS["nano"].epochs / 8
    assert demo.scaled_to(4000).epochs > 50, "few images, as many steps"
