"""``python -m flash pi --install`` and ``--uninstall``: their options and words."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.cli.shell import say

from .errors import FlashError
from .ssh import SshTarget

if TYPE_CHECKING:
    from .bundle import Bundle
    from .install import Installed

__all__ = ["add_options", "handle", "refuse_others"]

# What says how a model is sent, and nothing of how a device is set up.
SENDING = ("force", "keep", "remote_dir", "unsigned")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds what `pi` takes for setting a device up."""
    group = parser.add_argument_group(
        "setting a device up",
        "over your own login there, which must be root's or have sudo without a password; --key "
        "names whose models the device takes",
    )
    what = group.add_mutually_exclusive_group()
    what.add_argument(
        "--install",
        action="store_true",
        help="bring a bare device to a running service, or an older one up to date",
    )
    what.add_argument(
        "--uninstall", action="store_true", help="remove all of that, the models included"
    )
    group.add_argument(
        "--camera",
        metavar="SOURCE",
        help="what the service reads, with options of edge-run camera if they are quoted together "
        "(default: what is set there, else auto)",
    )
    group.add_argument(
        "--deploy-key",
        type=Path,
        metavar="KEY",
        help="who may bring models there as edge-deploy (default: the key that signs them)",
    )
    group.add_argument(
        "--wheelhouse",
        type=Path,
        metavar="DIR",
        help="folder for downloaded wheels (default: ~/.cache/edge-runtime/wheels)",
    )


def refuse_others(args: argparse.Namespace) -> None:
    """Refuses the options of this module where neither ``--install`` nor ``--uninstall`` is.

    Args:
        args: The parsed arguments of `pi`.

    Raises:
        FlashError: One of them was given.
    """
    for name in ("camera", "deploy_key", "wheelhouse"):
        if getattr(args, name) is not None:
            raise FlashError(
                f"--{name.replace('_', '-')} is for setting a device up", "--install beside it"
            )


def handle(
    args: argparse.Namespace,
    target: SshTarget,
    bundle: Callable[[argparse.Namespace], Bundle],
    progress: Callable[[int], Callable[[int], None]],
) -> int:
    """Runs `pi` with ``--install`` or ``--uninstall``.

    Args:
        args: The parsed arguments.
        target: The operator's login.
        bundle: Makes or reads the bundle that the arguments name.
        progress: Given a number of bytes, what shows how many of them were sent.

    Returns:
        The exit status.

    Raises:
        FlashError: The device could not be set up.
    """
    from .install import uninstall

    for name in SENDING:
        if getattr(args, name) not in (None, False):
            raise FlashError(
                f"--{name.replace('_', '-')} says nothing about setting a device up",
                "",
                "leave it out",
            )
    if args.remote_command != ["edge-run"]:
        raise FlashError(
            "--remote-command says nothing about setting a device up", "", "leave it out"
        )
    if args.uninstall:
        for name in ("model", "bundle", "key", "camera", "deploy_key", "wheelhouse"):
            if getattr(args, name) is not None:
                raise FlashError(
                    f"--{name.replace('_', '-')} says nothing together with --uninstall",
                    "",
                    "leave it out",
                )
        done = uninstall(target, dry_run=args.dry_run, say=say)
    else:
        done = _install(args, target, bundle, progress)
    if args.json:
        print(json.dumps(done.to_dict(), ensure_ascii=False))
    else:
        _describe(done)
    return 0


def _install(
    args: argparse.Namespace,
    target: SshTarget,
    bundle: Callable[[argparse.Namespace], Bundle],
    progress: Callable[[int], Callable[[int], None]],
) -> Installed:
    from edge_runtime.models import default_model_path

    from .install import Wanted, install
    from .install_plan import camera_words, public_key
    from .wheelhouse import default_folder

    if args.key is None:
        raise FlashError(
            "nothing says whose models the device takes",
            "--key KEY",
            "use --key ~/.ssh/id_ed25519, the key that signs them",
        )
    signer = public_key(args.key)
    wanted = Wanted(
        signer=signer,
        sender=public_key(args.deploy_key) if args.deploy_key else signer,
        camera=None if args.camera is None else camera_words(args.camera),
        device_type=args.device_type,
        wheelhouse=args.wheelhouse or default_folder(),
    )
    named = args.model is not None or args.bundle is not None
    if not named:
        args.model = default_model_path()

    def make() -> Bundle:
        if args.bundle is not None:
            # Here the key says whose models are taken, not how the bundle is made.
            args.key = args.device_type = None
        return bundle(args)

    shown: list[Callable[[int], None]] = []

    def on_sent(sent: int, total: int) -> None:
        if not shown:
            shown.append(progress(total))
        shown[0](sent)

    return install(
        target,
        wanted,
        make,
        model_is_named=named,
        dry_run=args.dry_run,
        say=say,
        on_sent=on_sent,
    )


def _describe(done: Installed) -> None:
    for note in done.notes:
        print(f"{done.host}: {note}")
    if done.outcome == "unchanged":
        print(f"{done.host}: nothing to change")
        return
    if done.outcome.startswith("would-"):
        for change in done.changes:
            print(f"{done.host}: would be: {change}")
        return
    if done.outcome == "removed":
        print(f"{done.host}: removed; {len(done.changes)} changes")
        return
    print(f"{done.host}: installed; {len(done.changes)} changes; the service is {done.service}")
    if done.model is not None:
        active = done.model["active"]
        print(f"{done.host}: {active['name']} {active['variant']} is active")
    host = done.host.rpartition("@")[2]
    print(f"send the next model with: python -m flash pi edge-deploy@{host} --bundle FILE.edge")
