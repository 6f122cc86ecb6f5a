"""From labelled pictures to a trained Keras model that carries its contract.

`data` loads and checks, `model` builds, `fit` trains, `report` draws; ``python -m train`` does it
all. `data` and what it stands on import no TensorFlow: conversion and benchmarks use it too.
"""

from __future__ import annotations

__all__: list[str] = []
