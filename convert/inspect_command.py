"""Shows what is inside a .tflite file: contract, tensors, operators with versions, costs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edge_runtime.contract import MAX_MODEL_BYTES
from edge_runtime.files import read_limited

from .inspect import ModelReport, Tensor, inspect_model
from .tables import text_table

__all__ = ["EPILOG", "configure", "handle"]

MAX_NAME = 48
EPILOG = """\
examples:
  python -m convert inspect build/digits_int8.tflite
  python -m convert inspect build/digits_int8.tflite --json | python -m json.tool

MACs are multiply-accumulates for one picture; ? stands for an operator whose cost is not known."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("model", metavar="MODEL.tflite", type=Path, help="sealed or not")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def handle(args: argparse.Namespace) -> int:
    """Prints the report."""
    report = inspect_model(read_limited(args.model, MAX_MODEL_BYTES), str(args.model))
    if args.json:
        print(json.dumps(report.to_dict(), ensure_ascii=False))
    else:
        print(_described(report, args.model.name))
    return 0


def _described(report: ModelReport, name: str) -> str:
    parts = [
        f"{name}: {report.file_bytes:,} bytes, of which {report.flatbuffer_bytes:,} are the model "
        f"and {report.weights_bytes:,} its weights; {report.macs:,} MACs a picture",
        _contract(report),
        "tensors\n"
        + text_table(
            ["index", "name", "shape", "type", "quantization", "bytes", "is"],
            [_tensor_row(tensor, report.subgraphs) for tensor in report.tensors],
        ),
        "operators\n"
        + text_table(
            ["operator", "version", "count", "MACs"],
            [[op.name, str(op.version), str(op.count), _count(op.macs)] for op in report.operators],
        ),
    ]
    return "\n\n".join(parts)


def _contract(report: ModelReport) -> str:
    if report.contract is None:
        return "contract: none, this file was never sealed"
    shown = (
        "name",
        "variant",
        "labels",
        "height",
        "width",
        "channels",
        "mean",
        "scale",
        "polarity",
        "fit",
        "output",
        "rejection_threshold",
        "sha256",
    )
    lines = []
    for name in shown:
        value = report.contract[name]
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        lines.append(f"  {name:20}{text}")
    return "\n".join(["contract", *lines])


def _tensor_row(tensor: Tensor, subgraphs: int) -> list[str]:
    index = f"{tensor.subgraph}.{tensor.index}" if subgraphs > 1 else str(tensor.index)
    role = tensor.role or ("constant" if tensor.constant else "")
    shape = "x".join("?" if side < 0 else str(side) for side in tensor.shape) or "scalar"
    return [
        index,
        _shortened(tensor.name),
        shape,
        tensor.dtype,
        _quantization(tensor),
        f"{tensor.size_bytes:,}",
        role,
    ]


def _shortened(name: str) -> str:
    """The end of a long name: the converter joins all layers that it fused, the last one last."""
    return name if len(name) <= MAX_NAME else f"…{name[1 - MAX_NAME :]}"


def _quantization(tensor: Tensor) -> str:
    if not tensor.scales:
        return "-"
    if len(tensor.scales) > 1:
        low, high = min(tensor.scales), max(tensor.scales)
        return f"{low:.4g} to {high:.4g}, {len(tensor.scales)} channels"
    zero_point = tensor.zero_points[0] if tensor.zero_points else 0
    return f"{tensor.scales[0]:.6g} x (q - {zero_point})"


def _count(macs: int | None) -> str:
    return "?" if macs is None else f"{macs:,}"
