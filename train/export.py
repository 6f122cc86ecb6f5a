"""A data set's images as picture files, to try `edge-run` on or to look at."""

from __future__ import annotations

import json
from pathlib import Path

import cv2

from edge_runtime.files import folder_name, write_atomic

from .dataset import DataSet, stratified_order
from .declaration import DECLARATION_FILE
from .errors import DataError

__all__ = ["SPLITS", "export"]

SPLITS = ("test", "train")
ORDER_SEED = 0


def export(
    dataset: DataSet,
    out: Path,
    *,
    split: str = "test",
    limit: int | None = None,
    per_class_folders: bool = False,
) -> list[Path]:
    """Writes images as PNG, which keeps every pixel.

    Args:
        dataset: The data set.
        out: Folder to write to.
        split: "test" or "train".
        limit: How many to write at most, the classes in their proportions; None writes all.
        per_class_folders: ``LABEL/00012.png`` instead of ``00012_LABEL.png``; the folder then is a
            data set itself, and says in ``dataset.json`` how its pictures are to be fitted.

    Returns:
        The files written. The number in a name is the image's place in the data set.

    Raises:
        DataError: Two labels would need the same folder.
    """
    x, y = (
        (dataset.x_test, dataset.y_test) if split == "test" else (dataset.x_train, dataset.y_train)
    )
    names = [folder_name(label) for label in dataset.labels]
    if per_class_folders:
        # Folders that differ in case alone are one folder on Windows and macOS.
        if len({name.lower() for name in names}) < len(names):
            raise DataError(f"the labels of {dataset.name} do not give different folder names")
        _declare(dataset, out)
    chosen = sorted(stratified_order(y, ORDER_SEED)[:limit].tolist())
    written = []
    for index in chosen:
        name = names[y[index]]
        place = (
            out / name / f"{index:05}.png" if per_class_folders else out / f"{index:05}_{name}.png"
        )
        image = x[index]
        # OpenCV writes blue first. The copy is contiguous, as it wants.
        image = image[..., ::-1].copy() if image.shape[2] == 3 else image
        encoded, content = cv2.imencode(".png", image)
        if not encoded:
            raise DataError(f"{place} could not be encoded as PNG")
        written.append(write_atomic(place, content.tobytes()))
    return written


def _declare(dataset: DataSet, out: Path) -> None:
    declaration = {
        "name": dataset.name,
        "labels": dataset.labels,
        "fit": dataset.fit,
        "polarity": dataset.polarity,
    }
    write_atomic(
        out / DECLARATION_FILE, json.dumps(declaration, indent=2, ensure_ascii=False) + "\n"
    )
