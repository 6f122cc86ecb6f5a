from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.representative import check_data, draw, load_representative, one_per_class
from edge_runtime import ModelContract
from edge_runtime.errors import InputError
from train.data import DataError, DataSet
from train.export import export

UNEVEN = np.repeat(np.arange(4), [600, 300, 90, 10])


def test_representative_and_comparison_pictures_are_disjoint() -> None:
    sample = draw(UNEVEN, 300, seed=1)
    assert (len(sample.representative), len(sample.comparison)) == (300, 500)
    assert not set(sample.representative) & set(sample.comparison)


def test_representative_pictures_have_the_classes_in_their_proportions() -> None:
    counts = np.bincount(UNEVEN[draw(UNEVEN, 100, seed=1).representative])
    assert np.abs(counts - [60, 30, 9, 1]).max() <= 1


def test_a_class_with_few_pictures_is_among_the_representative_ones() -> None:
    assert set(UNEVEN[draw(UNEVEN, 4, seed=5).representative]) == {0, 1, 2, 3}


def test_the_same_seed_draws_the_same_pictures_and_another_seed_others() -> None:
    first, again, other = (draw(UNEVEN, 50, seed).representative for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()


def test_without_a_number_300_are_drawn_or_half_of_a_small_split() -> None:
    assert len(draw(UNEVEN, None, 0).representative) == 300
    small = draw(UNEVEN[:40], None, 0)
    assert (len(small.representative), len(small.comparison)) == (20, 20)


@pytest.mark.parametrize("samples", [0, -3, 1000, 5000])
def test_a_number_that_leaves_nothing_to_compare_is_refused(samples: int) -> None:
    with pytest.raises(InputError, match=f"{samples} representative .* 1 to 999"):
        draw(UNEVEN, samples, 0)


def test_a_single_training_picture_is_too_few() -> None:
    with pytest.raises(InputError, match="1 training pictures; at least two"):
        draw(UNEVEN[:1], None, 0)


def test_one_per_class_goes_round_the_classes() -> None:
    labels = np.array([2, 2, 0, 2, 1, 0])
    assert one_per_class(labels, 5).tolist() == [2, 4, 0, 5, 1]
    assert sorted(one_per_class(labels, 99).tolist()) == [0, 1, 2, 3, 4, 5]


def test_data_that_lies_elsewhere_has_to_be_named(colour_contract: ModelContract) -> None:
    contract = colour_contract.replace(training={"data": {"name": "colours"}})
    with pytest.raises(InputError, match=r"trained on colours, .*; say where .*--representative"):
        load_representative(contract)


def test_data_that_does_not_exist_is_named(colour_contract: ModelContract) -> None:
    with pytest.raises(DataError, match="no/such/folder does not exist"):
        load_representative(colour_contract, "no/such/folder")


def test_pictures_of_some_classes_are_numbered_as_the_model_numbers_them(
    colours: DataSet, colour_contract: ModelContract, tmp_path: Path
) -> None:
    some = [row for row in range(60) if colours.y_train[row] != 1]
    chosen = replace(colours, x_train=colours.x_train[some], y_train=colours.y_train[some])
    export(chosen, tmp_path / "some", split="train", per_class_folders=True)
    (tmp_path / "some" / "dataset.json").unlink()
    loaded = load_representative(colour_contract, str(tmp_path / "some"))
    check_data(loaded, colour_contract)
    assert loaded.labels == ("red", "green", "blue")
    assert set(loaded.y_train) == {0, 2}
    brightest = loaded.x_train.mean(axis=(1, 2)).argmax(axis=1)
    bright = loaded.x_train.max(axis=(1, 2, 3)) > 100
    assert (brightest == loaded.y_train)[bright].all()


def test_pictures_of_another_size_are_refused(
    colours: DataSet, colour_contract: ModelContract
) -> None:
    grey = replace(colours, x_train=colours.x_train[..., :1])
    with pytest.raises(InputError, match=r"colours are \[12, 10, 1\]; \[12, 10, 3\], as the model"):
        check_data(grey, colour_contract)


def test_pictures_with_other_labels_are_refused(
    colours: DataSet, colour_contract: ModelContract
) -> None:
    with pytest.raises(InputError, match=r"labels of colours are a, b, c, … \(4\); red, green"):
        check_data(replace(colours, labels=("a", "b", "c", "d")), colour_contract)
