"""From a Keras model to sealed ``.tflite`` variants, each compared with it before it counts.

``convert("build/digits.keras", variants=["int8"])`` is what ``python -m convert`` does.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_runtime.contract import ModelContract, seal
from edge_runtime.errors import EdgeRuntimeError, InputError
from edge_runtime.files import atomic_path, read_limited
from edge_runtime.measure import wilson_interval
from train.captured import captured_output
from train.data import DataSet
from train.keras_file import MAX_KERAS_BYTES, KerasModel, load_keras

from .check import (
    ConversionError,
    Reference,
    available_backends,
    check_answers,
    check_tensors,
)
from .golden import PICTURES, reference_backend, write_golden
from .recipes import IO_TYPES, VARIANTS, Recipe, recipes_for
from .record import ConversionRecord, read_records, versions, write_records
from .representative import (
    check_data,
    draw,
    load_representative,
    one_per_class,
    with_full_range,
)

__all__ = [
    "ConversionError",
    "ConversionRecord",
    "VariantsRefusedError",
    "convert",
    "load_keras",
    "load_representative",
]

# TensorFlow's text can be an excerpt of its intermediate code; the log has the rest.
MAX_REASON = 160


class VariantsRefusedError(ConversionError):
    """Some variants were refused; the others were written.

    Attributes:
        records: The variants that were written.
        refused: The others, with what was wrong.
    """

    def __init__(
        self, records: Sequence[ConversionRecord], refused: dict[str, ConversionError]
    ) -> None:
        """Words the error from the first refusal."""
        self.records = tuple(records)
        self.refused = refused
        first, *others = refused.values()
        more = f" (and refused {', '.join(list(refused)[1:])} too)" if others else ""
        super().__init__(f"{first}{more}", log=first.log)


@dataclass(frozen=True)
class _Job:
    """All that the conversion of one variant needs."""

    keras: KerasModel
    calibration: NDArray[np.uint8]
    reference: Reference
    backends: tuple[str, ...]
    data: DataSet
    io: str
    seed: int
    stem: str
    out: Path


def convert(
    keras_path: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] = "build",
    representative: DataSet | None = None,
    variants: Sequence[str] = VARIANTS,
    samples: int | None = None,
    io: str = "int8",
    contract: ModelContract | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda text: None,
) -> list[ConversionRecord]:
    """Converts a Keras model.

    Writes ``NAME_VARIANT.tflite``, ``NAME.convert.json`` and ``NAME.golden.npz``, NAME being that
    of the Keras file. A variant that fails a check leaves an older file of its name as it was.

    Args:
        keras_path: A ``.keras`` file, as `train` writes it.
        out: Folder to write to.
        representative: Labelled pictures; its training split calibrates integer variants and is
            what all variants are compared on. None for the data the model was trained with.
        variants: Names from `convert.recipes.VARIANTS`, or "all".
        samples: Number of representative pictures; None for about 300.
        io: Type of the int8 variant's input and output: "int8", "uint8" or "float32".
        contract: Taken instead of the one inside the Keras file.
        seed: Seed for drawing pictures.
        progress: Called with pieces of text for the person who waits, line ends included.

    Returns:
        One record a variant, in the order of `VARIANTS`.

    Raises:
        VariantsRefusedError: Variants could not be made or failed a check; the others are written.
        EdgeRuntimeError: The model, its contract and the data do not fit together, or an argument
            is impossible; nothing is written then.
        OSError: The folder cannot be written, or the disk is full.
    """
    recipes = recipes_for(variants)
    if io not in IO_TYPES:
        raise InputError(f"the input and output type is {io!r}", " or ".join(IO_TYPES))
    if samples is not None and samples < 1:
        raise InputError(f"{samples} representative pictures were asked for", "at least one")
    if not 0 <= seed < 2**32:
        raise InputError(f"the seed is {seed}", "a whole number from 0 to 4294967295")
    keras_path, out = Path(keras_path), Path(out)
    keras = load_keras(keras_path, contract)
    data = load_representative(keras.contract) if representative is None else representative
    check_data(data, keras.contract)
    if data.notice:
        progress(f"{data.notice}\n")
    sample = draw(data.y_train, samples, seed)
    out.mkdir(parents=True, exist_ok=True)

    pixels, labels = data.x_train[sample.comparison], data.y_train[sample.comparison]
    with captured_output():
        scores = keras.scores(pixels)
        backends = available_backends()
    job = _Job(
        keras,
        with_full_range(data.x_train[sample.representative]),
        Reference(pixels, labels, scores, keras.free_batch),
        backends,
        data,
        io,
        seed,
        keras_path.stem,
        out,
    )
    records: dict[str, ConversionRecord] = {}
    refused: dict[str, ConversionError] = {}
    for recipe in recipes:
        progress(f"{recipe.variant}: ")
        try:
            record = records[recipe.variant] = _convert_one(job, recipe)
            progress(
                f"{record.sealed_bytes:,} bytes, {record.agreeing} of {record.compared} pictures "
                f"as Keras ({', '.join(check.name for check in record.backends)}), "
                f"{record.seconds:.1f} s\n"
            )
        except ConversionError as error:
            refused[recipe.variant] = error
            progress("refused\n")
        except BaseException:
            progress("\n")
            raise
    _write_facts(job, keras_path, records, refused)
    if refused:
        raise VariantsRefusedError(list(records.values()), refused)
    return list(records.values())


def _convert_one(job: _Job, recipe: Recipe) -> ConversionRecord:
    """Makes one variant and lets it through, or raises ConversionError and leaves no trace."""
    started = time.perf_counter()
    samples = len(job.calibration) if recipe.integer else 0
    flatbuffer = _flatbuffer(job, recipe)
    try:
        check_tensors(flatbuffer, recipe, job.io)
        facts = {
            "keras_file": f"{job.stem}.keras",
            "versions": versions(),
            "recipe": recipe.facts(),
            "io": recipe.io(job.io),
            "data": job.data.name,
            "samples": samples,
            "seed": job.seed,
        }
        sealed = seal(
            flatbuffer, job.keras.contract.replace(variant=recipe.variant, conversion=facts)
        )
        target = job.out / f"{job.stem}_{recipe.variant}.tflite"
        with atomic_path(target) as temporary:
            temporary.write_bytes(sealed)
            # What the disk gives back is what a device will get.
            written = temporary.read_bytes()
            checks = check_answers(written, recipe, job.reference, job.backends)
    except ConversionError:
        raise
    except EdgeRuntimeError as error:
        raise ConversionError(f"the {recipe.variant} model is refused: {error}") from error
    worst = min(checks, key=lambda check: (check.agreeing, -check.max_difference))
    compared = len(job.reference.pixels)
    low, high = wilson_interval(worst.agreeing, compared)
    return ConversionRecord(
        variant=recipe.variant,
        file=target.name,
        size_bytes=len(flatbuffer),
        sealed_bytes=len(sealed),
        sha256=hashlib.sha256(flatbuffer).hexdigest(),
        recipe=recipe.facts(),
        io=recipe.io(job.io),
        data=job.data.name,
        notice=job.data.notice,
        samples=samples,
        seed=job.seed,
        compared=compared,
        agreeing=worst.agreeing,
        agreement=worst.agreeing / compared,
        agreement_low=low,
        agreement_high=high,
        max_difference=worst.max_difference,
        accuracy=worst.accuracy,
        keras_accuracy=job.reference.accuracy(job.reference.scores),
        backends=checks,
        seconds=round(time.perf_counter() - started, 3),
    )


def _flatbuffer(job: _Job, recipe: Recipe) -> bytes:
    """TensorFlow's part of the work, without its chatter."""

    def representative() -> Iterator[list[NDArray[np.float32]]]:
        for picture in job.calibration:
            yield [job.keras.inputs(picture[np.newaxis])]

    with captured_output() as output:
        try:
            return bytes(_run_converter(job, recipe, representative))
        except Exception as error:  # The converter raises whatever it likes, often a long text.
            reason = shorten(str(error), MAX_REASON, placeholder=" …") or type(error).__name__
            raise ConversionError(
                f"TensorFlow cannot convert the model to {recipe.variant}: {reason}",
                "a model whose layers the variant supports",
                log=output.tail(),
            ) from error


def _run_converter(job: _Job, recipe: Recipe, representative: Any) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(job.keras.model)
    recipe.configure(converter, representative, job.io)
    return converter.convert()


def _write_facts(
    job: _Job,
    keras_path: Path,
    records: dict[str, ConversionRecord],
    refused: dict[str, ConversionError],
) -> None:
    """Writes the record and the golden answers of all variants that lie in the folder.

    Earlier variants of the same Keras model are kept: converting one of them again does not make
    the others unknown.
    """
    digest = hashlib.sha256(read_limited(keras_path, MAX_KERAS_BYTES)).hexdigest()
    facts_path = job.out / f"{job.stem}.convert.json"
    known = {record.variant: record for record in read_records(facts_path, digest)} | records
    known = {variant: known[variant] for variant in VARIANTS if variant in known}
    write_records(
        facts_path,
        keras_path.name,
        digest,
        known.values(),
        {variant: str(error) for variant, error in refused.items()},
    )
    if not known:
        return
    chosen = one_per_class(job.reference.labels, PICTURES)
    write_golden(
        job.out / f"{job.stem}.golden.npz",
        {v: (job.out / record.file).read_bytes() for v, record in known.items()},
        job.reference.pixels[chosen],
        job.reference.labels[chosen],
        reference_backend(job.backends),
    )
