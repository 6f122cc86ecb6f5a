"""Runs image classifiers on small machines with an interpreter and NumPy alone.

from edge_runtime import Classifier

digits = Classifier()                        # the released model
digits.classify("seven.png").label           # '7'
"""

from __future__ import annotations

from .classifier import Classifier, Prediction, Score
from .contract import ModelContract
from .errors import EdgeRuntimeError

__version__ = "0.1.0"

__all__ = [
    "Classifier",
    "EdgeRuntimeError",
    "ModelContract",
    "Prediction",
    "Score",
    "__version__",
]
