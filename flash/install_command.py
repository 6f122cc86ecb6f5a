"""``python -m flash pi --install`` and ``--uninstall``: their options and words."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.cli.shell import say
from edge_runtime.models import default_model_path

from . import bundle_command
from .errors import FlashError
from .on_device.places import DEPLOY_USER
from .options import refuse_options

if TYPE_CHECKING:
    from .bundle import Bundle
    from .install import Installed
    from .ssh import SshTarget

__all__ = ["add_options", "prepare", "prepare_removal", "refuse_others"]

# What says how a model is sent, and nothing of how a device is set up.
SENDING = ("force", "keep", "remote_dir", "unsigned")
# What `add_options` adds beside --install and --uninstall.
OWN = ("camera", "deploy_key", "remove_key", "wheelhouse")


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
        "--remove-key",
        action="append",
        metavar="KEY",
        help="a key that may neither sign nor bring models there any more: its .pub, or its "
        "SHA256:… as ssh-keygen -l names it; may be repeated",
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
    refuse_options(args, OWN, "is for setting a device up", "--install beside it", "")


def prepare(
    args: argparse.Namespace, progress: Callable[[int], Callable[[int], None]]
) -> Callable[[SshTarget], None]:
    """Makes ready what ``--install`` does to a device.

    Args:
        args: The parsed arguments of `pi`.
        progress: Given a number of bytes, what shows how many of them were sent.

    Returns:
        What sets up the device that an operator's login leads to, and says what it did.

    Raises:
        FlashError: The options make no sense, or a key cannot be used.
    """
    from .install import install
    from .install_keys import fingerprint_of, private_half, public_key
    from .install_plan import Wanted, camera_words
    from .wheelhouse import default_folder

    _refuse_sending(args)
    if args.bundle is not None:
        # Not --key and --device-type: they say what the device is to be, too.
        refuse_options(args, ("golden", "counter"), "cannot change a bundle that is made")
    if args.key is None:
        raise FlashError(
            "nothing says whose models the device takes",
            "--key KEY",
            "use --key ~/.ssh/id_ed25519, the key that signs them",
        )
    signer = public_key(args.key)
    sender = public_key(args.deploy_key) if args.deploy_key else signer
    without = tuple(fingerprint_of(key) for key in args.remove_key or ())
    if {signer.fingerprint, sender.fingerprint} & set(without):
        raise FlashError(
            "--remove-key names a key that is to be put there",
            "another one than --key and --deploy-key",
            "name the key that stays with --key",
        )
    wanted = Wanted(
        signer=signer,
        sender=sender,
        camera=None if args.camera is None else camera_words(args.camera),
        device_type=args.device_type,
        wheelhouse=args.wheelhouse or default_folder(),
        without_keys=without,
    )

    @cache  # One bundle for all devices, and none where each has a model.
    def model() -> Bundle:
        from .bundle import read_bundle

        if args.bundle is not None:
            return read_bundle(args.bundle)
        return bundle_command.make(args, args.model or default_model_path())

    show = cache(progress)

    def serve(target: SshTarget) -> None:
        done = install(
            target,
            wanted,
            model,
            model_is_named=args.model is not None or args.bundle is not None,
            dry_run=args.dry_run,
            say=say,
            on_sent=lambda sent, total: show(total)(sent),
        )
        _tell(done, args.json)
        if done.outcome == "installed" and not args.json:
            key = private_half(args.deploy_key or args.key)
            print(f"send the next model with: {_sending(target, key)}")

    return serve


def prepare_removal(args: argparse.Namespace) -> Callable[[SshTarget], None]:
    """Makes ready what ``--uninstall`` does to a device.

    Args:
        args: The parsed arguments of `pi`.

    Returns:
        What removes all of it from the device that an operator's login leads to, and says so.

    Raises:
        FlashError: The options make no sense.
    """
    from .install import uninstall

    _refuse_sending(args)
    others = ("model", "bundle", *bundle_command.MAKING_OPTIONS, *OWN)
    refuse_options(args, others, "says nothing together with --uninstall")
    return lambda target: _tell(uninstall(target, dry_run=args.dry_run, say=say), args.json)


def _refuse_sending(args: argparse.Namespace) -> None:
    refuse_options(args, SENDING, "says nothing about setting a device up")
    if args.remote_command != ["edge-run"]:
        raise FlashError(
            "--remote-command says nothing about setting a device up", "", "leave it out"
        )


def _tell(done: Installed, as_json: bool) -> None:
    if as_json:
        print(json.dumps(done.to_dict(), ensure_ascii=False), flush=True)
    else:
        _describe(done)


def _describe(done: Installed) -> None:
    for note in done.notes:
        print(f"{done.host}: {note}")
    if done.outcome == "unchanged":
        print(f"{done.host}: nothing to change")
        return
    changes = list(done.changes)
    if done.model is not None and done.model["outcome"] == "would-activate":
        name = f"{done.model['name']} {done.model['variant']}"
        changes.append(f"{name} sent and made active, and the service started with it")
    if done.outcome.startswith("would-"):
        for change in changes:
            print(f"{done.host}: would be: {change}")
        return
    count = f"{len(changes)} change{'' if len(changes) == 1 else 's'}"
    if done.outcome == "removed":
        print(f"{done.host}: removed; {count}")
        return
    print(f"{done.host}: installed; {count}; the service is {done.service}")
    if done.model is not None:
        active = done.model["active"]
        print(f"{done.host}: {active['name']} {active['variant']} is active")


def _sending(target: SshTarget, key: Path) -> str:
    """The command that sends a model to a device that was set up, as it must be typed."""
    host = target.destination.rpartition("@")[2]
    words = ["python", "-m", "flash", "pi", f"{DEPLOY_USER}@{host}", "--identity", str(key)]
    if target.port is not None:
        words += ["--port", str(target.port)]
    if target.config is not None:
        words += ["--ssh-config", str(target.config)]
    for option in target.options:
        words += ["--ssh-option", option]
    return shlex.join([*words, "--bundle", "FILE.edge"])
