"""A sample of `tests/real/kill_sweep.py`, which interrupts `receive` at its system calls."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "real" / "kill_sweep.py"
# The whole sweep has some 290 cases (see docs/reliability.md).
EVERY = 11


def test_interrupted_transfer_leaves_a_whole_model_and_can_be_repeated(require_tool):
    require_tool("strace")
    require_tool("ssh-keygen")
    done = subprocess.run(
        [sys.executable, SCRIPT, "--every", str(EVERY), "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    assert done.returncode == 0, done.stderr
    assert found["cases"] >= 20
    modes = {outcome.partition(":")[0] for outcome in found["outcomes"]}
    assert modes == {"kill", "enospc", "eio", "full"}
