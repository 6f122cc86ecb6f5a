"""Runs image classifiers on small machines with an interpreter and NumPy alone.

from edge_runtime import Classifier

digits = Classifier()                        # the released model
digits.classify("seven.png").label           # '7'
digits.read("receipt.jpg").text              # '4711'
"""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = [
    "Box",
    "Classifier",
    "Digit",
    "EdgeRuntimeError",
    "LiveReading",
    "ModelContract",
    "Prediction",
    "Reading",
    "Score",
    "__version__",
    "open_source",
]

# Each name's module is imported when the name is first asked for (PEP 562). NumPy alone takes a
# tenth of a second, even `typing` a tenth of that: `edge-run` answers to Ctrl-C before that.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from .classifier import Classifier, Prediction, Score
    from .contract import ModelContract
    from .errors import EdgeRuntimeError
    from .frames import LiveReading
    from .reading import Box, Digit, Reading
    from .sources import open_source
else:
    _MODULES = {
        "Box": "reading",
        "Classifier": "classifier",
        "Digit": "reading",
        "EdgeRuntimeError": "errors",
        "LiveReading": "frames",
        "ModelContract": "contract",
        "Prediction": "classifier",
        "Reading": "reading",
        "Score": "classifier",
        "open_source": "sources",
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
