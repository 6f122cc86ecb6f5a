"""Runs image classifiers on small machines with an interpreter and NumPy alone.

from edge_runtime import Classifier

digits = Classifier()                        # the released model
digits.classify("seven.png").label           # '7'
"""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = [
    "Classifier",
    "EdgeRuntimeError",
    "ModelContract",
    "Prediction",
    "Score",
    "__version__",
]

# Each name's module is imported when the name is first asked for (PEP 562). NumPy alone takes a
# tenth of a second, even `typing` a tenth of that: `edge-run` answers to Ctrl-C before that.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from .classifier import Classifier, Prediction, Score
    from .contract import ModelContract
    from .errors import EdgeRuntimeError
else:
    _MODULES = {
        "Classifier": "classifier",
        "EdgeRuntimeError": "errors",
        "ModelContract": "contract",
        "Prediction": "classifier",
        "Score": "classifier",
    }

    def __getattr__(name: str) -> object:
        """A public name, imported."""
        from importlib import import_module

        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f".{_MODULES[name]}", __name__), name)
        return value

    def __dir__() -> list[str]:
        """All names, those that nobody has asked for yet among them."""
        return sorted({*globals(), *__all__})
