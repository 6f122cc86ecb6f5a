"""Says what is on pictures: one picture, one label."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence

from ..classifier import Classifier, Prediction
from ..images import FittedImage
from .numbers import probability, whole_number
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
)
from .shell import printable, say

__all__ = ["configure", "handle"]

EPILOG = """\
examples:
  edge-run classify seven.png
  edge-run classify photos/ more/nine.jpg --top-k 1
  edge-run classify photos/ --json | jq -r 'select(.rejected) | .path'
  curl -s https://example.org/digit.png | edge-run classify -
  edge-run classify cat.jpg --model mobilenet.tflite --labels labels.txt --mean 127.5 --scale 127.5

A folder stands for all pictures in it and in the folders below it, in order of their names. With
--json each picture gives one line: path, label, index, score, top, rejected, latency_ms; a picture
that cannot be read gives path and error, and the exit status is 1."""

# Batches save small models the cost of single calls: the seed's int8 model takes 100 µs a picture
# one by one and 69 µs in a batch of 16 (LiteRT, x86, one thread), and no less in larger ones.
# Large inputs gain nothing and multiply the interpreter's memory, so pixels limit a batch too.
BATCH_PICTURES = 32
BATCH_VALUES = 2**16
# Large photos take longer to read than to classify: an answer is not held back for a full batch.
BATCH_SECONDS = 0.2
# Paths longer than this do not push the columns of all others to the right.
MAX_PATH_COLUMN = 40


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds this verb's arguments."""
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", help="pictures, folders, or - for standard input"
    )
    add_model_option(parser)
    parser.add_argument(
        "--top-k",
        type=whole_number(1),
        default=3,
        metavar="K",
        help="classes to report for each picture (default: 3)",
    )
    parser.add_argument(
        "--threshold",
        type=probability,
        metavar="T",
        help="mark predictions scored below this probability as rejected "
        "(default: as the model's contract says)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    add_interpreter_options(parser)
    add_contract_options(parser)


def handle(args: argparse.Namespace) -> int:
    """Classifies, and prints as it goes on."""
    classifier = open_classifier(args, args.threshold)
    paths, failed = expand_paths(args.paths), 0
    column = min(MAX_PATH_COLUMN, max(len(printable(path)) for path, _ in paths))
    width = max(len(label) for label in classifier.contract.labels)
    for path, answer in _classified(classifier, paths, args.top_k):
        failed += isinstance(answer, Exception)
        if isinstance(answer, Exception):
            failure_line(path, answer, args.json)
        elif args.json:
            # ASCII, so that file names that are not text come through every terminal and pipe.
            print(json.dumps({"path": path, **answer.to_dict()}), flush=True)
        else:
            print(_text_line(path, answer, column, width), flush=True)
    if len(paths) > 1 and failed and not args.json:
        say(f"{failed} of {len(paths)} pictures failed")
    return 1 if failed else 0


_Answer = Prediction | Exception


def _classified(
    classifier: Classifier, sources: Sequence[Source], top_k: int
) -> Iterator[tuple[str, _Answer]]:
    """Answers in the order of the sources. Only pictures fitted to the model's input are kept."""
    waiting: list[tuple[str, FittedImage | Exception]] = []
    values = math.prod(classifier.contract.input_shape)
    size = min(BATCH_PICTURES, max(1, BATCH_VALUES // values))
    began = time.perf_counter()
    for path, problem in sources:
        try:
            waiting.append((path, problem or _prepare(classifier, path)))
        except Exception as error:  # Whatever one picture provokes, the rest go on.
            waiting.append((path, error))
        if len(waiting) == size or time.perf_counter() - began > BATCH_SECONDS:
            yield from _answers(classifier, waiting, top_k, began)
            waiting, began = [], time.perf_counter()
    yield from _answers(classifier, waiting, top_k, began)


def _prepare(classifier: Classifier, path: str) -> FittedImage:
    if path != STANDARD_INPUT:
        return classifier.prepare(path)
    return classifier.prepare(read_standard_input())


def _answers(
    classifier: Classifier,
    waiting: Sequence[tuple[str, FittedImage | Exception]],
    top_k: int,
    began: float,
) -> Iterator[tuple[str, _Answer]]:
    ready = [item for _, item in waiting if isinstance(item, FittedImage)]
    predictions = iter(classifier.predict(ready, top_k=top_k, started=began))
    for path, item in waiting:
        yield path, item if isinstance(item, Exception) else next(predictions)


def _text_line(path: str, answer: Prediction, column: int, width: int) -> str:
    others = ", ".join(f"{item.label} {item.score:.1%}" for item in answer.top[1:])
    line = f"{printable(path):{column}}  {answer.label:{width}}  {answer.score:6.1%}"
    line += f"  then {others}" if others else ""
    return line + ("  (rejected)" if answer.rejected else "")
