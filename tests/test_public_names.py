"""Every public module says in ``__all__`` what is public, and its docstrings' examples hold."""

from __future__ import annotations

import ast
import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("edge_runtime", "train", "convert", "flash", "benchmarks")


def public_modules() -> list[str]:
    """Dotted names of all modules but ``__main__``, private ones, and benchmarks run by pytest.

    Nor those that Ansible loads into its own process: they need Ansible to be imported.
    """
    names = []
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if parts[-2] in ("action_plugins", "callback_plugins"):
                continue
            if parts[-1] == "__init__":
                parts = parts[:-1]
            if parts[-1].startswith(("_", "test_")) or parts[-1] == "conftest":
                continue
            names.append(".".join(parts))
    return names


@pytest.mark.parametrize("name", public_modules())
def test_all_names_what_the_module_makes_public(name: str) -> None:
    module = importlib.import_module(name)
    declared = getattr(module, "__all__", None)
    assert declared is not None, f"{name} has no __all__"
    assert len(set(declared)) == len(declared), f"{name}.__all__ repeats a name"
    absent = [public for public in declared if not hasattr(module, public)]
    assert not absent, f"{name}.__all__ names what is not there: {absent}"

    tree = ast.parse(Path(str(module.__file__)).read_text())
    defined = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    }
    assert defined <= set(declared), f"{name}.__all__ lacks {sorted(defined - set(declared))}"


@pytest.mark.parametrize("name", public_modules())
def test_docstring_examples_hold(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0, f"{result.failed} of {result.attempted} examples failed (see above)"
