from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from train import report

SCORES = np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.5, 0.4, 0.1], [0.6, 0.3, 0.1]], np.float32)
LABELS = np.array([0, 1, 1, 0])
NAMES = ("a", "b", "c")


def metrics(**changes: Any) -> dict[str, Any]:
    return {
        "name": "mine",
        "notice": None,
        "labels": list(NAMES),
        "parameters": 1234,
        "data": {"name": "letters"},
        "test": report.summary(SCORES, LABELS),
        **report.per_class(SCORES, LABELS, NAMES),
        "history": {
            "loss": [1.0, 0.5], "val_loss": [0.9, 0.6],
            "accuracy": [0.5, 0.8], "val_accuracy": [0.6, 0.7],
        },
        **changes,
    }  # fmt: skip


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text on the figures that are saved from now on."""
    from matplotlib.figure import Figure

    found: list[str] = []
    save = Figure.savefig

    def note(figure: Figure, *args: Any, **kwargs: Any) -> None:
        found.extend(text.get_text() for text in figure.texts)
        found.extend(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", note)
    return found


def test_loss_is_the_mean_cross_entropy() -> None:
    found = report.summary(SCORES, LABELS)
    assert found["loss"] == pytest.approx(-np.log([0.8, 0.6, 0.4, 0.6]).mean(), rel=1e-5)
    assert found["accuracy"] == 0.75
    assert found["images"] == 4


def test_certainty_in_a_wrong_answer_gives_a_finite_loss() -> None:
    assert np.isfinite(report.summary(np.array([[1, 0]], np.float32), np.array([1]))["loss"])


def test_precision_recall_and_confusion_of_each_class() -> None:
    found = report.per_class(SCORES, LABELS, NAMES)
    assert found["confusion"] == [[2, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert found["per_class"]["a"]["precision"] == pytest.approx(2 / 3)
    assert found["per_class"]["b"] == {
        "precision": 1.0,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3),
        "support": 2,
    }
    assert list(found["per_class"]) == ["a", "b"], "c was not shown: no figure, and no warning"


def test_a_class_without_test_images_has_no_recall_even_if_it_is_predicted(
    tmp_path: Path, written: list[str]
) -> None:
    scores = np.array([[0.1, 0.1, 0.8], [0.3, 0.6, 0.1]], np.float32)
    found = report.per_class(scores, np.array([0, 1]), NAMES)
    assert found["per_class"].keys() == {"a", "b"}
    assert found["per_class"]["a"]["recall"] == 0
    assert found["confusion"] == [[0, 0, 1], [0, 1, 0], [0, 0, 0]]
    report.plot_confusion(metrics(**found), tmp_path / "a.png")
    column = written.index("recall")
    assert written[column + 1 : column + 4] == ["0.0%", "100.0%", "–"]


@pytest.mark.parametrize("plot", [report.plot_curves, report.plot_confusion])
def test_plots_are_pictures_and_repeat_to_the_byte(plot, tmp_path: Path) -> None:
    path = plot(metrics(), tmp_path / "a.png")
    image = cv2.imread(str(path))
    assert min(image.shape[:2]) > 400
    assert image.std() > 5
    assert path.read_bytes() == plot(metrics(), tmp_path / "b.png").read_bytes()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize("plot", [report.plot_curves, report.plot_confusion])
def test_notice_stands_on_every_plot(plot, tmp_path: Path, written: list[str]) -> None:
    plot(metrics(notice="NOT ALL OF MNIST " * 12), tmp_path / "a.png")
    everything = " ".join(" ".join(written).split())
    assert "NOT ALL OF MNIST NOT ALL" in everything
    assert "75.00%" in everything


def test_many_classes_and_one_epoch_are_drawn(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    names = [f"class {i}" for i in range(40)]
    scores, labels = random.random((200, 40)), random.integers(0, 40, 200)
    many = metrics(labels=names, **report.per_class(scores, labels, names))
    assert report.plot_confusion(many, tmp_path / "a.png").is_file()
    history = {key: values[:1] for key, values in metrics()["history"].items()}
    assert report.plot_curves(metrics(history=history), tmp_path / "b.png").is_file()


def test_faultless_model_is_drawn(tmp_path: Path) -> None:
    perfect = metrics(confusion=[[5, 0, 0], [0, 5, 0], [0, 0, 5]])
    assert report.plot_confusion(perfect, tmp_path / "a.png").is_file()
