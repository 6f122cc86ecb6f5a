from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert import convert_command
from convert.__main__ import main
from edge_runtime import ModelContract
from edge_runtime.contract import load_sealed
from train.data import DataSet

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def colours_npz(tmp_path_factory: pytest.TempPathFactory, colours: DataSet) -> str:
    path = tmp_path_factory.mktemp("data") / "colours.npz"
    np.savez(
        path,
        x_train=colours.x_train,
        y_train=colours.y_train,
        x_test=colours.x_test,
        y_test=colours.y_test,
        labels=np.array(colours.labels),
    )
    return str(path)


def error_of(capfd: pytest.CaptureFixture[str], arguments: list[str], status: int = 1) -> str:
    """The one line on stderr after a command that must fail."""
    capfd.readouterr()
    assert main(arguments) == status
    shown = capfd.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    return line


def test_a_conversion_prints_a_table_a_line_a_variant_and_nothing_else(
    colour_keras: Path, colours_npz: str, tmp_path: Path
) -> None:
    child = subprocess.run(
        [
            sys.executable,
            "-m",
            "convert",
            colour_keras,
            "--representative",
            colours_npz,
            "--variant",
            "float32",
            "--variant",
            "int8,dynamic",
            "--out",
            tmp_path,
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"},
    )
    assert child.returncode == 0, child.stderr
    assert [line.split(":")[0] for line in child.stderr.splitlines()] == [
        "float32",
        "dynamic",
        "int8",
    ]
    assert "250 of 250 pictures as Keras (litert" in child.stderr
    table, figures, follow_up = child.stdout.strip().split("\n\n")
    rows = [line.split() for line in table.splitlines()]
    assert rows[0][:3] == ["variant", "file", "bytes"]
    assert [row[0] for row in rows[1:]] == ["float32", "dynamic", "int8"]
    for row in rows[1:]:
        assert int(row[2].replace(",", "")) == (tmp_path / row[1]).stat().st_size
        assert row[3] == "100.00%"
    assert figures.startswith("on 250 pictures of the training split of colours")
    files = " ".join(f"{tmp_path}/colours_{row[0]}.tflite" for row in rows[1:])
    assert follow_up == (
        f"next: python -m benchmarks --models {files} --data {colours_npz} "
        f"--keras {colour_keras} --out {tmp_path}"
    )


def test_the_command_that_is_printed_last_runs(
    colour_keras: Path, colours_npz: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, data = tmp_path / "my models", tmp_path / "the data.npz"
    data.symlink_to(colours_npz)
    arguments = ["--representative", str(data), "--variant", "float32,int8", "--out", str(out)]
    assert main([str(colour_keras), *arguments]) == 0
    last = capfd.readouterr().out.splitlines()[-1]
    python, *words = shlex.split(last.removeprefix("next: "))
    assert python == "python"
    done = subprocess.run(
        [sys.executable, *words, "--runs", "2", "--limit", "30"],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads((out / "report.json").read_text())
    assert list(report["variants"]) == ["float32", "int8"]
    # What that command prints last is for a shell, too.
    info = shlex.split(done.stdout.split("next:\n")[1].splitlines()[0])
    assert info[:2] == ["edge-run", "info"]
    assert Path(info[2]).parent == out
    assert Path(info[2]).is_file()


def test_what_comes_next_is_as_short_as_the_defaults_allow(colour_contract: ModelContract) -> None:
    def line(*words: str) -> str:
        parser = argparse.ArgumentParser()
        convert_command.configure(parser)
        args = parser.parse_args(words)
        return convert_command._next_line(args, colour_contract, [args.out / "colours_int8.tflite"])

    plain = "python -m benchmarks --models build/colours_int8.tflite"
    assert line("build/colours.keras") == plain
    # `benchmarks` looks for the float model under the name in its contract.
    assert line("build/mine.keras") == f"{plain} --keras build/mine.keras"
    assert line("build/colours.keras", "--representative", "my photos/") == (
        f"{plain} --data 'my photos/'"
    )
    # A contract that is not inside the model is not seen by `benchmarks`.
    assert line("build/colours.keras", "--contract", "c.json") == (
        "edge-run info build/colours_int8.tflite"
    )


def test_a_refusal_is_one_line_after_what_the_converter_wrote(
    colour_model: Callable[..., Any],
    colour_contract: ModelContract,
    colours_npz: str,
    save_keras: Callable[..., Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    import keras

    path = save_keras(
        colour_model(keras.layers.UnitNormalization()), tmp_path / "unit.keras", colour_contract
    )
    arguments = [
        str(path),
        "--representative",
        colours_npz,
        "--out",
        str(tmp_path),
        "--variant",
        "float32,int8,int16x8",
    ]
    capfd.readouterr()
    assert main(arguments) == 1
    shown = capfd.readouterr()
    lines = shown.err.splitlines()
    assert lines[1:3] == ["int8: refused", "int16x8: refused"]
    assert lines[-1].startswith("python -m convert: error: the tensor ")
    assert lines[-1].endswith("(and refused int16x8 too)")
    assert lines[-2].startswith("refused: TensorFlow cannot convert the model to int16x8: ")
    # The others are done, and are shown.
    assert "unit_float32.tflite" in shown.out
    assert not (tmp_path / "unit_int8.tflite").exists()


def test_a_contract_file_serves_a_model_that_has_none(
    colour_model: Callable[..., Any],
    colour_contract: ModelContract,
    colours_npz: str,
    save_keras: Callable[..., Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = save_keras(colour_model(), tmp_path / "plain.keras", None)
    arguments = [
        str(path),
        "--representative",
        colours_npz,
        "--out",
        str(tmp_path),
        "--variant",
        "float32",
    ]
    assert "plain.keras holds no contract" in error_of(capfd, arguments)
    contract = tmp_path / "contract.json"
    contract.write_text(colour_contract.to_json())
    assert main([*arguments, "--contract", str(contract)]) == 0
    sealed = load_sealed(tmp_path / "plain_float32.tflite").contract
    assert sealed is not None
    assert sealed.labels == colour_contract.labels


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.keras", None, "missing.keras does not exist; a file was expected"),
        ("text.keras", b"hello", "text.keras is not a whole .keras file"),
        ("empty.keras", b"", "empty.keras is not a whole .keras file"),
    ],
)
def test_a_bad_model_is_one_line(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    name: str,
    content: bytes | None,
    message: str,
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    line = error_of(capfd, [str(tmp_path / name)])
    assert line.startswith("python -m convert: error: ")
    assert message in line


def test_data_that_is_missing_or_of_another_kind_is_one_line(
    colour_keras: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(colour_keras), "--out", str(tmp_path / "out"), "--representative"]
    assert "nowhere does not exist" in error_of(capfd, [*arguments, str(tmp_path / "nowhere")])
    grey = tmp_path / "grey.npz"
    x, y = np.zeros((20, 8, 8), np.uint8), np.arange(20) % 2
    np.savez(grey, x_train=x, y_train=y, x_test=x, y_test=y)
    # Grey would do for a model of colours, as on a device; labels it has never heard of would not.
    assert "the labels of grey are 0, 1; red, green, blue" in error_of(
        capfd, [*arguments, str(grey)]
    )


@pytest.mark.parametrize(
    ("option", "status", "message"),
    [
        (["--samples", "0"], 1, "0 representative pictures were asked for; at least one"),
        (["--samples", "100000"], 1, "100000 representative pictures were asked for; 1 to 499"),
        (["--seed", "-5"], 1, "the seed is -5"),
        (["--contract", "/no/contract.json"], 1, "/no/contract.json does not exist"),
    ],
)
def test_an_impossible_option_is_one_line(
    colour_keras: Path,
    colours_npz: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    option: list[str],
    status: int,
    message: str,
) -> None:
    arguments = [str(colour_keras), "--representative", colours_npz, "--out", str(tmp_path / "o")]
    assert message in error_of(capfd, [*arguments, *option], status)
    assert not list(tmp_path.glob("o/*"))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--variant", "int4"], "the variant 'int4' is not known; all, float32"),
        (["--variant", "int8,"], "the variant '' is not known"),
        (["--io", "int16"], "invalid choice: 'int16'"),
        (["--samples", "many"], "invalid int value: 'many'"),
    ],
)
def test_a_mistyped_option_is_wrong_usage(
    colour_keras: Path, capfd: pytest.CaptureFixture[str], option: list[str], message: str
) -> None:
    assert main([str(colour_keras), *option]) == 2
    assert message in capfd.readouterr().err


def test_a_folder_that_cannot_be_made_is_one_line(
    colour_keras: Path, colours_npz: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    for out in ("file", "file/below"):
        line = error_of(
            capfd,
            [str(colour_keras), "--representative", colours_npz, "--out", str(tmp_path / out)],
        )
        assert line == (
            f"python -m convert: error: {tmp_path / out} is not a folder; a folder that this user "
            "may write was expected; choose another folder with --out"
        )


def test_a_folder_that_cannot_be_written_is_found_before_the_data_are_loaded(
    colour_keras: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = error_of(capfd, [str(colour_keras), "--representative", "nowhere", "--out", "/proc/o"])
    assert "error: /proc/o cannot be written: " in line


@pytest.mark.parametrize("arguments", [["--help"], ["inspect", "--help"]])
def test_help_shows_worked_examples(
    arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    shown = capfd.readouterr().out
    assert "examples:" in shown
    assert "python -m convert inspect build/digits_int8.tflite" in shown


def test_inspect_shows_contract_tensors_operators_and_costs(
    converted: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = converted / "colours_int8.tflite"
    assert main(["inspect", str(path)]) == 0
    shown = capfd.readouterr().out
    assert shown.startswith(f"colours_int8.tflite: {path.stat().st_size:,} bytes")
    assert "1,089 MACs a picture" in shown
    rows = [line.split() for line in shown.splitlines()]
    assert ["labels", "red,", "green,", "blue"] in rows
    assert ["CONV_2D", "3", "1", "1,080"] in rows
    assert any(row[2:4] == ["?x12x10x3", "int8"] and row[-1] == "input" for row in rows)


def test_inspect_prints_one_json_object(converted: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(converted / "colours_float16.tflite"), "--json"]) == 0
    (line,) = capfd.readouterr().out.splitlines()
    report = json.loads(line)
    assert report["contract"]["variant"] == "float16"
    assert {tensor["dtype"] for tensor in report["tensors"]} >= {"float16", "float32"}


def test_inspect_refuses_what_is_no_model_in_one_line(
    converted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = (converted / "colours_int8.tflite").read_bytes()
    for name, content, message in (
        ("text.tflite", b"hello there", "text.tflite is not a TensorFlow Lite model"),
        ("cut.tflite", whole[: len(whole) // 2], "the flatbuffer of"),
        ("tail.tflite", whole[:-10], "the seal of"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        line = error_of(capfd, ["inspect", str(path)])
        assert line.startswith("python -m convert inspect: error: ")
        assert message in line
    assert "does not exist" in error_of(capfd, ["inspect", str(tmp_path / "none.tflite")])
