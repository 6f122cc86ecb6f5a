"""Finds and reads every handwritten digit in pictures."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..annotate import draw_reading, tile_inputs
from ..errors import InputError
from ..files import folder_name, writable_folder, write_atomic
from ..images import encode_image, read_image
from ..reading import Reading
from .numbers import probability
from .options import (
    add_contract_options,
    add_interpreter_options,
    add_model_option,
    open_classifier,
)
from .paths import (
    STANDARD_INPUT,
    Source,
    expand_paths,
    failure_line,
    read_standard_input,
    refuse_overwriting,
)
from .shell import printable, say

__all__ = ["configure", "handle"]

EPILOG = """\
examples:
  edge-run read receipt.jpg
  edge-run read page.jpg --annotate read.png --show-input seen.png
  edge-run read photos/ --json --annotate annotated/
  curl -s https://example.org/page.jpg | edge-run read -

Prints each picture's text, line by line; of several pictures with the path before it. With --json
each picture gives one line: path, text, digits (label, score, box, rejected, line), latency_ms; a
picture that cannot be read gives path and error, and the exit status is 1. A picture without digits
gives an empty text and is no error. Of several pictures --annotate and --show-input name folders.
A character among others that are surely digits needs little more than half the threshold."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds this verb's arguments."""
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="pictures, folders, or - for standard input"
    )
    add_model_option(parser)
    parser.add_argument(
        "--threshold",
        type=probability,
        metavar="T",
        help="reject characters scored below this probability (default: as the model's contract "
        "says)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument(
        "--annotate",
        type=Path,
        metavar="OUT.png",
        help="draw boxes, labels and scores; what was rejected is orange and dimmed",
    )
    parser.add_argument(
        "--show-input",
        type=Path,
        metavar="OUT.png",
        help="draw what the model saw of each character",
    )
    add_interpreter_options(parser)
    add_contract_options(parser)


def handle(args: argparse.Namespace) -> int:
    """Reads, and prints as it goes on."""
    sources, failed = expand_paths(args.paths), 0
    several = len(sources) > 1
    annotated = _targets(args.annotate, sources, "--annotate")
    shown = _targets(args.show_input, sources, "--show-input")
    _check_targets(sources, {"--annotate": annotated, "--show-input": shown})
    classifier = open_classifier(args, args.threshold)
    for index, (path, problem) in enumerate(sources):
        try:
            if problem is not None:
                raise problem
            pixels = read_standard_input() if path == STANDARD_INPUT else read_image(path)
            reading = classifier.read(pixels)
            _draw(pixels, reading, annotated[index], shown[index])
        except Exception as error:  # Whatever one picture provokes, the rest go on.
            failed += 1
            failure_line(path, error, args.json)
            continue
        if args.json:
            print(json.dumps({"path": path, **reading.to_dict()}), flush=True)
        elif several:
            _print_several(path, reading)
        else:
            print(reading.text, flush=True)
    if several and failed and not args.json:
        say(f"{failed} of {len(sources)} pictures failed")
    return 1 if failed else 0


def _print_several(path: str, reading: Reading) -> None:
    lines = reading.text.splitlines() or [""]
    print("\n".join(f"{printable(path)}: {line}".rstrip() for line in lines), flush=True)


def _targets(out: Path | None, sources: Sequence[Source], option: str) -> list[Path | None]:
    """Where each picture's drawing goes: the file named, or for several one each in that folder."""
    if out is None:
        return [None] * len(sources)
    if len(sources) == 1 and not out.is_dir():
        if out.suffix.lower() != ".png":
            raise InputError(f"{option} names {out}", "a file name that ends in .png")
        return [out]
    if out.suffix.lower() == ".png" and not out.is_dir():
        raise InputError(f"{option} names the file {out} for {len(sources)} pictures", "a folder")
    targets: list[Path | None] = []
    used: set[str] = set()
    for path, _ in sources:
        stem = "standard-input" if path == STANDARD_INPUT else folder_name(Path(path).stem)
        name, number = stem, 1
        while name in used:  # Folders may hold pictures of the same name.
            number += 1
            name = f"{stem}-{number}"
        used.add(name)
        targets.append(out / f"{name}.png")
    return targets


def _check_targets(sources: Sequence[Source], targets: Mapping[str, list[Path | None]]) -> None:
    """Finds out before any work whether all drawings can be written, and what would be lost."""
    files = [(option, out) for option, outs in targets.items() for out in outs if out is not None]
    refuse_overwriting((path for path, _ in sources), files)
    for folder in {out.parent for _, out in files}:
        writable_folder(folder)


def _draw(
    pixels: NDArray[np.uint8], reading: Reading, annotated: Path | None, shown: Path | None
) -> None:
    if annotated is not None:
        write_atomic(annotated, encode_image(draw_reading(pixels, reading)))
    if shown is not None:
        write_atomic(shown, encode_image(tile_inputs(reading)))
