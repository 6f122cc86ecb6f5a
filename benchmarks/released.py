"""Where the released models are: a folder for each, with all of its files and records."""

from __future__ import annotations

from pathlib import Path

from edge_runtime.errors import InputError
from edge_runtime.models import DEFAULT_NAME

__all__ = ["BASELINE", "MODELS", "RELEASED", "int8_file", "released_names"]

MODELS = Path(__file__).resolve().parent.parent / "models"
RELEASED = MODELS / DEFAULT_NAME
"""The folder of the default model. The package holds a copy of its int8 file."""

BASELINE = "seed"
"""The model that the others are compared with: a public notebook's network."""


def released_names(models: Path = MODELS) -> list[str]:
    """Names of the released models.

    Args:
        models: The folder that holds them, each as ``NAME/NAME.keras``.

    Returns:
        The default model first, the baseline after the others, and last what was not converted.

    Raises:
        InputError: There are none.
    """
    names = [
        folder.name for folder in models.glob("*") if (folder / f"{folder.name}.keras").is_file()
    ]
    if not names:
        raise InputError(f"{models} holds no released models", "NAME/NAME.keras", "make release")
    return sorted(
        names,
        key=lambda name: (
            not int8_file(name, models).is_file(), name != DEFAULT_NAME, name == BASELINE, name,
        ),
    )  # fmt: skip


def int8_file(name: str, models: Path = MODELS) -> Path:
    """Where a released model's int8 file is, if it has one.

    >>> int8_file("nano", Path("models")).as_posix()
    'models/nano/nano_int8.tflite'
    """
    return models / name / f"{name}_int8.tflite"
