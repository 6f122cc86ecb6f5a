"""Reading a page: every handwritten character in a picture, in reading order.

A picture is searched at a reduced size (`strokes`, `characters`), all possible characters are
fitted as MNIST was made and go through the model as one batch, and its answers decide which
strokes belong together, which touch, and what is none of its classes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .characters import Candidate, Found, Group, find_groups, is_edge, level_of
from .context import BAR, believable
from .contract import ModelContract
from .cutting import halves, may_be_two
from .images import fit_image, to_channels
from .ink import fit_strokes
from .reading import Box, Digit, Reading, Timings
from .resize import MAX_FACTOR, shrink
from .strokes import find_strokes, strokes_are_light
from .textlines import TextOrder, order_text, word_starts

__all__ = ["Scores", "read_page"]

Scores = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""From uint8 (N, height, width, channels) to probabilities, float32 (N, labels)."""

# A picture is first searched at about so many pixels a side, ...
SEARCH_SIDE = 640
# ... and if characters are then usually smaller than this, again so that they have about that many
# pixels, or at most so many pixels a side.
SMALL_CHARACTER, CLOSE_CHARACTER, CLOSE_SIDE = 20, 28, 2600
# The polarity is seen in a picture of about so many pixels a side.
POLARITY_SIDE = 320
# Where no character is seen, but this share of the picture is something, they may be about so tall.
TRACES, UNSEEN_CHARACTER = 0.002, 8
# If nothing is found, strokes may be as thick as to need a coarser look.
COARSE_SIDE = 160
# A picture is read in the other polarity too if it has no more of a sign of its own than this.
UNSURE_POLARITY = 0.3
# Where there are no more characters than this, none has neighbours that vouch for it: each must be
# surrounded by paper.
FEW = 4
# The model has seen pairs of digits as what is none. If it accepts several strokes as one
# character, that outweighs accepting each; so much more do they count.
TOGETHER = 1.1
# What is as sure as this is not cut. If both halves of something else are as sure as the second,
# it is likely two that touch, and as sure as the third, it is cut; both surer where it is no wider
# than tall, as one digit is. Of 41 pairs between the two, 20 would have been cut rightly.
SURE_WHOLE, LIKELY_HALF, SURE_HALF, SURE_NARROW = 0.985, 0.95, 0.99, 0.995
# Halves are seldom surer than this.
SUREST = 0.999
# Where this share of a page's characters likely touch, more of them may.
TOUCHING = 0.08
# A page on which more than this is unsure is no page of digits: what it shows is not cut.
MAX_SPLIT, MAX_SPLIT_SHARE = 4, 0.7


@dataclass(frozen=True)
class _Read:
    """A character with what the model says of it; perhaps rather an edge, or two that touch."""

    candidate: Candidate
    pixels: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    full: float
    edge: bool = False
    two: bool = False

    @property
    def score(self) -> float:
        return float(self.probabilities.max())


@dataclass(frozen=True)
class _Search:
    """One look at the picture."""

    characters: list[_Read]
    accepted: NDArray[np.bool_]
    text: TextOrder
    factor: int

    @property
    def worth(self) -> float:
        """How much was read; a page full of what cannot be read was looked at wrongly."""
        return float(self.accepted.sum()) - 0.25 * len(self.characters)


def read_page(
    pixels: NDArray[np.uint8], contract: ModelContract, scores: Scores, threshold: float | None
) -> Reading:
    """Reads every character in a picture.

    Args:
        pixels: uint8 array of shape (H, W, 1) or (H, W, 3), RGB.
        contract: Of the model.
        scores: The model.
        threshold: Below this probability a character is rejected; None rejects none for that.

    Returns:
        What was read. For a contract whose fit is not "ink" the whole picture is one character.
    """
    clock = _Clock()
    if contract.fit != "ink":
        return _whole(pixels, contract, scores, threshold, clock)
    reader = _Reader(pixels, contract, scores, threshold, clock)
    return reader.read()


class _Clock:
    """Sums up what each step takes."""

    def __init__(self) -> None:
        self.times = {"preprocess": 0.0, "invoke": 0.0, "postprocess": 0.0}
        self.last = time.perf_counter()

    def lap(self, step: str) -> None:
        """Adds the time since the last call to a step."""
        now = time.perf_counter()
        self.times[step] += (now - self.last) * 1000
        self.last = now

    def timings(self) -> Timings:
        return Timings(capture=0.0, **self.times)


class _Reader:
    """One picture being read."""

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        contract: ModelContract,
        scores: Scores,
        threshold: float | None,
        clock: _Clock,
    ) -> None:
        self.pixels, self.contract, self.scores, self.clock = pixels, contract, scores, clock
        self.threshold = 0.0 if threshold is None else threshold

    def read(self) -> Reading:
        longer = max(self.pixels.shape[:2])
        factor = self._factor(round(longer / SEARCH_SIDE))
        grey = self._grey(factor)
        sign = strokes_are_light(shrink(grey, _factor_to(grey, POLARITY_SIDE)))
        best = self._look(grey, factor, sign > 0)
        if abs(sign) < UNSURE_POLARITY:
            other = self._look(grey, factor, sign <= 0)
            if other.worth > max(0.0, best.worth) * 1.5:
                best = other
        if not best.accepted.any() and longer > 2 * COARSE_SIDE:
            coarse = self._factor(-(-longer // COARSE_SIDE))
            look = self._look(self._grey(coarse), coarse, sign > 0)
            if look.worth > 0:
                best = look
        return self._reading(best)

    def _factor(self, factor: int) -> int:
        return min(max(1, factor), MAX_FACTOR, *self.pixels.shape[:2])

    def _grey(self, factor: int) -> NDArray[np.uint8]:
        return to_channels(shrink(self.pixels, factor), 1)[:, :, 0]

    def _look(self, grey: NDArray[np.uint8], factor: int, light: bool) -> _Search:
        """Searches a picture, closer where the characters are small, and asks the model."""
        strokes = find_strokes(_dark_strokes(grey, light))
        found = find_groups(strokes)
        small = found.small_height
        if small == 0 and np.mean(strokes.mask) > TRACES:
            small = UNSEEN_CHARACTER
        if factor > 1 and 0 < small < SMALL_CHARACTER:
            closer = int(factor * small / CLOSE_CHARACTER)
            smallest = -(-max(self.pixels.shape[:2]) // CLOSE_SIDE)
            closer = self._factor(max(closer, smallest))
            if closer < factor:
                small *= factor / closer
                factor = closer
                grey = self._grey(factor)
                found = find_groups(find_strokes(_dark_strokes(grey, light)), small)
        return self._ask(found, factor)

    def _ask(self, found: Found, factor: int) -> _Search:
        seen = self._read([c for group in found.groups for c in group.candidates], found)
        characters: list[_Read] = []
        start = 0
        for group in found.groups:
            stop = start + len(group.candidates)
            for c in _decide(group, seen[start:stop], self.threshold):
                characters.append(replace(c, edge=group.at_edge and _is_bar(c.candidate.box)))
            start = stop
        self.clock.lap("postprocess")
        characters = self._split(characters, found)
        few = len(characters) <= FEW
        edges = [
            c.edge or ((few or _is_bar(c.candidate.box)) and is_edge(found, c.candidate))
            for c in characters
        ]
        boxes = np.array([c.candidate.box for c in characters], np.intp).reshape(-1, 4)
        text = order_text(boxes)
        accepted = believable(
            boxes,
            np.array([c.score for c in characters]),
            [self.contract.labels[c.probabilities.argmax()] for c in characters],
            np.array([c.full for c in characters]),
            np.array(edges, bool),
            np.array([c.candidate.cut is not None for c in characters], bool),
            text,
            self.threshold,
            (found.dark.shape[0], found.dark.shape[1]),
        )
        accepted &= ~np.array([c.two for c in characters], bool)
        self.clock.lap("postprocess")
        return _Search(characters, accepted, text, factor)

    def _read(self, candidates: list[Candidate], found: Found) -> list[_Read]:
        """Fits candidates and asks the model, all at once."""
        height, width, channels = self.contract.input_shape
        inputs = np.zeros((len(candidates), height, width, channels), np.uint8)
        full = []
        for row, candidate in zip(inputs, candidates, strict=True):
            level, ink = level_of(found, candidate)
            row[:] = fit_strokes(level, height, width, self.contract.polarity)
            full.append(ink)
        self.clock.lap("preprocess")
        answers = self.scores(inputs) if candidates else np.empty((0, 1), np.float32)
        self.clock.lap("invoke")
        return [_Read(*item) for item in zip(candidates, inputs, answers, full, strict=True)]

    def _split(self, characters: list[_Read], found: Found) -> list[_Read]:
        """Puts two characters in the place of one that is rather those two, touching."""
        unsure = {i for i, c in enumerate(characters) if c.score < SURE_WHOLE}
        if len(unsure) > max(MAX_SPLIT, len(characters) * MAX_SPLIT_SHARE):
            return characters
        boxes = [c.candidate.box for c in characters]
        # What no halves could make doubtful need not be halved.
        tried = unsure | {
            i for i, c in enumerate(characters) if may_be_two(boxes[i], c.score, SUREST, False)
        }
        pairs = self._pairs(characters, tried, found)
        cut, likely = {}, 0
        for i in unsure & pairs.keys():
            wide, (sure, pair) = boxes[i].width > boxes[i].height, pairs[i]
            if sure <= max(characters[i].score, self.threshold):
                continue
            likely += sure > (LIKELY_HALF if wide else SURE_NARROW)
            if sure > (SURE_HALF if wide else SURE_NARROW):
                cut[i] = [replace(half, edge=characters[i].edge) for half in pair]
        touching = likely > TOUCHING * len(characters)
        if touching:
            rest = set(range(len(characters))) - tried
            pairs |= self._pairs(characters, rest, found)
        split = []
        for i, (whole, box) in enumerate(zip(characters, boxes, strict=True)):
            sure = pairs[i][0] if i in pairs else 0.0
            two = may_be_two(box, whole.score, sure, touching)
            split += cut.get(i, [replace(whole, two=two)])
        self.clock.lap("postprocess")
        return split

    def _pairs(
        self, characters: list[_Read], chosen: set[int], found: Found
    ) -> dict[int, tuple[float, list[_Read]]]:
        """The best halves of each chosen character that has any, and how sure both are."""
        ways = [
            (i, pair) for i in sorted(chosen) for pair in halves(found, characters[i].candidate)
        ]
        if not ways:
            return {}
        parts = self._read([half for _, pair in ways for half in pair], found)
        best: dict[int, tuple[float, list[_Read]]] = {}
        for number, (i, _) in enumerate(ways):
            pair = parts[2 * number : 2 * number + 2]
            sure = min(half.score for half in pair)
            if sure > best.get(i, (0.0, []))[0]:
                best[i] = sure, pair
        return best

    def _reading(self, search: _Search) -> Reading:
        characters = search.characters
        text = search.text
        digits = []
        for index in text.order:
            seen, rejected = characters[index], not search.accepted[index]
            best = int(seen.probabilities.argmax())
            box = Box(*(value * search.factor for value in seen.candidate.box))
            digits.append(
                Digit(
                    self.contract.labels[best], best, seen.score, box, rejected,
                    text.line[index], seen.probabilities,
                )
            )  # fmt: skip
        shape = (0, *self.contract.input_shape)
        inputs = [characters[index].pixels for index in text.order]
        reading = Reading(
            _text(digits),
            tuple(digits),
            np.stack(inputs) if inputs else np.zeros(shape, np.uint8),
            self.clock.timings(),
        )
        self.clock.lap("postprocess")
        return replace(reading, timings_ms=self.clock.timings())


def _factor_to(grey: NDArray[np.uint8], side: int) -> int:
    """By which whole factor a picture is shrunk to about `side` pixels, 1 for a small one."""
    return min(max(1, round(max(grey.shape) / side)), MAX_FACTOR, *grey.shape)


def _dark_strokes(grey: NDArray[np.uint8], light: bool) -> NDArray[np.uint8]:
    return np.bitwise_not(grey) if light else grey


def _is_bar(box: Box) -> bool:
    return box.height > BAR * box.width


def _decide(group: Group, seen: list[_Read], threshold: float) -> list[_Read]:
    """Which of a group's possible characters it is, given what the model says of each."""
    whole = {s.candidate.strokes: s for s in seen}
    count = len(group.strokes)
    # The best value that the strokes up to each one can have, and the characters that give it.
    best: list[tuple[float, list[_Read]]] = [(0.0, [])]
    for last in range(1, count + 1):
        options = [best[last - 1]] if (group.strokes[last - 1],) not in whole else []
        for first in range(last):
            read = whole.get(group.strokes[first:last])
            if read is not None:
                value = read.score if read.score >= threshold else 0.25 * read.score
                if last - first > 1 and read.score >= threshold:
                    value *= TOGETHER
                value *= read.candidate.area
                options.append((best[first][0] + value, [*best[first][1], read]))
        best.append(max(options, key=lambda option: option[0]))
    return best[-1][1]


def _text(digits: list[Digit]) -> str:
    """The accepted labels, line by line, with a space at each wide gap."""
    lines: dict[int, list[Digit]] = {}
    for digit in digits:
        if not digit.rejected:
            lines.setdefault(digit.line, []).append(digit)
    texts = []
    for line in lines.values():
        starts = word_starts(np.array([digit.box for digit in line]))
        pairs = zip(line, starts, strict=True)
        texts.append("".join(" " * int(start) + digit.label for digit, start in pairs).lstrip(" "))
    return "\n".join(texts)


def _whole(
    pixels: NDArray[np.uint8],
    contract: ModelContract,
    scores: Scores,
    threshold: float | None,
    clock: _Clock,
) -> Reading:
    """The whole picture as one character, for models of something else than handwriting."""
    fitted = fit_image(pixels, contract)
    inputs = fitted.pixels[np.newaxis]
    clock.lap("preprocess")
    probabilities = scores(inputs)[0]
    clock.lap("invoke")
    best = int(probabilities.argmax())
    score = float(probabilities[best])
    rejected = fitted.empty or (threshold is not None and score < threshold)
    box = Box(0, 0, pixels.shape[1], pixels.shape[0])
    digit = Digit(contract.labels[best], best, score, box, rejected, 0, probabilities)
    text = "" if rejected else digit.label
    clock.lap("postprocess")
    return Reading(text, (digit,), inputs, clock.timings())
