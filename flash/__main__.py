"""Puts models on devices.

`python -m flash bundle` makes one signed file of a model and its golden inputs;
`python -m flash pi` sends one to a Raspberry Pi over SSH and makes it the active one there;
`python -m flash fleet` sends a bundle to every device of an Ansible inventory, in waves;
`python -m flash mcu` turns one into C source for TensorFlow Lite Micro, or into a flash image.

Examples:
  python -m flash bundle build/digits_int8.tflite --key ~/.ssh/id_ed25519
  python -m flash pi pi@raspberrypi.local --bundle digits_int8.edge
  python -m flash pi pi@10.0.0.7 --model build/digits_int8.tflite --unsigned --dry-run
  python -m flash fleet hosts.ini --bundle digits_int8.edge --check
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
from typing import TYPE_CHECKING

from edge_runtime.cli.shell import add_debug_option, run, say
from edge_runtime.manifest import DEFAULT_DEVICE_TYPE

from . import bundle_command, install_command, mcu_command
from .errors import FlashError
from .fleet import command as fleet_command

if TYPE_CHECKING:
    from .bundle import Bundle

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
    verbs = parser.add_subparsers(dest="verb", metavar="bundle|pi|fleet|mcu", required=True)
    _configure_pi(_add(verbs, "pi", "send a model to a Raspberry Pi over SSH", _PI_HELP))
    fleet_command.configure(
        _add(verbs, "fleet", "send a bundle to many devices, with Ansible", fleet_command.HELP)
    )
    mcu_command.configure(_add(verbs, "mcu", mcu_command.SUMMARY, mcu_command.HELP))
    bundle_command.configure(
        _add(verbs, "bundle", "make or show a signed bundle", bundle_command.HELP)
    )
    handlers = {
        "bundle": bundle_command.handle,
        "pi": _pi,
        "fleet": fleet_command.handle,
        "mcu": mcu_command.handle,
    }
    return run(parser, argv, lambda args: handlers[args.verb](args))


_PI_HELP = """\
Sends a model to a Raspberry Pi, or any Linux machine with edge-runtime, over SSH.

The model and its golden inputs travel in one bundle over one connection. There, its signature is
verified, it answers its golden inputs in a process of its own, and then takes the place of the
active model in one step. The service is restarted and watched. If anything fails, the old model is
the active one.

Examples:
  python -m flash pi pi@raspberrypi.local --bundle digits_int8.edge
  python -m flash pi pi@raspberrypi.local --model M.tflite --key ~/.ssh/id_ed25519
  python -m flash pi pi@10.0.0.7 --model M.tflite --unsigned --remote-command edge/bin/edge-run
  python -m flash pi pi@10.0.0.7 --bundle M.edge --dry-run     what it would change
  python -m flash pi pi@10.0.0.7 --install --key ~/.ssh/id_ed25519    a bare Pi, made ready
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
    sent = parser.add_mutually_exclusive_group()
    sent.add_argument(
        "--model", type=Path, metavar="M", help="a model from python -m convert, to bundle and send"
    )
    sent.add_argument(
        "--bundle", type=Path, metavar="FILE", help="a bundle from python -m flash bundle"
    )
    bundle_command.add_making_options(parser)
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace a model by one with another input or other labels",
    )
    parser.add_argument(
        "--keep", type=_count, metavar="N", help="old models that stay there (default: it decides)"
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
    install_command.add_options(parser)


def _bundle(args: argparse.Namespace) -> Bundle:
    """The bundle that `pi` sends: made now, or read from its file."""
    from .bundle import make_bundle, read_bundle

    if args.bundle is not None:
        for name in ("golden", "key", "unsigned", "device_type", "counter"):
            if getattr(args, name) not in (None, False):
                raise FlashError(
                    f"--{name.replace('_', '-')} cannot change a bundle that is made",
                    "",
                    "leave it out, or make another one with python -m flash bundle",
                )
        return read_bundle(args.bundle)
    if args.model is None:
        raise FlashError("nothing is named to send", "--model or --bundle")
    bundle_command.require_key(args)
    return make_bundle(
        args.model,
        args.golden,
        key=args.key,
        device_type=args.device_type or DEFAULT_DEVICE_TYPE,
        counter=args.counter,
    )


def _pi(args: argparse.Namespace) -> int:
    from .pi import Device, compare, deploy
    from .ssh import SshTarget

    if not args.remote_command:
        raise FlashError("--remote-command is empty", "a command", "leave it out for edge-run")
    target = SshTarget(args.host, args.port, args.identity, args.ssh_config, tuple(args.ssh_option))
    if args.install or args.uninstall:
        return install_command.handle(args, target, _bundle, _progress)
    install_command.refuse_others(args)
    device = Device(target, tuple(args.remote_command), args.remote_dir, args.force, args.keep)
    bundle = _bundle(args)
    contract = bundle.contract
    say(
        f"{args.model or args.bundle}: {contract.name} {contract.variant}, "
        f"{bundle.size_bytes:,} bytes, SHA-256 {bundle.sha256[:12]}, counter "
        f"{bundle.manifest.counter}, {bundle.golden_inputs} golden inputs from {bundle.golden_path}"
    )
    if args.dry_run:
        say(f"asking {args.host} what is active there")
        done = compare(device, bundle)
    else:
        say(f"sending {len(bundle.data):,} bytes to {args.host}")
        done = deploy(
            device,
            bundle,
            on_sent=_progress(len(bundle.data)),
            on_step=lambda line: say(f"{args.host}: {line}"),
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


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port; 1 to 65535 was expected")
    return port


if __name__ == "__main__":
    sys.exit(main())
