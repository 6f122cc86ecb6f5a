"""A folder of pictures with one subfolder for each class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from tqdm import tqdm

from edge_runtime.errors import ImageError, InputError
from edge_runtime.files import folder_name
from edge_runtime.images import list_images, read_image

from .dataset import Images, Labels
from .declaration import Declaration
from .errors import DataError
from .fitting import MAX_OWN_SIDE, Size, fit_all, target_size
from .sources import Loaded

__all__ = ["is_picture_tree", "read_picture_tree"]


@dataclass(frozen=True)
class _Part:
    """The pictures of one part of a tree, and the index of each one's class."""

    paths: tuple[Path, ...]
    labels: Labels


def is_picture_tree(folder: Path) -> bool:
    """Whether a folder has subfolders, which then are classes (or ``train`` and ``test``)."""
    return bool(_subfolders(folder))


def read_picture_tree(folder: Path, fit: str | None, size: Size | None) -> Loaded:
    """Reads a tree of pictures and brings them to one size.

    Args:
        folder: Has a subfolder for each class, or ``train/`` and perhaps ``test/`` which have them.
        fit: Overrides the fit that the folder declares; None keeps that, or "stretch".
        size: Height and width; None chooses, see `train.fitting.target_size`.

    Returns:
        The images and labels, fitted.

    Raises:
        DataError: A class has no picture, a picture is unreadable, or train/ and test/ disagree.
    """
    declared = Declaration.of_folder(folder)
    fit = fit or declared.fit or "stretch"
    polarity = declared.polarity or "any"
    if fit == "ink" and polarity == "any":
        # Each picture is turned over as needed, so the choice is free: MNIST's.
        polarity = "light-on-dark"
    # A class may be called "train"; the part of that name has folders of its own.
    split = (folder / "train").is_dir() and bool(_subfolders(folder / "train"))
    root = folder / "train" if split else folder
    classes = _classes(root, declared)
    train = _part(root, classes)
    parts = [train]
    if split and (folder / "test").is_dir():
        parts.append(_part(folder / "test", classes))

    paths = [path for part in parts for path in part.paths]
    pixels = _read_all(paths, fit, polarity, size)
    labels = declared.labels or tuple(classes)
    test_pixels, test_labels = None, None
    if len(parts) == 2:
        test_pixels, test_labels = pixels[len(train.paths) :], parts[1].labels
    return Loaded(
        x_train=pixels[: len(train.paths)],
        y_train=train.labels,
        x_test=test_pixels,
        y_test=test_labels,
        declared=Declaration(declared.name, labels, fit, polarity),
        source=str(folder),
        fitted=True,
    )


def _read_all(paths: list[Path], fit: str, polarity: str, size: Size | None) -> Images:
    """Reads pictures one by one; only small ones of one size are ever held unfitted."""
    pictures = _read(paths)
    waiting: list[np.ndarray] = []
    if size is None and fit != "ink":
        # Their own size stands until a picture differs from those before it, or is large.
        own_size: Size | None = None
        for picture in pictures:
            waiting.append(picture)
            height, width = picture.shape[:2]
            if own_size not in (None, (height, width)) or max(height, width) > MAX_OWN_SIDE:
                own_size = None
                break
            own_size = (height, width)
        size = target_size(own_size, fit, None)
    size = target_size(None, fit, size)
    return fit_all(chain(waiting, pictures), map(str, paths), size, fit, polarity)


def _read(paths: list[Path]) -> Iterator[np.ndarray]:
    # disable=None: a bar for a person who watches, nothing in a log file.
    for path in tqdm(paths, desc="reading pictures", unit="", leave=False, disable=None):
        try:
            yield read_image(path)
        except (ImageError, InputError) as error:
            # The error of the runtime names the file already.
            raise DataError(str(error), remedy="mend or remove it") from error


def _classes(root: Path, declared: Declaration) -> list[str]:
    """Folder names in the order of their label numbers."""
    found = _subfolders(root)
    if len(found) < 2:
        raise DataError(
            f"{root} has one class only ({found[0]})" if found else f"{root} has no subfolder",
            "a subfolder for each of at least two classes",
        )
    if declared.labels is None:
        return found
    names = [folder_name(label) for label in declared.labels]
    if missing := sorted(set(names) - set(found)):
        raise DataError(f"{root} has no folder {missing[0]!r}", "one for each declared label")
    if unknown := sorted(set(found) - set(names)):
        raise DataError(f"{root / unknown[0]} is no declared label", " or ".join(names))
    return names


def _part(root: Path, classes: list[str]) -> _Part:
    if unknown := sorted(set(_subfolders(root)) - set(classes)):
        raise DataError(
            f"{root / unknown[0]} is a class without training pictures", " or ".join(classes)
        )
    paths: list[Path] = []
    labels: list[int] = []
    for index, name in enumerate(classes):
        if not (root / name).is_dir():
            raise DataError(
                f"{root} has no folder {name!r}", "the same classes in train/ and test/"
            )
        found = list_images(root / name)
        if not found:
            raise DataError(f"{root / name} holds no picture", "at least one of each class")
        paths += found
        labels += [index] * len(found)
    return _Part(tuple(paths), np.array(labels, np.int64))


def _subfolders(folder: Path) -> list[str]:
    """Names of the visible subfolders: numbers by value, then words by alphabet."""
    names = [path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != "."]
    return sorted(
        names, key=lambda name: (0, int(name), name) if name.isdecimal() else (1, 0, name)
    )
