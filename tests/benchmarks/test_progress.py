from __future__ import annotations

import re

import pytest

from benchmarks.progress import timed_progress


@pytest.mark.parametrize("width", [5, 6])
def test_lines_go_to_stderr_after_the_seconds(
    width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    timed_progress(width)("half way")
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert re.fullmatch(r"\[ +\d\.\d s\] half way\n", stderr)
    assert stderr.index(" s]") == 1 + width
