"""The walk-through notebook runs from top to bottom, and was stored without its outputs."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SHORT = {"CONFIG": "seed", "EPOCHS": "2", "IMAGES": "3000", "VARIANTS": "float32,int8"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_stored_without_outputs(path: Path) -> None:
    cells = json.loads(path.read_text())["cells"]
    stored = [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
    assert not stored, "clear the outputs before committing"
    assert not re.search(r"/(home|Users|root|tmp)/", path.read_text())


@pytest.fixture(scope="module")
def walked(
    tmp_path_factory: pytest.TempPathFactory, mnist_dir: Path | None
) -> tuple[nbformat.NotebookNode, Path]:
    """The notebook after a run with short settings, and the folder it wrote to."""
    out = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(ROOT / "notebooks" / "digits.ipynb", as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**SHORT, "OUT": str(out)}.items():
            patch.setenv(name, value)
        # The kernel starts in an empty folder; where the rooms are not installed it needs this.
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        patch.setenv("PYTHONPATH", path)
        client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(out)}})
        return client.execute(), out


def texts(notebook: nbformat.NotebookNode) -> str:
    """All that its cells printed or showed as text."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            found.append(output.get("text", "") or output.get("data", {}).get("text/plain", ""))
    return "\n".join(found)


def test_notebook_trains_converts_and_reads_its_own_picture(
    walked: tuple[nbformat.NotebookNode, Path],
) -> None:
    notebook, out = walked
    shown = texts(notebook)
    accuracy = re.search(r"test accuracy ([\d.]+)%", shown)
    assert accuracy is not None, shown
    assert float(accuracy[1]) > 85
    assert {"seed.keras", "seed_float32.tflite", "seed_int8.tflite", "page.png"} <= {
        path.name for path in out.iterdir()
    }
    for variant in ("float32", "int8"):
        assert re.search(rf"\b{variant} +[\d.]+%", shown), shown


def test_notebook_draws_every_figure(walked: tuple[nbformat.NotebookNode, Path]) -> None:
    notebook, _ = walked
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    # Digits, counts, learning curves, confusion matrix, mistakes, and the picture it reads.
    assert len(pictures) == 6
