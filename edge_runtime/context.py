"""Which characters on a page are to be believed: what one alone cannot tell, its neighbours can.

The model knows ten digits and doubts most of what is none, but O, l, S and B are written as digits
are. Digits stand among digits, letters in words; digits on a page are of like size and ink. So the
characters of a word are judged together, each word in the light of the whole page.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .textlines import TextOrder, word_starts

__all__ = ["BAR", "believable"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# For a probability p: what -log10(1 - p) says for a digit and against a letter, as the logarithm of
# the ratio of their frequencies. Measured on 2,281 digits of the training set laid on paper and 391
# letters, with the released model, and beyond 2 on 1,455 digits and 16,809 letters in print.
SURENESS = (0.0, 0.3, 0.96, 1.7, 2.3, 2.7, 3.0, 3.3)
EVIDENCE = (-3.0, -3.0, -2.0, -0.8, 0.3, 1.0, 1.8, 3.0)
# However sure, what is printed or written as a letter too says no more than this for a digit. From
# the labels of 16,809 characters of prose printed in 30 fonts, and of 1,455 digits: an o is a 0 and
# an s a 5 as often as digits are, an l or i a 1 less often. A little is left to each: a long line
# of zeros is to bear a doubtful one.
LETTERLIKE = {"0": 0.3, "5": 0.3, "1": 1.1}
# Before anything is known of it a word is likely digits: that is what such a model is shown.
PRIOR = 2.0
# No more than one mate that is no digit: then a word has evidence of this much against it.
UNSURE_MATE = -3.2
# Halves of strokes that were cut are no evidence for digits, but against: an m is two 7s. Where
# nothing else on the page speaks for digits, they are not believed.
CUT_EVIDENCE = -1.1
# The other words count for or against a word by so many times the mean evidence of their
# characters, within limits.
PAGE_WEIGHT, PAGE_AGAINST, PAGE_FOR = 3.5, -5.0, 2.0
# A character that is taller than so many times its width is a bar: a 1, an l, or a piece of a line.
BAR = 2.6
# With nothing but bars on a page, one of them is no longer than so many times its width, unless it
# is wider than this share of the picture's shorter side, as a 1 drawn by mouse is and no line, ...
LONGEST_BAR, BROAD_BAR = 8.0, 1 / 40
# ... and than this share of the picture's shorter side.
LONE_BAR = 0.75
# In a picture larger than this fewer characters than these are not believed if they are no taller
# than a speck: a rest of a line.
SEVERAL, SPECK, SPECK_PICTURE = 3, 12, 100
# How tall characters are, compared with the usual height on their page; bars have less freedom.
SHORTEST, TALLEST = 0.3, 3.5
SHORTEST_BAR, TALLEST_BAR = 0.45, 2.2
# Where sizes agree as well as this, a character among others that are sure needs this share of the
# threshold.
LIKE_SIZE, RELAXED = 1.7, 0.55
# Ink as faint as this share of the usual is a trace of something else.
FAINTEST = 0.4


def believable(
    boxes: NDArray[np.intp],
    scores: Floats,
    labels: Sequence[str],
    ink: Floats,
    at_edge: Mask,
    halves: Mask,
    text: TextOrder,
    threshold: float,
    shape: tuple[int, int],
) -> Mask:
    """Judges the characters of a page together.

    Args:
        boxes: Integer array of shape (N, 4): x, y, width and height of each.
        scores: The probability of each one's best label, shape (N,).
        labels: These labels, N.
        ink: How dark each is, 0 to 255, shape (N,).
        at_edge: Which are rather parts of an edge, shape (N,).
        halves: Which are parts of strokes that were cut, shape (N,).
        text: Their order.
        threshold: A character alone is rejected below this probability.
        shape: Height and width of the picture.

    Returns:
        bool array of shape (N,): True for what is to be read.
    """
    if not len(boxes):
        return np.zeros(0, bool)
    width, height = boxes[:, 2].astype(np.float64), boxes[:, 3].astype(np.float64)
    bar = height > BAR * width
    sure = scores >= threshold
    fits = _fitting(height, width, ink, bar, sure, shape) & ~at_edge
    if threshold <= 0:
        return fits
    words = _words(boxes, text)
    evidence = np.interp(-np.log10(np.maximum(1 - scores, 1e-6)), SURENESS, EVIDENCE)
    most = [LETTERLIKE.get(label, np.inf) for label in labels]
    evidence = np.minimum(evidence, most)
    # Bars are in both: letters have as many as digits have.
    evidence[bar] = np.minimum(evidence[bar], 0) * 0.5
    evidence[~fits] = np.minimum(evidence[~fits], 0)
    # What was cut until the model was content says little for itself.
    evidence[halves] = np.minimum(evidence[halves], CUT_EVIDENCE)
    count = int(words.max()) + 1
    of_word = np.bincount(words, evidence, count)
    others = len(boxes) - np.bincount(words, minlength=count)
    # A few say little: they are taken for one more and neutral.
    mean = (of_word.sum() - of_word) / (others + 1)
    page = np.clip(PAGE_WEIGHT * mean, PAGE_AGAINST, PAGE_FOR)
    mates = of_word[words] - evidence
    good = evidence + mates + page[words] + PRIOR > 0
    # On a page of digits one that is sure need not answer for a mate that is not.
    good |= (page[words] > 0) & (evidence > 0.5) & (mates > UNSURE_MATE)
    # Beside what is sure, of like size, doubt may go further.
    usual = np.zeros(count)
    for word in np.unique(words[sure & fits]):
        usual[word] = np.median(height[(words == word) & sure & fits])
    beside = usual[words]
    like = (beside > 0) & (height < LIKE_SIZE * beside) & (height * LIKE_SIZE > beside)
    company = np.bincount(words, sure & fits, count)[words] - (sure & fits)
    relaxed = like & (company >= 1) & (page[words] + mates > 0)
    needed = np.where(relaxed, RELAXED * threshold, threshold)
    return np.asarray(fits & good & (scores >= needed))


def _fitting(
    height: Floats, width: Floats, ink: Floats, bar: Mask, sure: Mask, shape: tuple[int, int]
) -> Mask:
    """Which characters have a size and ink as the page's characters have."""
    known, tall = sure & ~bar, height >= SPECK
    if not known.any():
        # Nothing but bars: lines, unless there are few, and no longer than a digit would be.
        few = np.count_nonzero(bar) <= max(3, 0.5 * len(bar))
        alone = (height < LONE_BAR * min(shape)) & (tall | (max(shape) <= SPECK_PICTURE))
        pen = (height < LONGEST_BAR * width) | (width > BROAD_BAR * min(shape))
        return np.asarray(~bar | (few & alone & pen))
    if np.count_nonzero(known) < SEVERAL and max(shape) > SPECK_PICTURE:
        known &= tall
        if not known.any():
            return np.zeros(len(height), bool)
    usual = float(np.median(height[known]))
    usual_ink = float(np.median(ink[known]))
    low = np.where(bar, SHORTEST_BAR, SHORTEST) * usual
    high = np.where(bar, TALLEST_BAR, TALLEST) * usual
    size = np.maximum(height, 0.7 * width)
    return np.asarray((size >= low) & (size <= high) & (ink >= FAINTEST * usual_ink))


def _words(boxes: NDArray[np.intp], text: TextOrder) -> NDArray[np.intp]:
    """The number of the word that each character belongs to."""
    words = np.empty(len(boxes), np.intp)
    order = np.array(text.order)
    lines = np.array(text.line)[order]
    number = -1
    for line in np.split(order, np.flatnonzero(np.diff(lines)) + 1):
        starts = word_starts(boxes[line])
        words[line] = number + np.cumsum(starts)
        number = int(words[line[-1]])
    return words
