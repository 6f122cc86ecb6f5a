"""The released model that comes with the package."""

from __future__ import annotations

from pathlib import Path

__all__ = ["DEFAULT_MODEL", "default_model_path"]

DEFAULT_MODEL = "seed_int8.tflite"
"""File name of the released model: what `Classifier()` and `edge-run` use by themselves."""


def default_model_path() -> Path:
    """Path of the released model."""
    return Path(__file__).with_name(DEFAULT_MODEL)
