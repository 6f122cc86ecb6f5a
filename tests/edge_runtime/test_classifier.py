import json
from types import SimpleNamespace

import numpy as np
import pytest

from edge_runtime import Classifier, ModelContract
from edge_runtime.contract import SealedModel, load_sealed, seal
from edge_runtime.errors import ContractError, DamagedModelError, InputError, ModelError

VARIANTS = ("float32", "float16", "dynamic", "int8", "int16x8")


@pytest.fixture(scope="module")
def digits() -> Classifier:
    return Classifier()


@pytest.fixture(scope="module")
def blob() -> np.ndarray:
    """A stroke like a one, light on dark, 28×28."""
    pixels = np.zeros((28, 28), np.uint8)
    pixels[4:24, 13:16] = 255
    return pixels


def test_released_model_knows_a_one(digits, blob):
    prediction = digits.classify(blob)
    assert prediction.label == "1"
    assert prediction.index == 1
    assert not prediction.rejected
    assert prediction.top[0].score == prediction.score
    assert 0 < prediction.score <= 1
    assert prediction.latency_ms > 0


def test_path_and_bytes_give_the_same_model(released_model, blob):
    path = released_model("int8")
    by_path = Classifier(path).classify(blob)
    by_bytes = Classifier(path.read_bytes()).classify(blob)
    assert by_path.top == by_bytes.top


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_gives_probabilities(variant, released_model, blob):
    classifier = Classifier(released_model(variant))
    scores = classifier.scores(blob[np.newaxis, :, :, np.newaxis])
    assert scores.dtype == np.float32
    assert scores.sum() == pytest.approx(1, abs=0.02)
    assert scores.argmax() == 1


def test_record_has_the_keys_of_the_command_line(digits, blob):
    record = digits.classify(blob, top_k=2).to_dict()
    assert list(record) == ["label", "index", "score", "top", "rejected", "latency_ms"]
    assert [list(item) for item in record["top"]] == [["label", "index", "score"]] * 2
    json.dumps(record)


def test_batch_gives_what_single_pictures_give_in_order(digits, blob):
    pictures = [blob, 255 - blob, np.zeros((40, 40), np.uint8)]
    together = digits.classify_batch(pictures)
    assert [p.label for p in together] == [digits.classify(p).label for p in pictures]
    assert [p.rejected for p in together] == [False, False, True]
    assert digits.classify_batch([]) == []


def test_latency_is_each_pictures_share_of_the_batch(digits, blob, monkeypatch):
    clock = SimpleNamespace(perf_counter=iter([10.0, 10.8]).__next__)
    monkeypatch.setattr("edge_runtime.classifier.time", clock)
    together = digits.classify_batch([blob] * 4)
    assert [prediction.latency_ms for prediction in together] == pytest.approx([200.0] * 4)


def test_empty_picture_is_rejected_and_still_labelled(digits):
    prediction = digits.classify(np.full((50, 60), 200, np.uint8))
    assert prediction.rejected
    assert prediction.label in digits.contract.labels


def test_score_below_the_threshold_is_rejected(blob, digits):
    score = digits.classify(blob).score
    assert Classifier(threshold=score).classify(blob).rejected is False
    if score < 1:
        assert Classifier(threshold=1.0).classify(blob).rejected is True


def test_ready_input_is_taken_as_it_is(digits, blob):
    ready = blob[:, :, np.newaxis]
    assert np.array_equal(digits.prepare(ready, fit=None).pixels, ready)
    with pytest.raises(InputError):
        digits.classify(np.zeros((30, 28), np.uint8), fit=None)


def test_scores_refuses_another_shape(digits):
    with pytest.raises(InputError, match=r"uint8\[N, 28, 28, 1\] was expected"):
        digits.scores(np.zeros((1, 28, 28), np.uint8))
    with pytest.raises(InputError, match=r"the pictures are float32"):
        digits.scores(np.zeros((1, 28, 28, 1), np.float32))


@pytest.mark.parametrize("options", [{"top_k": 0}, {"top_k": -1}])
def test_impossible_top_k_is_refused(options, digits, blob):
    with pytest.raises(InputError, match="top-k is"):
        digits.classify(blob, **options)


def test_impossible_threshold_is_refused():
    with pytest.raises(InputError, match="the threshold is 1.5; a probability from 0 to 1"):
        Classifier(threshold=1.5)


def test_damaged_model_is_refused_before_an_interpreter_sees_it(released_model, monkeypatch):
    data = bytearray(released_model("int8").read_bytes())
    data[5000] ^= 255

    def unreachable(*_):
        raise AssertionError("an interpreter was opened")

    monkeypatch.setattr("edge_runtime.classifier.open_interpreter", unreachable)
    with pytest.raises(DamagedModelError, match="was changed after it was sealed"):
        Classifier(bytes(data))


def test_model_without_a_contract_needs_a_description(released_model, blob):
    sealed = load_sealed(released_model("float32"))
    with pytest.raises(ContractError, match=r"carries no contract.*--labels FILE"):
        Classifier(sealed.flatbuffer)
    described = Classifier(sealed.flatbuffer, contract=sealed.contract)
    assert described.classify(blob).label == "1"


def test_model_is_tried_in_a_child_process_once_unless_its_seal_says_that_it_is_whole(
    released_model, monkeypatch
):
    tried = []
    monkeypatch.setattr("edge_runtime.classifier.probe", lambda *call: tried.append(call))
    path = released_model("float32")
    sealed = load_sealed(path)
    backend = Classifier(path).interpreter.name
    for whole in (path, path.read_bytes(), sealed):
        Classifier(whole)
        Classifier(whole, contract=sealed.contract)
    assert tried == []
    for bare in (sealed.flatbuffer, SealedModel(sealed.flatbuffer, None)):
        tried.clear()
        Classifier(bare, contract=sealed.contract, backend=backend)
        assert tried == [(sealed.flatbuffer, backend)]


def test_contract_given_takes_the_place_of_the_sealed_one(released_model, blob):
    sealed = load_sealed(released_model("int8"))
    other = sealed.contract.replace(labels=tuple("abcdefghij"))
    assert Classifier(released_model("int8"), contract=other).classify(blob).label == "b"


def test_contract_that_does_not_fit_the_model_is_refused(released_model):
    sealed = load_sealed(released_model("int8"))
    for change, message in [
        ({"height": 27}, r"the input of the model is \[28, 28, 1\], its contract says \[27"),
        ({"labels": ("a", "b")}, "has 10 outputs, its contract 2 labels"),
    ]:
        with pytest.raises(ModelError, match=message):
            Classifier(seal(sealed.flatbuffer, sealed.contract.replace(**change)))


@pytest.mark.parametrize("variant", ["float32", "int8", "int16x8"])
def test_input_table_is_the_scaled_and_quantized_pixel(variant, released_model):
    classifier = Classifier(released_model(variant))
    pixels = np.arange(256, dtype=np.uint8).repeat(4)[: 28 * 28].reshape(1, 28, 28, 1)
    given = classifier.model_input(pixels)
    tensor = classifier.interpreter.input
    assert given.dtype == tensor.dtype
    real = given
    if tensor.quantized:
        real = (given.astype(float) - tensor.zero_point) * tensor.scale
    half_a_step = tensor.scale / 2 if tensor.quantized else 0
    # int16 is symmetric, and its largest value stands for a hair less than 1.
    assert np.abs(real - pixels / 255.0).max() <= half_a_step * 1.01 + 1e-4


def test_rgb_contract_scales_each_channel_by_its_own():
    from edge_runtime.backend import TensorInfo
    from edge_runtime.classifier import _input_table

    contract = ModelContract(
        "rgb", ("a", "b"), 2, 2, 3, mean=(0.0, 1.0, 2.0), scale=(1.0, 1.0, 2.0)
    )
    table = _input_table(contract, TensorInfo("in", (-1, 2, 2, 3), "uint8", 1.0, 10))
    assert table[4].tolist() == [14, 13, 11]
    assert table[0].tolist() == [10, 9, 9]


@pytest.mark.parametrize("picture", [None, 5, [[1, 2]], b"GIF"])
def test_picture_of_another_type_is_named(picture, digits):
    with pytest.raises(InputError, match="a path, or pixels as a NumPy array was expected"):
        digits.classify(picture)


def test_model_may_come_in_any_bytes_like_object(released_model, blob):
    data = released_model("int8").read_bytes()
    assert Classifier(bytearray(data)).classify(blob).label == "1"
    with pytest.raises(InputError, match="is a folder"):
        Classifier("")
