"""Turns a model into C source for TensorFlow Lite Micro (TFLM).

What a firmware needs beside the flatbuffer is decided elsewhere and only written down here: labels
and pixel arithmetic come from the contract, tensors and the arena's size from TFLM itself, which
runs the model on its golden inputs before anything is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.inspect import inspect_model
from edge_runtime.contract import MAX_MODEL_BYTES, ModelContract, read_sealed
from edge_runtime.errors import EdgeRuntimeError, MissingDependencyError
from edge_runtime.files import read_limited, write_atomic
from edge_runtime.quantization import dequantize, quantize, softmax
from edge_runtime.selftest_child import check_answers

from .c_source import C_TYPES, CModel, identifier, source_files
from .errors import FlashError
from .golden import find_golden, load_golden
from .micro import MicroRun, measure

__all__ = ["ARENA_MARGIN", "CArray", "resolver_method", "write_c_array"]

ARENA_MARGIN = 0.25
"""Share of the measured arena that is added to it.

The package measures TFLM's reference kernels. Optimised kernels ask the arena for scratch buffers
of their own: CMSIS-NN's int8 convolution for two columns of 16-bit inputs
(arm_convolve_s8_get_buffer_size), for the seed's widest layer 2 × 2 × 3 × 3 × 64 = 2,304 bytes, 7 %
of its arena. Pointers of 4 bytes
instead of 8 work in the other direction.
"""
ARENA_STEP_BYTES = 1024

# Operators whose method is not simply their name in camel case (micro_mutable_op_resolver.h).
IRREGULAR_METHODS = {
    "BATCH_MATMUL": "AddBatchMatMul",
    "CUMSUM": "AddCumSum",
    "PADV2": "AddPadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "AddUnidirectionalSequenceLSTM",
}


@dataclass(frozen=True)
class CArray:
    """What `write_c_array` made; the fields of ``--json``.

    Attributes:
        files: The files written.
        model_bytes: Length of the array.
        arena_measured_bytes: What TFLM used on this machine.
        arena_bytes: What the header reserves: the above and its margin.
        golden: Number of golden inputs and outputs.
        operators: The resolver's methods.
        tflite_micro: Version of the package that ran the model.
    """

    files: tuple[str, ...]
    model_bytes: int
    arena_measured_bytes: int
    arena_bytes: int
    golden: int
    operators: tuple[str, ...]
    tflite_micro: str


def write_c_array(model_path: Path, out: Path, golden_path: Path | None = None) -> CArray:
    """Writes a model as C source, with all that a firmware needs to use it.

    Args:
        model_path: A sealed ``.tflite``.
        out: Folder for the files; made if it is missing.
        golden_path: Its ``NAME.golden.npz``; None looks beside the model, then in ``models/``.

    Returns:
        What was written.

    Raises:
        InputError: There is no such file.
        ModelError: The file is not a model, or is damaged.
        FlashError: It has no contract, there are no golden inputs for it, or TFLM cannot run it.
        MissingDependencyError: The package tflite-micro is not installed.
    """
    data = read_limited(model_path, MAX_MODEL_BYTES)
    model = read_sealed(data, str(model_path))
    contract = model.contract
    if contract is None:
        raise FlashError(
            f"{model_path} has no contract",
            "a model converted by this toolkit",
            "convert it with python -m convert",
        )
    golden = load_golden(golden_path, model) if golden_path else find_golden(model_path, model)
    layers = inspect_model(data, str(model_path)).layers
    names = dict.fromkeys(layer.name for layer in layers)
    try:
        first = measure(model.flatbuffer, golden.raw_inputs)
        # Once more in the arena that the header will name, for that is the promise.
        arena_bytes = _with_margin(first.arena_bytes)
        run = measure(model.flatbuffer, golden.raw_inputs, arena_bytes)
        check_answers(_scores(run, contract), golden.scores, contract.labels, golden.tolerance)
    except MissingDependencyError:
        raise
    except EdgeRuntimeError as error:
        raise FlashError(
            f"TensorFlow Lite Micro cannot run {model_path} (variant {contract.variant}): {error}",
            "",
            "convert the variant int8 with python -m convert --variant int8",
        ) from error
    _check_tensors(run, contract, model_path)
    methods = tuple(resolver_method(name) for name in names)
    values = contract.pixel_values()
    table = (
        quantize(values, run.input.scale, run.input.zero_point, run.input.dtype)
        if run.input.quantized
        else values
    )
    name = identifier(model_path.stem)
    files = source_files(
        CModel(
            name=name,
            contract=contract,
            flatbuffer=model.flatbuffer,
            input=run.input,
            output=run.output,
            pixel_table=table,
            golden_pixels=golden.pixels,
            golden_inputs=golden.raw_inputs,
            golden_outputs=run.outputs,
            arena_measured_bytes=run.arena_bytes,
            arena_bytes=arena_bytes,
            arena_margin=ARENA_MARGIN,
            resolver_methods=methods,
            tflite_micro=run.version,
        )
    )
    return CArray(
        files=tuple(str(write_atomic(out / file, text)) for file, text in files.items()),
        model_bytes=len(model.flatbuffer),
        arena_measured_bytes=run.arena_bytes,
        arena_bytes=arena_bytes,
        golden=len(golden.pixels),
        operators=methods,
        tflite_micro=run.version,
    )


def resolver_method(operator: str) -> str:
    """The method of TFLM's resolver that registers an operator.

    Args:
        operator: Its name in the schema, for example "CONV_2D".

    Returns:
        The method of MicroMutableOpResolver.

    >>> resolver_method("CONV_2D"), resolver_method("FULLY_CONNECTED"), resolver_method("RELU6")
    ('AddConv2D', 'AddFullyConnected', 'AddRelu6')
    """
    words = operator.split("_")
    camel = "".join(w if w[0].isdigit() else w.capitalize() for w in words)
    return IRREGULAR_METHODS.get(operator, f"Add{camel}")


def _with_margin(arena_bytes: int) -> int:
    wanted = arena_bytes * (1 + ARENA_MARGIN)
    return int(np.ceil(wanted / ARENA_STEP_BYTES)) * ARENA_STEP_BYTES


def _scores(run: MicroRun, contract: ModelContract) -> NDArray[np.float32]:
    """Probabilities, as the runtime makes them from the same outputs."""
    values = run.outputs
    if run.output.quantized:
        values = dequantize(values, run.output.scale, run.output.zero_point)
    return softmax(values) if contract.output == "logits" else values.astype(np.float32)


def _check_tensors(run: MicroRun, contract: ModelContract, model_path: Path) -> None:
    for what, tensor in (("input", run.input), ("output", run.output)):
        if tensor.dtype not in C_TYPES:
            raise FlashError(
                f"the {what} of {model_path} is {tensor.dtype}",
                ", ".join(C_TYPES),
                "convert the variant int8",
            )
    if run.input.shape != (1, *contract.input_shape):
        raise FlashError(
            f"TFLM takes {list(run.input.shape)} from {model_path}",
            f"{[1, *contract.input_shape]}",
            "convert the model again",
        )
