"""Tries a model in TensorFlow Lite Micro (TFLM), and turns it into C source.

What a firmware needs beside the flatbuffer is decided elsewhere and only written down here: labels
and pixel arithmetic come from the contract, tensors and the arena's size from TFLM itself, which
runs the model on its golden inputs before anything is written.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.inspect import inspect_model
from edge_runtime.contract import MAX_MODEL_BYTES, ModelContract, read_sealed
from edge_runtime.errors import DeviceError
from edge_runtime.files import read_limited, write_atomic
from edge_runtime.quantization import dequantize, quantize, softmax
from edge_runtime.selftest_child import check_answers

from .c_source import C_TYPES, CModel, identifier, source_files
from .errors import FlashError
from .golden import Golden, find_golden, load_golden
from .micro import GENEROUS_ARENA_BYTES, MicroRun, measure

__all__ = [
    "ARENA_MARGIN",
    "CArray",
    "MicroModel",
    "interface_id",
    "resolver_method",
    "run_in_tflm",
    "write_c_array",
]

ARENA_MARGIN = 0.25
"""Share that is added to the arena that the model was seen to run in.

The package measures TFLM's reference kernels. Optimised kernels ask the arena for scratch buffers
of their own: CMSIS-NN's int8 convolution for two columns of 16-bit inputs
(arm_convolve_s8_get_buffer_size), for the seed's widest layer 2 × 2 × 3 × 3 × 64 = 2,304 bytes, 7 %
of its arena. Pointers of 4 bytes instead of 8 work in the other direction. Not covered is esp-nn on
the ESP32-S3, whose convolutions copy filter and padded input (esp_nn_get_conv_scratch_size_esp32s3
in its esp_nn_conv_esp32s3.c): there AllocateTensors() may ask for more.
"""
ARENA_STEP_BYTES = 1024
# What TFLM has kernels for; the others mix float and int8, and TFLM refuses that by design.
TFLM_VARIANTS = ("int8", "int16x8", "float32")

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
        arena_bytes: What the header reserves: what the model runs in, and the margin.
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


@dataclass(frozen=True)
class MicroModel:
    """A model that TFLM has run, with what it took.

    Attributes:
        path: Its file.
        contract: Its contract.
        flatbuffer: The model, without its seal.
        golden: Its golden inputs; TFLM gave these the right labels.
        run: What TFLM did with them in the arena below.
        arena_bytes: What to reserve: what the model runs in, and the margin.
        operators: The resolver's methods, each once.
    """

    path: Path
    contract: ModelContract
    flatbuffer: bytes
    golden: Golden
    run: MicroRun
    arena_bytes: int
    operators: tuple[str, ...]


def run_in_tflm(
    model_path: Path,
    golden_path: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> MicroModel:
    """Lets TFLM answer a model's golden inputs, in the arena that will be promised.

    Args:
        model_path: A sealed ``.tflite``.
        golden_path: Its ``NAME.golden.npz``; None looks beside the model, then in ``models/``.
        on_line: Is told when TFLM begins, after both files have been read.

    Returns:
        The model and what TFLM said of it.

    Raises:
        InputError: There is no such file.
        ModelError: The file is not a model, or is damaged.
        FlashError: It has no contract, there are no golden inputs for it, TFLM cannot run it, or it
            answers otherwise there.
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
    layers = inspect_model(data, str(model_path)).layers
    golden = load_golden(golden_path, model) if golden_path else find_golden(model_path, model)
    if on_line is not None:
        on_line(f"running {model_path} in TensorFlow Lite Micro")
    try:
        run = measure(model.flatbuffer, golden.raw_inputs)
    except FlashError as error:
        raise FlashError(
            f"TensorFlow Lite Micro cannot run {model_path} (variant {contract.variant}): {error}",
            "",
            "train a network that its kernels cover"
            if contract.variant in TFLM_VARIANTS
            else "convert the variant int8 with python -m convert --variant int8",
        ) from error
    _check_tensors(run, contract, model_path)
    unlike = f"{model_path} runs in TensorFlow Lite Micro, but not as it should"
    try:
        needed = _smallest_arena(model.flatbuffer, golden.raw_inputs[:1], run.arena_bytes)
        arena_bytes = _with_margin(needed)
        # Once more in the arena that will be promised.
        run = measure(model.flatbuffer, golden.raw_inputs, arena_bytes)
    except FlashError as error:
        raise FlashError(f"{unlike}: {error}") from error
    try:
        check_answers(_scores(run, contract), golden.scores, contract.labels, golden.tolerance)
    except DeviceError as error:
        raise FlashError(f"{unlike}: {error}") from error
    methods = dict.fromkeys(resolver_method(layer.name) for layer in layers)
    return MicroModel(
        model_path, contract, model.flatbuffer, golden, run, arena_bytes, tuple(methods)
    )


def interface_id(contract: ModelContract, run: MicroRun) -> int:
    """A number for what a firmware has compiled in about its models.

    Labels, how pixels become the input, and the tensors' types: models with the same number can
    take each other's place. The output's scale is not in it; TFLM reads that from the model.

    Args:
        contract: A model's contract.
        run: Its tensors, as TFLM sees them.

    Returns:
        The CRC-32 of these facts as JSON.
    """
    facts = {
        "labels": contract.labels,
        "input": [contract.input_shape, run.input.dtype, run.input.scale, run.input.zero_point],
        "mean": np.broadcast_to(contract.mean, contract.channels).tolist(),
        "scale": np.broadcast_to(contract.scale, contract.channels).tolist(),
        "polarity": contract.polarity,
        "fit": contract.fit,
        "output": [contract.output, run.output.dtype],
    }
    return zlib.crc32(json.dumps(facts, sort_keys=True).encode())


def write_c_array(made: MicroModel, out: Path) -> CArray:
    """Writes a model as C source, with all that a firmware needs to use it.

    Args:
        made: A model that TFLM has run.
        out: Folder for the files; made if it is missing.

    Returns:
        What was written.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    contract, run, golden = made.contract, made.run, made.golden
    values = contract.pixel_values()
    table = (
        quantize(values, run.input.scale, run.input.zero_point, run.input.dtype)
        if run.input.quantized
        else values
    )
    files = source_files(
        CModel(
            name=identifier(made.path.stem),
            contract=contract,
            flatbuffer=made.flatbuffer,
            input=run.input,
            output=run.output,
            pixel_table=table,
            golden_pixels=golden.pixels,
            golden_inputs=golden.raw_inputs,
            golden_outputs=run.outputs,
            interface_id=interface_id(contract, run),
            arena_measured_bytes=run.arena_bytes,
            arena_bytes=made.arena_bytes,
            arena_margin=ARENA_MARGIN,
            resolver_methods=made.operators,
            tflite_micro=run.version,
        )
    )
    return CArray(
        files=tuple(str(write_atomic(out / file, text)) for file, text in files.items()),
        model_bytes=len(made.flatbuffer),
        arena_measured_bytes=run.arena_bytes,
        arena_bytes=made.arena_bytes,
        golden=len(golden.pixels),
        operators=made.operators,
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


def _smallest_arena(flatbuffer: bytes, inputs: NDArray, used_bytes: int) -> int:
    """The smallest arena, to a kilobyte, that the model runs in.

    It may be larger than what the model uses in the end: to plan where the tensors go, TFLM takes
    memory for a while that it does not count, more the more tensors there are.
    """

    def runs(steps: int) -> bool:
        try:
            measure(flatbuffer, inputs, steps * ARENA_STEP_BYTES)
        except FlashError:
            return False
        return True

    enough = -(-used_bytes // ARENA_STEP_BYTES)
    too_few, more = enough - 1, 1
    while not runs(enough):
        if enough * ARENA_STEP_BYTES > GENEROUS_ARENA_BYTES:
            raise FlashError(f"it uses {used_bytes:,} bytes, and starts in no arena of this size")
        too_few, enough, more = enough, enough + more, 2 * more
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if runs(middle):
            enough = middle
        else:
            too_few = middle
    return enough * ARENA_STEP_BYTES


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
                "convert it with python -m convert --io int8",
            )
    if run.input.shape != (1, *contract.input_shape):
        raise FlashError(
            f"TFLM takes {list(run.input.shape)} from {model_path}",
            f"{[1, *contract.input_shape]}",
            "convert the model again",
        )
