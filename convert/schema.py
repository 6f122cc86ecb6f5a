"""Reading a TensorFlow Lite flatbuffer with the schema that its makers publish.

TensorFlow and LiteRT both carry the parser that the FlatBuffers compiler generated from
schema.fbs. The file is loaded by its place, so that neither package's start-up code (six seconds
and a native library) runs for it.

A generated parser trusts its input: a hostile count makes it loop for hours, a hostile offset
raises whatever Python raises. `reading` turns the latter into a `ModelError`, and everything that
is read in a loop is charged to a `Budget`.
"""

from __future__ import annotations

import importlib.util
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType

from edge_runtime.errors import MissingDependencyError, ModelError

__all__ = ["Budget", "load_schema", "names_of", "reading"]

# The package and where the generated parser lies in it; the first that is installed is taken.
PARSERS = (
    ("ai_edge_litert", "schema_py_generated.py"),
    ("tensorflow", "lite/python/schema_py_generated.py"),
)
# MobileNet V2 has about 200 tensors with 10,000 scales; this is read in about two seconds.
BUDGET = 500_000


class Budget:
    """How much may still be read from one file."""

    def __init__(self, source: str, items: int = BUDGET) -> None:
        self._source = source
        self._left = items

    def spend(self, items: int) -> int:
        """Takes `items` off what is left and returns them; a `ModelError` if that is too much."""
        if items < 0 or items > self._left:
            raise ModelError(
                f"the flatbuffer of {self._source} counts more than {BUDGET:,} parts",
                "a model for a small device",
                "copy the file again, or convert the model again",
            )
        self._left -= items
        return items


@contextmanager
def reading(source: str) -> Iterator[Budget]:
    """A block that reads a flatbuffer.

    Args:
        source: What to call the file in an error.

    Yields:
        The budget for the block.

    Raises:
        ModelError: Something in the flatbuffer leads nowhere.
    """
    try:
        yield Budget(source)
    except ModelError:
        raise
    except (
        struct.error,
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        TypeError,
        ValueError,
    ) as error:
        raise ModelError(
            f"the flatbuffer of {source} is damaged ({type(error).__name__}: {error})",
            "a whole TensorFlow Lite model",
            "copy the file again, or convert the model again",
        ) from error


@cache
def load_schema() -> ModuleType:
    """The generated parser, without running the package that it comes in.

    Raises:
        MissingDependencyError: No installed package has one.
    """
    for package, place in PARSERS:
        found = importlib.util.find_spec(package)
        for folder in (found.submodule_search_locations or []) if found else []:
            path = Path(folder) / place
            spec = importlib.util.spec_from_file_location(f"_{package}_schema", path)
            if path.is_file() and spec is not None and spec.loader is not None:
                module = importlib.util.module_from_spec(spec)
                sys.modules[spec.name] = module
                spec.loader.exec_module(module)
                return module
    raise MissingDependencyError(
        "no package with the TensorFlow Lite schema is installed",
        "tensorflow or ai-edge-litert",
        "pip install -e '.[convert]'",
    )


def names_of(enumeration: type) -> dict[int, str]:
    """The names of a generated enumeration's values."""
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}
