from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.plots import draw_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.report import Report

    MakeReport = Callable[..., Report]


def pixels(path: Path) -> np.ndarray:
    from matplotlib.image import imread

    image: np.ndarray = imread(path)
    return image


def test_all_plots_are_drawn_and_have_something_on_them(
    make_report: MakeReport, tmp_path: Path
) -> None:
    paths = draw_all(make_report(threads=(1, 2)), tmp_path)
    assert {subject: path.name for subject, path in paths.items()} == {
        "accuracy": "report.accuracy.png",
        "latency": "report.latency.png",
        "confusion": "report.confusion.png",
    }
    for path in paths.values():
        image = pixels(path)
        assert min(image.shape[:2]) > 200
        assert image.std() > 0.02


def test_more_threads_need_more_room(make_report: MakeReport, tmp_path: Path) -> None:
    one = draw_all(make_report(), tmp_path)["latency"]
    height = pixels(one).shape[0]
    assert pixels(draw_all(make_report(threads=(1, 2)), tmp_path)["latency"]).shape[0] > height


def test_withheld_accuracies_are_not_drawn(make_report: MakeReport, tmp_path: Path) -> None:
    open_ = draw_all(make_report(), tmp_path / "open")
    withheld = draw_all(make_report(notice="few", trained_on={}), tmp_path / "withheld")
    assert set(withheld) == {"accuracy", "latency"}
    assert not (tmp_path / "withheld" / "report.confusion.png").exists()
    assert withheld["accuracy"].read_bytes() != open_["accuracy"].read_bytes()


def test_notice_is_drawn_on_every_plot(make_report: MakeReport, tmp_path: Path) -> None:
    sha256 = dict(make_report().data.sha256)
    plain = draw_all(make_report(), tmp_path / "plain")
    noticed = draw_all(make_report(notice="few images", trained_on=sha256), tmp_path / "noticed")

    def red(path: Path) -> int:
        image = pixels(path)[..., :3]
        return int(((image - (0xB3 / 255, 0x26 / 255, 0x1E / 255)).__abs__().max(-1) < 0.02).sum())

    for subject in plain:
        assert red(noticed[subject]) > red(plain[subject]) + 50, subject


def test_same_report_gives_the_same_bytes(make_report: MakeReport, tmp_path: Path) -> None:
    first = draw_all(make_report(), tmp_path / "a")
    second = draw_all(make_report(), tmp_path / "b")
    for subject in first:
        assert first[subject].read_bytes() == second[subject].read_bytes()


def test_callers_own_plot_settings_stay(make_report: MakeReport, tmp_path: Path) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    draw_all(make_report(), tmp_path)
    assert dict(mpl.rcParams) == before
