from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.cli import main

cv2 = pytest.importorskip("cv2")

KEYS = ["path", "text", "digits", "latency_ms"]


@pytest.fixture(autouse=True)
def _released(released_model: Callable[[str], Path]) -> None:
    released_model("int8")


def page(*columns: int) -> np.ndarray:
    """A zero, dark on light, at each of these columns of a page."""
    picture = np.full((240, 480), 235, np.uint8)
    for column in columns:
        cv2.ellipse(picture, (column, 120), (18, 27), 0, 0, 360, 40, 7, cv2.LINE_AA)
    return picture


def write(path: Path, picture: np.ndarray) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    return str(path)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_text_of_one_picture_stands_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["read", write(tmp_path / "a.png", page(60, 120, 360))]) == 0
    assert capsys.readouterr().out == "00 0\n"


def test_json_has_exactly_the_keys_of_the_design(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "a.png", page(60, 120))
    assert main(["read", path, "--json"]) == 0
    (answer,) = lines(capsys.readouterr().out)
    assert list(answer) == KEYS
    assert (answer["path"], answer["text"]) == (path, "00")
    assert [list(digit) for digit in answer["digits"]] == [
        ["label", "score", "box", "rejected", "line"]
    ] * 2
    x, y, width, height = answer["digits"][0]["box"]
    assert abs(x - 39) < 5
    assert abs(y - 90) < 5
    assert abs(width - 43) < 6
    assert abs(height - 61) < 6
    assert answer["latency_ms"] > 0


def test_blank_picture_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["read", write(tmp_path / "a.png", page()), "--json"]) == 0
    (answer,) = lines(capsys.readouterr().out)
    assert (answer["text"], answer["digits"]) == ("", [])


def test_folder_and_failures_go_on_line_by_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "in" / "a.png", page(60))
    write(tmp_path / "in" / "below" / "b.png", page(60, 120))
    (tmp_path / "in" / "empty.png").touch()
    assert main(["read", str(tmp_path / "in"), "--json"]) == 1
    first, second, third = lines(capsys.readouterr().out)
    assert first["text"] == "0"
    assert list(second) == ["path", "error"]
    assert "is empty" in second["error"]
    assert third["text"] == "00"
    assert main(["read", str(tmp_path / "in")]) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0] == f"{tmp_path / 'in' / 'a.png'}: 0"
    assert "empty.png: error: is empty" in captured.err
    assert "1 of 3 pictures failed" in captured.err


def test_standard_input_is_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(write(tmp_path / "a.png", page(60))).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert main(["read", "-"]) == 0
    assert capsys.readouterr().out == "0\n"


def test_annotated_picture_has_boxes_and_input_is_what_the_model_saw(tmp_path: Path) -> None:
    picture = page(60, 120)
    annotated, shown = tmp_path / "out" / "a.png", tmp_path / "out" / "s.png"
    path = write(tmp_path / "a.png", picture)
    assert main(["read", path, "--annotate", str(annotated), "--show-input", str(shown)]) == 0
    drawn = cv2.imread(str(annotated))
    assert drawn.shape == (240, 480, 3)
    blue = (drawn[:, :, 0].astype(int) - drawn[:, :, 2]) > 100
    assert blue.any(), "no box was drawn"
    _, columns = np.nonzero(blue)
    assert columns.min() < 40
    assert columns.max() > 140
    tiles = cv2.imread(str(shown), cv2.IMREAD_GRAYSCALE)
    assert tiles.shape == (4 * 30, 4 * 59)
    assert (tiles > 200).mean() > 0.05


def test_several_pictures_are_annotated_into_a_folder(tmp_path: Path) -> None:
    paths = [write(tmp_path / name / "a.png", page(60)) for name in ("one", "two")]
    assert main(["read", *paths, "--annotate", str(tmp_path / "out")]) == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a-2.png", "a.png"]


def test_one_file_cannot_take_the_drawings_of_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [write(tmp_path / name, page(60)) for name in ("a.png", "b.png")]
    assert main(["read", *paths, "--annotate", str(tmp_path / "out.png")]) == 1
    assert "names the file" in capsys.readouterr().err
    assert main(["read", paths[0], "--annotate", str(tmp_path / "out.jpg")]) == 1
    assert "ends in .png" in capsys.readouterr().err


def test_threshold_of_one_rejects_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "a.png", page(60))
    assert main(["read", path, "--threshold", "1", "--json"]) == 0
    (answer,) = lines(capsys.readouterr().out)
    assert answer["text"] == ""
    assert [digit["rejected"] for digit in answer["digits"]] == [True]
    assert main(["read", path, "--threshold", "2"]) == 2


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
@pytest.mark.parametrize("option", ["--annotate", "--show-input"])
def test_picture_is_not_drawn_over(
    option: str,
    link: Callable[..., None] | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = out = write(tmp_path / "a.png", page(60))
    if link is not None:
        out = str(tmp_path / "linked.png")
        link(path, out)
    before = Path(path).read_bytes()
    assert main(["read", path, option, out]) == 1
    captured = capsys.readouterr()
    assert f"{option} would write over {path}, which is read; another" in captured.err
    assert captured.out == ""
    assert Path(path).read_bytes() == before


def test_pictures_are_not_drawn_into_their_own_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    # The drawing of the first would take the place of the second.
    (folder / "below").mkdir(parents=True)
    write(folder / "below" / "b.png", page(60))
    write(folder / "b.png", page(60, 120))
    before = (folder / "b.png").read_bytes()
    for out in (folder, folder / "below"):
        assert main(["read", str(folder), "--annotate", str(out)]) == 1
        captured = capsys.readouterr()
        assert "b.png, which is read" in captured.err
        assert captured.out == ""
    assert (folder / "b.png").read_bytes() == before
    # Beside it is no harm.
    assert main(["read", str(folder / "b.png"), "--annotate", str(folder / "new.png")]) == 0


def test_redirected_picture_is_not_drawn_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "a.png", page(60))
    with open(path) as redirected:
        monkeypatch.setattr(sys, "stdin", redirected)
        assert main(["read", "-", "--annotate", path]) == 1
    assert "--annotate would write over standard input" in capsys.readouterr().err


@pytest.mark.parametrize("several", [False, True])
def test_drawings_of_two_kinds_need_two_places(
    several: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("a.png", "b.png") if several else ("a.png",)
    paths = [write(tmp_path / name, page(60)) for name in names]
    (tmp_path / "same").symlink_to(tmp_path)
    place = "out" if several else "out.png"
    outs = ["--annotate", str(tmp_path / place), "--show-input", str(tmp_path / "same" / place)]
    if several:
        (tmp_path / place).mkdir()
    assert main(["read", *paths, *outs]) == 1
    assert "--annotate and --show-input would both write" in capsys.readouterr().err
    assert not list((tmp_path / place).glob("*")) if several else not (tmp_path / place).exists()
