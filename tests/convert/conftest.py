"""The classifier of three colours, converted."""

from __future__ import annotations

from pathlib import Path

import pytest

from train.data import DataSet


@pytest.fixture(scope="session")
def converted(
    tmp_path_factory: pytest.TempPathFactory, colour_keras: Path, colours: DataSet
) -> Path:
    """A folder with the classifier in all variants."""
    from convert.converter import convert

    out = tmp_path_factory.mktemp("converted")
    convert(colour_keras, out=out, representative=colours)
    return out
