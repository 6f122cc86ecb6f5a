"""Compares what ``edge-run classify --json`` said here with what it said on the other machine.

    compare_labels.py IMAGES NAME.x86.jsonl ...      each with NAME.pi.jsonl beside it

Prints a Markdown table; the exit status is 1 if a label differs or a picture is missing.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path


def read(path: Path) -> dict[str, dict[str, object]]:
    """Records by the name of the picture."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return {Path(record["path"]).name: record for record in records}


def main() -> int:
    expected = int(sys.argv[1])
    same_everywhere = True
    print("| model | pictures | same label | right here | right there | largest score change |")
    print("|---|---:|---:|---:|---:|---:|")
    for argument in sys.argv[2:]:
        here = read(Path(argument))
        there = read(Path(argument.replace(".x86.", ".pi.")))
        names = sorted(here.keys() & there.keys())
        same = sum(here[name]["label"] == there[name]["label"] for name in names)
        # `python -m train export` writes the true label at the end of the name: 00012_7.png
        truth = {name: re.sub(r".*_(.+)\.png", r"\1", name) for name in names}
        right = [
            sum(side[name]["label"] == truth[name] for name in names) for side in (here, there)
        ]
        change = max(abs(float(here[n]["score"]) - float(there[n]["score"])) for n in names)
        model = Path(argument).name.removesuffix(".x86.jsonl")
        print(f"| {model} | {len(names)} | {same} | {right[0]} | {right[1]} | {change:.2g} |")
        same_everywhere &= same == len(names) == len(here) == len(there) == expected
    if not same_everywhere:
        print("compare_labels: error: labels differ or pictures are missing", file=sys.stderr)
    return 0 if same_everywhere else 1


if __name__ == "__main__":
    sys.exit(main())
