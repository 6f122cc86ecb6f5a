"""``python -m flash pi``: a model to a Raspberry Pi, or to a few."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.cli.numbers import whole_number
from edge_runtime.cli.shell import say
from edge_runtime.device_settings import MAX_KEEP
from edge_runtime.errors import EdgeRuntimeError

from . import bundle_command, install_command
from .errors import FlashError
from .options import refuse_options

if TYPE_CHECKING:
    from .bundle import Bundle
    from .pi import Deployment
    from .ssh import SshTarget

__all__ = ["HELP", "configure", "handle"]

HELP = """\
Sends a model to a Raspberry Pi, or any Linux machine with edge-runtime, over SSH.

The model and its golden inputs travel in one bundle over one connection. There, its signature is
verified, it answers its golden inputs in a process of its own, and then takes the place of the
active model in one step. The service is restarted and watched. If anything fails, the old model is
the active one.

Several devices are served one after the other; for more than a handful there is
python -m flash fleet.

Examples:
  python -m flash pi pi@raspberrypi.local --bundle digits_int8.edge
  python -m flash pi pi@raspberrypi.local --model M.tflite --key ~/.ssh/id_ed25519
  python -m flash pi pi@10.0.0.7 --model M.tflite --unsigned --remote-command edge/bin/edge-run
  python -m flash pi pi@10.0.0.7 --bundle M.edge --dry-run     what it would change
  python -m flash pi pi@10.0.0.7 --install --key ~/.ssh/id_ed25519    a bare Pi, made ready
  python -m flash pi pi@10.0.0.7 pi@10.0.0.8 --bundle M.edge   two of them
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's options."""
    parser.add_argument("hosts", nargs="+", metavar="USER@HOST", help="a device, as ssh knows it")
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
        "--keep",
        type=whole_number(1, MAX_KEEP),
        metavar="N",
        help=f"old models that stay there, 1 to {MAX_KEEP} (default: it decides)",
    )
    parser.add_argument("--port", type=whole_number(1, 65535, "port"), metavar="N", help="SSH port")
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
    parser.add_argument("--json", action="store_true", help="print one JSON object a device")
    install_command.add_options(parser)


def handle(args: argparse.Namespace) -> int:
    """Runs the verb."""
    from .ssh import SshTarget

    serve = _prepare(args)
    targets = [
        SshTarget(host, args.port, args.identity, args.ssh_config, tuple(args.ssh_option))
        for host in dict.fromkeys(args.hosts)
    ]
    failed = 0
    for target in targets:
        try:
            serve(target)
        except EdgeRuntimeError as error:
            failed += 1
            if args.json:
                failure = {"host": target.destination, "error": str(error)}
                print(json.dumps(failure, ensure_ascii=False), flush=True)
            if len(targets) == 1:
                raise
            if not args.json:
                _tell_failure(target.destination, error)
    if failed:
        raise FlashError(f"{failed} of {len(targets)} devices failed")
    return 0


def _prepare(args: argparse.Namespace) -> Callable[[SshTarget], None]:
    """What is to be done to each device; whatever is wrong with the arguments is told here."""
    if not args.remote_command:
        raise FlashError("--remote-command is empty", "a command", "leave it out for edge-run")
    if args.install:
        return install_command.prepare(args, _progress)
    if args.uninstall:
        return install_command.prepare_removal(args)
    install_command.refuse_others(args)
    bundle = _bundle(args)
    contract = bundle.contract
    say(
        f"{args.model or args.bundle}: {contract.name} {contract.variant}, "
        f"{bundle.size_bytes:,} bytes, SHA-256 {bundle.sha256[:12]}, counter "
        f"{bundle.manifest.counter}, {bundle.golden_inputs} golden inputs from {bundle.golden_path}"
    )
    return partial(_send, args, bundle)


def _bundle(args: argparse.Namespace) -> Bundle:
    """The bundle that is sent: made now, or read from its file."""
    from .bundle import read_bundle

    if args.bundle is not None:
        refuse_options(
            args,
            bundle_command.MAKING_OPTIONS,
            "cannot change a bundle that is made",
            remedy="leave it out, or make another one with python -m flash bundle",
        )
        return read_bundle(args.bundle)
    if args.model is None:
        raise FlashError("nothing is named to send", "--model or --bundle")
    return bundle_command.make(args, args.model)


def _send(args: argparse.Namespace, bundle: Bundle, target: SshTarget) -> None:
    from .pi import Device, compare, deploy

    host = target.destination
    device = Device(target, tuple(args.remote_command), args.remote_dir, args.force, args.keep)
    if args.dry_run:
        say(f"asking {host} what is active there")
        done = compare(device, bundle)
    else:
        say(f"sending {len(bundle.data):,} bytes to {host}")
        done = deploy(
            device,
            bundle,
            on_sent=_progress(len(bundle.data)),
            on_step=lambda line: say(f"{host}: {line}"),
        )
    if args.json:
        print(json.dumps(done.to_dict(), ensure_ascii=False), flush=True)
    else:
        _describe(done)


def _describe(done: Deployment) -> None:
    now = _named(done.active)
    if done.outcome == "unchanged":
        print(f"{done.host}: {now} was active already; nothing changed")
    elif done.outcome == "would-activate":
        print(
            f"{done.host}: {now} is active; {done.name} {done.variant} ({done.sha256[:12]}) would "
            "take its place"
        )
    else:
        print(f"{done.host}: {now} is active now; before it was {_named(done.previous)}")
        if (test := done.self_test) is not None:
            print(
                f"{test['inputs']} golden inputs answered by {test['backend']} "
                f"{test['backend_version']}, largest difference {test['largest_difference']:.4f} "
                f"(at most {test['tolerance']:g})"
            )


def _tell_failure(host: str, error: EdgeRuntimeError) -> None:
    # Most reasons begin with the device, as the line does already.
    say(f"{host}: error: {str(error).removeprefix(host).lstrip(' :')}")


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
