"""Converts a Keras model to sealed .tflite variants, each compared with it before it counts."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_runtime.contract import ModelContract
from edge_runtime.errors import InputError
from edge_runtime.files import writable_folder

from .recipes import IO_TYPES, RECIPES, VARIANTS, recipes_for
from .record import ConversionRecord
from .representative import SAMPLES
from .tables import text_table

__all__ = ["EPILOG", "configure", "handle"]

_VARIANTS = "\n".join(f"  {name:9}{recipe.summary}" for name, recipe in RECIPES.items())
EPILOG = f"""\
variants:
{_VARIANTS}

examples:
  python -m convert build/digits.keras                     every variant, into build/
  python -m convert build/digits.keras --variant int8      one of them
  python -m convert build/digits.keras --variant int8,dynamic --samples 500
  python -m convert cats.keras --representative photos/    your own pictures, a folder a class
  python -m convert inspect build/digits_int8.tflite       what is inside a file

A variant that does not answer as the Keras model does is refused and not written."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("model", metavar="MODEL.keras", type=Path, help="what `train` wrote")
    parser.add_argument(
        "--variant",
        action="append",
        type=_names,
        metavar="NAME[,NAME]",
        help=f"all (default), {', '.join(VARIANTS)}; several with commas, or the option again",
    )
    parser.add_argument(
        "--representative",
        metavar="DATA",
        help="labelled pictures to calibrate with and to compare on: mnist, an .npz, a folder of "
        "IDX files, a folder with one subfolder a class (default: what the model was trained with)",
    )
    parser.add_argument(
        "--samples",
        type=int,
        metavar="N",
        help=f"representative pictures, drawn from the training split (default {SAMPLES})",
    )
    parser.add_argument(
        "--io",
        choices=IO_TYPES,
        default="int8",
        help="input and output type of the int8 variant (default int8)",
    )
    parser.add_argument(
        "--contract",
        type=Path,
        metavar="FILE",
        help="contract as JSON, for a model that carries none or a wrong one",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="for the drawing of pictures (default 0)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("build"),
        metavar="FOLDER",
        help="where the files go (default build)",
    )


def handle(args: argparse.Namespace) -> int:
    """Converts, and prints a table of what was written."""
    from train.keras_file import contained_contract, load_contract

    from .converter import VariantsRefusedError, convert
    from .representative import load_representative

    names = [name for group in args.variant or [VARIANTS] for name in group]
    contract = load_contract(args.contract) if args.contract else contained_contract(args.model)
    writable_folder(args.out)
    representative = load_representative(contract, args.representative)
    try:
        records = convert(
            args.model,
            out=args.out,
            representative=representative,
            variants=names,
            samples=args.samples,
            io=args.io,
            contract=contract,
            seed=args.seed,
            progress=_tell,
        )
    except VariantsRefusedError as error:
        if error.records:
            _print_table(list(error.records))
        for refusal in error.refused.values():
            if refusal.log:
                _tell(f"{refusal.log}\n")
        # All but the first, which the error line itself words.
        for refusal in list(error.refused.values())[1:]:
            _tell(f"refused: {refusal}\n")
        raise
    _print_table(records)
    print(f"\nnext: {_next_line(args, contract, [args.out / record.file for record in records])}")
    return 0


def _next_line(args: argparse.Namespace, contract: ModelContract, files: Sequence[Path]) -> str:
    """The command that goes on from here, as it is to be typed."""
    if args.contract is not None:  # `benchmarks` knows no contract but the one inside a model.
        return shlex.join(["edge-run", "info", str(files[0])])
    words = ["python", "-m", "benchmarks", "--models", *map(str, files)]
    if args.representative is not None:
        words += ["--data", args.representative]
    # The float model that `benchmarks` looks for by itself.
    if args.model.resolve() != (args.out / f"{contract.name}.keras").resolve():
        words += ["--keras", str(args.model)]
    if args.out != Path("build"):
        words += ["--out", str(args.out)]
    return shlex.join(words)


def _names(text: str) -> list[str]:
    """The variants in one value of ``--variant``; a mistyped one is wrong usage."""
    names = [name.strip() for name in text.split(",")]
    try:
        recipes_for(names)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return names


def _tell(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)


def _print_table(records: list[ConversionRecord]) -> None:
    rows = [
        [
            record.variant,
            record.file,
            f"{record.sealed_bytes:,}",
            f"{record.agreement:.2%}",
            f"{record.agreement_low:.1%} to {record.agreement_high:.1%}",
            f"{record.max_difference:.4f}",
            f"{record.accuracy:.2%}",
        ]
        for record in records
    ]
    first = records[0]
    print(
        text_table(
            [
                "variant",
                "file",
                "bytes",
                "agreement",
                "95 % interval",
                "largest difference",
                "accuracy",
            ],
            rows,
        )
    )
    print(
        f"\non {first.compared:,} pictures of the training split of {first.data} that calibrated "
        f"nothing; Keras: {first.keras_accuracy:.2%}; tried in "
        + " and ".join(f"{check.name} {check.version}" for check in first.backends)
    )
    if first.notice:
        print(first.notice)
