"""One inference of each released model, under pytest-benchmark: `pytest benchmarks/`.

`python -m benchmarks speed` measures the same in turns, for ratios that are worth publishing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.accuracy import installed_backends
from benchmarks.released import MODELS, int8_file, released_names
from edge_runtime import Classifier
from edge_runtime.measure import sample_picture

NAMES = released_names() if MODELS.is_dir() else []


@pytest.fixture(scope="module", params=NAMES)
def model(request: pytest.FixtureRequest) -> Path:
    path = int8_file(request.param)
    if not path.is_file():
        pytest.skip(f"{request.param} is not converted")
    return path


@pytest.mark.benchmark(group="one inference of each released model")
@pytest.mark.parametrize("backend", installed_backends())
def test_invoke(benchmark: Any, model: Path, backend: str) -> None:
    classifier = Classifier(model, backend=backend)
    tensor = classifier.model_input(sample_picture(classifier.contract)[np.newaxis])
    assert benchmark(classifier.interpreter.run, tensor).shape == (1, 10)
