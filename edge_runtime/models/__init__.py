"""The released model that comes with the package."""

from __future__ import annotations

from pathlib import Path

__all__ = ["DEFAULT_MODEL", "DEFAULT_NAME", "default_model_path"]

DEFAULT_MODEL = "digits_int8.tflite"
"""File name of the released model: what `Classifier()` and `edge-run` use by themselves."""

DEFAULT_NAME = DEFAULT_MODEL.rpartition("_")[0]
"""Its name. A checkout keeps the model's other files in ``models/NAME/``."""


def default_model_path() -> Path:
    """Path of the released model."""
    return Path(__file__).with_name(DEFAULT_MODEL)
