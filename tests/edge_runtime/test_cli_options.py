from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime import Classifier
from edge_runtime.cli.options import (
    add_contract_options,
    add_interpreter_options,
    contract_for,
    open_classifier,
)
from edge_runtime.contract import load_sealed
from edge_runtime.errors import ContractError, InputError, ModelError
from edge_runtime.files import read_limited


@pytest.fixture
def bare(released_model: Callable[[str], Path], tmp_path: Path) -> Path:
    path = tmp_path / "bare.tflite"
    path.write_bytes(load_sealed(released_model("int8")).flatbuffer)
    return path


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("\n".join("abcdefghij"))
    return path


def parsed(*arguments: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_contract_options(parser)
    add_interpreter_options(parser)
    parser.add_argument("--model", type=Path)
    return parser.parse_args([str(argument) for argument in arguments])


def test_contract_of_a_sealed_model_is_taken_as_it_is(
    released_model: Callable[[str], Path],
) -> None:
    model = released_model("int8")
    assert contract_for(model, parsed()) == load_sealed(model).contract


def test_options_change_single_entries_of_a_contract(
    released_model: Callable[[str], Path],
) -> None:
    model = released_model("int8")
    contract = load_sealed(model).contract
    assert contract is not None
    changed = contract_for(model, parsed("--fit", "stretch", "--mean", "127.5"))
    assert changed == contract.replace(fit="stretch", mean=(127.5,))


def test_shape_of_a_model_without_contract_comes_from_its_tensor(bare: Path, labels: Path) -> None:
    contract = contract_for(bare, parsed("--labels", labels, "--scale", "2", "--output", "logits"))
    assert contract.input_shape == (28, 28, 1)
    assert contract.labels == tuple("abcdefghij")
    assert (contract.name, contract.scale, contract.output) == ("bare", (2.0,), "logits")
    assert (contract.mean, contract.fit, contract.polarity) == ((0.0,), "stretch", "any")


def test_model_without_contract_is_read_and_tried_once(
    bare: Path, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[bytes] = []
    read: list[Path] = []

    def counted(flatbuffer: bytes, backend: str = "auto") -> None:
        tried.append(flatbuffer)

    def counting(path: Path, limit_bytes: int) -> bytes:
        read.append(path)
        return read_limited(path, limit_bytes)

    for module in ("cli.options", "classifier"):
        monkeypatch.setattr(f"edge_runtime.{module}.probe", counted)
    for module in ("contract", "classifier"):
        monkeypatch.setattr(f"edge_runtime.{module}.read_limited", counting, raising=False)
    args = parsed("--labels", labels, "--model", bare)
    classifier = open_classifier(args, threshold=0.5)
    assert tried == [bare.read_bytes()]
    assert read == [bare]
    assert classifier.contract == contract_for(bare, args)
    assert classifier.threshold == 0.5


def test_model_that_does_not_fit_its_description_is_called_by_its_path(
    bare: Path, labels: Path
) -> None:
    labels.write_text("a\nb\n")
    with pytest.raises(ModelError, match=r"bare\.tflite has 10 outputs, its contract 2 labels"):
        open_classifier(parsed("--labels", labels, "--model", bare))


def test_model_without_contract_and_labels_is_refused_in_the_same_words_everywhere(
    bare: Path,
) -> None:
    words = []
    for use in (
        lambda: contract_for(bare, parsed()),
        lambda: open_classifier(parsed("--model", bare)),
        lambda: Classifier(bare),
    ):
        with pytest.raises(ContractError, match=r"bare\.tflite carries no contract") as caught:
            use()
        words.append(str(caught.value))
    assert len(set(words)) == 1
    assert "--labels FILE" in words[0]


def test_labels_that_are_no_text_are_named(bare: Path, labels: Path) -> None:
    labels.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"labels\.txt is not UTF-8 text"):
        contract_for(bare, parsed("--labels", labels))


def test_means_for_more_channels_than_there_are_do_not_fit(bare: Path, labels: Path) -> None:
    with pytest.raises(ContractError, match=r"mean is \(1\.0, 2\.0\)"):
        contract_for(bare, parsed("--labels", labels, "--mean", "1,2"))
