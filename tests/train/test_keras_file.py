from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime import ModelContract
from edge_runtime.errors import ContractError, InputError, ModelError
from train.keras_file import contained_contract, load_contract, load_keras


def test_a_model_comes_with_its_contract_and_scores_as_probabilities(
    colour_keras: Path, colour_contract: ModelContract
) -> None:
    keras = load_keras(colour_keras)
    assert keras.contract == colour_contract
    assert keras.free_batch
    green = np.zeros((2, 12, 10, 3), np.uint8)
    green[..., 1] = 255
    # Inputs are 0 and 1, the last layer multiplies by 4: softmax(0, 4, 0).
    expected = np.exp([0, 4, 0]) / np.exp([0, 4, 0]).sum()
    np.testing.assert_allclose(keras.scores(green), [expected, expected], rtol=1e-5)


def test_the_contract_is_read_without_tensorflow(
    colour_keras: Path, colour_contract: ModelContract
) -> None:
    assert contained_contract(colour_keras) == colour_contract


def test_a_contract_given_by_hand_takes_the_place_of_the_one_inside(
    colour_keras: Path, colour_contract: ModelContract
) -> None:
    other = colour_contract.replace(labels=("r", "g", "b"))
    assert load_keras(colour_keras, other).contract.labels == ("r", "g", "b")


def test_a_contract_is_read_from_a_file_of_its_own(
    tmp_path: Path, colour_contract: ModelContract
) -> None:
    path = tmp_path / "c.json"
    path.write_text(colour_contract.to_json())
    assert load_contract(path) == colour_contract
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ContractError, match=r"c\.json is not text; JSON in UTF-8"):
        load_contract(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.keras does not exist"):
        load_keras(tmp_path / "no.keras")
    with pytest.raises(InputError, match="is a folder; a file was expected"):
        load_keras(tmp_path)


@pytest.mark.parametrize("given", [False, True], ids=["own contract", "given contract"])
@pytest.mark.parametrize("damage", ["text", "empty", "truncated", "changed"])
def test_what_is_not_a_whole_keras_file_is_refused(
    tmp_path: Path, colour_keras: Path, colour_contract: ModelContract, damage: str, given: bool
) -> None:
    whole = colour_keras.read_bytes()
    at = whole.index(b"model.weights.h5") + 200
    path = tmp_path / "damaged.keras"
    path.write_bytes(
        {
            "text": b"not a model\n" * 9,
            "empty": b"",
            "truncated": whole[: len(whole) // 2],
            "changed": whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
        }[damage]
    )
    with pytest.raises(ModelError, match=r"damaged\.keras is not a whole \.keras file \(.*again"):
        load_keras(path, colour_contract if given else None)


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("letter.txt", "hello")
    with pytest.raises(ModelError, match=r"ZIP archive without config\.json; a \.keras file was"):
        load_keras(path)


def test_a_model_without_a_contract_says_how_to_give_one(
    tmp_path: Path, colour_model: Callable[..., Any], save_keras: Callable[..., Path]
) -> None:
    path = save_keras(colour_model(), tmp_path / "plain.keras", None)
    with pytest.raises(ContractError, match=r"plain\.keras holds no contract; .* --contract FILE"):
        load_keras(path)


def test_an_impossible_contract_is_refused_with_its_place(
    tmp_path: Path, colour_model: Callable[..., Any], save_keras: Callable[..., Path]
) -> None:
    path = save_keras(colour_model(), tmp_path / "odd.keras", None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("contract.json", json.dumps({"schema_version": 99}))
    with pytest.raises(ContractError, match=r"the contract in .*odd\.keras has schema version 99"):
        load_keras(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height": 14}, r"the input of .* is \[12, 10, 3\], its contract says \[14, 10, 3\]"),
        ({"labels": ("a", "b")}, r"the output of .* is \[3\], its contract has 2 labels"),
    ],
)
def test_a_contract_of_another_model_is_refused(
    colour_keras: Path, colour_contract: ModelContract, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ContractError, match=message):
        load_keras(colour_keras, colour_contract.replace(**changes))


def test_logits_that_the_contract_calls_probabilities_are_found_out(
    colour_keras: Path, colour_contract: ModelContract
) -> None:
    keras = load_keras(colour_keras, colour_contract.replace(output="probabilities"))
    with pytest.raises(ContractError, match=r'from 0 to 4; 0 to 1, .* "output": "logits"'):
        keras.scores(np.repeat(np.array([[[[0, 255, 0]]]], np.uint8), 120, 1).reshape(1, 12, 10, 3))


def test_a_diverged_model_is_refused(
    tmp_path: Path,
    colour_model: Callable[..., Any],
    colour_contract: ModelContract,
    save_keras: Callable[..., Path],
) -> None:
    model = colour_model()
    model.get_layer("colour").set_weights([np.full((3, 3), np.nan), np.zeros(3)])
    keras = load_keras(save_keras(model, tmp_path / "nan.keras", colour_contract))
    with pytest.raises(ModelError, match="values that are not numbers; finite scores"):
        keras.scores(np.zeros((1, 12, 10, 3), np.uint8))


def test_code_inside_a_file_is_not_run(
    tmp_path: Path,
    colour_model: Callable[..., Any],
    colour_contract: ModelContract,
    save_keras: Callable[..., Path],
    capfd: pytest.CaptureFixture[str],
) -> None:
    import keras

    model = colour_model(keras.layers.Lambda(lambda x: print("run") or x, output_shape=(12, 10, 3)))
    path = save_keras(model, tmp_path / "lambda.keras", colour_contract)
    capfd.readouterr()
    with pytest.raises(ModelError, match=r"Keras cannot load .*lambda\.keras: .*Lambda") as caught:
        load_keras(path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().out == ""


def test_a_layer_that_keras_does_not_have_is_refused(
    tmp_path: Path,
    colour_model: Callable[..., Any],
    colour_contract: ModelContract,
    save_keras: Callable[..., Path],
) -> None:
    import keras

    class Mystery(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x

    path = save_keras(colour_model(Mystery()), tmp_path / "custom.keras", colour_contract)
    with pytest.raises(ModelError, match=r"Keras cannot load .*Mystery.*Keras' own layers"):
        load_keras(path)


def test_a_model_for_eight_pictures_at_a_time_is_refused(
    tmp_path: Path,
    colour_model: Callable[..., Any],
    colour_contract: ModelContract,
    save_keras: Callable[..., Path],
) -> None:
    path = save_keras(colour_model(batch_size=8), tmp_path / "eight.keras", colour_contract)
    with pytest.raises(ModelError, match=r"takes 8 pictures at a time.*a free batch dimension"):
        load_keras(path)
