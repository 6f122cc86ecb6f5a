from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.errors import EdgeRuntimeError
from train import data, opening
from train.config import ELSEWHERE
from train.dataset import DataSet
from train.errors import ConfigError, DataError
from train.keras_file import contained_contract, load_keras
from train.opening import open_start
from train.original import find_original

Pictures = Callable[..., Path]


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares each test MNIST; `test_original.py` and `test_tuning_command.py` look for it."""
    monkeypatch.setattr(opening, "find_original", lambda *_: None)


def test_pictures_of_some_classes_get_the_models_labels(seed: Path, pictures: Pictures) -> None:
    start, dataset = open_start(seed, str(pictures("7", "1")))
    assert start.keeps_labels
    assert dataset.labels == tuple("0123456789")
    assert set(dataset.y_train) == set(dataset.y_test) == {1, 7}
    assert dataset.x_train.shape == (4, 28, 28, 1)
    assert (dataset.fit, dataset.polarity) == ("ink", "light-on-dark")
    assert start.sha256 == sha256(seed.read_bytes()).hexdigest()


def test_one_unknown_label_makes_all_of_them_new(seed: Path, pictures: Pictures) -> None:
    start, dataset = open_start(seed, str(pictures("1", "a")))
    assert not start.keeps_labels
    assert start.labels == dataset.labels == ("1", "a")
    assert start.original is None


def test_a_test_folder_is_the_test_set(seed: Path, pictures: Pictures) -> None:
    pictures("1", "2", each=2, folder="all/train")
    folder = pictures("1", "2", each=4, folder="all/test").parent
    _, dataset = open_start(seed, str(folder))
    assert (len(dataset.y_train), len(dataset.y_test)) == (4, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fit": "stretch"}, r"--fit is stretch, but .*seed\.keras was trained with ink.*leave"),
        ({"image_size": (32, 28)}, r"--image-size is 32x28, but .*trained with 28x28"),
    ],
)
def test_what_contradicts_the_contract_is_refused(
    seed: Path, pictures: Pictures, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        open_start(seed, str(pictures("1", "2")), **options)


def test_what_agrees_with_the_contract_is_not_refused(seed: Path, pictures: Pictures) -> None:
    open_start(seed, str(pictures("1", "2")), fit="ink", image_size=(28, 28))


def test_what_the_model_was_trained_on_is_nothing_new(
    seed: Path, npz_arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"was trained on mnist already; pictures of your own"):
        open_start(seed, "mnist")
    np.savez(tmp_path / "same.npz", **npz_arrays)
    _, dataset = open_start(seed, str(tmp_path / "same.npz"))
    record = {"data": {"name": "same", "sha256": dict(dataset.sha256)}}
    contract = contained_contract(seed).replace(training=record)
    (tmp_path / "contract.json").write_text(contract.to_json())
    with pytest.raises(DataError, match="was trained on same already"):
        open_start(seed, str(tmp_path / "same.npz"), contract_path=tmp_path / "contract.json")


def test_damaged_files_and_files_without_contract_are_refused(
    seed: Path, pictures: Pictures, tmp_path: Path
) -> None:
    folder = str(pictures("1", "2"))
    half = tmp_path / "half.keras"
    half.write_bytes(seed.read_bytes()[:50_000])
    bare = tmp_path / "bare.keras"
    load_keras(seed).model.save(bare)
    for path, message in (
        (tmp_path / "none.keras", "none.keras does not exist"),
        (half, r"half\.keras is not a whole \.keras file"),
        (bare, r"bare\.keras holds no contract; .* --contract FILE"),
    ):
        with pytest.raises(EdgeRuntimeError, match=message) as caught:
            open_start(path, folder)
        assert "\n" not in str(caught.value)


def test_a_contract_of_its_own_describes_a_file_without_one(
    seed: Path, pictures: Pictures, tmp_path: Path
) -> None:
    bare, beside = tmp_path / "bare.keras", tmp_path / "bare.json"
    load_keras(seed).model.save(bare)
    beside.write_text(contained_contract(seed).replace(training={}).to_json())
    start, dataset = open_start(bare, str(pictures("1", "2")), contract_path=beside)
    config = start.scaled(start.recipe(), dataset)
    assert (config.architecture, config.name) == (ELSEWHERE, "seed-tuned")
    assert start.network().count_params() == 93_322
    beside.write_text(contained_contract(seed).replace(output="logits", height=20).to_json())
    start, _ = open_start(bare, str(pictures("1", "2", folder="again")), contract_path=beside)
    with pytest.raises(EdgeRuntimeError, match=r"the input of .* is \[28, 28, 1\]"):
        start.network()


@pytest.fixture
def asked(few_digits: DataSet, monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """What was looked for, and found, as something to rehearse."""
    names: list[str | None] = []

    def find(_: object, named: str | None) -> DataSet:
        names.append(named)
        return few_digits

    monkeypatch.setattr(opening, "find_original", find)
    return names


def test_what_is_rehearsed_is_looked_for_where_the_user_says(
    seed: Path, pictures: Pictures, few_digits: DataSet, asked: list[str | None]
) -> None:
    folder, known = str(pictures("1", "2")), str(pictures("0", "1", folder="known"))
    assert open_start(seed, folder)[0].original is few_digits
    assert open_start(seed, folder, rehearse=known)[0].original is few_digits
    assert open_start(seed, folder, rehearse="mnist")[0].original is few_digits
    assert asked == [None, known, "mnist"]


def test_bad_rehearsal_is_found_before_an_image_is_read_or_downloaded(
    seed: Path, pictures: Pictures, asked: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object, **__: object) -> DataSet:
        raise AssertionError("an image was asked for")

    monkeypatch.setattr(data, "load", read)
    mine, known = str(pictures("1", "2")), str(pictures("0", "1", folder="known"))
    letters = str(pictures("a", "b", folder="letters"))
    nowhere = str(Path(mine).parent / "nowhere")
    for own, rehearse, message in (
        (mine, nowhere, "nowhere does not exist; what seed was trained on .*check --rehearse"),
        (nowhere, known, "nowhere does not exist; pictures of your own .*check --data"),
        (mine, letters, "letters has labels that seed does not know; .*correct --rehearse"),
        (letters, known, "known was given, but .*letters has other labels than .*seed.keras"),
        (letters, "mnist", "--rehearse mnist was given, but .*letters has other labels"),
        (mine, mine, "--data .*mine and --rehearse .*mine are the same images"),
        (mine, f"{mine}/../mine", "are the same images; .*leave --rehearse out"),
    ):
        with pytest.raises((ConfigError, DataError), match=message):
            open_start(seed, own, rehearse=rehearse)
    assert asked == []


def test_mnist_may_have_to_be_downloaded_and_therefore_comes_last(
    seed: Path, pictures: Pictures, asked: list[str | None], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK")
    with pytest.raises(DataError, match=r"broken\.npz is no whole \.npz file"):
        open_start(seed, str(broken), rehearse="mnist")
    assert asked == []
    with pytest.raises(DataError, match=r"broken\.npz is no whole \.npz file"):
        open_start(seed, str(broken), rehearse=str(pictures("1", "2")))
    assert len(asked) == 1


def test_labels_and_content_that_only_reading_tells_can_contradict_as_well(
    seed: Path, npz_arrays: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "find_original", find_original)
    mine, known = str(tmp_path / "mine.npz"), str(tmp_path / "known.npz")
    np.savez(known, **npz_arrays)
    np.savez(mine, labels=np.array(list("abcdefghij")), **npz_arrays)
    with pytest.raises(ConfigError, match=r"mine\.npz has other labels than .*seed\.keras"):
        open_start(seed, mine, rehearse=known)
    np.savez(mine, **npz_arrays)
    with pytest.raises(ConfigError, match=r"mine\.npz and --rehearse .* are the same images"):
        open_start(seed, mine, rehearse=known)
