"""``python -m flash bundle``: makes a bundle, or shows one."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.cli.numbers import whole_number
from edge_runtime.cli.shell import printable, say
from edge_runtime.files import write_atomic
from edge_runtime.manifest import DEFAULT_DEVICE_TYPE, MAX_COUNTER

from .errors import FlashError
from .options import refuse_options

if TYPE_CHECKING:
    from .bundle import Bundle
    from .show import Shown

__all__ = ["HELP", "MAKING_OPTIONS", "add_making_options", "configure", "handle", "make"]

# What `add_making_options` adds, as attributes of the parsed arguments.
MAKING_OPTIONS = ("golden", "key", "unsigned", "device_type", "counter")

HELP = """\
Makes one signed file from a model and its golden inputs, for any number of devices; or shows one.

Devices verify the signature with ssh-keygen, as they do at home with git commits: the key is an SSH
key of yours, and a device knows its public half. A counter keeps old bundles from coming back.

Examples:
  python -m flash bundle build/digits_int8.tflite --key ~/.ssh/id_ed25519
  python -m flash bundle build/digits_int8.tflite --key ~/.ssh/id_ed25519.pub   by the agent
  python -m flash bundle build/digits_int8.tflite --unsigned        for development
  python -m flash bundle --show digits_int8.edge --allowed-signers allowed_signers
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's options."""
    parser.add_argument(
        "model", type=Path, nargs="?", metavar="MODEL", help="a model from python -m convert"
    )
    add_making_options(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the file to write (default: MODEL.edge here)"
    )
    parser.add_argument(
        "--show", type=Path, metavar="FILE", help="say what is in a bundle and who signed it"
    )
    parser.add_argument(
        "--allowed-signers",
        type=Path,
        metavar="FILE",
        help="with --show: who may sign, as on the devices",
    )
    parser.add_argument(
        "--revoked-keys", type=Path, metavar="FILE", help="with --show: keys that count no more"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_making_options(parser: argparse.ArgumentParser) -> None:
    """Adds what says how a bundle is made; `pi` makes one on its way."""
    parser.add_argument(
        "--golden",
        type=Path,
        metavar="FILE",
        help="its NAME.golden.npz (default: beside the model, then in models/)",
    )
    signed = parser.add_mutually_exclusive_group()
    signed.add_argument(
        "--key", type=Path, metavar="KEY", help="SSH key to sign with, or its .pub for the agent's"
    )
    signed.add_argument(
        "--unsigned",
        action="store_true",
        help="for development: no signature; a device must be told to take it",
    )
    # None, so that `pi --bundle` sees what was given; a bundle's own cannot be changed.
    parser.add_argument(
        "--device-type",
        type=_short_name,
        metavar="TYPE",
        help=f"the kind of device it is for (default: {DEFAULT_DEVICE_TYPE})",
    )
    parser.add_argument(
        "--counter",
        type=whole_number(0, MAX_COUNTER),
        metavar="N",
        help="larger than in earlier bundles (default: the seconds since 1970, which only grow; "
        "stay with one of the two ways)",
    )


def _short_name(text: str) -> str:
    if not (0 < len(text) <= 64 and text.isprintable()):
        raise argparse.ArgumentTypeError(f"{text!r:.80} is not a name of 1 to 64 characters")
    return text


def handle(args: argparse.Namespace) -> int:
    """Runs the verb."""
    if args.show is not None:
        if args.model is not None:
            raise FlashError("--show takes no model beside it", "", "leave one of them out")
        refuse_options(args, (*MAKING_OPTIONS, "out"), "says nothing together with --show")
        return _show(args)
    refuse_options(args, ("allowed_signers", "revoked_keys"), "goes with --show")
    if args.model is None:
        raise FlashError("no model is named", "a .tflite file", "or name a bundle with --show")
    return _make(args)


def make(args: argparse.Namespace, model: Path) -> Bundle:
    """Makes the bundle that the options of `add_making_options` describe.

    Args:
        args: The parsed arguments.
        model: The model in it.

    Returns:
        The bundle.

    Raises:
        FlashError: Nobody said how it is signed, or it could not be made.
    """
    from .bundle import make_bundle

    if args.key is None and not args.unsigned:
        raise FlashError(
            "nothing says with which key to sign",
            "--key KEY",
            "use --key ~/.ssh/id_ed25519, or --unsigned for development",
        )
    return make_bundle(
        model,
        args.golden,
        key=args.key,
        device_type=DEFAULT_DEVICE_TYPE if args.device_type is None else args.device_type,
        counter=args.counter,
    )


def _make(args: argparse.Namespace) -> int:
    out = args.out or Path(f"{args.model.stem}.edge")
    _refuse_overwriting(out, args.model, args.golden, *_key_files(args.key))
    bundle = make(args, args.model)
    _refuse_overwriting(out, bundle.golden_path)
    write_atomic(out, bundle.data)
    manifest = bundle.manifest
    if args.json:
        fields = {
            "path": str(out),
            "size_bytes": len(bundle.data),
            "signed": bundle.signature is not None,
            "golden_inputs": bundle.golden_inputs,
            **{name: value for name, value in asdict(manifest).items() if name != "contract"},
        }
        print(json.dumps(fields, ensure_ascii=False))
        return 0
    signed = f"signed with {args.key}" if args.key else "not signed"
    # The time, because devices keep it: it is for a person to see that a clock is ahead.
    line = (
        f"{out}: {manifest.name} {manifest.variant} for {manifest.device_type}, "
        f"{len(bundle.data):,} bytes, made at {manifest.created_at}, counter {manifest.counter}, "
        f"{bundle.golden_inputs} golden inputs, {signed}"
    )
    print(printable(line))
    return 0


def _key_files(key: Path | None) -> tuple[Path, ...]:
    """A key's files: its private half, its public half, and that with a certificate."""
    if key is None:
        return ()
    private = key.expanduser()
    if private.suffix == ".pub":
        private = private.with_suffix("")
    return private, Path(f"{private}.pub"), Path(f"{private}-cert.pub")


def _refuse_overwriting(out: Path, *inputs: Path | None) -> None:
    # Here, because it imports NumPy, which by now is needed anyway.
    from edge_runtime.cli.paths import refuse_overwriting

    refuse_overwriting([str(path) for path in inputs if path is not None], [("--out", out)])


def _show(args: argparse.Namespace) -> int:
    from .show import show

    shown = show(args.show, args.allowed_signers, args.revoked_keys)
    if args.json:
        print(json.dumps(shown.to_dict(), ensure_ascii=False))
    else:
        for line in _lines(shown):
            print(printable(line))
    if shown.problem:
        say(f"python -m flash: error: {shown.problem}")
        return 1
    return 0


def _lines(shown: Shown) -> Iterator[str]:
    """What `show` found, in words; others wrote some of them."""
    contract = shown.contract
    yield f"{shown.name} {shown.variant} for {shown.device_type}, counter {shown.counter}"
    yield f"made at {shown.created_at}, for edge-runtime {shown.minimum_runtime} or newer"
    yield (
        f"input {contract['height']} × {contract['width']} × {contract['channels']}, "
        f"{len(contract['labels'])} labels, {shown.golden_inputs} golden inputs, "
        f"tolerance {shown.tolerance:g}"
    )
    for file in shown.files:
        yield f"{file['sha256']}  {file['size_bytes']:>10,} bytes  {file['name']}"
    yield _signature_line(shown.signed, shown.key, shown.signer, shown.verified)


def _signature_line(
    signed: bool, key: str | None, signer: str | None, verified: bool | None
) -> str:
    if not signed:
        return "not signed"
    if verified:
        return f"signed by {signer} with {key}: verified"
    if verified is None:
        return f"signed with {key}; nobody said whose key that is (--allowed-signers)"
    return f"signed with {key or 'an unknown key'}: NOT verified"
