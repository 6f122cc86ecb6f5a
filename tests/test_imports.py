"""The rooms and who may import whom: edge_runtime ← train ← convert ← flash ← benchmarks."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("edge_runtime", "train", "convert", "flash", "benchmarks")
# Only functions import these: they define classes and routes with what the extra `web` brings.
NEED_FLASK = {f"edge_runtime/web/{name}.py" for name in ("api", "app", "metrics", "server")}
INTERPRETERS = {"ai_edge_litert", "tflite_runtime", "tensorflow"}


def sources(room: str) -> list[Path]:
    found = sorted((ROOT / room).rglob("*.py"))
    assert found, f"room {room} is empty"
    return found


def imported_modules(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Absolute modules that a tree imports, by statement or by ``import_module("…")``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module, node.lineno
        elif isinstance(node, ast.Call) and node.args:
            called = ast.unparse(node.func).rpartition(".")[2]
            name = node.args[0]
            if called in {"import_module", "__import__"} and isinstance(name, ast.Constant):
                yield str(name.value), node.lineno


def run_at_import(tree: ast.Module) -> Iterator[ast.AST]:
    """Every node that runs when the module is imported: all but the bodies of functions."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        waiting.extend(ast.iter_child_nodes(node))


@pytest.mark.parametrize("room", ROOMS)
def test_room_imports_only_rooms_to_its_left(room: str) -> None:
    allowed = ROOMS[: ROOMS.index(room) + 1]
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sources(room)
        for module, line in imported_modules(ast.parse(path.read_text()))
        if module.partition(".")[0] in set(ROOMS) - set(allowed)
    ]
    assert not wrong, "\n".join(wrong)


def test_runtime_needs_numpy_alone_to_be_imported() -> None:
    allowed = set(sys.stdlib_module_names) | {"numpy", "edge_runtime"}
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module} before a function asks for it"
        for path in sources("edge_runtime")
        if path.relative_to(ROOT).as_posix() not in NEED_FLASK
        for node in run_at_import(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for module, line in imported_modules(node)
        if module.partition(".")[0] not in allowed
    ]
    assert not wrong, "\n".join(wrong)


def test_backend_alone_imports_an_interpreter() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sources("edge_runtime")
        if path.name != "backend.py"
        for module, line in imported_modules(ast.parse(path.read_text()))
        if module.partition(".")[0] in INTERPRETERS
    ]
    assert not wrong, "\n".join(wrong)


# Modules whose distribution goes by another name.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "ai_edge_litert": "ai-edge-litert",
    "cv2": "opencv-python-headless",
    "paho": "paho-mqtt",
    "prometheus_client": "prometheus-client",
    "werkzeug": "flask",
    "mpl_toolkits": "matplotlib",
    "sklearn": "scikit-learn",
    "tflite_micro": "tflite-micro",
    "tflite_runtime": "tflite-runtime",
}
# Comes with Raspberry Pi OS (python3-picamera2) and cannot be had from pip: it needs libcamera.
FROM_THE_SYSTEM = {"picamera2"}
EXTRAS = {
    "edge_runtime": {"", "camera", "litert", "mqtt", "train", "web"},
    "train": {"", "camera", "train"},
    "convert": {"", "camera", "litert", "train", "convert"},
    "flash": {"", "camera", "train", "convert", "flash"},
    "benchmarks": {"", "camera", "litert", "train", "convert", "bench"},
}


def declared(extras: set[str]) -> set[str]:
    """Names of the distributions that setup.cfg asks for with these extras; "" is the base."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lists = dict(setup["options.extras_require"])
    lists[""] = setup["options"]["install_requires"]
    lines = [line for extra in extras for line in lists[extra].splitlines() if line.strip()]
    return {re.split(r"[^\w.-]", line.strip())[0] for line in lines}


@pytest.mark.parametrize("room", ROOMS)
def test_room_imports_what_its_extra_brings(room: str) -> None:
    known = declared(EXTRAS[room]) | set(ROOMS) | set(sys.stdlib_module_names) | FROM_THE_SYSTEM
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in sources(room)
        for module, line in imported_modules(ast.parse(path.read_text()))
        if DISTRIBUTIONS.get(top := module.partition(".")[0], top) not in known
    ]
    assert not wrong, "\n".join(wrong)


def test_errors_import_nothing() -> None:
    tree = ast.parse((ROOT / "edge_runtime" / "errors.py").read_text())
    assert {module for module, _ in imported_modules(tree)} <= {"__future__"}


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("edge_runtime", "tensorflow keras cv2 ai_edge_litert tflite_runtime train convert"),
        ("edge_runtime.cli", "tensorflow keras cv2 ai_edge_litert tflite_runtime"),
        ("edge_runtime.preview", "flask werkzeug waitress prometheus_client cv2"),
        ("edge_runtime.cli.serve", "flask werkzeug waitress prometheus_client cv2"),
        # The device's side is the standard library: it must work where a wheel is broken.
        ("edge_runtime.cli.receive", "numpy cv2 ai_edge_litert tflite_runtime"),
        ("edge_runtime.cli.rollback", "numpy cv2 ai_edge_litert tflite_runtime"),
        ("edge_runtime.cli.status", "numpy cv2 ai_edge_litert tflite_runtime"),
        ("train.data", "tensorflow keras"),
        ("train.config", "tensorflow keras"),
        ("convert.parity", "tensorflow keras"),
        ("convert.inspect", "tensorflow keras"),
    ],
)
def test_import_stays_light(module: str, unwanted: str) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {module}; "
        f"print(*[name for name in {unwanted.split()!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "", f"importing {module} brought {done.stdout.strip()}"


def test_import_rule_sees_through_functions_and_strings() -> None:
    tree = ast.parse("def f():\n    import train.data\n    importlib.import_module('convert')\n")
    assert [module for module, _ in imported_modules(tree)] == ["train.data", "convert"]
