"""What is read, not run: style, types, and constructs that have no place here."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("edge_runtime", "train", "convert", "flash", "benchmarks")
# Loading any of these formats runs what the file says.
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
UNSAFE_CALLS = {
    "eval",
    "exec",
    "os.system",
    "os.popen",
    "yaml.load",
    "yaml.unsafe_load",
    "keras.config.enable_unsafe_deserialization",
}
UNSAFE_KEYWORDS = {("shell", True), ("allow_pickle", True), ("safe_mode", False)}


def tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [("check", "."), ("format", "--check", ".")])
def test_ruff_is_content(arguments: tuple[str, ...]) -> None:
    done = tool("ruff", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_is_content() -> None:
    done = tool("mypy")
    assert done.returncode == 0, done.stdout + done.stderr


def python_sources() -> Iterator[tuple[str, ast.AST]]:
    """Name and tree of every Python file and of every notebook's code cells."""
    for folder in (*ROOMS, "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text())["cells"]
        code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
        yield str(path.relative_to(ROOT)), ast.parse(code)


def unsafe(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            names = []
        yield from (f"{node.lineno}: imports {name}" for name in names if name in UNSAFE_MODULES)
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in UNSAFE_CALLS:
                yield f"{node.lineno}: calls {called}"
            for keyword in node.keywords:
                value = keyword.value
                if (
                    isinstance(value, ast.Constant)
                    and (keyword.arg, value.value) in UNSAFE_KEYWORDS
                ):
                    yield f"{node.lineno}: {keyword.arg}={value.value}"


def test_nothing_runs_what_a_file_says() -> None:
    wrong = [f"{name}:{what}" for name, tree in python_sources() for what in unsafe(tree)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "subprocess.run(command, shell=True)",
        "np.load(path, allow_pickle=True)",
        "keras.models.load_model(path, safe_mode=False)",
        "eval(text)",
        "yaml.load(text)",
    ],
)
def test_unsafe_line_is_noticed(line: str) -> None:
    assert list(unsafe(ast.parse(line)))
