from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import released
from benchmarks.released import released_names
from edge_runtime.errors import InputError


def test_default_comes_first_and_what_was_not_converted_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(released, "DEFAULT_NAME", "mine")
    for name in ("seed", "atlas", "mine", "zebra", "teacher"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.keras").touch()
        if name not in ("atlas", "teacher"):
            (tmp_path / name / f"{name}_int8.tflite").touch()
    (tmp_path / "notes").mkdir()
    (tmp_path / "README.md").touch()
    assert released_names(tmp_path) == ["mine", "zebra", "seed", "atlas", "teacher"]


def test_folder_without_released_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no released models; NAME/NAME\.keras was"):
        released_names(tmp_path)
