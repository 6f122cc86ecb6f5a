from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from train import mnist
from train.__main__ import main
from train.dataset import DataSet
from train.export import export


@pytest.fixture
def mine(few_digits: DataSet, tmp_path: Path) -> Path:
    """A folder of 60 digits in a mirror, of three classes."""
    chosen = np.flatnonzero(np.isin(few_digits.y_train, [3, 4, 7]))[:60]
    odd = replace(
        few_digits, x_train=few_digits.x_train[chosen, :, ::-1], y_train=few_digits.y_train[chosen]
    )
    folder = tmp_path / "mine"
    export(odd, folder, split="train", per_class_folders=True)
    # A user's folder declares nothing.
    (folder / "dataset.json").unlink()
    return folder


@pytest.fixture
def here_is_a_part_of_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist, "local_mnist", lambda: None)


@pytest.mark.usefixtures("here_is_a_part_of_mnist")
def test_before_and_after_go_to_stdout(
    seed: Path, mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["--from", str(seed), "--data", str(mine), "--epochs", "1", "--out", str(out)]
    assert main(arguments) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert [Path(line).name for line in lines[:5]] == [
        "seed-tuned.keras", "seed-tuned.contract.json", "seed-tuned.metrics.json",
        "seed-tuned.curves.png", "seed-tuned.confusion.png",
    ]  # fmt: skip
    share = r"[\d.]+% of 12 held-out pictures \([\d.]+% to [\d.]+%\)"
    known = r"[\d.]+% of 1,000 test images of mnist"
    assert re.fullmatch(f"before: {share}, {known}", lines[5])
    assert re.fullmatch(f"after: {share}, {known}", lines[6])
    assert lines[7].startswith("12 held-out pictures are few")
    assert lines[8:] == [mnist.FALLBACK_NOTICE]
    assert f"{seed} goes on with images of mnist among yours, not to forget" in told.err
    next_line = f"next: python -m convert {out / 'seed-tuned.keras'} --representative {mine}"
    assert next_line in told.err
    metrics = json.loads((out / "seed-tuned.metrics.json").read_text())
    assert metrics["after"]["held_out"]["images"] == 12
    assert metrics["confusion"][0] == [0] * 10
    assert metrics["per_class"].keys() == {"3", "4", "7"}


def test_stopped_run_says_how_to_go_on(
    seed: Path, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from train import fit

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fit, "run", stop)
    out = str(tmp_path)
    known = tmp_path / "known"
    shutil.copytree(mine, known)
    next(known.rglob("*.png")).unlink()
    arguments = ["--from", str(seed), "--rehearse", str(known), "--data", str(mine), "--out", out]
    assert main(arguments) == 130
    told = capsys.readouterr().err
    assert f"{seed} goes on with images of known among yours, not to forget" in told
    line = f"python -m train --data {mine} --from {seed} --rehearse {known} --out {out} --resume"
    assert f"Go on with: {line}" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "SEED"], "was trained on mnist already; pictures of your own was expected"),
        (["--from", "SEED", "--data", "MINE", "--config", "nano"], "--config was given with"),
        (["--from", "SEED", "--data", "MINE", "--teacher", "none"], "--teacher was given with"),
        (["--from", "SEED", "--data", "MINE", "--fit", "stretch"], "--fit is stretch, but"),
        (["--from", "none.keras", "--data", "MINE"], "none.keras does not exist; a file was"),
        (["--from", "SEED", "--data", "nowhere"], "nowhere does not exist; mnist, an .npz"),
        (["--from", "SEED", "--data", "MINE", "--limit", "3"], "3 training images are too few"),
        (["--contract", "c.json", "--data", "MINE"], "--contract was given without --from"),
        (["--rehearse", "mnist", "--data", "MINE"], "--rehearse was given without --from"),
        (["--from", "SEED", "--data", "MINE", "--rehearse", "gone"], "gone does not exist; what"),
        (["--from", "SEED", "--data", "MINE", "--rehearse", "MINE"], "are the same images"),
    ],
)
def test_bad_input_is_one_line_and_status_1(
    seed: Path, mine: Path, tmp_path: Path, arguments: list[str], message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    named = {"SEED": str(seed), "MINE": str(mine)}
    words = [named.get(word, word) for word in arguments]
    assert main([*words, "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr()
    (error,) = [line for line in told.err.splitlines() if "error:" in line]
    assert message in error
    assert told.out == ""


def test_source_is_never_overwritten(
    seed: Path, mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "seed.keras"
    copy.write_bytes(seed.read_bytes())
    arguments = ["--from", str(copy), "--data", str(mine), "--name", "seed"]
    assert main([*arguments, "--out", str(tmp_path)]) == 1
    assert f"{copy} would be overwritten; another file was expected" in capsys.readouterr().err
    assert copy.read_bytes() == seed.read_bytes()
