"""Puts models on devices.

`python -m flash pi` sends one to a Raspberry Pi over SSH and makes it the active one there;
`python -m flash mcu` turns one into C source for TensorFlow Lite Micro, or into a flash image.

Examples:
  python -m flash pi pi@raspberrypi.local --model build/digits_int8.tflite
  python -m flash pi pi@10.0.0.7 --model build/digits_int8.tflite --dry-run
  python -m flash mcu build/digits_int8.tflite --c-array
  python -m flash mcu build/digits_int8.tflite --rp2040 build/digits.uf2
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from edge_runtime.cli.shell import add_debug_option, run

from . import mcu_command
from .errors import FlashError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``python -m flash``.

    Args:
        argv: The arguments; by default those of the process.

    Returns:
        The exit status: 0 done, 1 failed, 2 wrong usage.
    """
    parser = argparse.ArgumentParser(
        prog="python -m flash",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", metavar="pi|mcu", required=True)
    _configure_pi(_add(verbs, "pi", "send a model to a Raspberry Pi over SSH", _PI_HELP))
    mcu_command.configure(_add(verbs, "mcu", mcu_command.SUMMARY, mcu_command.HELP))
    return run(parser, argv, lambda args: (_pi if args.verb == "pi" else mcu_command.handle)(args))


_PI_HELP = """\
Sends a model to a Raspberry Pi, or any Linux machine with edge-runtime, over SSH.

The model and its golden inputs travel in one bundle over one connection. There, its checksum is
verified, it answers its golden inputs in a process of its own, and then takes the place of the
active model in one step. If anything fails, the old model stays active.

Examples:
  python -m flash pi pi@raspberrypi.local --model build/digits_int8.tflite
  python -m flash pi pi@10.0.0.7 --model M.tflite --remote-command edge/bin/edge-run
  python -m flash pi pi@10.0.0.7 --model M.tflite --dry-run     what it would change
"""


def _add(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    description: str,
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(
        name,
        help=summary,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_debug_option(parser)
    return parser


def _configure_pi(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("host", metavar="USER@HOST", help="the device, as ssh knows it")
    parser.add_argument(
        "--model", type=Path, required=True, metavar="M", help="a model from python -m convert"
    )
    parser.add_argument(
        "--golden",
        type=Path,
        metavar="FILE",
        help="its NAME.golden.npz (default: beside the model, then in models/)",
    )
    parser.add_argument("--port", type=_port, metavar="N", help="SSH port")
    parser.add_argument("--identity", type=Path, metavar="FILE", help="private SSH key")
    parser.add_argument(
        "--ssh-config", type=Path, metavar="FILE", help="SSH configuration instead of your own"
    )
    parser.add_argument(
        "--ssh-option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="further option for ssh -o; may be repeated",
    )
    parser.add_argument(
        "--remote-command",
        type=shlex.split,
        default=["edge-run"],
        metavar="CMD",
        help="the runtime there, for example edge/bin/edge-run (default: edge-run)",
    )
    parser.add_argument(
        "--remote-dir",
        metavar="DIR",
        help="folder for models there (default: ~/.local/share/edge-runtime)",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would change, no more")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _pi(args: argparse.Namespace) -> int:
    from .bundle import make_bundle
    from .pi import Device, compare, deploy
    from .ssh import SshTarget

    if not args.remote_command:
        raise FlashError("--remote-command is empty", "a command", "leave it out for edge-run")
    target = SshTarget(args.host, args.port, args.identity, args.ssh_config, tuple(args.ssh_option))
    device = Device(target, tuple(args.remote_command), args.remote_dir)
    bundle = make_bundle(args.model, args.golden)
    contract = bundle.contract
    _say(
        f"{args.model}: {contract.name} {contract.variant}, {bundle.size_bytes:,} bytes, SHA-256 "
        f"{bundle.sha256[:12]}, {bundle.golden_inputs} golden inputs from {bundle.golden_path}"
    )
    if args.dry_run:
        _say(f"asking {args.host} what is active there")
        done = compare(device, bundle)
    else:
        _say(f"sending {len(bundle.data):,} bytes to {args.host}")
        done = deploy(
            device,
            bundle,
            on_sent=_progress(len(bundle.data)),
            on_step=lambda line: _say(f"{args.host}: {line}"),
        )
    if args.json:
        print(json.dumps(done.to_dict(), ensure_ascii=False))
        return 0
    now, before = _named(done.active), _named(done.previous)
    if done.outcome == "unchanged":
        print(f"{args.host}: {now} was active already; nothing changed")
    elif done.outcome == "would-activate":
        print(
            f"{args.host}: {now} is active; {contract.name} {contract.variant} "
            f"({bundle.sha256[:12]}) would take its place"
        )
    else:
        print(f"{args.host}: {now} is active now; before it was {before}")
        test = done.self_test or {}
        print(
            f"{test['inputs']} golden inputs answered by {test['backend']} "
            f"{test['backend_version']}, largest difference {test['largest_difference']:.4f} "
            f"(at most {test['tolerance']:g})"
        )
    return 0


def _progress(total: int) -> Callable[[int], None]:
    """Percentages on stderr: one line for a person who watches, none in a log."""
    if not sys.stderr.isatty():
        return lambda _: None

    def show(sent: int) -> None:
        end = "\n" if sent == total else ""
        print(f"\rsent {sent * 100 // total} %", end=end, file=sys.stderr, flush=True)

    return show


def _named(release: dict | None) -> str:
    if release is None:
        return "none"
    return f"{release['name']} {release['variant']} ({release['sha256'][:12]})"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port; 1 to 65535 was expected")
    return port


if __name__ == "__main__":
    sys.exit(main())
