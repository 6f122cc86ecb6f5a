"""The commands of the guide do what it says."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parents[3] / "docs"
ADDRESS = "http://127.0.0.1:8080/"


def commands() -> list[str]:
    """The lines of the guide that call curl on a page of this machine."""
    return [
        line
        for path in sorted(DOCS.glob("camera*.md"))
        for line in path.read_text().splitlines()
        if line.startswith("curl ") and ADDRESS in line
    ]


def test_guide_has_commands() -> None:
    if not DOCS.is_dir():
        pytest.skip("the guides are in a checkout alone")
    assert len(commands()) >= 5


@pytest.mark.parametrize("command", commands())
def test_command_of_the_guide_works(
    client: Any,
    require_tool: Callable[[str], str],
    tmp_path: Path,
    seven_png: bytes,
    command: str,
) -> None:
    (tmp_path / "seven.png").write_bytes(seven_png)
    words = shlex.split(command.replace(ADDRESS, client.preview.url))
    assert words[0] == "curl"
    done = subprocess.run(
        [require_tool("curl"), "--silent", "--show-error", "--fail", *words[1:]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    if "/api/classify" in command:
        assert json.loads(done.stdout)["label"] == "7"
    elif "/api/read" in command:
        assert json.loads(done.stdout)["text"] == "7"
    else:
        assert done.stdout
