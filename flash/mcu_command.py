"""``python -m flash mcu``: its arguments, what it prints, and the order in which it does things."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from edge_runtime.cli.numbers import whole_number
from edge_runtime.cli.shell import say
from edge_runtime.device_signals import undone_by_signals
from edge_runtime.files import writable_folder

from .c_source import identifier
from .errors import FlashError
from .esp32 import Esp32
from .image import MAX_COUNTER, Image, make_image, write_image
from .mcu import MicroModel, run_in_tflm, write_c_array
from .partitions import parse_number
from .probe import Probe
from .rp2 import DEFAULT_ADDRESS, FAMILIES, Rp2

__all__ = ["HELP", "SUMMARY", "configure", "handle"]

SUMMARY = "turn a model into C source or a flash image, and write it"
HELP = """\
Turns a model into something for TensorFlow Lite Micro on a microcontroller.

--c-array writes C source to build a firmware with: an aligned array with the flatbuffer, labels,
quantization, the operators to register, the size of the arena as measured by TFLM itself, and
golden inputs and outputs.

--image writes a flash image that lies beside the firmware, and the reader that finds it there: the
model can then be replaced without building the firmware again. --esp32, --rp2040 and --probe write
that image to a device as well. Nothing is written of a model that TFLM cannot run, and nothing to a
place that is known to belong to something else.

Examples:
  python -m flash mcu build/digits_int8.tflite --c-array
  python -m flash mcu build/digits_int8.tflite --c-array --out firmware/model
  python -m flash mcu build/digits_int8.tflite --image
  python -m flash mcu M.tflite --esp32 /dev/ttyUSB0 0x110000 --partition-table partitions.csv
  python -m flash mcu M.tflite --rp2040 build/digits.uf2
  python -m flash mcu M.tflite --rp2040 /media/pi/RPI-RP2 --offset 0x10180000
  python -m flash mcu M.tflite --probe nrf52840 0xC0000 --partition-size 256K
"""
USAGE = 2
# Which options mean something with which destination.
BELONGS = {
    "partition_size": ("esp32", "rp2040", "probe"),
    "partition_table": ("esp32",),
    "offset": ("rp2040",),
    "family": ("rp2040",),
    "flash_size": ("rp2040", "probe"),
    "probe_id": ("probe",),
    "counter": ("image", "esp32", "rp2040", "probe"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments.

    Args:
        parser: The verb's parser.
    """
    parser.set_defaults(mcu_parser=parser)
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model from python -m convert")
    parser.add_argument("--c-array", action="store_true", help="write C source")
    parser.add_argument("--image", action="store_true", help="write a flash image and its reader")
    _add_destinations(parser)
    parser.add_argument(
        "--counter",
        type=whole_number(0, MAX_COUNTER, "counter"),
        metavar="N",
        help="the model's version in the image, for firmware that keeps two: the larger is taken "
        "(default: the seconds since 1970, which only grow)",
    )
    parser.add_argument(
        "--golden",
        type=Path,
        metavar="FILE",
        help="its NAME.golden.npz (default: beside the model, then in models/)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("build/mcu"),
        metavar="DIR",
        help="folder for the files (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object for each")


def _add_destinations(parser: argparse.ArgumentParser) -> None:
    to = parser.add_mutually_exclusive_group()
    to.add_argument(
        "--esp32",
        nargs=2,
        metavar=("PORT", "OFFSET"),
        help="write the image to an ESP32's flash, with esptool",
    )
    to.add_argument(
        "--rp2040",
        type=Path,
        metavar="FILE.uf2|DRIVE",
        help="write the image as UF2, to a file or to the drive RPI-RP2 where it is mounted",
    )
    to.add_argument(
        "--probe",
        nargs=2,
        metavar=("TARGET", "ADDRESS"),
        help="write the image through a debug probe, with pyocd",
    )
    parser.add_argument(
        "--partition-size",
        type=_size,
        metavar="BYTES",
        help="what there is for the image, for example 0x40000 or 256K; a larger one is refused",
    )
    parser.add_argument(
        "--partition-table",
        type=Path,
        metavar="FILE",
        help="the ESP32 project's partition table, .csv or .bin; OFFSET must begin a partition "
        "(default: the device's own, unless --partition-size is given)",
    )
    parser.add_argument(
        "--offset",
        type=_number,
        metavar="ADDRESS",
        help=f"where an RP2040 has the image (default: {DEFAULT_ADDRESS:#x})",
    )
    parser.add_argument(
        "--family", choices=sorted(FAMILIES), help="the chip that --rp2040 means (default: rp2040)"
    )
    parser.add_argument(
        "--flash-size",
        type=_size,
        metavar="BYTES",
        help="flash of the RP2040's board (default: 2M; for an RP2350 4M)",
    )
    parser.add_argument(
        "--probe-id", metavar="ID", help="which debug probe, where several are connected"
    )


def handle(args: argparse.Namespace) -> int:
    """Runs the command.

    Args:
        args: What `configure` had parsed.

    Returns:
        The exit status.

    Raises:
        EdgeRuntimeError: The model, the place or a program is not fit for it, and nothing was
            written to a device; or the transfer failed.
    """
    if wrong := _misused(args):
        args.mcu_parser.print_usage(sys.stderr)
        print(f"{args.mcu_parser.prog}: error: {wrong}", file=sys.stderr)
        return USAGE
    # A program that writes flash must not go on alone when this one is ended.
    with undone_by_signals("flash mcu"):
        _make(args)
    return 0


def _make(args: argparse.Namespace) -> None:
    # Everything that can be refused is, before TFLM runs the model and anything is written.
    destination = _destination(args)
    room = destination.check() if destination else None
    writable_folder(args.out)
    model = run_in_tflm(args.model, args.golden, say)
    image = None
    if args.image or destination:
        image = make_image(model, args.counter)
        if room is not None and len(image.data) > room:
            raise FlashError(
                f"the image of {args.model} has {len(image.data):,} bytes",
                f"at most {room:,} bytes",
                "make the partition larger, or train a smaller model",
            )
    if args.c_array:
        _c_array(args, model)
    if image:
        _image(args, image, destination)


def _misused(args: argparse.Namespace) -> str:
    """What is wrong with the choice of options; empty if nothing is."""
    chosen = [name for name in ("esp32", "rp2040", "probe") if getattr(args, name) is not None]
    chosen += ["image"] * args.image
    if not chosen and not args.c_array:
        return "one of --c-array, --image, --esp32, --rp2040, --probe is required"
    for name, owners in BELONGS.items():
        if getattr(args, name) is not None and not set(owners) & set(chosen):
            owner = " or ".join(f"--{owner}" for owner in owners)
            return f"--{name.replace('_', '-')} goes with {owner}"
    return ""


def _destination(args: argparse.Namespace) -> Esp32 | Rp2 | Probe | None:
    if args.esp32 is not None:
        port, offset = args.esp32
        return Esp32(port, _place(offset), args.partition_size, args.partition_table)
    if args.rp2040 is not None:
        address = DEFAULT_ADDRESS if args.offset is None else args.offset
        family = args.family or "rp2040"
        return Rp2(args.rp2040, family, address, args.flash_size, args.partition_size)
    if args.probe is not None:
        target, address = args.probe
        return Probe(target, _place(address), args.partition_size, args.probe_id, args.flash_size)
    return None


def _c_array(args: argparse.Namespace, model: MicroModel) -> None:
    made = write_c_array(model, args.out)
    if args.json:
        print(json.dumps(asdict(made)))
        return
    for file in made.files:
        print(file)
    print(
        f"model {made.model_bytes:,} bytes; arena {made.arena_bytes:,} bytes "
        f"({made.arena_measured_bytes:,} measured by tflite-micro {made.tflite_micro}); "
        f"{len(made.operators)} operators; {made.golden} golden inputs"
    )


def _image(args: argparse.Namespace, image: Image, destination: Esp32 | Rp2 | Probe | None) -> None:
    files = write_image(image, identifier(args.model.stem), args.out)
    written = destination.write(image, files[0], say) if destination else None
    if args.json:
        facts = {name: value for name, value in asdict(image).items() if name != "data"}
        facts = {"files": [str(file) for file in files], "image_bytes": len(image.data), **facts}
        facts["written"] = written.text if written else None
        facts["confirmed"] = written.confirmed if written else None
        print(json.dumps(facts))
        return
    for file in files:
        print(file)
    print(
        f"image {len(image.data):,} bytes; model {image.model_bytes:,}, SHA-256 "
        f"{image.sha256[:12]}, counter {image.counter}; arena {image.arena_bytes:,} bytes"
    )
    if written:
        print(written.text)


def _place(text: str) -> int:
    try:
        return parse_number(text)
    except ValueError:
        raise FlashError(f"{text!r} is no address", "a number such as 0x110000") from None


def _number(text: str) -> int:
    try:
        return parse_number(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number such as 0x110000") from None


def _size(text: str) -> int:
    size = _number(text)
    if size <= 0:
        raise argparse.ArgumentTypeError(f"{text} is no size; more than 0 was expected")
    return size
