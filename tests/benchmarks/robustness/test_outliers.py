from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.robustness.letters import LIKE_DIGITS
from benchmarks.robustness.outliers import (
    fashion,
    gaussian_noise,
    outliers,
    read_fashion,
    uniform_noise,
)
from benchmarks.robustness.samples import INPUTS, PICTURES, Absent, Samples
from edge_runtime import ModelContract
from edge_runtime.images import decode_image
from train.errors import DataError
from train.idx import idx_bytes

CONTRACT = ModelContract(
    "digits", tuple("0123456789"), 28, 28, 1, fit="ink", polarity="light-on-dark"
)
NAME = "t10k-images-idx3-ubyte"


def test_uniform_noise_takes_every_value() -> None:
    noise = uniform_noise(50, (28, 28, 1), 1)
    assert noise.shape == (50, 28, 28, 1)
    counts = np.bincount(noise.ravel(), minlength=256)
    assert counts.min() > 0.5 * counts.mean()
    assert counts.max() < 1.5 * counts.mean()
    assert (uniform_noise(50, (28, 28, 1), 1) == noise).all()
    assert (uniform_noise(50, (28, 28, 1), 2) != noise).any()


def test_gaussian_noise_is_clipped_at_half_a_standard_deviation() -> None:
    noise = gaussian_noise(50, (28, 28), 1)
    # A normal distribution has 30.85 % beyond half a standard deviation on either side.
    assert (noise == 0).mean() == pytest.approx(0.3085, abs=0.01)
    assert (noise == 255).mean() == pytest.approx(0.3085, abs=0.01)
    assert (gaussian_noise(50, (28, 28), 1) == noise).all()


def test_all_sets_come_as_pictures_and_where_it_makes_sense_as_inputs(
    few: None, nowhere: None
) -> None:
    sets = outliers(CONTRACT)
    assert [(one.name, one.fed) for one in sets] == [
        ("fashion-mnist", INPUTS), ("fashion-mnist", PICTURES),
        ("uniform noise", INPUTS), ("uniform noise", PICTURES),
        ("gaussian noise", INPUTS), ("gaussian noise", PICTURES),
        ("blank paper", PICTURES), ("ruled paper", PICTURES), ("squared paper", PICTURES),
        ("letters", INPUTS), ("letters", PICTURES),
    ]  # fmt: skip
    for one in sets[2:]:
        assert isinstance(one, Samples)
        assert len(one.images) == 40
        if one.fed == INPUTS:
            assert one.images.shape[1:] == CONTRACT.input_shape
            assert one.images.dtype == np.uint8
        else:
            assert decode_image(one.images[0], "it").ndim == 2


def test_letters_are_light_on_dark_or_as_the_contract_says(few: None, nowhere: None) -> None:
    light = outliers(CONTRACT)[-2]
    dark = outliers(CONTRACT.replace(polarity="dark-on-light", fit="stretch", channels=3))[-2]
    assert isinstance(light, Samples)
    assert isinstance(dark, Samples)
    assert (light.images[:, 0, 0] == 0).mean() > 0.9
    assert dark.images.shape == (40, 28, 28, 3)
    assert (dark.images == 255 - light.images).all()
    part = light.parts["letters unlike digits"]
    assert 0 < part.sum() < 40
    assert all(letter in light.about for letter in LIKE_DIGITS)


def test_fashion_comes_as_inputs_and_pictures(fashion_mnist: Path) -> None:
    ready, pictures = fashion(CONTRACT, fashion_mnist)
    assert isinstance(ready, Samples)
    assert isinstance(pictures, Samples)
    assert ready.images.shape == (10_000, 28, 28, 1)
    assert (decode_image(pictures.images[5], "it") == ready.images[5, :, :, 0]).all()
    other, _ = fashion(CONTRACT.replace(height=32, width=32), fashion_mnist)
    assert isinstance(other, Absent)
    assert other.reason == "its images are 28×28×1, the model's inputs 32×32×1"


def test_fashion_is_found_by_its_variable(
    fashion_mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASHION_MNIST_DIR", str(fashion_mnist))
    assert isinstance(fashion(CONTRACT)[0], Samples)


def test_fashion_that_is_nowhere_is_not_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FASHION_MNIST_DIR", str(tmp_path / "none"))
    for one in fashion(CONTRACT):
        assert isinstance(one, Absent)
        assert one.reason == f"$FASHION_MNIST_DIR names {tmp_path / 'none'}, which is no folder"
    monkeypatch.delenv("FASHION_MNIST_DIR")
    monkeypatch.setattr("benchmarks.robustness.outliers.FASHION_DEBIAN", tmp_path / "none")
    (one, _) = fashion(CONTRACT)
    assert isinstance(one, Absent)
    assert "neither --fashion nor $FASHION_MNIST_DIR" in one.reason
    assert "dataset-fashion-mnist is not installed" in one.reason


def test_named_folder_that_is_not_fashion_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none is no folder; .* check --fashion"):
        fashion(CONTRACT, tmp_path / "none")
    with pytest.raises(DataError, match="lacks t10k-images"):
        read_fashion(tmp_path)
    (tmp_path / NAME).write_bytes(idx_bytes(np.zeros((10, 28, 28), np.uint8)))
    with pytest.raises(DataError, match="is not Fashion-MNIST's"):
        read_fashion(tmp_path)
    (tmp_path / NAME).write_bytes(b"\0\0")
    with pytest.raises(DataError, match="is no IDX file"):
        read_fashion(tmp_path)
