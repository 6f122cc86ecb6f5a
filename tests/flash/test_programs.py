from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.errors import MissingDependencyError
from flash.errors import FlashError
from flash.programs import find_program, run_program

ROOT = Path(__file__).resolve().parents[2]


def test_program_is_found_beside_the_interpreter_and_by_its_older_name(stand_in) -> None:
    stand_in("esptool.py", "exit 0")
    assert find_program("no-such-program", "esptool.py").name == "esptool.py"


def test_missing_program_names_the_extra(stand_in, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(MissingDependencyError, match=r"esptool is not .*\.\[mcu\]"):
        find_program("esptool", "esptool.py")


def test_lines_are_handed_on_as_they_come(stand_in) -> None:
    stand_in("tool", "echo one; echo; echo two >&2")
    lines: list[str] = []
    assert run_program([find_program("tool")], 30, lines.append) == "one\n\ntwo\n"
    assert lines == ["one", "two"]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo first; echo last; exit 3", "tool failed: last"),
        ("exit 3", "tool failed: exit status 3"),
        ("kill -9 $$", "tool failed: exit status -9"),
        ("printf 'A fatal error occurred: No\\nluck\\n\\nHint: x\\n'; exit 2", "failed: No luck"),
        ("echo '0000328 E No target [load_cmd]'; echo bye; exit 1", "failed: No target"),
        ("printf '\\033[31mred\\033[0m\\n'; exit 1", "failed: red"),
    ],
)
def test_failure_is_told_in_one_line_of_the_programs_own(stand_in, script, reason) -> None:
    stand_in("tool", script)
    with pytest.raises(FlashError) as caught:
        run_program([find_program("tool")], 30)
    assert str(caught.value).endswith(reason)


def test_program_that_asks_gets_no_answer() -> None:
    # In a process of its own, whose input has an answer ready.
    child = """if 1:
        from flash.programs import run_program
        run_program(["/bin/sh", "-c", "read answer; echo answer: $answer; exit 1"], 30)
    """
    ran = subprocess.run(
        [sys.executable, "-c", child], cwd=ROOT, input="yes\n", capture_output=True, text=True
    )
    assert ran.stderr.splitlines()[-1].endswith("sh failed: answer:")


@pytest.mark.parametrize(
    "script",
    [
        'sleep 10; echo alive > "$LOG"',
        '(sleep 10; echo alive > "$LOG") & sleep 10; echo alive > "$LOG"',
    ],
)
def test_program_that_hangs_is_killed_with_all_that_it_started(stand_in, script) -> None:
    log = stand_in("tool", script)
    with pytest.raises(FlashError, match="tool did not finish within 1 s"):
        run_program([find_program("tool")], 1)
    # What holds the pipe open would have been waited for, and have left this.
    assert not log.exists()
