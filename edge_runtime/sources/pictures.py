"""Sources that are pictures on a disk: one, or a folder of them in their natural order."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path
from typing import Any

from ..errors import ImageError, SourceError
from ..images import IMAGE_SUFFIXES, list_images, read_image
from .base import DeviceSource, FrameData, FrameSource, Wanted

__all__ = ["Pictures", "natural_order"]

log = logging.getLogger(__name__)
# A picture shown again and again need not keep a processor busy.
LOOP_FPS = 10.0


class Pictures(DeviceSource):
    """A picture, or the pictures in a folder, as frames.

    One of several that cannot be read is passed over; the log says so, once.

    Args:
        path: A picture file, or a folder; folders below it are left out.
        wanted: The rate, and whether it begins again.
    """

    live = False

    def __init__(self, path: str, wanted: Wanted | None = None) -> None:
        wanted = (wanted or Wanted()).only("pictures", "fps", "loop")
        super().__init__(path, wanted)
        self._path = path
        self._files: list[Path] = []
        self._next = 0
        self._readable = 0
        self._passed_over: set[Path] = set()

    def renew(self) -> FrameSource:
        """See `FrameSource`."""
        return Pictures(self._path, self._wanted)

    def _open(self) -> dict[str, Any]:
        folder = Path(self._path)
        try:
            self._files = (
                sorted(list_images(folder), key=lambda path: natural_order(path.name))
                if folder.is_dir()
                else [folder]
            )
        except ImageError as error:
            raise SourceError(str(error)) from None
        if not self._files:
            raise SourceError(
                f"{self.name} holds no pictures", f"files {', '.join(sorted(IMAGE_SUFFIXES))}"
            )
        return {"format": "pictures", "frames": len(self._files)}

    def _read(self) -> FrameData | None:
        if self._next == len(self._files) and not self._wanted.loop:
            return None
        if not self._pace(self._wanted.fps or (LOOP_FPS if self._wanted.loop else None)):
            return None
        while not self._closing.is_set():
            if self._next == len(self._files):
                if not self._readable:
                    raise SourceError(
                        f"none of the {self._next} pictures in {self.name} can be read",
                        "PNG, JPEG or other picture files",
                    )
                if not self._wanted.loop:
                    return None
                self._next = self._readable = 0
            path = self._files[self._next]
            self._next += 1
            began = time.perf_counter()
            try:
                pixels = read_image(path)
            except ImageError as error:
                self._pass_over(path, error)
                continue
            self._readable += 1
            return FrameData(pixels, (time.perf_counter() - began) * 1000)
        return None

    def _pass_over(self, path: Path, error: ImageError) -> None:
        """Goes on without a picture; raises if there is no other to go on with."""
        if len(self._files) == 1:
            raise SourceError(str(error)) from None
        if path not in self._passed_over:
            self._passed_over.add(path)
            log.warning("%s; it is passed over", error)

    def _release(self) -> None:
        self._files, self._next, self._readable = [], 0, 0


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """A key to sort names by, in which numbers count as numbers.

    >>> sorted(["img10.png", "img9.png", "Img1.png"], key=natural_order)
    ['Img1.png', 'img9.png', 'img10.png']
    """
    # The last word decides between names that differ in case or in leading zeros alone.
    parts = [
        (0, int(part), "") if part.isdecimal() else (1, 0, part.lower())
        for part in re.split(r"(\d+)", name)
        if part
    ]
    return [*parts, (2, 0, name)]
