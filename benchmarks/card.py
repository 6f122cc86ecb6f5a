"""Writes a model card from a model's own records, so that no figure in it is typed by hand."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_runtime.contract import ModelContract
from edge_runtime.files import write_atomic

from .markdown import markdown_table
from .records import Records, read_records, whole_records
from .released import RELEASED
from .report import kilobytes
from .robustness.card import robustness_part

__all__ = ["EPILOG", "configure", "handle", "model_card"]

EPILOG = """\
examples:
  python -m benchmarks card
  python -m benchmarks card --models build --out build/README.md

DIR holds NAME.keras with NAME.metrics.json from training, NAME.convert.json from conversion,
report.json from `python -m benchmarks` and, if you like, robustness.json from `python -m benchmarks
robustness`. The same records give the same text."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds this command's arguments."""
    parser.add_argument(
        "--models",
        type=Path,
        default=RELEASED,
        metavar="DIR",
        help="the folder with the records (default: the released default model's)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the card (default: README.md in that folder)"
    )


def handle(args: argparse.Namespace) -> int:
    """Writes the card."""
    records = read_records(args.models)
    with whole_records(args.models):
        text = model_card(records)
    print(write_atomic(args.out or args.models / "README.md", text))
    return 0


def model_card(records: Records) -> str:
    """The card's text.

    Args:
        records: What the rooms wrote down.

    Returns:
        Markdown; the same records give the same text.
    """
    contract, report, training = records.contract, records.report, records.training
    notice = report["data"]["notice"]
    parts = [
        f"# Model card: {contract.name}",
        "Written by `python -m benchmarks card` from the records beside it; `make release` makes "
        "all of them anew.",
        *([f"> **{notice.upper()}**"] if notice else []),
        "## What it is",
        _what(contract, training),
        "## Files and figures",
        _figures_note(report),
        _files(records),
        "![Size and accuracy](report.accuracy.png)",
        f"More in [report.md](report.md): latency in every interpreter, confusion matrices, and "
        f"how all of it was measured. `{report['recommended']}` is the variant to try first.",
        "## Data and training",
        _data(training),
        _training(training),
        "### Each label, float model",
        _labels(training),
        *robustness_part(records.robustness, report),
        "## Intended use and limits",
        _use(contract, training),
        "## How to remake it",
        _remake(records),
    ]
    return "\n\n".join(parts) + "\n"


def _what(contract: ModelContract, training: Mapping[str, Any]) -> str:
    colours = "grey" if contract.channels == 1 else "RGB"
    return (
        f"An image classifier with {training['parameters']:,} parameters. Input: one "
        f"{contract.width}×{contract.height} {colours} picture, (pixel - {_plain(contract.mean)}) "
        f"/ {_plain(contract.scale)}, {contract.polarity}; pictures of other sizes come to it by "
        f"the fit `{contract.fit}`. Output: {contract.output} for "
        f"{len(contract.labels)} labels: {', '.join(contract.labels)}. Each file carries this "
        "contract with it (`edge-run info FILE` shows it)."
    )


def _figures_note(report: Mapping[str, Any]) -> str:
    machine = report["machine"]
    first = next(iter(report["variants"].values()))["latency"][0]
    processor = machine["board"] or machine["cpu"] or machine["machine"]
    return (
        f"Accuracy on the {report['data']['test_images']:,} test images of "
        f"`{report['data']['name']}`, with 95 % Wilson interval; change in percentage points and "
        f"number of images labelled otherwise, both against the float model. Latency of one "
        f"inference on {processor}, {first['backend']} {first['backend_version']}, "
        f"{first['num_threads']} thread{'s' if first['num_threads'] > 1 else ''}: other machines "
        "differ, and `edge-run bench` measures them."
    )


def _files(records: Records) -> str:
    report = records.report
    rows = [
        (
            f"`{report['float']['file']}`",
            kilobytes(report["float"]["size_bytes"]),
            _accuracy(report["float"]["accuracy"]),
            *[""] * 4,
        )
    ]
    for found in report["variants"].values():
        latency = found["latency"][0]["latency"]
        rows.append(
            (
                f"`{found['file']}`",
                kilobytes(found["size_bytes"]),
                _accuracy(found["accuracy"]),
                f"{found['change']['points']:+.2f}",
                str(found["change"]["disagreements"]),
                f"{latency['p50_ms']:.3f} ms",
                f"{latency['p95_ms']:.3f} ms",
            )
        )
    for variant, reason in records.conversion["refused"].items():
        rows.append((variant, "refused", reason, *[""] * 4))
    return markdown_table(
        ("file", "size", "accuracy", "change", "other labels", "median", "p95"), rows
    )


def _data(training: Mapping[str, Any]) -> str:
    data = training["data"]
    hashes = ", ".join(f"{part} `{digest[:16]}…`" for part, digest in data["sha256"].items())
    return (
        f"`{data['name']}`: {data['training_images']:,} images to train and validate on, "
        f"{data['test_images']:,} for the test, which took part in no choice. SHA-256 of the "
        f"arrays: {hashes}."
    )


def _training(training: Mapping[str, Any]) -> str:
    config = ", ".join(f"{name} {_plain(value)}" for name, value in training["config"].items())
    parts = ("train", "validation", "test")
    rows = [
        (
            part,
            f"{training[part]['images']:,}",
            f"{training[part]['loss']:.4f}",
            f"{training[part]['accuracy']:.2%}",
        )
        for part in parts
    ]
    table = markdown_table(("part", "images", "loss", "accuracy"), rows)
    return f"Configuration: {config}. Training took {training['seconds']:.0f} s.\n\n{table}"


def _labels(training: Mapping[str, Any]) -> str:
    rows = [
        (
            label,
            f"{found['precision']:.2%}",
            f"{found['recall']:.2%}",
            f"{found['f1']:.2%}",
            f"{found['support']:,}",
        )
        for label, found in training["per_class"].items()
    ]
    return markdown_table(("label", "precision", "recall", "F1", "images"), rows)


def _use(contract: ModelContract, training: Mapping[str, Any]) -> str:
    weakest = min(training["per_class"].items(), key=lambda item: item[1]["recall"])
    limits = [
        "It names one label for each picture, also for a picture that shows none of them. "
        + (
            f"Scores below {contract.rejection_threshold:.1%} are marked as rejected, which one in "
            "a hundred validation images was; that is no protection against pictures of something "
            "else."
            if contract.rejection_threshold is not None
            else "It has no rejection threshold."
        ),
        f"The figures hold for pictures like those of `{training['data']['name']}`. Other writers, "
        "cameras or lighting give other figures: measure them with `edge-run bench --images DIR`.",
        f"Its weakest label is {weakest[0]}, of which it finds {weakest[1]['recall']:.2%}.",
        (
            "Scores are calibrated on validation images; for pictures of another kind 0.9 need not "
            "mean right in nine of ten cases."
            if training.get("temperature")
            else "Scores are not calibrated: 0.9 does not mean right in nine of ten cases. In the "
            "int8 file a score has 256 steps."
        ),
    ]
    if contract.fit == "ink":
        limits.insert(
            1,
            "It reads a single handwritten character in a picture, light on dark or dark on light; "
            "several in one picture are taken for one.",
        )
    use = (
        "Made for learning, for demonstrations and as a yardstick for converted models on small "
        "devices. Not for decisions about people or money without checks of your own."
    )
    return use + "\n\n" + "\n".join(f"- {limit}" for limit in limits)


def _remake(records: Records) -> str:
    names = {**records.conversion["versions"], **records.training["versions"]}
    versions = ", ".join(f"{name} {version}" for name, version in sorted(names.items()))
    return (
        "`make release` trains, converts, compares and writes this page. Seeds are fixed: the same "
        "versions on the same kind of processor give the same model. Made with "
        f"{versions}; SHA-256 of the float model `{records.conversion['keras_sha256']}`."
    )


def _accuracy(accuracy: Mapping[str, Any]) -> str:
    return f"{accuracy['accuracy']:.2%} ({accuracy['low']:.2%} to {accuracy['high']:.2%})"


def _plain(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
