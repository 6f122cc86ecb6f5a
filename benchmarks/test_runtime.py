"""What the runtime costs, step by step, under pytest-benchmark: `pytest benchmarks/`.

No time is asserted, because machines differ; each step's answer is. What belongs together is one
group, measured in one run, so that pytest-benchmark shows the ratios: variants and interpreters,
one picture and sixteen, small pictures and photos.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.accuracy import installed_backends
from benchmarks.released import RELEASED
from convert.recipes import VARIANTS
from edge_runtime import Classifier
from edge_runtime.images import fit_image
from edge_runtime.measure import sample_picture
from edge_runtime.models import DEFAULT_NAME

BACKENDS = installed_backends()
BATCH = 16
# A picture as a phone takes it, at half its resolution.
PHOTO = (1512, 2016)


@pytest.fixture(scope="module", params=VARIANTS)
def model(request: pytest.FixtureRequest) -> Path:
    path = RELEASED / f"{DEFAULT_NAME}_{request.param}.tflite"
    if not path.is_file():
        pytest.skip(f"{path} is missing; make release")
    return path


def photo(classifier: Classifier) -> NDArray[np.uint8]:
    """The sample picture, enlarged in the middle of a sheet of paper."""
    small = 255 - sample_picture(classifier.contract)[:, :, 0]
    large = np.kron(small, np.ones((40, 40), np.uint8))
    top, left = (PHOTO[0] - large.shape[0]) // 2, (PHOTO[1] - large.shape[1]) // 2
    sheet = np.full(PHOTO, 255, np.uint8)
    sheet[top : top + large.shape[0], left : left + large.shape[1]] = large
    return sheet


@pytest.mark.benchmark(group="one inference")
@pytest.mark.parametrize("backend", BACKENDS)
def test_invoke(benchmark: Any, model: Path, backend: str) -> None:
    classifier = Classifier(model, backend=backend)
    tensor = classifier.model_input(sample_picture(classifier.contract)[np.newaxis])
    assert benchmark(classifier.interpreter.run, tensor).shape == (1, 10)


@pytest.mark.benchmark(group=f"a batch of {BATCH}")
@pytest.mark.parametrize("backend", BACKENDS)
def test_invoke_batch(benchmark: Any, model: Path, backend: str) -> None:
    classifier = Classifier(model, backend=backend)
    picture = sample_picture(classifier.contract)
    tensor = classifier.model_input(np.repeat(picture[np.newaxis], BATCH, axis=0))
    assert benchmark(classifier.interpreter.run, tensor).shape == (BATCH, 10)


@pytest.mark.benchmark(group="ink fit")
@pytest.mark.parametrize("size", ["28x28", "photo"])
def test_fit(benchmark: Any, size: str) -> None:
    classifier = Classifier()
    picture = photo(classifier) if size == "photo" else sample_picture(classifier.contract)
    fitted = benchmark(fit_image, picture, classifier.contract, classifier.contract.fit)
    assert fitted.pixels.shape == classifier.contract.input_shape
    assert not fitted.empty


@pytest.mark.benchmark(group="from a picture to its label")
@pytest.mark.parametrize("size", ["28x28", "photo"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_classify(benchmark: Any, backend: str, size: str) -> None:
    classifier = Classifier(backend=backend)
    picture = photo(classifier) if size == "photo" else sample_picture(classifier.contract)
    assert benchmark(classifier.classify, picture).label in classifier.contract.labels


@pytest.mark.benchmark(group="from a file to its label")
def test_classify_file(benchmark: Any, tmp_path: Path) -> None:
    import cv2

    classifier = Classifier()
    path = tmp_path / "picture.png"
    assert cv2.imwrite(str(path), sample_picture(classifier.contract))
    assert benchmark(classifier.classify, path).label in classifier.contract.labels


@pytest.mark.benchmark(group="loading a model")
@pytest.mark.parametrize("backend", BACKENDS)
def test_load(benchmark: Any, model: Path, backend: str) -> None:
    assert benchmark(Classifier, model, backend=backend).contract.labels
