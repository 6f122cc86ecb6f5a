"""What models are asked about: named sets of pictures or of inputs, and sets that cannot be had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from train.dataset import Images, Labels, stratified_order

__all__ = ["FEEDS", "INPUTS", "PICTURES", "Absent", "Samples", "png_bytes"]

INPUTS, PICTURES = "inputs", "pictures"
FEEDS = (INPUTS, PICTURES)
"""How a set comes to a model: as inputs that are ready, or as picture files."""

LIMIT_SEED = 0


@dataclass(frozen=True)
class Samples:
    """A named set.

    Attributes:
        name: Its name in records.
        about: What it is and where it comes from, in a sentence without its full stop.
        images: Inputs that are ready, uint8 (N, height, width, channels); or picture files, which
            go through decoding and the fit of the model's contract.
        truth: int64 (N,), the digit in each image; None where there is none.
        parts: Named subsets that are reported as well, bool (N,) each.
    """

    name: str
    about: str
    images: Images | tuple[bytes, ...]
    truth: Labels | None = None
    parts: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    @property
    def fed(self) -> str:
        """`PICTURES` or `INPUTS`."""
        return PICTURES if isinstance(self.images, tuple) else INPUTS

    def limited(self, limit: int | None) -> Samples:
        """The same set with at most `limit` images: each digit in its proportion, else the first.

        Args:
            limit: How many, at least 1; None for all.

        Returns:
            The smaller set, or this one.
        """
        if limit is None or limit >= len(self.images):
            return self
        kept = np.arange(limit)
        if self.truth is not None:
            kept = np.sort(stratified_order(self.truth, LIMIT_SEED)[:limit])
        images = self.images
        return replace(
            self,
            images=tuple(images[i] for i in kept) if isinstance(images, tuple) else images[kept],
            truth=None if self.truth is None else self.truth[kept],
            parts={name: mask[kept] for name, mask in self.parts.items()},
        )


@dataclass(frozen=True)
class Absent:
    """A set that was not measured.

    Attributes:
        name: As in `Samples`.
        about: As in `Samples`.
        fed: As in `Samples`.
        reason: Why not, and what would mend that.
    """

    name: str
    about: str
    fed: str
    reason: str


def png_bytes(image: NDArray[np.uint8]) -> bytes:
    r"""A picture as a PNG file, which keeps every pixel.

    Args:
        image: uint8 (H, W), (H, W, 1), or (H, W, 3), RGB.

    Returns:
        The file's content.

    >>> png_bytes(np.zeros((2, 2), np.uint8))[:4]
    b'\x89PNG'
    """
    if image.ndim == 3 and image.shape[2] == 3:
        # OpenCV writes blue first, and wants its bytes in a row.
        image = np.ascontiguousarray(image[..., ::-1])
    return cv2.imencode(".png", image)[1].tobytes()
