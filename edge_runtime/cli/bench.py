"""Measures models on this device with nothing but the runtime: latency, memory, accuracy."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..classifier import Classifier
from ..contract import ModelContract
from ..errors import EdgeRuntimeError, InputError
from ..files import folder_name
from ..images import FittedImage, list_images
from ..measure import (
    machine_facts,
    machine_warnings,
    measure_model,
    summarize_latency,
    wilson_interval,
)
from ..models import default_model_path
from .numbers import whole_number
from .options import add_contract_options, add_interpreter_options, contract_for
from .shell import say

__all__ = ["configure", "handle"]

EPILOG = """\
examples:
  edge-run bench
  edge-run bench --model a_float32.tflite a_int8.tflite --num-threads 4
  edge-run bench --images test/ --json > bench.json

DIR of --images has one subfolder of pictures for each label. Latency is that of one inference;
"whole" is from a picture in memory to its label; "cold start" from starting the program to its
first answer. Each model is measured in a process of its own."""

BATCH_PICTURES = 32


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds this verb's arguments."""
    parser.add_argument(
        "--model",
        nargs="+",
        type=Path,
        metavar="FILE",
        help=".tflite files (default: the released model)",
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="also measure accuracy, on pictures in one subfolder for each label",
    )
    parser.add_argument(
        "--runs",
        type=whole_number(1),
        default=200,
        metavar="N",
        help="measured inferences (default: 200)",
    )
    parser.add_argument(
        "--warmup",
        type=whole_number(0),
        default=20,
        metavar="N",
        help="inferences before them that are not measured (default: 20)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a model")
    add_interpreter_options(parser)
    add_contract_options(parser)


def handle(args: argparse.Namespace) -> int:
    """Measures one model after the other."""
    models = args.model or [default_model_path()]
    contracts = [contract_for(model, args) for model in models]
    pictures = [_labelled(args.images, contract) for contract in contracts] if args.images else None
    machine = machine_facts()
    for warning in machine_warnings(machine):
        say(f"edge-run bench: warning: {warning}")
    if not args.json:
        print(_machine_line(machine))
    unreadable = 0
    for i, (model, contract) in enumerate(zip(models, contracts, strict=True)):
        say(f"[{i + 1}/{len(models)}] {model}: measuring latency")
        result = _measured(model, contract, args)
        if pictures is not None:
            say(f"[{i + 1}/{len(models)}] {model}: classifying {len(pictures[i])} pictures")
            result["accuracy"] = _accuracy(model, contract, pictures[i], args)
            unreadable += result["accuracy"]["unreadable"]
        result["machine"] = machine
        print(json.dumps(result) if args.json else _text(result), flush=True)
    return 1 if unreadable else 0


def _measured(model: Path, contract: ModelContract, args: argparse.Namespace) -> dict[str, Any]:
    timings = measure_model(
        model,
        contract=contract,
        backend=args.backend,
        num_threads=args.num_threads,
        runs=args.runs,
        warmup=args.warmup,
    )
    return {
        "model": str(model),
        "name": contract.name,
        "variant": contract.variant,
        "backend": timings.backend,
        "backend_version": timings.backend_version,
        "num_threads": timings.num_threads,
        "size_bytes": model.stat().st_size,
        "cold_start_ms": timings.cold_start_ms,
        "latency": summarize_latency(timings.invoke_ms, warmup=args.warmup).to_dict(),
        "whole_latency": summarize_latency(timings.classify_ms, warmup=args.warmup).to_dict(),
        "peak_memory_bytes": timings.peak_memory_bytes,
        "accuracy": None,
    }


def _labelled(folder: Path, contract: ModelContract) -> list[tuple[Path, int]]:
    """The pictures of a folder with one subfolder a label, each with its label's index."""
    if not folder.is_dir():
        raise InputError(
            f"{folder} is not a folder", "one with a subfolder of pictures for each label"
        )
    # A label such as "T-shirt/top" cannot be a folder's name as it is; one that can, stays.
    indices = {folder_name(label): index for index, label in enumerate(contract.labels)}
    indices |= {label: index for index, label in enumerate(contract.labels)}
    found: list[tuple[Path, int]] = []
    for subfolder in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        if subfolder.name.startswith("."):
            continue
        if subfolder.name not in indices:
            raise InputError(
                f"the subfolder {subfolder.name!r} of {folder} is no label of {contract.name}",
                f"one of {', '.join(contract.labels[:10])}",
            )
        index = indices[subfolder.name]
        found += [(picture, index) for picture in list_images(subfolder)]
    if not found:
        raise InputError(f"{folder} has no pictures", "a subfolder of pictures for each label")
    return found


def _accuracy(
    model: Path, contract: ModelContract, pictures: list[tuple[Path, int]], args: argparse.Namespace
) -> dict[str, Any]:
    classifier = Classifier(
        model, contract=contract, backend=args.backend, num_threads=args.num_threads
    )
    correct = rejected = total = 0
    for batch, indices in _batches(classifier, pictures):
        for prediction, index in zip(classifier.predict(batch, top_k=1), indices, strict=True):
            correct += prediction.index == index
            rejected += prediction.rejected
            total += 1
    if not total:
        raise InputError("none of the pictures can be read", "PNG, JPEG or other picture files")
    return {
        "images": str(args.images),
        "correct": correct,
        "total": total,
        "accuracy": correct / total,
        "interval_95": list(wilson_interval(correct, total)),
        "rejected": rejected,
        "unreadable": len(pictures) - total,
    }


def _batches(
    classifier: Classifier, pictures: list[tuple[Path, int]]
) -> Iterator[tuple[list[FittedImage], list[int]]]:
    """Pictures ready for the model, with their labels; the unreadable are named and left out."""
    for start in range(0, len(pictures), BATCH_PICTURES):
        batch, indices = [], []
        for path, index in pictures[start : start + BATCH_PICTURES]:
            try:
                batch.append(classifier.prepare(path))
                indices.append(index)
            except EdgeRuntimeError as error:
                say(f"{path}: error: {error}")
        if batch:
            yield batch, indices


def _machine_line(machine: dict[str, Any]) -> str:
    memory = machine["memory_bytes"]
    parts = [
        machine["board"] or machine["cpu"] or machine["machine"],
        f"{machine['cores']} cores" if machine["cores"] else "",
        f"{memory / 2**30:.1f} GiB" if memory else "",
        f"governor {machine['governor']}" if machine["governor"] else "",
        f"{machine['temperature_c']:.0f} °C" if machine["temperature_c"] else "",
        f"Python {machine['python']}",
    ]
    return ", ".join(part for part in parts if part)


def _text(result: dict[str, Any]) -> str:
    threads = result["num_threads"]
    memory = result["peak_memory_bytes"]
    lines = [
        "",
        f"{result['model']}",
        f"  {result['backend']} {result['backend_version']}, "
        f"{threads} thread{'s' if threads > 1 else ''}, {result['size_bytes'] / 1000:.1f} KB",
        "              median       p90       p95       p99      mean  per second",
        _latency_line("inference", result["latency"]),
        _latency_line("whole", result["whole_latency"]),
        f"  cold start {result['cold_start_ms']:.0f} ms"
        + (f", peak memory {memory / 1e6:.0f} MB" if memory else ""),
    ]
    if accuracy := result["accuracy"]:
        low, high = accuracy["interval_95"]
        lines.append(
            f"  accuracy {accuracy['accuracy']:.2%} ({accuracy['correct']} of {accuracy['total']}; "
            f"95 % interval {low:.2%} to {high:.2%})"
            + (f"; {accuracy['unreadable']} unreadable" if accuracy["unreadable"] else "")
        )
    return "\n".join(lines)


def _latency_line(name: str, latency: dict[str, Any]) -> str:
    columns = "".join(
        f"{latency[key]:7.3f} ms" for key in ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "mean_ms")
    )
    return f"  {name:9}{columns}{latency['throughput_per_s']:12,.0f}"
