"""Every command that a page or a ``--help`` shows exists, with the options it is shown with."""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.cli import VERBS

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("models/**/*.md")],
    key=lambda page: page.relative_to(ROOT).as_posix(),
)
# Each of our commands, as it is written, and the module that runs it.
MODULES = {
    "edge-run": "edge_runtime",
    "python -m train": "train",
    "python -m convert": "convert",
    "python -m flash": "flash",
    "python -m benchmarks": "benchmarks",
}
HELPED = [
    *(f"edge-run {verb}" for verb in VERBS),
    "edge-run",
    "python -m train",
    "python -m train export",
    "python -m convert",
    "python -m convert inspect",
    "python -m flash",
    "python -m flash bundle",
    "python -m flash mcu",
    "python -m flash pi",
    "python -m benchmarks",
    "python -m benchmarks card",
    "python -m benchmarks overview",
    "python -m benchmarks robustness",
    "python -m benchmarks seed-record",
    "python -m benchmarks soak",
    "python -m benchmarks speed",
]
# Programs of others that pages may call; we do not check their options.
FOREIGN = {
    "apt", "apt-get", "cat", "cd", "cp", "curl", "echo", "gcc", "g++", "git", "head", "jq",
    "ls", "mkdir", "nano", "pip", "pytest", "python3", "python3.11", "ruff", "mypy", "scp",
    "source", "ssh", "ssh-copy-id", "ssh-keygen", "sudo", "systemctl", "tail", "taskset", "unzip",
    "zipinfo",
}  # fmt: skip
FOREIGN_MODULES = {"json.tool", "pip", "pytest", "venv"}


def shell_lines(text: str) -> list[str]:
    """Command lines in the shell blocks of a Markdown page, continuation lines joined."""
    found: list[str] = []
    # A block inside a list is indented, and so is its closing fence.
    for block in re.findall(
        r"^ *```(?:bash|sh|shell|console)\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL
    ):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            stripped = line.strip()
            is_output = "$ " in block and not stripped.startswith("$ ")
            if stripped and not stripped.startswith("#") and not is_output:
                found.append(stripped.removeprefix("$ "))
    return found


def help_lines(text: str) -> list[str]:
    """The worked examples in a help text: every line that begins as one of our commands."""
    joined = re.sub(r"\\\n\s*", " ", text)
    starts = tuple(f"{command} " for command in MODULES)
    # Two spaces set the explanation apart from the command.
    lines = [re.split(r"\s{2,}", line.strip())[0] for line in joined.splitlines()]
    return [line for line in lines if line.startswith(starts) or line in MODULES]


@functools.cache
def run_help(command: str) -> subprocess.CompletedProcess[str]:
    name = next(name for name in MODULES if command == name or command.startswith(f"{name} "))
    verb = command.removeprefix(name).split()
    return subprocess.run(
        [sys.executable, "-m", MODULES[name], *verb, "--help"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )


def simple_commands(line: str) -> list[list[str]]:
    """The words of each command in a line of shell, without redirections and assignments."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    words = iter(lexer)
    for word in words:
        if set(word) <= set("<>"):
            next(words)
        elif set(word) <= set("|&;"):
            commands.append([])
        elif commands[-1] or not re.fullmatch(r"[A-Z_]+=.*", word):
            commands[-1].append(word)
    return [command for command in commands if command]


def check(line: str) -> None:
    """Fails unless `line` names programs, verbs, options and make targets that exist."""
    for words in simple_commands(line):
        check_words(words, line)


def check_words(words: list[str], line: str) -> None:
    program = words[0].removeprefix(".venv/bin/")
    if program == "make":
        done = subprocess.run(
            ["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"`{line}`: {done.stderr}"
        return
    if program == "python" and words[1:2] == ["-m"] and words[2] not in FOREIGN_MODULES:
        command, rest = f"python -m {words[2]}", words[3:]
    elif program == "edge-run":
        command, rest = "edge-run", words[1:]
    else:
        known = program in FOREIGN or program == "python" or (ROOT / program).is_file()
        assert known, f"`{line}`: what is {program}?"
        return
    assert command in MODULES, f"`{line}`: there is no {command}"
    if rest and f"{command} {rest[0]}" in HELPED:
        command, rest = f"{command} {rest[0]}", rest[1:]
    elif command == "edge-run":
        assert not rest or rest[0].startswith("-"), f"`{line}`: edge-run has no verb {rest[0]}"
    shown = run_help(command).stdout
    for word in rest:
        if word.startswith("-") and word != "-":
            option = word.partition("=")[0]
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", shown), (
                f"`{line}`: {command} has no option {option}"
            )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page_shows_commands_that_exist(page: Path) -> None:
    for line in shell_lines(page.read_text()):
        check(line)


@pytest.mark.parametrize("command", HELPED)
def test_help_shows_worked_examples_that_exist(command: str) -> None:
    done = run_help(command)
    assert done.returncode == 0, done.stderr
    assert re.search("^examples?:", done.stdout, re.MULTILINE | re.IGNORECASE), done.stdout
    examples = help_lines(done.stdout)
    assert examples, f"no example in the help of {command}"
    for line in examples:
        check(line)


@pytest.mark.parametrize("command", MODULES)
def test_unknown_option_is_wrong_usage(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", MODULES[command], "--no-such-option"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "make no-such-target",
        "edge-run no-such-verb",
        "edge-run classify a.png --no-such-option",
        "python -m train --no-such-option",
        "python -m nothing",
        "frobnicate",
    ],
)
def test_wrong_line_on_a_page_is_noticed(line: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(f"`{line}`")):
        check(line)
