"""Shows a model: its contract, its tensors and the interpreter that runs it here."""

from __future__ import annotations

import argparse
import hashlib
import json
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..backend import BACKENDS, Interpreter, TensorInfo, open_interpreter, probe
from ..contract import MAX_MODEL_BYTES, ModelContract, read_sealed
from ..files import read_limited
from ..models import default_model_path

__all__ = ["configure", "handle"]

EPILOG = """\
examples:
  edge-run info                     the released model
  edge-run info build/nano_int8.tflite
  edge-run info --json | jq .contract.labels"""

# Enough to compare by eye; --json has the whole of it.
SHORT_SHA256 = 16
LINE_COLUMNS = 88


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds this verb's arguments."""
    parser.add_argument(
        "model",
        nargs="?",
        type=Path,
        metavar="MODEL",
        help="a .tflite file (default: the released model)",
    )
    parser.add_argument(
        "--backend",
        choices=("auto", *BACKENDS),
        default="auto",
        help="the interpreter to use (default: the fastest that is installed)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def handle(args: argparse.Namespace) -> int:
    """Prints what the file and the interpreter say."""
    path = args.model or default_model_path()
    data = read_limited(path, MAX_MODEL_BYTES)
    sealed = read_sealed(data, str(path))
    if sealed.contract is None:  # Nothing says that it is whole.
        probe(sealed.flatbuffer, args.backend)
    interpreter = open_interpreter(sealed.flatbuffer, args.backend)
    facts: dict[str, Any] = {
        "model": str(path),
        "size_bytes": len(data),
        "sha256": hashlib.sha256(sealed.flatbuffer).hexdigest(),
        "contract": sealed.contract and sealed.contract.to_dict(),
        "input": asdict(interpreter.input),
        "output": asdict(interpreter.output),
        "backend": interpreter.name,
        "backend_version": interpreter.version,
    }
    print(json.dumps(facts) if args.json else _text(facts, sealed.contract, interpreter))
    return 0


def _text(facts: dict[str, Any], contract: ModelContract | None, interpreter: Interpreter) -> str:
    rows = [
        ("file", f"{facts['size_bytes']:,} bytes, SHA-256 {facts['sha256'][:SHORT_SHA256]}…"),
        *(_contract_rows(contract) if contract else [("contract", "none: made by other tools")]),
        ("input tensor", _tensor(interpreter.input)),
        ("output tensor", _tensor(interpreter.output)),
        ("interpreter", f"{interpreter.name} {interpreter.version}"),
    ]
    indent = max(len(name) for name, _ in rows) + 4
    lines = [str(facts["model"])]
    for name, text in rows:
        lines += textwrap.wrap(
            text,
            LINE_COLUMNS,
            initial_indent=f"  {name}".ljust(indent),
            subsequent_indent=" " * indent,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def _contract_rows(contract: ModelContract) -> list[tuple[str, str]]:
    colours = "grey" if contract.channels == 1 else "RGB"
    threshold = contract.rejection_threshold
    rows = [
        ("name", contract.name + (f", variant {contract.variant}" if contract.variant else "")),
        ("labels", f"{len(contract.labels)}: {', '.join(contract.labels)}"),
        ("picture", f"{contract.width} × {contract.height} pixels, {colours}, fit {contract.fit}"),
        ("polarity", contract.polarity),
        ("pixel to input", f"(pixel - {_values(contract.mean)}) / {_values(contract.scale)}"),
        ("output", contract.output),
        ("rejected below", "none" if threshold is None else f"{threshold:.1%}"),
    ]
    for name, entries in (("training", contract.training), ("conversion", contract.conversion)):
        plain = {k: v for k, v in entries.items() if isinstance(v, (str, int, float))}
        if plain:
            rows.append((name, ", ".join(f"{k} {_short(v)}" for k, v in plain.items())))
    return rows


def _tensor(info: TensorInfo) -> str:
    shape = " × ".join("any" if side < 0 else str(side) for side in info.shape)
    text = f"{info.dtype} [{shape}]"
    if info.quantized:
        text += f", real = (value {-info.zero_point:+}) × {info.scale:.6g}"
    return text


def _values(values: tuple[float, ...]) -> str:
    texts = [f"{value:g}" for value in values]
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"


def _short(value: str | int | float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
