"""What a device says of its interpreters without importing one."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

from edge_runtime import device_status
from edge_runtime.backend import BACKENDS
from edge_runtime.device_status import installed_interpreters, status

ROOT = Path(__file__).resolve().parents[2]


def test_interpreters_are_those_that_the_runtime_tries_in_that_order():
    assert list(device_status.INTERPRETERS) == list(BACKENDS)
    for name, (module, *distributions) in device_status.INTERPRETERS.items():
        assert BACKENDS[name].module.partition(".")[0] == module
        assert BACKENDS[name].distribution == distributions[0]


def test_installed_interpreters_have_their_version(tmp_path):
    found = status(tmp_path / "none").interpreters
    assert found == installed_interpreters()
    assert found, "no interpreter is installed here"
    known = {dist.name.lower().replace("_", "-"): dist.version for dist in metadata.distributions()}
    for name, version in found.items():
        assert version in {known.get(BACKENDS[name].distribution), known.get(f"{name}-cpu")}


def test_module_that_no_package_brought_has_no_version(tmp_path):
    (tmp_path / "ai_edge_litert").mkdir()
    program = (
        f"import sys; sys.path[:] = [{str(tmp_path)!r}, {str(ROOT)!r}, *sys.path];"
        "sys.path = [p for p in sys.path if not p.endswith('-packages')];"
        "from edge_runtime.device_status import installed_interpreters as found; print(found())"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "{'litert': None}"


def test_nothing_is_imported_for_it():
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r});"
        "from edge_runtime.device_status import installed_interpreters; installed_interpreters();"
        "print({'numpy', 'ai_edge_litert', 'tflite_runtime', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
