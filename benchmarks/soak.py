"""Runs the camera loop for a long time and watches its memory, threads, files and frame age."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from edge_runtime.cli.numbers import whole_number
from edge_runtime.errors import InputError
from edge_runtime.files import writable_folder, write_atomic
from edge_runtime.machine import machine_facts, machine_warnings

from .options import add_record_options
from .soak_plot import draw_soak
from .soak_run import Soak, free_port
from .soak_stream import DigitStream, write_pages

__all__ = ["EPILOG", "configure", "handle"]

EPILOG = """\
examples:
  python -m benchmarks soak                               20 minutes at 30 frames a second
  python -m benchmarks soak --seconds 604800 --cut-every 3600
  python -m benchmarks soak --seconds 300 -- --preview 8080 --stable 3
  python -m benchmarks soak --source /dev/video0 --fps 30

It runs `edge-run camera` in a process of its own, on a motion-JPEG stream that FFmpeg serves as an
IP camera does, and measures that process from outside. What stands after -- goes to `edge-run
camera`. Writes soak.json and soak.png; the exit status is 1 if anything grew or was late."""

TWENTY_MINUTES = 1200


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds this command's arguments."""
    parser.add_argument(
        "--seconds",
        type=whole_number(10),
        default=TWENTY_MINUTES,
        metavar="N",
        help=f"how long (default: {TWENTY_MINUTES})",
    )
    parser.add_argument(
        "--fps", type=whole_number(1), default=30, metavar="N", help="frames a second (default: 30)"
    )
    parser.add_argument(
        "--size", type=_size, default=(640, 480), metavar="WxH", help="of a frame (default 640x480)"
    )
    parser.add_argument(
        "--source", metavar="SOURCE", help="a camera instead of the stream; --fps is what it gives"
    )
    parser.add_argument(
        "--cut-every", type=whole_number(5), metavar="N", help="cut the stream every N seconds"
    )
    add_record_options(parser, "soak.json and soak.png")
    parser.add_argument(
        "options", nargs="*", metavar="OPTION", help="for edge-run camera, after --"
    )


def handle(args: argparse.Namespace) -> int:
    """Soaks, writes the record and the plot, and prints the findings."""
    if args.source is not None and args.cut_every is not None:
        raise InputError("--cut-every with --source", "the stream of this command, to be cut")
    writable_folder(args.out)
    machine = machine_facts()
    for warning in machine_warnings(machine):
        _progress(f"warning: {warning}")
    with ExitStack() as closing:
        stream = None if args.source is not None else _stream(args, closing)
        soak = Soak(
            args.source if stream is None else stream.url, fps=args.fps, options=args.options
        )
        closing.callback(soak.close)
        soak.run(args.seconds, _progress, stream.cut if stream else None, args.cut_every)
    record: dict[str, Any] = {
        "kind": "soak",
        "source": args.source or "motion JPEG by FFmpeg",
        "size": list(args.size) if args.source is None else None,
        "options": args.options,
        "cut_every_s": args.cut_every,
        **soak.findings(),
        "machine": machine,
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    write_atomic(args.out / "soak.json", json.dumps(record, indent=2) + "\n")
    plot = draw_soak(record, args.out / "soak.png")
    if args.json:
        print(json.dumps(record))
    else:
        print(_table(record))
        print(f"\nrecord: {args.out / 'soak.json'}\nplot: {plot}")
    return 0 if all(check["held"] for check in record["checks"]) else 1


def _stream(args: argparse.Namespace, closing: ExitStack) -> DigitStream:
    folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
    width, height = args.size
    write_pages(folder, width, height)
    stream = DigitStream(folder, args.fps, free_port())
    closing.callback(stream.close)
    return stream


def _table(record: dict[str, Any]) -> str:
    lines = [
        f"{record['frames']:,} frames in {record['seconds']:.0f} s "
        f"({record['frames_per_s']:.2f} a second), {record['dropped']:,} dropped, "
        f"{record['reconnections']} reconnections"
    ]
    lines += [
        f"  {'ok    ' if check['held'] else 'FAILED'}  {check['what']:38} {check['found']:>12} "
        f" (at most {check['limit']})"
        for check in record["checks"]
    ]
    return "\n".join(lines)


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(p.isdecimal() and 64 <= int(p) <= 8192 for p in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 640x480")
    return int(parts[0]), int(parts[1])


def _progress(line: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {line}", file=sys.stderr, flush=True)
