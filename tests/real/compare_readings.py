"""Compares what ``edge-run camera --json`` read here with what it read on the other machine.

    compare_readings.py TRUTH HERE.jsonl THERE.jsonl

TRUTH is a JSON list of the frames' texts. Prints a Markdown table, in which a frame is right if its
whole text is; the exit status is 1 if a frame is missing, or a text, a box or a rejection differs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def read(path: Path) -> list[dict[str, Any]]:
    """The results, in the order of their frames; lines of the camera's state are left out."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return sorted((line for line in lines if "frame" in line), key=lambda line: line["frame"])


def places(reading: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What is to be the same of each character; its score may differ a little."""
    return [(d["label"], d["rejected"], d["line"], *d["box"]) for d in reading["digits"]]


def characters(text: str) -> int:
    return len("".join(text.split()))


def main() -> int:
    truth = json.loads(Path(sys.argv[1]).read_text())
    here, there = (read(Path(argument)) for argument in sys.argv[2:4])
    pairs = list(zip(here, there, strict=False))
    texts = sum(a["text"] == b["text"] for a, b in pairs)
    same = sum(places(a) == places(b) for a, b in pairs)
    change = max(
        (
            abs(p["score"] - q["score"])
            for a, b in pairs
            if places(a) == places(b)
            for p, q in zip(a["digits"], b["digits"], strict=True)
        ),
        default=float("nan"),
    )
    right = [
        sum(r["text"] == t for r, t in zip(side, truth, strict=False)) for side in (here, there)
    ]
    boxes = sum(len(reading["digits"]) for reading in here)
    print(
        "| frames | digits | boxes | same text | same boxes | right here | there | score change |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    print(
        f"| {len(pairs)} | {sum(map(characters, truth))} | {boxes} | {texts} | {same} "
        f"| {right[0]} | {right[1]} | {change:.2g} |"
    )
    for number, (a, b) in enumerate(pairs):
        if places(a) != places(b):
            print(f"frame {number}: {a['text']!r} here, {b['text']!r} there")
    if not len(truth) == len(here) == len(there) == same == texts:
        print("compare_readings: error: readings differ or frames are missing", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
