"""What a data set says about itself, and the data sets known by their content.

Arrays and pictures do not tell what a class is called or how new pictures have to be fitted. A
folder may say so in ``dataset.json``, an ``.npz`` in further arrays, for example::

    {"name": "letters", "labels": ["a", "b"], "fit": "ink", "polarity": "dark-on-light"}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from edge_runtime.contract import FITS, POLARITIES
from edge_runtime.files import read_limited

from .errors import DataError

__all__ = [
    "DECLARATION_FILE",
    "FASHION_MNIST",
    "MNIST",
    "Declaration",
    "KnownSet",
    "recognise",
]

DECLARATION_FILE = "dataset.json"
LABELS_FILE = "labels.txt"
MAX_DECLARATION_BYTES = 2**20


@dataclass(frozen=True)
class Declaration:
    """What a data set says about itself; None where it says nothing.

    Attributes:
        name: Name of the data set.
        labels: Name of each class, in the order of the label numbers.
        fit: "stretch", "letterbox" or "ink".
        polarity: "light-on-dark", "dark-on-light" or "any".
    """

    name: str | None = None
    labels: tuple[str, ...] | None = None
    fit: str | None = None
    polarity: str | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> Declaration:
        """Checks what was read.

        Args:
            values: Any of the attributes.
            source: Where they stood, for an error.

        Returns:
            The declaration.

        Raises:
            DataError: A key is unknown or a value impossible.
        """
        if unknown := sorted(set(values) - {field.name for field in fields(cls)}):
            raise DataError(
                f"{source} has the unknown key {unknown[0]!r}",
                "any of name, labels, fit and polarity",
            )
        name, labels = values.get("name"), values.get("labels")
        if name is not None and not (isinstance(name, str) and name):
            raise DataError(f"the name in {source} is {name!r}", "text")
        if labels is not None:
            is_text = isinstance(labels, (list, tuple)) and all(
                isinstance(label, str) and label and label.isprintable() for label in labels
            )
            if not is_text or len(set(labels)) != len(labels) or len(labels) < 2:
                raise DataError(
                    f"the labels in {source} cannot be used", "at least two different lines of text"
                )
            labels = tuple(labels)
        for key, allowed in (("fit", FITS), ("polarity", POLARITIES)):
            if values.get(key) is not None and values[key] not in allowed:
                raise DataError(f"the {key} in {source} is {values[key]!r}", " or ".join(allowed))
        return cls(name, labels, values.get("fit"), values.get("polarity"))

    @classmethod
    def of_folder(cls, folder: Path) -> Declaration:
        """Reads ``dataset.json`` of a folder, or its ``labels.txt``, if it has either.

        Raises:
            DataError: The file is damaged or says something impossible.
        """
        path = folder / DECLARATION_FILE
        if path.is_file():
            try:
                values = json.loads(read_limited(path, MAX_DECLARATION_BYTES))
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path} is not JSON: {error}") from None
            if not isinstance(values, dict):
                raise DataError(f"{path} holds a JSON {type(values).__name__}", "an object")
            return cls.from_dict(values, str(path))
        path = folder / LABELS_FILE
        if path.is_file():
            try:
                text = read_limited(path, MAX_DECLARATION_BYTES).decode()
            except UnicodeDecodeError:
                raise DataError(f"{path} is not UTF-8 text", "one label a line") from None
            return cls.from_dict({"labels": text.splitlines()}, str(path))
        return cls()


@dataclass(frozen=True)
class KnownSet:
    """A public data set, recognised by its content in whatever form it comes.

    Attributes:
        declaration: What it would say about itself.
        sha256: SHA-256 of its four unpacked IDX files, by the names that `DataSet.sha256` uses.
    """

    declaration: Declaration
    sha256: Mapping[str, str]


# The digests of LeCun, Cortes and Burges's four files, unpacked; the gzip wrapping differs between
# mirrors, the content does not.
MNIST = KnownSet(
    Declaration("mnist", tuple("0123456789"), "ink", "light-on-dark"),
    {
        "train-images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "test-images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "test-labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
)
# Measured on Debian's dataset-fashion-mnist. The names are those of Xiao, Rasul and Vollgraf,
# "Fashion-MNIST" (2017), https://arxiv.org/abs/1708.07747, table 2. Its polarity is "any": a
# garment fills its picture, so nothing can be turned over by looking at it.
FASHION_MNIST = KnownSet(
    Declaration(
        "fashion-mnist",
        (
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        "stretch",
        "any",
    ),
    {
        "train-images": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "test-images": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "test-labels": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
)


def recognise(sha256: Mapping[str, str]) -> Declaration | None:
    """What is known of a data set with these four digests, or None."""
    for known in (MNIST, FASHION_MNIST):
        if known.sha256 == dict(sha256):
            return known.declaration
    return None
