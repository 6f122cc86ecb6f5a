"""Trains an image classifier: from labelled pictures to a Keras model with contract and figures."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.cli.numbers import whole_number
from edge_runtime.cli.shell import say
from edge_runtime.errors import InputError
from edge_runtime.files import exclusive_lock, writable_folder

from .cluster import Cluster, read_cluster
from .config import CONFIGS, TrainConfig, load_config
from .dataset import DataSet
from .errors import ConfigError
from .options import add_data_options

if TYPE_CHECKING:
    from .finetune import Start

__all__ = ["EPILOG", "configure", "handle"]

EPILOG = """\
examples:
  python -m train                                        the notebook's network on MNIST
  python -m train --config nano                          a small fast one
  python -m train --config nano --limit 2000 --epochs 5  a quick try
  python -m train --data photos/ --name fruit            your pictures, a subfolder for each class
  python -m train --data letters.npz --fit ink           handwriting other than MNIST's
  python -m train --from digits.keras --data my/         a trained model on a few pictures of yours
  python -m train --resume                               go on after an interruption
  python -m train export --help                          a data set as picture files

A FILE for --config is JSON with fields of a configuration, for example
  {"base": "nano", "name": "mine", "epochs": 20, "rotation_degrees": 15}

Writes NAME.keras with its contract inside, NAME.contract.json, NAME.metrics.json and, as PNG,
learning curves and the confusion matrix of the test set."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "--config", metavar="NAME|FILE",
        help=f"network and recipe: {', '.join(CONFIGS)}, or a JSON file (default seed)",
    )  # fmt: skip
    add_data_options(parser)
    parser.add_argument(
        "--from", type=Path, metavar="MODEL.keras",
        help="fine-tune this model on the data: ten pictures of each class are a beginning; with "
        "other labels than its own its last layer is made anew",
    )  # fmt: skip
    parser.add_argument(
        "--contract", type=Path, metavar="FILE",
        help="describes the --from model, if its file holds no contract",
    )  # fmt: skip
    parser.add_argument(
        "--rehearse", metavar="DATA",
        help="what the --from model was trained on, so that it forgets less (MNIST is found by "
        "itself)",
    )  # fmt: skip
    parser.add_argument(
        "--epochs", type=whole_number(1), metavar="N",
        help="times to go through the images (default: the configuration's, more for few images)",
    )  # fmt: skip
    parser.add_argument(
        "--limit", type=whole_number(1), metavar="N",
        help="train and validate on N images only, the classes in their proportions",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, metavar="N", help="of everything random (default: the configuration's)"
    )
    parser.add_argument("--name", help="name of the model and its files (default: configuration's)")
    parser.add_argument(
        "--teacher", metavar="FILE",
        help="a .keras file to learn from beside the labels, or none (default: the "
        "configuration's, looked for in --out and models/)",
    )  # fmt: skip
    parser.add_argument(
        "--show-augmentation", action="store_true",
        help="write a picture of what training will show the network, and stop",
    )  # fmt: skip
    parser.add_argument(
        "--resume", action="store_true", help="go on where an interrupted run stopped"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build"), metavar="FOLDER",
        help="where the files go (default build)",
    )  # fmt: skip


def handle(args: argparse.Namespace) -> int:
    """Trains, and prints what was written and what it is worth."""
    cluster = read_cluster()
    config, dataset, start = _fine_tuning(args) if getattr(args, "from") else _training(args)
    teacher = None if args.teacher in (None, "none") else Path(args.teacher)
    if dataset.notice:
        say(dataset.notice)
    if args.show_augmentation:
        return _show_augmentation(config, dataset, args.out)
    height, width, channels = dataset.input_shape
    say(
        f"{config.name}: {len(dataset.y_train):,} images of {dataset.name} ({height}x{width}, "
        f"{'grey' if channels == 1 else 'RGB'}, {len(dataset.labels)} classes), "
        f"{config.epochs} epoch{'s' if config.epochs > 1 else ''}"
    )

    from .quiet import import_tensorflow

    if cluster.addresses:
        # When one worker ends, the others' native code says so in many words; Python hears of it.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import_tensorflow()
    from . import fit
    from .before_after import report_lines

    try:
        with _lock(cluster, args.out / f".{config.name}.lock"):
            result = fit.run(
                config, dataset, args.out, teacher=teacher, start=start, resume=args.resume
            )
    except BlockingIOError:
        raise InputError(
            f"another training writes {config.name} in {args.out}",
            remedy="wait until it is done, or choose another --name or --out",
        ) from None
    except KeyboardInterrupt:
        say(f"\nstopped; epochs that were done are kept. Go on with: {_resume_line(args)}")
        raise
    if result is None:
        say("this worker is done; the first writes the model")
        return 0
    paths = (
        result.keras_path, result.contract_path, result.metrics_path, result.curves_path,
        result.confusion_path,
    )  # fmt: skip
    print(*paths, sep="\n")
    if start:
        print(*report_lines(result.metrics), sep="\n")
    else:
        test = result.metrics["test"]
        print(f"test accuracy {test['accuracy']:.2%} ({test['images']:,} images)")
    if dataset.notice:
        print(dataset.notice)
    words = ["python", "-m", "convert", str(result.keras_path)]
    if dataset.name != "mnist":
        words += ["--representative", args.data]
    if args.out != Path("build"):
        words += ["--out", str(args.out)]
    say(f"next: {shlex.join(words)}")
    return 0


def _training(args: argparse.Namespace) -> tuple[TrainConfig, DataSet, None]:
    """The recipe and the images for a network with fresh weights."""
    for option in ("contract", "rehearse"):
        if getattr(args, option) is not None:
            raise ConfigError(f"--{option} was given without --from", "a trained model with it")
    config = _changed(load_config(args.config or "seed"), args)
    if args.teacher == "none":
        config = dataclasses.replace(config, teacher="", teacher_weight=0.0)
    elif args.teacher and not config.teacher:
        raise ConfigError(
            f"--teacher {args.teacher} was given, but {config.name} learns from labels alone",
            "a configuration with a teacher",
            'a JSON file with {"base": …, "teacher": "teacher", "teacher_weight": 0.7}',
        )

    from . import data

    writable_folder(args.out)
    dataset = data.load(args.data, fit=args.fit, image_size=args.image_size)
    if args.limit is not None:
        dataset = dataset.limited(args.limit, config.seed)
    if dataset.fit != "ink":
        config = config.for_pictures()
    if args.epochs is None:
        config = config.scaled_to(len(dataset.y_train))
    return config, dataset, None


def _fine_tuning(args: argparse.Namespace) -> tuple[TrainConfig, DataSet, Start]:
    """The recipe and the pictures for a model that is trained already."""
    for option in ("config", "teacher"):
        if getattr(args, option) is not None:
            raise ConfigError(
                f"--{option} was given with --from, which brings its own recipe",
                "one of them",
                f"leave --{option} out",
            )

    from .opening import open_start

    writable_folder(args.out)
    path: Path = getattr(args, "from")
    start, dataset = open_start(
        path, args.data, contract_path=args.contract, rehearse=args.rehearse, fit=args.fit,
        image_size=args.image_size,
    )  # fmt: skip
    config = _changed(start.recipe(), args)
    target = args.out / f"{config.name}.keras"
    if target.exists() and target.samefile(path):
        raise ConfigError(
            f"{path} would be overwritten", "another file", "choose another --name or --out"
        )
    if args.limit is not None:
        dataset = dataset.limited(args.limit, config.seed)
    # Also where the epochs are given: it finds a class with too few images before training begins.
    scaled = start.scaled(config, dataset)
    config = scaled if args.epochs is None else config
    if not start.keeps_labels:
        say(f"{path} has other labels: its last layer is made anew")
    elif start.original:
        say(f"{path} goes on with images of {start.original.name} among yours, not to forget")
    else:
        say(f"{path} goes only part of the way: what it learned from was not found")
    return config, dataset, start


def _changed(config: TrainConfig, args: argparse.Namespace) -> TrainConfig:
    """The configuration with what the command line says otherwise."""
    changes = {name: getattr(args, name) for name in ("epochs", "seed", "name")}
    return dataclasses.replace(
        config, **{name: value for name, value in changes.items() if value is not None}
    )


def _show_augmentation(config: TrainConfig, dataset: DataSet, out: Path) -> int:
    from .quiet import import_tensorflow

    import_tensorflow()
    from .contact_sheet import write_contact_sheet

    print(write_contact_sheet(config, dataset, out / f"{config.name}.augmentation.png"))
    return 0


def _lock(cluster: Cluster, path: Path) -> AbstractContextManager[None]:
    """The first worker's alone: it writes the model, and the others may share its folder."""
    return exclusive_lock(path) if cluster.first else nullcontext()


def _resume_line(args: argparse.Namespace) -> str:
    """The command that was given, with --resume: only the same settings can be resumed."""
    words = ["python", "-m", "train"]
    for name, default in (
        ("config", None), ("data", "mnist"), ("from", None), ("contract", None),
        ("rehearse", None), ("fit", None), ("image_size", None), ("epochs", None), ("limit", None),
        ("seed", None), ("name", None), ("teacher", None), ("out", Path("build")),
    ):  # fmt: skip
        value = getattr(args, name)
        if value != default:
            text = "x".join(map(str, value)) if name == "image_size" else str(value)
            words += [f"--{name.replace('_', '-')}", text]
    return shlex.join([*words, "--resume"])
