from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.robustness.plots import draw_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.robustness.findings import Findings

    MakeFindings = Callable[..., Findings]


def pixels(path: Path) -> np.ndarray:
    from matplotlib.image import imread

    image: np.ndarray = imread(path)
    return image


def test_each_model_has_its_contact_sheets_and_all_share_the_diagram(
    make_findings: MakeFindings, tmp_path: Path
) -> None:
    paths = draw_all([make_findings(), make_findings("a/b")], None, tmp_path)
    assert {subject: path.name for subject, path in paths.items()} == {
        "int8.mistakes": "robustness.int8.mistakes.png",
        "int8.not-digits": "robustness.int8.not-digits.png",
        "a/b.mistakes": "robustness.a-b.mistakes.png",
        "a/b.not-digits": "robustness.a-b.not-digits.png",
        "reliability": "robustness.reliability.png",
    }
    for path in paths.values():
        image = pixels(path)
        assert min(image.shape[:2]) > 150
        assert image.std() > 0.02


def test_withheld_findings_have_no_diagram_and_no_mistakes(
    make_findings: MakeFindings, tmp_path: Path
) -> None:
    paths = draw_all([make_findings(withheld="it may know them")], None, tmp_path)
    assert set(paths) == {"int8.not-digits"}


def test_notice_is_drawn_on_every_picture(make_findings: MakeFindings, tmp_path: Path) -> None:
    plain = draw_all([make_findings()], None, tmp_path / "plain")
    noticed = draw_all([make_findings()], "few images", tmp_path / "noticed")

    def red(path: Path) -> int:
        image = pixels(path)[..., :3]
        return int((np.abs(image - np.array((0xB3, 0x26, 0x1E)) / 255).max(-1) < 0.02).sum())

    for subject, path in plain.items():
        assert red(noticed[subject]) > red(path) + 50, subject


def test_same_findings_give_the_same_bytes(make_findings: MakeFindings, tmp_path: Path) -> None:
    first, second = (draw_all([make_findings()], None, tmp_path / name) for name in "ab")
    for subject, path in first.items():
        assert path.read_bytes() == second[subject].read_bytes()


def test_callers_own_plot_settings_stay(make_findings: MakeFindings, tmp_path: Path) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    draw_all([make_findings()], None, tmp_path)
    assert dict(mpl.rcParams) == before
