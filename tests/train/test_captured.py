from __future__ import annotations

import os
import subprocess
import sys

import pytest

from train.captured import SHOWN_LINES, captured_output


def test_what_python_c_and_child_processes_write_is_captured(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with captured_output() as output:
        print("from Python")
        print("to stderr", file=sys.stderr)
        os.write(1, b"from C\n")
        os.write(2, b"from C to stderr\n")
        subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
        text = output.tail()
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("", "")
    assert set(text.splitlines()) == {
        "from Python",
        "to stderr",
        "from C",
        "from C to stderr",
        "from a child",
    }


def test_the_terminal_is_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), captured_output():
        print("unseen")
        raise KeyboardInterrupt
    print("seen")
    os.write(2, b"seen too\n")
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("seen\n", "seen too\n")


def test_only_the_end_of_a_long_log_is_kept() -> None:
    with captured_output() as output:
        for number in range(10_000):
            print("line", number)
        lines = output.tail().splitlines()
    assert len(lines) == SHOWN_LINES
    assert lines[-1] == "line 9999"


def test_a_process_without_standard_error_can_capture_as_well() -> None:
    program = (
        "import os; os.close(2)\n"
        "from train.captured import captured_output\n"
        "with captured_output(): os.write(1, b'unseen')\n"
        "print('seen')"
    )
    child = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    assert child.stdout == b"seen\n"
