"""Photographs of pages that never existed, with the truth about them: where which digit stands.

A page is drawn as paper and ink reflect light, laid on a desk as a camera would see it, lit,
blurred, and spoiled by noise and compression. Each is made from a seed; `PAPERS` and `EMPTY` name
all kinds. For tests and for `python -m benchmarks pages`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

try:  # By path, as a script beside it, or as part of the checkout.
    from . import papers, pens
    from .papers import Colour, Random
except ImportError:
    import papers
    import pens
    from papers import Colour, Random

__all__ = ["EMPTY", "PAPERS", "SIZES", "Page", "Truth", "make_page"]

SIZES = ((640, 480), (480, 640), (1280, 960), (1600, 1200), (1080, 1920), (2592, 1944))
LARGEST = (4000, 3000)


@dataclass(frozen=True)
class Truth:
    """One digit on a page: its box (x, y, width, height) in pixels, and its line from 0."""

    label: int
    box: tuple[float, float, float, float]
    line: int
    touching: bool = False


@dataclass(frozen=True)
class Page:
    """A picture of a page, uint8 RGB, and the digits on it in reading order."""

    pixels: NDArray[np.uint8]
    digits: tuple[Truth, ...]
    kind: str


@dataclass(frozen=True)
class Look:
    """What is particular to a kind of page; `make_page` fills in the rest by chance."""

    pen: str = "any"
    paper: str = "white"
    shadow: float = 0.0
    uneven: float = 0.15
    tilt: float = 1.5
    perspective: float = 0.01
    noise: float = 2.0
    blur: float = 0.6
    jpeg: int = 92
    sizes: float = 1.0
    distractors: tuple[str, ...] = ()
    broken: float = 0.0
    crossed: float = 0.15
    touching: float = 0.0
    desk: float = 0.0
    digits: bool = True


PAPERS = {
    "plain": Look(),
    "uneven light": Look(uneven=0.6),
    "hard shadow": Look(shadow=0.55),
    "coloured": Look(paper="coloured"),
    "ruled": Look(paper="ruled"),
    "squared": Look(paper="squared"),
    "textured": Look(paper="textured"),
    "pencil": Look(pen="pencil"),
    "thick marker": Look(pen="marker"),
    "ball pen": Look(pen="ball pen"),
    "chalk on a board": Look(pen="chalk", paper="board"),
    "tilted": Look(tilt=10.0),
    "perspective": Look(perspective=0.06, desk=0.6),
    "compressed": Look(jpeg=30),
    "noise and blur": Look(noise=9.0, blur=1.2),
    "different sizes": Look(sizes=2.2),
    "broken strokes": Look(broken=0.6),
    "crossed sevens": Look(crossed=1.0),
    "beside letters": Look(distractors=("letters",)),
    "lines and frames": Look(distractors=("lines", "frame")),
    "sheet on a desk": Look(desk=1.0, tilt=6.0),
    "thumb": Look(distractors=("thumb",)),
    "scribbles": Look(distractors=("scribbles",)),
    "everything": Look(
        paper="ruled", shadow=0.4, tilt=6.0, noise=5.0, jpeg=60, desk=0.5,
        distractors=("letters", "thumb", "lines"), sizes=1.4, broken=0.1, perspective=0.03,
    ),
    "touching": Look(touching=0.5),
}  # fmt: skip
"""Every kind of page with digits."""

EMPTY = {
    "blank": Look(digits=False),
    "blank, shadow and noise": Look(digits=False, shadow=0.6, noise=8.0, jpeg=50),
    "ruled": Look(digits=False, paper="ruled", tilt=6.0),
    "squared": Look(digits=False, paper="squared", tilt=6.0),
    "letters": Look(digits=False, distractors=("letters", "letters", "letters")),
    "printed text": Look(digits=False, distractors=("prose",)),
    "lines": Look(digits=False, distractors=("lines", "frame")),
    "scribbles": Look(digits=False, distractors=("scribbles", "scribbles")),
    "thumb": Look(digits=False, distractors=("thumb",), paper="textured"),
    "blank sheet on a desk": Look(digits=False, desk=1.0, tilt=6.0),
    "board": Look(digits=False, paper="board"),
    "desk": Look(digits=False, paper="wood"),
    "scene": Look(digits=False, paper="scene"),
}
"""Every kind of page without digits."""


def make_page(
    kind: str,
    seed: int,
    images: NDArray[np.uint8],
    labels: NDArray[Any],
    size: tuple[int, int] | None = None,
) -> Page:
    """One page.

    Args:
        kind: One of `PAPERS`, or of `EMPTY` with "no digits: " before it.
        seed: Chooses everything else.
        images: MNIST's, uint8 (N, 28, 28) or (N, 28, 28, 1).
        labels: Theirs.
        size: Width and height in pixels; None for one of `SIZES`, once in 40 `LARGEST`.

    Returns:
        The page.
    """
    empty = kind.startswith("no digits: ")
    look = EMPTY[kind.removeprefix("no digits: ")] if empty else PAPERS[kind]
    random = np.random.default_rng([seed, *kind.encode()])
    if size is None:
        size = LARGEST if random.random() < 1 / 40 else SIZES[random.integers(len(SIZES))]
    width, height = size
    paper = papers.paper(look.paper, width, height, random)
    alpha = np.zeros((height, width), np.float32)
    sheet = Sheet(paper, alpha, look, random)
    if look.digits:
        sheet.write(images.reshape(-1, 28, 28), labels)
    for name in look.distractors:
        sheet.distract(name)
    return _photograph(sheet, kind)


class Sheet:
    """Paper and the ink that is on it so far."""

    def __init__(self, paper: Colour, alpha: Colour, look: Look, random: Random) -> None:
        self.paper, self.alpha, self.look, self.random = paper, alpha, look, random
        self.height, self.width = alpha.shape
        self.truth: list[Truth] = []
        self.taken: list[tuple[float, float, float, float]] = []
        self.thumbs: list[tuple[NDArray[np.float32], Colour]] = []
        pen = look.pen
        if pen == "any":
            pen = ("ball pen", "felt pen", "as written", "pencil", "marker")[random.integers(5)]
        self.pen = pen
        # A pen's width as a share of the digits' height.
        low, high = {
            "ball pen": (0.045, 0.08), "pencil": (0.05, 0.09), "felt pen": (0.08, 0.14),
            "marker": (0.14, 0.2), "chalk": (0.09, 0.17), "as written": (0.1, 0.1),
        }[pen]  # fmt: skip
        self.nib = random.uniform(low, high)
        self.ink = papers.ink(pen, paper, random)
        short = min(self.width, self.height)
        self.tall = short * random.uniform(0.06, 0.13)
        if random.random() < 0.1:
            self.tall = short * random.uniform(0.2, 0.4)
        # No pen is drawn finer than a pixel or smaller than can be read.
        self.tall = max(self.tall, 18.0, 1.1 / self.nib)

    def write(self, images: NDArray[np.uint8], labels: NDArray[Any]) -> None:
        """Lines with numbers in groups."""
        random, tall = self.random, self.tall
        margin = 0.07 * min(self.width, self.height) * (2 if self.look.desk else 1)
        margin += 0.1 * self.look.tilt / 10 * min(self.width, self.height)
        largest = tall * max(1.0, self.look.sizes)
        pitch = largest * random.uniform(1.5, 2.4)
        y, line = margin, 0
        while y + largest < self.height - margin and len(self.truth) < 60:
            x = margin + random.uniform(0, 0.15) * self.width
            before = len(self.truth)
            left_in_group = random.integers(1, 7)
            # As many digits as a line holds, or fewer.
            end = margin + (self.width - 2 * margin) * random.uniform(0.5, 1.0)
            while True:
                at = random.integers(len(images))
                height = tall * random.uniform(0.9, 1.1)
                if self.look.sizes > 1:
                    height = tall * random.uniform(1 / self.look.sizes, self.look.sizes)
                    height = max(height, 18.0)
                if self.look.crossed == 1.0 and random.random() < 0.4:
                    at = random.choice(np.flatnonzero(labels == 7))
                strokes = self._digit(images[at], int(labels[at]), height)
                rows, columns = np.nonzero(strokes > 0.35)
                wide, high = np.ptp(columns) + 1, np.ptp(rows) + 1
                if x + wide > end:
                    break
                top = y + largest - high + random.uniform(-0.06, 0.06) * tall
                self._stamp(strokes, x - columns.min(), top - rows.min())
                self.truth.append(Truth(int(labels[at]), (x, top, wide, high), line))
                left_in_group -= 1
                x += wide + tall * random.uniform(0.16, 0.45)
                touch = left_in_group > 0 and random.random() < self.look.touching
                if touch and not self.truth[-1].touching:
                    x = self._touch(images, labels, x, height, end, line)
                    left_in_group -= 1
                if left_in_group <= 0:
                    x += tall * random.uniform(1.2, 2.4)
                    left_in_group = random.integers(1, 7)
            if len(self.truth) > before:
                line += 1
            self.taken.append((0, y - 0.3 * tall, self.width, largest + 0.6 * tall))
            y += pitch + (tall * 2.2 if "letters" in self.look.distractors else 0)

    def _touch(
        self, images: NDArray[np.uint8], labels: NDArray[Any], x: float, height: float,
        end: float, line: int,
    ) -> float:  # fmt: skip
        """Writes one more digit so close to the last one that their ink meets."""
        at = self.random.integers(len(images))
        strokes = self._digit(images[at], int(labels[at]), height)
        rows, columns = np.nonzero(strokes > 0.35)
        wide, high = np.ptp(columns) + 1, np.ptp(rows) + 1
        last = self.truth[-1]
        top = last.box[1] + last.box[3] - high
        if x + wide > end:
            return x
        # Pushed to the left until a little of both covers the same paper.
        place = last.box[0] + last.box[2] + 2
        solid = strokes[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] > 0.5
        for _ in range(int(wide)):
            part = self.alpha[int(top) : int(top) + int(high), int(place) : int(place) + int(wide)]
            if (part > 0.5)[: solid.shape[0], : solid.shape[1]][
                solid[: part.shape[0], : part.shape[1]]
            ].sum() > self.nib * height:
                break
            place -= 1
        self._stamp(strokes, int(place) - columns.min(), int(top) - rows.min())
        self.truth[-1] = replace(last, touching=True)
        box = (int(place), int(top), wide, high)
        self.truth.append(Truth(int(labels[at]), box, line, touching=True))
        return place + wide + self.tall * self.random.uniform(0.16, 0.45)

    def _digit(self, image: NDArray[np.uint8], label: int, height: float) -> pens.Strokes:
        random, nib = self.random, max(self.nib * self.tall, 1.1)
        if self.pen == "as written":
            strokes, nib = pens.as_written(image, height), 0.1 * height
        else:
            strokes = pens.redrawn(image, height, min(nib, 0.24 * height), random)
        if label == 7 and random.random() < self.look.crossed:
            strokes = pens.crossed(strokes, min(nib, 0.2 * height), random)
        if random.random() < self.look.broken:
            strokes = pens.broken(strokes, random)
        return self._grain(strokes)

    def _grain(self, strokes: pens.Strokes) -> pens.Strokes:
        """Pencil and chalk leave the valleys of the surface free."""
        if self.pen not in ("pencil", "chalk"):
            return strokes
        grain = self.random.standard_normal(strokes.shape).astype(np.float32)
        grain = cv2.GaussianBlur(grain, (0, 0), max(0.5, self.tall / 50))
        grain /= grain.std() + 1e-6
        return strokes * np.clip(0.85 + 0.2 * grain, 0.15, 1)

    def _stamp(self, strokes: pens.Strokes, left: float, top: float) -> None:
        """Puts ink on the paper at a place between pixels; what lies beyond the sheet is lost."""
        x, y = int(np.floor(left)), int(np.floor(top))
        turn = np.array([[1, 0, left - x], [0, 1, top - y]], np.float64)
        moved = cv2.warpAffine(strokes, turn, (strokes.shape[1] + 1, strokes.shape[0] + 1))
        x0, y0 = max(0, x), max(0, y)
        part = self.alpha[y0 : y + moved.shape[0], x0 : x + moved.shape[1]]
        np.maximum(part, moved[y0 - y :, x0 - x :][: part.shape[0], : part.shape[1]], out=part)

    def distract(self, name: str) -> None:
        """Adds what is no digit, beside the digits."""
        getattr(self, f"_{name}")()

    def _free(self, wide: float, high: float) -> tuple[float, float] | None:
        """A place for something of this size that touches nothing written so far."""
        for _ in range(30):
            x = self.random.uniform(0.03, 0.97) * max(1, self.width - wide)
            y = self.random.uniform(0.03, 0.97) * max(1, self.height - high)
            if all(
                x > tx + tw or x + wide < tx or y > ty + th or y + high < ty
                for tx, ty, tw, th in self.taken
            ):
                self.taken.append((x, y, wide, high))
                return x, y
        return None

    def _letters(self) -> None:
        for _ in range(self.random.integers(3, 8)):
            word = pens.WORDS[self.random.integers(len(pens.WORDS))]
            height = self.tall * self.random.uniform(0.7, 1.2)
            strokes = pens.letter(word, height, self.nib * self.tall, self.random)
            place = self._free(strokes.shape[1], strokes.shape[0])
            if place is not None:
                self._stamp(self._grain(strokes), *place)

    def _prose(self) -> None:
        height = max(9.0, self.tall * self.random.uniform(0.3, 1.0))
        font, top = int(self.random.integers(len(pens.PRINT))), 0.04 * self.height
        while top + 2 * height < self.height:
            left = 0.05 * self.width
            while True:
                word = pens.PROSE[self.random.integers(len(pens.PROSE))]
                strokes = pens.printed(word, height, pens.PRINT[font])
                if left + strokes.shape[1] > 0.95 * self.width:
                    break
                self._stamp(strokes, left, top)
                left += strokes.shape[1] + 0.4 * height
            top += 2 * height

    def _scribbles(self) -> None:
        for _ in range(self.random.integers(1, 4)):
            height = self.tall * self.random.uniform(0.8, 3)
            strokes = pens.scribble(height, self.nib * self.tall, self.random)
            place = self._free(strokes.shape[1], strokes.shape[0])
            if place is not None:
                self._stamp(strokes, *place)

    def _lines(self) -> None:
        """Underlines and rules with the same pen, between the lines of text."""
        for tx, ty, _, th in list(self.taken) or [(0, 0, self.width, self.height * 0.5)]:
            if self.random.random() < 0.6:
                y = ty + th + 0.05 * self.tall
                a, b = np.sort(self.random.uniform(0.05, 0.95, 2)) * self.width
                if b - a > 2.5 * self.tall and y < self.height - 4:
                    self._line((tx + a, y), (tx + b, y + self.random.uniform(-0.1, 0.1)))
        for _ in range(self.random.integers(0, 3)):
            place = self._free(0.4 * self.width, 0.1 * self.tall)
            if place is not None:
                self._line(place, (place[0] + 0.4 * self.width, place[1]))

    def _frame(self) -> None:
        """A box around everything."""
        inset = 0.025 * min(self.width, self.height)
        corners = [
            (inset, inset), (self.width - inset, inset),
            (self.width - inset, self.height - inset), (inset, self.height - inset),
        ]  # fmt: skip
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
            self._line(a, b)

    def _line(self, a: tuple[float, float], b: tuple[float, float]) -> None:
        ends = [np.rint(np.array(point) * 16).astype(int).tolist() for point in (a, b)]
        thickness = max(1, round(self.nib * self.tall * self.random.uniform(0.5, 1.0)))
        drawn = np.zeros_like(self.alpha)
        cv2.line(drawn, ends[0], ends[1], 1.0, thickness, cv2.LINE_AA, 4)
        np.maximum(self.alpha, drawn, out=self.alpha)

    def _thumb(self) -> None:
        """A thumb that holds the sheet at its edge, and covers no digit."""
        size = 0.12 * min(self.width, self.height)
        for _ in range(20):
            side = self.random.integers(4)
            along = self.random.uniform(0.15, 0.85)
            x, y = [
                (along * self.width, self.height), (along * self.width, 0),
                (0, along * self.height), (self.width, along * self.height),
            ][side]  # fmt: skip
            if all(
                abs(x - (t.box[0] + t.box[2] / 2)) > 1.3 * size + t.box[2]
                or abs(y - (t.box[1] + t.box[3] / 2)) > 1.3 * size + t.box[3]
                for t in self.truth
            ):
                break
        else:
            return
        mask = np.zeros_like(self.alpha)
        axes = (int(size * 0.55), int(size)) if side < 2 else (int(size), int(size * 0.55))
        cv2.ellipse(mask, (int(x), int(y)), axes, 0, 0, 360, 1.0, -1, cv2.LINE_AA)
        skin = np.array([0.78, 0.55, 0.45], np.float32) * self.random.uniform(0.5, 1.1)
        shade = cv2.GaussianBlur(mask, (0, 0), size / 8)
        self.thumbs.append((mask, skin * (0.7 + 0.3 * shade[..., np.newaxis])))


def _photograph(sheet: Sheet, kind: str) -> Page:
    """The sheet on its desk, in its light, as the camera stores it."""
    look, random = sheet.look, sheet.random
    height, width = sheet.alpha.shape
    alpha = sheet.alpha[..., np.newaxis]
    seen = sheet.paper * (1 - alpha) + sheet.ink * alpha
    turn = _view(look, width, height, random)
    if look.desk:
        desk = papers.wood(width, height, random)
    else:
        desk = np.broadcast_to(np.median(sheet.paper[::8, ::8], (0, 1)), seen.shape)
        desk = desk.astype(np.float32)
    size = (width, height)
    border = cv2.BORDER_CONSTANT if look.desk else cv2.BORDER_REFLECT
    ground = cv2.warpPerspective(
        np.ones((height, width), np.float32), turn, size, flags=cv2.INTER_LINEAR
    )[..., np.newaxis]
    seen = cv2.warpPerspective(seen, turn, size, flags=cv2.INTER_LINEAR, borderMode=border)
    if look.desk:
        seen = seen + (1 - ground) * desk
    for mask, skin in sheet.thumbs:
        seen += mask[..., np.newaxis] * (skin - seen)
    seen *= _light(look, width, height, random)[..., np.newaxis]
    # A camera chooses its exposure so that the brightest part is almost white.
    seen *= random.uniform(0.8, 1.0) / max(0.35, np.percentile(seen[::8, ::8], 99))
    scale = min(width, height) / 480
    blur = look.blur * random.uniform(0.5, 1.0) * min(scale, 1.6)
    seen = cv2.GaussianBlur(seen, (0, 0), max(0.3, blur))
    pixels = (np.clip(seen, 0, 1) ** (1 / 1.25)) * 255
    pixels += look.noise * random.uniform(0.5, 1) * random.standard_normal(pixels.shape, np.float32)
    pixels = np.rint(pixels.clip(0, 255)).astype(np.uint8)
    quality = look.jpeg + int(random.integers(0, 8))
    _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    pixels = np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])
    digits = tuple(replace(t, box=_moved(t.box, turn)) for t in sheet.truth)
    return Page(pixels, digits, kind)


def _view(look: Look, width: int, height: int, random: Random) -> NDArray[np.float64]:
    """The perspective in which the camera sees the sheet."""
    angle = np.radians(random.uniform(-look.tilt, look.tilt))
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    centre = np.array([width / 2, height / 2], np.float32)
    shrink = random.uniform(0.82, 0.92) if look.desk else 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (corners - centre) @ turn.T * shrink + centre
    moved += random.uniform(-1, 1, (4, 2)) * look.perspective * min(width, height)
    return cv2.getPerspectiveTransform(corners, moved.astype(np.float32))


def _light(look: Look, width: int, height: int, random: Random) -> NDArray[np.float32]:
    """What share of the light reaches each pixel."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j].astype(np.float32)
    cx, cy = random.uniform(0, 1, 2)
    light = 1 - look.uneven * random.uniform(0.5, 1) * ((x - cx) ** 2 + (y - cy) ** 2) / 1.2
    if look.shadow:
        angle = random.uniform(0, 2 * np.pi)
        across = (x - random.uniform(0.3, 0.7)) * np.cos(angle)
        across = across + (y - random.uniform(0.3, 0.7)) * np.sin(angle)
        edge = random.uniform(0.002, 0.03)
        inside = 1 / (1 + np.exp(-np.clip(across / edge, -50, 50)))
        light = light * (1 - look.shadow * random.uniform(0.6, 1) * inside)
    return light.astype(np.float32)


def _moved(
    box: tuple[float, float, float, float], turn: NDArray[np.float64]
) -> tuple[float, float, float, float]:
    x, y, w, h = box
    corners = np.array([[[x, y], [x + w, y], [x + w, y + h], [x, y + h]]], np.float32)
    moved = cv2.perspectiveTransform(corners, turn)[0]
    low, high = moved.min(0), moved.max(0)
    return (float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))
