"""What the commands of this room say before they reach a device or TensorFlow Lite Micro."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flash.__main__ import main
from flash.pi import Device, _refusal
from flash.ssh import SshResult, SshTarget

ROOT = Path(__file__).resolve().parents[2]


def test_hints_name_the_command_that_the_guide_makes(capsys: pytest.CaptureFixture[str]) -> None:
    guide = (ROOT / "docs" / "raspberry-pi.md").read_text()
    (environment,) = re.findall(r"^python3 -m venv ~/(\w+)$", guide, re.MULTILINE)
    hint = f"--remote-command {environment}/bin/edge-run"
    refusal = _refusal(Device(SshTarget("pi")), SshResult(127, "", "sh: edge-run: not found"))
    assert str(refusal).endswith(hint)
    assert hint in (ROOT / "docs" / "flash.md").read_text()
    assert main(["pi", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert hint in told
    assert f"for example {environment}/bin/edge-run" in told


@pytest.mark.parametrize(
    "arguments",
    [
        ["mcu", "none.tflite", "--c-array", "--out", "OUT"],
        ["pi", "pi@nowhere", "--model", "none.tflite"],
    ],
)
def test_debug_is_taken_before_and_after_the_verb(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(tmp_path) if word == "OUT" else word for word in arguments]
    assert main(words) == 1
    assert "Traceback" not in capsys.readouterr().err
    for both in (["--debug", *words], [*words, "--debug"]):
        assert main(both) == 1
        assert "Traceback" in capsys.readouterr().err


def test_folder_that_cannot_be_written_is_found_before_the_model_is_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["mcu", "none.tflite", "--c-array", "--out", str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err == (
        f"python -m flash: error: {tmp_path / 'file'} is not a folder; a folder that this user "
        "may write was expected; choose another folder with --out\n"
    )
