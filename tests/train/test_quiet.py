from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IMPORT = "from train.quiet import import_tensorflow; import_tensorflow(); print('imported')"


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


def test_nothing_is_said_when_all_is_well() -> None:
    done = run(IMPORT)
    assert (done.stdout, done.stderr) == ("imported\n", "")


def test_what_was_said_is_shown_when_the_import_fails(tmp_path: Path) -> None:
    # A library that complains from C, below Python's sys.stderr, and then cannot be imported.
    (tmp_path / "tensorflow.py").write_text(
        "import os\nos.write(2, b'no AVX on this processor\\n')\nraise ImportError('broken')\n"
    )
    done = run(IMPORT, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "no AVX on this processor" in done.stderr
    assert "ImportError: broken" in done.stderr
