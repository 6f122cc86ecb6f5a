"""The sets of what is not a digit: out-of-distribution images, for a model that learned digits."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_runtime.contract import ModelContract
from edge_runtime.images import to_channels
from edge_runtime.resize import resize
from train.data import DataError
from train.declaration import FASHION_MNIST
from train.idx import content_sha256, find_idx_files, read_idx

from .letters import LIKE_DIGITS, on_paper, printed_letters
from .paper import blank_paper, ruled_paper, squared_paper
from .samples import INPUTS, PICTURES, Absent, Samples, png_bytes

__all__ = [
    "FASHION_VARIABLE",
    "fashion",
    "gaussian_noise",
    "outliers",
    "read_fashion",
    "uniform_noise",
]

FASHION_VARIABLE = "FASHION_MNIST_DIR"
# Where Debian's package dataset-fashion-mnist puts its files.
FASHION_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
FASHION = "fashion-mnist"
FASHION_ABOUT = "the 10,000 test images of Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017)"

# With so many inputs a share is known to 1.1 percentage points (one standard error at worst), with
# so many pictures, each of which takes milliseconds to fit, to 2.2.
INPUT_COUNT, PICTURE_COUNT = 2000, 500
# Ten of each of the 52 letters in seven fonts.
LETTER_COUNT = 3640
# Of a noise picture's side, in pixels.
NOISE_SIDE = 112
# One for each generator, so that a set stays as it is when another one is added.
UNIFORM_SEED, GAUSSIAN_SEED, BLANK_SEED, RULED_SEED, SQUARED_SEED, LETTER_SEED = range(101, 107)


def outliers(
    contract: ModelContract, fashion_folder: Path | None = None
) -> tuple[Samples | Absent, ...]:
    """All sets of what is not a digit.

    Args:
        contract: Of the model that they are for: inputs that are ready have its input's shape.
        fashion_folder: The folder with Fashion-MNIST; None to look for it.

    Returns:
        The sets, each as inputs or as pictures; some come as both.

    Raises:
        DataError: The folder named does not hold Fashion-MNIST.
    """
    return (
        *fashion(contract, fashion_folder),
        *_noise(contract),
        Samples(
            "blank paper",
            "blank white paper with faint texture and darker corners, drawn",
            tuple(map(png_bytes, blank_paper(PICTURE_COUNT, BLANK_SEED))),
        ),
        Samples(
            "ruled paper",
            "a notebook's ruled page with nothing on it, half with a margin line, drawn",
            tuple(map(png_bytes, ruled_paper(PICTURE_COUNT, RULED_SEED))),
        ),
        Samples(
            "squared paper",
            "squared paper with nothing on it, drawn",
            tuple(map(png_bytes, squared_paper(PICTURE_COUNT, SQUARED_SEED))),
        ),
        *_letters(contract),
    )


def uniform_noise(count: int, shape: tuple[int, ...], seed: int) -> NDArray[np.uint8]:
    """Pixels that take every value equally often.

    Source: Liang, Li and Srikant, "Enhancing the reliability of out-of-distribution image detection
    in neural networks", ICLR 2018, section 4.2.

    Args:
        count: How many.
        shape: Of each image.
        seed: Chooses which.

    Returns:
        uint8 (count, *shape).
    """
    return np.random.RandomState(seed).randint(0, 256, (count, *shape)).astype(np.uint8)


def gaussian_noise(count: int, shape: tuple[int, ...], seed: int) -> NDArray[np.uint8]:
    """Pixels from a normal distribution with mean 0.5 and standard deviation 1, clipped to 0 to 1.

    Source: as `uniform_noise`.

    Args:
        count: How many.
        shape: Of each image.
        seed: Chooses which.

    Returns:
        uint8 (count, *shape); 1 is 255.
    """
    values = np.random.RandomState(seed).normal(0.5, 1.0, (count, *shape))
    return np.rint(values.clip(0, 1) * 255).astype(np.uint8)


def fashion(
    contract: ModelContract, named: Path | None = None
) -> tuple[Samples | Absent, Samples | Absent]:
    """Fashion-MNIST's test images, as inputs and as pictures.

    Args:
        contract: Of the model.
        named: The folder; None to look where $FASHION_MNIST_DIR says, then where Debian has it.

    Returns:
        Both forms; or why there is none, if the images are nowhere.

    Raises:
        DataError: The folder named, or one that was found, does not hold Fashion-MNIST.
    """
    folder = named or Path(os.environ.get(FASHION_VARIABLE) or FASHION_DEBIAN)
    if named is None and not folder.is_dir():
        reason = (
            f"${FASHION_VARIABLE} names {folder}, which is no folder"
            if os.environ.get(FASHION_VARIABLE)
            else f"neither --fashion nor ${FASHION_VARIABLE} names its folder, and Debian's "
            "package dataset-fashion-mnist is not installed"
        )
        return (
            Absent(FASHION, FASHION_ABOUT, INPUTS, reason),
            Absent(FASHION, FASHION_ABOUT, PICTURES, reason),
        )
    images = read_fashion(folder)
    pictures = Samples(FASHION, FASHION_ABOUT, tuple(map(png_bytes, images)))
    ready = images[..., np.newaxis]
    if ready.shape[1:] != contract.input_shape:
        wanted = "×".join(map(str, contract.input_shape))
        reason = f"its images are 28×28×1, the model's inputs {wanted}"
        return Absent(FASHION, FASHION_ABOUT, INPUTS, reason), pictures
    return Samples(FASHION, FASHION_ABOUT, ready), pictures


def read_fashion(folder: Path) -> NDArray[np.uint8]:
    """The test images of Fashion-MNIST.

    Args:
        folder: Holds ``t10k-images-idx3-ubyte``, gzipped or not.

    Returns:
        uint8 (10000, 28, 28).

    Raises:
        DataError: The file is missing, damaged, or another data set's.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder} is no folder", "the folder with Fashion-MNIST", "check --fashion"
        )
    path = find_idx_files(folder).get(("test", "images"))
    if path is None:
        raise DataError(f"{folder} lacks t10k-images-idx3-ubyte[.gz]")
    images = read_idx(path, 3)
    found, known = content_sha256(images), FASHION_MNIST.sha256["test-images"]
    if found != known:
        raise DataError(
            f"{path} is not Fashion-MNIST's (SHA-256 {found[:12]}…)",
            f"SHA-256 {known[:12]}… once unpacked",
            "name the folder with Fashion-MNIST",
        )
    return images


def _noise(contract: ModelContract) -> list[Samples]:
    sets = []
    for name, make, seed, about in (
        ("uniform noise", uniform_noise, UNIFORM_SEED, "every pixel from 0 to 255 at random"),
        (
            "gaussian noise",
            gaussian_noise,
            GAUSSIAN_SEED,
            "every pixel from a normal distribution with mean 0.5 and standard deviation 1, "
            "clipped to 0 to 1",
        ),
    ):
        pictures = make(PICTURE_COUNT, (NOISE_SIDE, NOISE_SIDE), seed)
        sets += [
            Samples(name, about, make(INPUT_COUNT, contract.input_shape, seed)),
            Samples(name, about, tuple(map(png_bytes, pictures))),
        ]
    return sets


def _letters(contract: ModelContract) -> list[Samples]:
    coverage, drawn = printed_letters(LETTER_COUNT, LETTER_SEED)
    unlike = {"letters unlike digits": np.array([c not in LIKE_DIGITS for c in drawn])}
    about = (
        "A to Z and a to z in seven fonts, lightly turned and shifted, drawn; those unlike digits "
        f"are all but {' '.join(LIKE_DIGITS)}"
    )
    height, width, channels = contract.input_shape
    ready = np.stack([to_channels(resize(one, height, width), channels) for one in coverage])
    if contract.polarity == "dark-on-light":
        ready = np.invert(ready)
    pictures = tuple(map(png_bytes, on_paper(coverage, LETTER_SEED)))
    return [
        Samples("letters", about, ready, parts=unlike),
        Samples("letters", about, pictures, parts=unlike),
    ]
