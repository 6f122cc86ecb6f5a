"""Trains an image classifier: from labelled pictures to a Keras model with contract and figures."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from pathlib import Path

from edge_runtime.errors import InputError
from edge_runtime.files import exclusive_lock

from .config import CONFIGS, load_config
from .options import add_data_options, count

__all__ = ["EPILOG", "configure", "handle"]

EPILOG = """\
examples:
  python -m train                                        the notebook's network on MNIST
  python -m train --config nano                          a small fast one
  python -m train --config nano --limit 2000 --epochs 5  a quick try
  python -m train --data photos/ --name fruit            your pictures, a subfolder for each class
  python -m train --data letters.npz --fit ink           handwriting other than MNIST's
  python -m train --resume                               go on after an interruption
  python -m train export --help                          a data set as picture files

A FILE for --config is JSON with fields of a configuration, for example
  {"base": "nano", "name": "mine", "epochs": 20, "rotation_degrees": 15}

Writes NAME.keras with its contract inside, NAME.contract.json, NAME.metrics.json and, as PNG,
learning curves and the confusion matrix of the test set."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "--config", default="seed", metavar="NAME|FILE",
        help=f"network and recipe: {', '.join(CONFIGS)}, or a JSON file (default seed)",
    )  # fmt: skip
    add_data_options(parser)
    parser.add_argument(
        "--epochs", type=count, metavar="N",
        help="times to go through the images (default: the configuration's, more for few images)",
    )  # fmt: skip
    parser.add_argument(
        "--limit", type=count, metavar="N",
        help="train and validate on N images only, the classes in their proportions",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, metavar="N", help="of everything random (default: the configuration's)"
    )
    parser.add_argument("--name", help="name of the model and its files (default: configuration's)")
    parser.add_argument(
        "--resume", action="store_true", help="go on where an interrupted run stopped"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build"), metavar="FOLDER",
        help="where the files go (default build)",
    )  # fmt: skip


def handle(args: argparse.Namespace) -> int:
    """Trains, and prints what was written and what it is worth."""
    config = load_config(args.config)
    changes = {name: getattr(args, name) for name in ("epochs", "seed", "name")}
    config = dataclasses.replace(
        config, **{name: value for name, value in changes.items() if value is not None}
    )

    from . import data

    dataset = data.load(args.data, fit=args.fit, image_size=args.image_size)
    if args.limit is not None:
        dataset = dataset.limited(args.limit, config.seed)
    if args.epochs is None:
        config = config.scaled_to(len(dataset.y_train))
    if dataset.notice:
        _tell(dataset.notice)
    height, width, channels = dataset.input_shape
    _tell(
        f"{config.name}: {len(dataset.y_train):,} images of {dataset.name} ({height}x{width}, "
        f"{'grey' if channels == 1 else 'RGB'}, {len(dataset.labels)} classes), "
        f"{config.epochs} epochs"
    )

    from .quiet import import_tensorflow

    import_tensorflow()
    from . import fit

    args.out.mkdir(parents=True, exist_ok=True)
    try:
        with exclusive_lock(args.out / f".{config.name}.lock"):
            result = fit.run(config, dataset, args.out, resume=args.resume)
    except BlockingIOError:
        raise InputError(
            f"another training writes {config.name} in {args.out}",
            remedy="wait until it is done, or choose another --name or --out",
        ) from None
    except KeyboardInterrupt:
        _tell(f"\nstopped; epochs that were done are kept. Go on with: {_resume_line(args)}")
        raise
    paths = (
        result.keras_path, result.contract_path, result.metrics_path, result.curves_path,
        result.confusion_path,
    )  # fmt: skip
    print(*paths, sep="\n")
    test = result.metrics["test"]
    print(f"test accuracy {test['accuracy']:.2%} ({test['images']:,} images)")
    if dataset.notice:
        print(dataset.notice)
    words = ["python", "-m", "convert", str(result.keras_path)]
    if dataset.name != "mnist":
        words += ["--representative", args.data]
    if args.out != Path("build"):
        words += ["--out", str(args.out)]
    _tell(f"next: {shlex.join(words)}")
    return 0


def _resume_line(args: argparse.Namespace) -> str:
    """The command that was given, with --resume: only the same settings can be resumed."""
    words = ["python", "-m", "train"]
    for name, default in (
        ("config", "seed"), ("data", "mnist"), ("fit", None), ("image_size", None),
        ("epochs", None), ("limit", None), ("seed", None), ("name", None), ("out", Path("build")),
    ):  # fmt: skip
        value = getattr(args, name)
        if value != default:
            text = "x".join(map(str, value)) if name == "image_size" else str(value)
            words += [f"--{name.replace('_', '-')}", text]
    return shlex.join([*words, "--resume"])


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
