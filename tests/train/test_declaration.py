from __future__ import annotations

import json
from pathlib import Path

import pytest

from train.declaration import FASHION_MNIST, MNIST, Declaration, recognise
from train.errors import DataError


def test_folder_declares_labels_fit_and_polarity(tmp_path: Path) -> None:
    values = {"name": "abc", "labels": ["a", "b"], "fit": "ink", "polarity": "dark-on-light"}
    (tmp_path / "dataset.json").write_text(json.dumps(values))
    found = Declaration.of_folder(tmp_path)
    assert found == Declaration("abc", ("a", "b"), "ink", "dark-on-light")


def test_labels_file_names_classes(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("été\nhiver\n", encoding="utf-8")
    assert Declaration.of_folder(tmp_path) == Declaration(labels=("été", "hiver"))


def test_folder_that_declares_nothing_says_nothing(tmp_path: Path) -> None:
    assert Declaration.of_folder(tmp_path) == Declaration()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "holds a JSON list; an object was expected"),
        ('{"label": []}', "unknown key 'label'"),
        ('{"labels": ["a", "a"]}', "at least two different lines"),
        ('{"labels": ["a"]}', "at least two different lines"),
        ('{"labels": ["a", "b\\nc"]}', "at least two different lines"),
        ('{"labels": ["a", 2]}', "at least two different lines"),
        ('{"fit": "crop"}', "the fit in"),
        ('{"fit": ["ink"]}', "stretch or letterbox or ink"),
        ('{"polarity": "dark"}', "light-on-dark or dark-on-light or any"),
        ('{"name": 7}', "the name in"),
    ],
)
def test_impossible_declaration_names_its_file(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(DataError) as caught:
        Declaration.of_folder(tmp_path)
    assert str(tmp_path / "dataset.json") in str(caught.value)
    assert message in str(caught.value)


def test_labels_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"labels\.txt is not UTF-8"):
        Declaration.of_folder(tmp_path)


def test_data_sets_are_recognised_by_all_four_digests() -> None:
    assert recognise(FASHION_MNIST.sha256) is FASHION_MNIST.declaration
    changed = {**MNIST.sha256, "test-labels": FASHION_MNIST.sha256["test-labels"]}
    assert recognise(changed) is None
