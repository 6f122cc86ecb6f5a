import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.cli import VERBS, main
from edge_runtime.cli.shell import add_debug_option, run
from edge_runtime.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


def raising(error):
    def handle(_):
        raise error

    return handle


def parser():
    return argparse.ArgumentParser(prog="prog")


def test_error_of_ours_is_one_line_and_status_one(capsys):
    assert run(parser(), [], raising(InputError("it broke", "not that", "mend it"))) == 1
    assert capsys.readouterr().err == "prog: error: it broke; not that was expected; mend it\n"


@pytest.mark.parametrize("arguments", [[], ["--debug"]])
def test_words_of_others_give_a_terminal_no_commands(capsys, arguments):
    assert run(parser(), arguments, raising(InputError("a\x1b[31m\x9b2J\x07.png is empty"))) == 1
    error = capsys.readouterr().err
    assert error.endswith("prog: error: a\\x1b[31m\\x9b2J\\x07.png is empty\n")
    assert all(line.isprintable() for line in error.splitlines())


def test_traceback_only_with_debug(capsys):
    assert run(parser(), ["--debug"], raising(InputError("it broke"))) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--debug", "verb"], ["verb", "--debug"]])
def test_debug_is_taken_before_and_after_a_verb(arguments, capsys):
    outer = parser()
    add_debug_option(outer.add_subparsers().add_parser("verb"))
    assert run(outer, arguments, raising(InputError("it broke"))) == 1
    assert "Traceback" in capsys.readouterr().err


def test_operating_system_error_names_the_file(capsys):
    assert run(parser(), [], raising(PermissionError(13, "Permission denied", "/x/y"))) == 1
    assert capsys.readouterr().err == "prog: error: /x/y: Permission denied\n"


def test_full_disk_says_what_to_do(capsys):
    assert run(parser(), [], raising(OSError(28, "No space left on device", "/x/y"))) == 1
    assert "/x/y: No space left on device; free some space" in capsys.readouterr().err


def test_mistake_of_our_own_shows_its_traceback(capsys):
    assert run(parser(), [], raising(KeyError("k"))) == 1
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert "prog: error: KeyError('k')" in error


def test_interrupt_ends_with_130(capsys):
    in_native_code = SystemError("returned a result with an exception set")
    in_native_code.__cause__ = KeyboardInterrupt()
    for error in (KeyboardInterrupt(), in_native_code):
        assert run(parser(), [], raising(error)) == 130
        assert capsys.readouterr().err == "prog: interrupted\n"


@pytest.mark.parametrize("verb", VERBS)
def test_interrupt_while_imports_are_under_way_is_no_traceback(verb, tmp_path):
    # Importing NumPy is most of the time before a verb begins; those that need none need json.
    for module in ("numpy", "json"):
        (tmp_path / f"{module}.py").write_text("raise KeyboardInterrupt")
    done = subprocess.run(
        [sys.executable, "-m", "edge_runtime", verb, "x"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (130, "edge-run: interrupted\n")


def test_interrupt_while_a_room_is_imported_is_no_traceback(tmp_path):
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "__init__.py").touch()
    (tmp_path / "room" / "command.py").write_text("raise KeyboardInterrupt")
    program = (
        "import sys; from edge_runtime.cli.shell import run_room; "
        "sys.exit(run_room('room', 'other', {'verb': 'command'}, ['verb']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (130, "python -m room verb: interrupted\n")


def test_wrong_usage_is_status_two_and_help_is_zero(capsys):
    assert run(parser(), ["--nope"], lambda _: 0) == 2
    assert run(parser(), ["--help"], lambda _: 0) == 0
    assert main([]) == 2
    assert main(["dance"]) == 2
    capsys.readouterr()


def test_status_of_the_command_is_passed_on():
    assert run(parser(), [], lambda _: 1) == 1


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_shows_help_with_examples(verb, capsys):
    assert main([verb, "--help"]) == 0
    assert f"edge-run {verb}" in capsys.readouterr().out.split("usage:", 1)[1].split("\n", 1)[1]


def test_reader_that_goes_away_is_no_traceback():
    program = "import sys\nfrom edge_runtime.cli.shell import run\nimport argparse\n" + (
        "def handle(_):\n    for i in range(100000): print(i)\n    return 0\n"
        "sys.exit(run(argparse.ArgumentParser(), [], handle))"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    child.stdout.readline()
    child.stdout.close()
    assert child.stderr.read() == b""
    assert child.wait() == 1
    child.stderr.close()


def closed(redirection, *arguments, cwd=ROOT):
    """What the shell runs with a standard stream closed."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )


ARGUMENTS = {"classify": ["x.png"], "read": ["x.png"]}


@pytest.mark.parametrize("verb", VERBS)
def test_closed_standard_output_is_one_line_before_any_work(verb, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert main([verb, *ARGUMENTS.get(verb, [])]) == 1
    line = f"edge-run {verb}: error: standard output is closed; a terminal, a pipe or a file was"
    assert capsys.readouterr().err.startswith(line)


def test_closed_standard_output_is_no_traceback():
    done = closed(">&-", "-m", "edge_runtime", "info")
    assert done.returncode == 1
    assert done.stderr.startswith("edge-run info: error: standard output is closed")
    assert done.stderr.count("\n") == 1


def test_what_is_for_people_stays_out_of_the_results_where_standard_error_is_closed():
    for arguments in (["classify", "nowhere.png"], ["camera", "nowhere.mp4"], ["dance"]):
        done = closed("2>&-", "-m", "edge_runtime", *arguments)
        assert done.returncode == (2 if arguments == ["dance"] else 1)
        assert done.stdout == ""


def test_no_file_takes_the_number_of_a_standard_error_that_is_closed(tmp_path):
    program = (
        "import argparse, os, sys\nfrom edge_runtime.cli.shell import run\n"
        "def handle(_):\n"
        "    with open('results', 'w') as results:\n"
        "        os.write(2, b'a complaint of native code')\n"
        "        print('words', file=sys.stderr)\n"
        "        results.write('results')\n"
        "    return 0\n"
        "sys.exit(run(argparse.ArgumentParser(), [], handle))"
    )
    done = closed("2>&-", "-c", program, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert (tmp_path / "results").read_text() == "results"


@pytest.mark.parametrize("verb", ["read", "classify", "receive"])
def test_closed_standard_input_is_one_line(verb):
    done = closed("<&-", "-m", "edge_runtime", verb, *(["-"] if verb != "receive" else []))
    assert done.returncode == 1
    assert "error: standard input is closed" in done.stderr
    assert done.stderr.count("\n") == 1
