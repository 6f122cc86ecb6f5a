from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from train.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
QUICK = {"base": "nano", "name": "quick", "epochs": 2, "batch_size": 40, "teacher": ""}


@pytest.fixture
def npz(npz_arrays: dict[str, np.ndarray], tmp_path: Path) -> Path:
    np.savez_compressed(tmp_path / "letters.npz", **npz_arrays)
    return tmp_path / "letters.npz"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "quick.json"
    path.write_text(json.dumps(QUICK))
    return path


def words(*arguments: object) -> list[str]:
    return [str(argument) for argument in arguments]


def test_results_go_to_stdout_and_words_to_stderr(
    npz: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = words("--config", config, "--data", npz, "--limit", 200, "--epochs", 1)
    assert main([*arguments, "--name", "mine", "--seed", "5", "--out", str(out)]) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert [Path(line).name for line in lines[:5]] == [
        "mine.keras", "mine.contract.json", "mine.metrics.json", "mine.curves.png",
        "mine.confusion.png",
    ]  # fmt: skip
    assert all(Path(line).is_file() for line in lines[:5])
    assert lines[5].startswith("test accuracy ")
    assert lines[5].endswith("% (100 images)")
    assert re.search(r"epoch 1/1  loss [\d.]+  accuracy [\d.]+%  validation", told.err)
    assert f"next: python -m convert {out / 'mine.keras'} --representative {npz}" in told.err
    metrics = json.loads((out / "mine.metrics.json").read_text())
    assert metrics["config"]["seed"] == 5
    assert metrics["data"]["training_images"] == 200


def test_fallback_is_announced_on_stderr_on_stdout_and_in_the_metrics(
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from train import mnist

    monkeypatch.setattr(mnist, "find_mnist", lambda: None)
    arguments = words("--config", config, "--limit", 200, "--epochs", 1, "--out", tmp_path)
    assert main(arguments) == 0
    told = capsys.readouterr()
    assert mnist.FALLBACK_NOTICE in told.err
    assert mnist.FALLBACK_NOTICE in told.out
    metrics = json.loads((tmp_path / "quick.metrics.json").read_text())
    assert metrics["notice"] == mnist.FALLBACK_NOTICE
    assert metrics["data"]["notice"] == mnist.FALLBACK_NOTICE
    # It is MNIST's name all the same, so that conversion finds the same images by itself.
    assert "next: python -m convert" in told.err
    assert "--representative" not in told.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere/"], "python -m train: error: nowhere does not exist; mnist"),
        (["--config", "huge"], "error: there is no configuration 'huge'"),
        (["--data", "LETTERS", "--limit", "5"], "5 training images are too few for 10 classes"),
        (["--data", "LETTERS", "--name", "a/b"], "error: name is 'a/b'"),
        (["--data", "LETTERS", "--seed", "-1"], "error: seed is -1"),
        (["--data", "LETTERS", "--image-size", "9x9"], "9x9 are too small for this network"),
    ],
)
def test_bad_input_is_one_line_and_status_1(
    npz: Path, arguments: list[str], message: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    arguments = [str(npz) if word == "LETTERS" else word for word in arguments]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr()
    errors = [line for line in told.err.splitlines() if "error:" in line]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in told.err
    assert told.out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "'0' is not a whole number from 1"),
        (["--epochs", "-3"], "'-3' is not a whole number from 1"),
        (["--limit", "many"], "'many' is not a whole number from 1"),
        (["--image-size", "28"], "'28' is no size; height and width up to 1024"),
        (["--image-size", "0x5"], "'0x5' is no size"),
        (["--image-size", "9999x9"], "'9999x9' is no size"),
        (["--fit", "crop"], "invalid choice: 'crop'"),
        (["export"], "required: --out"),
        (["export", "--out", "x", "--split", "all"], "invalid choice: 'all'"),
    ],
)
def test_wrong_usage_is_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["export"]])
def test_help_shows_worked_examples(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    assert "examples:\n  python -m train" in capsys.readouterr().out


def test_export_prints_the_folder(
    npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pictures"
    assert main(words("export", "--data", npz, "--limit", 20, "--out", out)) == 0
    told = capsys.readouterr()
    assert told.out == f"{out}\n"
    assert "20 pictures of letters" in told.err
    assert len(list(out.iterdir())) == 20


def test_usage_errors_do_not_wait_for_tensorflow() -> None:
    program = (
        "import sys; from train.__main__ import main; main(['--data', 'nowhere/']); "
        "main(['--help']); print('tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_interrupted_command_keeps_its_epochs_and_says_how_to_go_on(
    npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "long.json"
    # Long enough that the signal comes before the end on the fastest machine.
    config.write_text(json.dumps({**QUICK, "name": "long", "epochs": 400}))
    out = tmp_path / "out"
    arguments = words("--config", config, "--data", npz, "--out", out)
    process = subprocess.Popen(
        [sys.executable, "-m", "train", *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    history = out / "long.backup" / "history.json"
    deadline = time.monotonic() + 180
    while not history.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert history.exists(), "no epoch ended"
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stdout == ""
    assert f"Go on with: python -m train --config {config} --data {npz} --out {out} --resume" in (
        stderr
    )
    assert "Traceback" not in stderr
    assert "oneDNN" not in stderr, "TensorFlow's start-up notes hide our words"

    # Shortening the run is a change of settings, and refused.
    assert main([*arguments, "--epochs", "3", "--resume"]) == 1
    assert "had another epochs" in capsys.readouterr().err
