"""From a trained Keras model to sealed ``.tflite`` variants that a device can run.

`converter` converts and checks, `inspect` shows what is inside a file, `parity` holds the
statistics of comparisons; ``python -m convert`` does the first, ``python -m convert inspect`` the
second.
"""

from __future__ import annotations

__all__: list[str] = []
