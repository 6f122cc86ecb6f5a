"""Importing TensorFlow without its start-up notes, which hide a command's own words."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile

__all__ = ["hush_native_code", "import_tensorflow"]


def import_tensorflow() -> None:
    """Imports TensorFlow and Keras; what they write to stderr is shown only if that fails.

    The notes come from C++ before any log level is heeded, so the descriptor itself is turned
    aside.
    """
    # 2: errors still show, information and warnings of C++ do not.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as notes:
        saved = os.dup(2)
        os.dup2(notes.fileno(), 2)
        try:
            importlib.import_module("tensorflow")
            importlib.import_module("keras")
        except BaseException:
            notes.seek(0)
            with open(saved, "wb", closefd=False) as terminal:
                shutil.copyfileobj(notes, terminal)
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def hush_native_code() -> None:
    """Lets Python alone write to stderr for what is left of the process.

    A worker that ends after the first hears TensorFlow's C++ complain, whatever its log level, that
    the first is gone.
    """
    sys.stderr.flush()
    sys.stderr = open(os.dup(2), "w", buffering=1)  # noqa: SIM115 - as long as the process
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
