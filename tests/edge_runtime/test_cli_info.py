from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.cli import main
from edge_runtime.contract import load_sealed
from edge_runtime.models import DEFAULT_NAME, default_model_path


@pytest.fixture
def model(released_model: Callable[[str], Path]) -> Path:
    return released_model("int8")


def test_released_model_is_shown_without_being_named(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(str(default_model_path()))
    for fact in (
        f"{DEFAULT_NAME}, variant int8", "0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        "28 × 28 pixels, grey, fit ink", "light-on-dark", "(pixel - 0) / 255",
        "int8 [any × 28 × 28 × 1]", f"{model.stat().st_size:,} bytes",
    ):  # fmt: skip
        assert fact in text


def test_json_has_the_contract_and_both_tensors(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(model), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    sealed = load_sealed(model)
    assert sealed.contract is not None
    assert list(facts) == [
        "model", "size_bytes", "sha256", "contract", "input", "output", "backend",
        "backend_version",
    ]  # fmt: skip
    assert facts["sha256"] == hashlib.sha256(sealed.flatbuffer).hexdigest()
    assert facts["contract"] == json.loads(sealed.contract.to_json())
    assert facts["input"]["dtype"] == "int8"
    assert facts["input"]["shape"] == [-1, 28, 28, 1]
    assert facts["input"]["scale"] == pytest.approx(1 / 255, rel=0.01)
    assert facts["output"]["shape"] == [-1, 10]


def test_backend_can_be_chosen(model: Path) -> None:
    if importlib.util.find_spec("tflite_runtime") is None:
        pytest.skip("tflite-runtime is not installed")
    # In a process of its own: tflite-runtime 2.14 fails where TensorFlow was loaded before it.
    done = subprocess.run(
        [sys.executable, "-m", "edge_runtime", "info", "--backend", "tflite-runtime", "--json"],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert json.loads(done.stdout)["backend"] == "tflite-runtime"


def test_model_without_contract_shows_its_tensors(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "bare.tflite"
    bare.write_bytes(load_sealed(model).flatbuffer)
    assert main(["info", str(bare)]) == 0
    text = capsys.readouterr().out
    assert "none: made by other tools" in text
    assert "int8 [any × 28 × 28 × 1]" in text


def test_changed_model_is_one_line_of_error(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 0x10
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(data)
    assert main(["info", str(damaged)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith(f"edge-run info: error: {damaged} was changed after it was sealed")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is not a TensorFlow Lite model"), (None, "does not exist")],
)
def test_what_is_no_model_is_one_line_of_error(
    content: bytes | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.tflite"
    if content is not None:
        path.write_bytes(content)
    assert main(["info", str(path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_truncated_model_is_one_line_of_error(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "short.tflite"
    path.write_bytes(model.read_bytes()[:60_000])
    assert main(["info", str(path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("edge-run info: error: ")
