from __future__ import annotations

from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.accuracy import installed_backends
from benchmarks.robustness import answers as module
from benchmarks.robustness.answers import Answers, ask
from benchmarks.robustness.samples import Samples, png_bytes
from edge_runtime import Classifier
from edge_runtime.errors import InterpreterError, ModelError
from train.dataset import DataSet


def test_pictures_are_answered_as_the_classifier_answers_files(
    released_model: Callable[[str], Path], small_data: DataSet, tmp_path: Path
) -> None:
    model = released_model("int8")
    random = np.random.RandomState(1)
    # Digits as large dark strokes on light paper, and a page with nothing on it.
    drawn = [np.kron(255 - image[:, :, 0], np.ones((5, 5), np.uint8)) for image in
             small_data.x_test[:70]]  # fmt: skip
    drawn.append(random.randint(240, 243, (90, 120)).astype(np.uint8))
    samples = Samples("drawn", "", tuple(map(png_bytes, drawn)))
    said: list[str] = []
    interpreter, (given,) = ask(model, [samples], said.append)
    assert interpreter.backend == installed_backends()[0]
    assert said == ["drawn: 71 pictures answered"]

    classifier = Classifier(model, backend=interpreter.backend)
    assert interpreter.version == classifier.interpreter.version
    rejected = given.rejected(classifier.threshold)
    for index, data in enumerate(samples.images):
        path = tmp_path / f"{index}.png"
        path.write_bytes(data)
        expected = classifier.classify(path)
        assert given.best[index] == expected.index
        assert given.score[index] == expected.score
        assert rejected[index] == expected.rejected
    assert given.empty.tolist() == [False] * 70 + [True]


def test_inputs_are_answered_without_a_fit(
    released_model: Callable[[str], Path], small_data: DataSet
) -> None:
    model = released_model("int8")
    sets = [Samples(str(count), "", small_data.x_test[:count]) for count in (100, 3)]
    _, given = ask(model, sets, lambda _: None)
    expected = Classifier(model, backend=installed_backends()[0]).scores(small_data.x_test[:100])
    assert [len(one.best) for one in given] == [100, 3]
    assert (given[0].best == expected.argmax(axis=1)).all()
    assert (given[0].score == expected.max(axis=1)).all()
    assert not given[0].empty.any()


def test_empty_picture_is_rejected_by_any_threshold_and_ranks_last() -> None:
    given = Answers(np.array([1, 2, 3]), np.array([0.99, 0.8, 0.5]), np.array([True, False, False]))
    assert given.rejected(None).tolist() == [True, False, False]
    assert given.rejected(0.8).tolist() == [True, False, True]
    assert given.rank.tolist() == [0.0, 0.8, 0.5]


def test_damaged_model_is_an_error_of_this_process(
    released_model: Callable[[str], Path], small_data: DataSet, tmp_path: Path
) -> None:
    path = tmp_path / "damaged.tflite"
    data = bytearray(released_model("int8").read_bytes())
    data[3000] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"damaged\.tflite"):
        ask(path, [Samples("a", "", small_data.x_test[:2])], lambda _: None)


def test_crash_of_an_interpreter_names_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: Any, **__: Any) -> None:
        raise BrokenProcessPool

    monkeypatch.setattr(module, "ProcessPoolExecutor", crash)
    with pytest.raises(InterpreterError, match=r"crashed on a\.tflite; .*edge-run bench"):
        ask(Path("a.tflite"), [Samples("a", "", (b"",))], lambda _: None)
