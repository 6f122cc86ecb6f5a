"""Samples of `tests/real/kill_sweep.py`, which interrupts `receive` at its system calls."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "real" / "kill_sweep.py"


# The whole sweeps have some 300 and 250 cases (see docs/reliability.md).
@pytest.mark.parametrize(
    ("options", "modes", "cases"),
    [
        (["--every", "11"], {"kill", "enospc", "eio", "full"}, 20),
        (["--every", "25", "--recover", "--modes", "kill,eio"], {"kill", "eio"}, 10),
    ],
    ids=["transfer", "recovery"],
)
def test_interruption_leaves_a_whole_model_and_can_be_repeated(
    require_tool: Callable[[str], str], options: list[str], modes: set[str], cases: int
) -> None:
    require_tool("strace")
    require_tool("ssh-keygen")
    done = subprocess.run(
        [sys.executable, SCRIPT, *options, "--json"], capture_output=True, text=True, check=False
    )
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    assert done.returncode == 0, done.stderr
    assert found["cases"] >= cases
    assert {outcome.partition(":")[0] for outcome in found["outcomes"]} == modes
