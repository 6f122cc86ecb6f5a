"""C source: compiled, linked, run, and its bytes given back to TensorFlow Lite Micro."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tflite_micro

import flash.mcu
from convert.golden import write_golden
from edge_runtime.contract import ModelContract, load_sealed, seal
from flash.__main__ import main
from flash.errors import FlashError
from flash.mcu import CArray, resolver_method, run_in_tflm, write_c_array
from flash.micro import MicroRun, measure

ROOT = Path(__file__).resolve().parents[2]
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
COMPILERS = [
    ("gcc", ["-x", "c", "-std=c99"]),
    ("gcc", ["-x", "c", "-std=c11"]),
    ("g++", ["-x", "c++"]),
]

# Checks what only the target's compiler decides, and prints the rest for the test to compare.
PROGRAM = """\
#include <stdio.h>
#include <string.h>
#include "NAME_golden.h"
#include "NAME_model.h"

int main(void) {
  if ((uintptr_t)NAME_model % 16 != 0) return 1;
  if (sizeof(NAME_model) != UPPER_MODEL_LENGTH) return 2;
  for (int n = 0; n < UPPER_GOLDEN_COUNT; ++n) {
    for (int i = 0; i < UPPER_INPUT_LENGTH; ++i) {
      const uint8_t pixel = NAME_golden_pixels[n][i];
      if (NAME_input_of_pixel[i % UPPER_CHANNELS][pixel] != NAME_golden_inputs[n][i]) return 3;
    }
  }
  for (int i = 0; i < UPPER_CLASSES; ++i) fprintf(stderr, "%s\\n", NAME_labels[i]);
  fwrite(NAME_model, 1, sizeof(NAME_model), stdout);
  fwrite(NAME_golden_inputs, 1, sizeof(NAME_golden_inputs), stdout);
  fwrite(NAME_golden_outputs, 1, sizeof(NAME_golden_outputs), stdout);
  return 0;
}
"""

# The methods of MicroMutableOpResolver that register the schema's operators: those that TFLM's
# micro_mutable_op_resolver.h had in 2025, without those for custom operators.
RESOLVER_METHODS = set(
    re.findall(
        r"\w+",
        """
AddAbs AddAdd AddAddN AddArgMax AddArgMin AddAssignVariable AddAveragePool2D AddBatchMatMul
AddBatchToSpaceNd AddBroadcastArgs AddBroadcastTo AddCallOnce AddCast AddCeil AddConcatenation
AddConv2D AddCos AddCumSum AddDepthToSpace AddDepthwiseConv2D AddDequantize AddDiv
AddDynamicUpdateSlice AddElu AddEmbeddingLookup AddEqual AddExp AddExpandDims AddFill AddFloor
AddFloorDiv AddFloorMod AddFullyConnected AddGather AddGatherNd AddGreater AddGreaterEqual
AddHardSwish AddIf AddL2Normalization AddL2Pool2D AddLeakyRelu AddLess AddLessEqual AddLog
AddLogicalAnd AddLogicalNot AddLogicalOr AddLogistic AddLogSoftmax AddMaximum AddMaxPool2D AddMean
AddMinimum AddMirrorPad AddMul AddNeg AddNotEqual AddPack AddPad AddPadV2 AddPrelu AddQuantize
AddReadVariable AddReduceAll AddReduceMax AddReduceMin AddRelu AddRelu6 AddReshape AddResizeBilinear
AddResizeNearestNeighbor AddReverseV2 AddRound AddRsqrt AddSelectV2 AddShape AddSin AddSlice
AddSoftmax AddSpaceToBatchNd AddSpaceToDepth AddSplit AddSplitV AddSqrt AddSquare
AddSquaredDifference AddSqueeze AddStridedSlice AddSub AddSum AddSvdf AddTanh AddTranspose
AddTransposeConv AddUnidirectionalSequenceLSTM AddUnpack AddVarHandle AddWhile AddZerosLike
""",
    )
)

# As much of TFLM's interface as the README's loop uses (micro_interpreter.h, common.h); what it
# does is shown with tflite-micro, here only that the loop compiles.
TFLM_HEADERS = {
    "tensorflow/lite/micro/micro_mutable_op_resolver.h": """\
#pragma once
#include <cstddef>
#include <cstdint>
enum TfLiteStatus { kTfLiteOk, kTfLiteError };
namespace tflite {
template <unsigned int N> struct MicroMutableOpResolver {
  static_assert(N == COUNT, "as many places as operators");
METHODS
};
}
""",
    "tensorflow/lite/micro/micro_interpreter.h": """\
#pragma once
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
union TfLitePtrUnion { float* f; uint8_t* uint8; int16_t* i16; int8_t* int8; };
struct TfLiteQuantizationParams { float scale; int32_t zero_point; };
struct TfLiteTensor { TfLitePtrUnion data; TfLiteQuantizationParams params; };
namespace tflite {
struct Model;
struct MicroInterpreter {
  template <typename R> MicroInterpreter(const Model*, const R&, uint8_t*, size_t) {}
  TfLiteStatus AllocateTensors();
  TfLiteStatus Invoke();
  TfLiteTensor* input(size_t);
  TfLiteTensor* output(size_t);
};
}
""",
    "tensorflow/lite/schema/schema_generated.h": """\
#pragma once
namespace tflite { struct Model; const Model* GetModel(const void*); }
""",
}


@pytest.fixture(scope="module", params=["int8", "int16x8"])
def made(request, models, tmp_path_factory) -> tuple[str, Path, CArray]:
    out = tmp_path_factory.mktemp("c")
    model = run_in_tflm(models / f"seed_{request.param}.tflite")
    return request.param, out, write_c_array(model, out)


@pytest.mark.parametrize(("compiler", "options"), COMPILERS, ids=["c99", "c11", "c++"])
def test_compiled_array_is_the_flatbuffer_and_answers_as_it_did(
    made, models, tmp_path, require_tool: Callable[[str], str], compiler, options
):
    variant, out, array = made
    name = f"seed_{variant}"
    sealed = load_sealed(models / f"{name}.tflite")
    program = PROGRAM.replace("NAME", name).replace("UPPER", name.upper())
    (tmp_path / "main.c").write_text(program)
    sources = [tmp_path / "main.c", out / f"{name}_model.c", out / f"{name}_golden.c"]
    subprocess.run(
        [require_tool(compiler), *options, *WARNINGS, "-I", out, "-o", tmp_path / "a", *sources],
        check=True,
    )
    ran = subprocess.run([tmp_path / "a"], capture_output=True, check=False)
    assert ran.returncode == 0
    assert ran.stderr.decode().splitlines() == list(sealed.contract.labels)

    dtype = np.int8 if variant == "int8" else np.int16
    length, pixels = len(sealed.flatbuffer), array.golden * 28 * 28
    flatbuffer, rest = ran.stdout[:length], np.frombuffer(ran.stdout[length:], dtype)
    assert flatbuffer == sealed.flatbuffer
    inputs, outputs = rest[:pixels].reshape(-1, 28, 28, 1), rest[pixels:].reshape(-1, 10)
    again = measure(flatbuffer, inputs, array.arena_bytes)
    np.testing.assert_array_equal(again.outputs, outputs)


def test_golden_outputs_have_the_labels_of_the_runtime(made, models):
    variant, out, array = made
    with np.load(models / "seed.golden.npz") as arrays:
        labels = arrays[f"scores_{variant}"].argmax(axis=1)
    text = (out / f"seed_{variant}_golden.c").read_text().split("golden_outputs")[1]
    rows = [
        np.array([int(number) for number in re.findall(r"-?\d+", row)])
        for row in re.findall(r"\{\n([^{}]*)\n    \}", text)
    ]
    assert len(rows) == array.golden
    assert [int(row.argmax()) for row in rows] == labels[: len(rows)].tolist()


@pytest.fixture
def compile_loop(tmp_path, require_tool) -> Callable[..., None]:
    """``compile_loop(FOLDER, NAME, OPERATORS)`` compiles what the README there says to write."""
    methods = "\n".join(f"  TfLiteStatus {method}();" for method in RESOLVER_METHODS)

    def compile_(out: Path, name: str, operators: int) -> None:
        for place, text in TFLM_HEADERS.items():
            (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
            text = text.replace("METHODS", methods).replace("COUNT", str(operators))
            (tmp_path / place).write_text(text)
        readme = (out / f"{name}_README.md").read_text()
        loop, slots = re.findall(r"```cpp\n(.*?)```", readme, re.DOTALL)
        built_in = loop.index("int main() {")
        for number, text in enumerate((loop, loop[:built_in] + slots)):
            file = tmp_path / f"loop{number}.cc"
            file.write_text(text)
            command = [require_tool("g++"), "-std=c++17", *WARNINGS, "-fsyntax-only"]
            places = [f"-I{place}" for place in (out, tmp_path, ROOT / "flash" / "firmware")]
            subprocess.run([*command, *places, file], check=True)

    return compile_


def test_readme_loops_and_resolver_compile(made, compile_loop):
    variant, out, array = made
    compile_loop(out, f"seed_{variant}", len(array.operators))


@pytest.mark.parametrize(("compiler", "options"), COMPILERS, ids=["c99", "c11", "c++"])
def test_array_is_aligned_to_16_by_its_own_words(made, tmp_path, require_tool, compiler, options):
    variant, out, _ = made
    compiler, built = require_tool(f"arm-none-eabi-{compiler}"), tmp_path / "model.o"
    # No start of a program that happens to lie well: what the linker is told.
    subprocess.run(
        [
            *[compiler, *options, "-mcpu=cortex-m0", "-mthumb", "-fdata-sections"],
            *["-c", "-o", built, out / f"seed_{variant}_model.c"],
        ],
        check=True,
    )
    read = [require_tool("arm-none-eabi-objdump"), "-h", built]
    text = subprocess.run(read, check=True, capture_output=True, text=True).stdout
    found = re.findall(rf"\.rodata\.seed_{variant}_model .*2\*\*(\d+)", text)
    assert found == ["4"]


@pytest.mark.parametrize("old", ["model.c", "model.h", "golden.h", "golden.c"])
def test_mix_of_two_models_is_not_built(made, tmp_path, require_tool, old):
    variant, out, _ = made
    name = f"seed_{variant}"
    for file in out.glob("*.[ch]"):
        text = file.read_text()
        if file.name.endswith(old):
            this = re.findall(r"_MODEL_ID (?:!= )?(0x[0-9a-f]{8}u)", text)
            assert len(set(this)) == 1
            text = text.replace(this[0], "0x12345678u")
        (tmp_path / file.name).write_text(text)
    command = [require_tool("gcc"), "-fsyntax-only", f"{name}_model.c", f"{name}_golden.c"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode
    assert f"{name}_model.h is of another model" in ran.stderr


def test_arena_has_the_stated_margin(made):
    _, out, array = made
    assert array.arena_bytes >= array.arena_measured_bytes * 1.25
    assert array.arena_bytes % 1024 == 0
    header = next(out.glob("*_model.h")).read_text()
    assert f"_ARENA_BYTES {array.arena_bytes}\n" in header
    assert f"(it uses {array.arena_measured_bytes:,})" in header


def test_resolver_names_every_operator_once(made):
    operators = made[2].operators
    assert {"AddConv2D", "AddMaxPool2D", "AddFullyConnected", "AddSoftmax"} <= set(operators)
    assert len(set(operators)) == len(operators)


@pytest.mark.parametrize(
    ("variant", "operator"),
    [
        ("float16", "DEQUANTIZE"),
        ("dynamic", "CONV_2D"),
    ],
)
def test_model_that_tflm_cannot_run_is_refused_by_variant_and_operator(
    models, tmp_path, variant, operator
):
    message = rf"\(variant {variant}\).*Node {operator}.*--variant int8"
    with pytest.raises(FlashError, match=message):
        run_in_tflm(models / f"seed_{variant}.tflite")


def test_model_that_answers_otherwise_in_tflm_is_refused(models, tmp_path):
    with np.load(models / "seed.golden.npz") as arrays:
        values = {name: arrays[name] for name in arrays.files}
    values["scores_int8"] = np.roll(values["scores_int8"], 1, axis=0)
    np.savez(tmp_path / "wrong.npz", **values)
    with pytest.raises(FlashError, match=r"seed_int8.tflite .*another label") as caught:
        run_in_tflm(models / "seed_int8.tflite", tmp_path / "wrong.npz")
    assert "TensorFlow Lite Micro cannot run" not in str(caught.value)
    assert "variant" not in str(caught.value)


def test_arena_that_is_promised_is_tried(models, monkeypatch):
    monkeypatch.setattr(flash.mcu, "_with_margin", lambda measured: measured // 2)
    with pytest.raises(FlashError, match="TensorFlow Lite Micro says") as caught:
        run_in_tflm(models / "seed_int8.tflite")
    assert "cannot run" not in str(caught.value)


@pytest.mark.parametrize("needed", [5, 6, 7, 12, 99])
def test_arena_grows_to_the_smallest_that_the_model_runs_in(monkeypatch, needed):
    def run(flatbuffer: bytes, inputs: np.ndarray, arena_bytes: int) -> None:
        if arena_bytes < needed * 1024:
            raise FlashError("too small")

    monkeypatch.setattr(flash.mcu, "measure", run)
    assert flash.mcu._smallest_arena(b"", np.zeros(1), 4500) == needed * 1024


def test_model_that_starts_in_no_arena_is_given_up(monkeypatch):
    def refuse(*_: object) -> None:
        raise FlashError("never")

    monkeypatch.setattr(flash.mcu, "measure", refuse)
    with pytest.raises(FlashError, match="uses 4,500 bytes, and starts in no arena"):
        flash.mcu._smallest_arena(b"", np.zeros(1), 4500)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": "bool"}, "the input of .* is bool; int8, .*--io int8"),
        ({"shape": (1, 28, 27, 1)}, r"TFLM takes \[1, 28, 27, 1\] .*\[1, 28, 28, 1\] was expected"),
    ],
)
def test_tensors_that_no_firmware_could_fill_are_refused(models, monkeypatch, changes, message):
    def other(*arguments: object) -> MicroRun:
        run = measure(*arguments)
        return replace(run, input=replace(run.input, **changes))

    monkeypatch.setattr(flash.mcu, "measure", other)
    with pytest.raises(FlashError, match=message):
        run_in_tflm(models / "seed_int8.tflite")


def test_int8_model_that_tflm_cannot_run_is_not_told_to_become_int8(models, monkeypatch):
    def refuse(*_: object) -> None:
        raise FlashError("Didn't find op for builtin opcode 'GELU'")

    monkeypatch.setattr(flash.mcu, "measure", refuse)
    with pytest.raises(FlashError, match="cannot run .*GELU.*a network that its kernels") as caught:
        run_in_tflm(models / "seed_int8.tflite")
    assert "--variant" not in str(caught.value)


def int8_model(net: Any, contract: ModelContract, path: Path) -> Path:
    """An untrained network as int8, sealed, with its golden inputs beside it."""
    import tensorflow as tf

    count, shape = contract.channels, contract.input_shape
    pixels = np.random.default_rng(1).integers(0, 256, (10, *shape), np.uint8)
    values = contract.pixel_values()[pixels, np.arange(count)]
    converter = tf.lite.TFLiteConverter.from_keras_model(net)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([values[i : i + 1]] for i in range(10))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    path.write_bytes(seal(converter.convert(), contract))
    write_golden(
        path.parent / f"{contract.name}.golden.npz",
        {"int8": path.read_bytes()},
        pixels,
        np.zeros(10, np.int64),
        "auto",
    )
    return path


@pytest.fixture(scope="module")
def rgb_model(tmp_path_factory) -> Path:
    """An untrained RGB model with logits, a mean and a scale for each channel, and odd names."""
    import keras

    keras.utils.set_random_seed(3)
    net = keras.Sequential(
        [
            keras.Input((8, 12, 3)),
            keras.layers.DepthwiseConv2D(3, activation="relu6"),
            keras.layers.Flatten(),
            keras.layers.Dense(4, kernel_initializer=keras.initializers.RandomNormal(stddev=2.0)),
        ]
    )
    contract = ModelContract(
        "odd é (name)",
        ('quo"te', "back\\slash", "??/", "\u4e2d"),
        8,
        12,
        3,
        mean=(120.0, 110.5, 100.0),
        scale=(60.0, 61.0, -62.5),
        output="logits",
        variant="int8",
    )
    return int8_model(net, contract, tmp_path_factory.mktemp("rgb") / "7 odd (name).tflite")


@pytest.fixture(scope="module")
def wide_graph(tmp_path_factory) -> Path:
    """A small model of many small tensors: to plan them takes more memory than to hold them."""
    import keras

    keras.utils.set_random_seed(5)
    layers, picture = keras.layers, keras.Input((8, 8, 1))
    values = layers.Reshape((8, 8))(picture)
    values = layers.LayerNormalization()(keras.ops.matmul(values, values))
    start = keras.initializers.RandomNormal(stddev=1.5)
    values = layers.Dense(4, kernel_initializer=start)(layers.Flatten()(values))
    contract = ModelContract(
        "wide", ("a", "b", "c", "d"), 8, 8, 1, scale=(255.0,), output="logits", variant="int8"
    )
    folder = tmp_path_factory.mktemp("wide")
    return int8_model(keras.Model(picture, values), contract, folder / "wide.tflite")


def test_model_that_takes_more_to_plan_than_to_hold_gets_an_arena_it_starts_in(
    wide_graph, tmp_path, compile_loop
):
    made = run_in_tflm(wide_graph)
    # What it uses, with the margin, is not enough.
    with pytest.raises(FlashError, match="TensorFlow Lite Micro says"):
        measure(made.flatbuffer, made.golden.raw_inputs, int(made.run.arena_bytes * 1.25))
    assert made.arena_bytes < 2.5 * made.run.arena_bytes
    # Its operators have uncommon names.
    assert "AddBatchMatMul" in made.operators
    write_c_array(made, tmp_path)
    compile_loop(tmp_path, "wide", len(made.operators))


def test_rgb_model_with_awkward_names_compiles(rgb_model, tmp_path, require_tool):
    array = write_c_array(run_in_tflm(rgb_model), tmp_path)
    for compiler, options in COMPILERS:
        for source in tmp_path.glob("*.c"):
            subprocess.run(
                [require_tool(compiler), *options, *WARNINGS, "-c", "-o", "/dev/null", source],
                check=True,
            )
    assert array.golden > 0
    header = next(tmp_path.glob("*_model.h")).read_text()
    assert "_CHANNELS 3\n" in header


def test_model_without_a_contract_is_refused(models, tmp_path):
    path = tmp_path / "bare.tflite"
    path.write_bytes(load_sealed(models / "seed_int8.tflite").flatbuffer)
    with pytest.raises(FlashError, match="has no contract"):
        run_in_tflm(path)


def test_command_prints_what_it_wrote(models, tmp_path, capsys):
    arguments = ["mcu", str(models / "seed_int8.tflite"), "--c-array", "--out", str(tmp_path)]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    assert all(Path(line).is_file() for line in lines[:-1])
    assert "bytes; arena" in lines[-1]
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == lines[:-1]


def test_command_without_an_action_is_wrong_usage(models, capsys):
    assert main(["mcu", str(models / "seed_int8.tflite")]) == 2
    assert "--c-array" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("operator", "method"),
    [
        ("CONV_2D", "AddConv2D"),
        ("DEPTHWISE_CONV_2D", "AddDepthwiseConv2D"),
        ("MAX_POOL_2D", "AddMaxPool2D"),
        ("L2_NORMALIZATION", "AddL2Normalization"),
        ("BATCH_TO_SPACE_ND", "AddBatchToSpaceNd"),
        ("RELU6", "AddRelu6"),
        ("SPLIT_V", "AddSplitV"),
        ("BATCH_MATMUL", "AddBatchMatMul"),
        ("PADV2", "AddPadV2"),
        ("CUMSUM", "AddCumSum"),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", "AddUnidirectionalSequenceLSTM"),
        ("ADD_N", "AddAddN"),
    ],
)
def test_methods_are_those_of_the_resolver(operator, method):
    assert resolver_method(operator) == method
    assert method in RESOLVER_METHODS


def test_every_operator_of_the_package_has_a_method_of_the_resolver():
    from tensorflow.lite.python import schema_py_generated as schema

    library = next((Path(tflite_micro.__file__).parent / "python").rglob("_runtime*.so"))
    names = re.findall(rb"Register_([A-Z0-9_]+?)(?:_INT8|_INT16)?Ev", library.read_bytes())
    operators = {name.decode() for name in names} & set(vars(schema.BuiltinOperator))
    assert len(operators) > 80
    assert {resolver_method(one) for one in operators} <= set(RESOLVER_METHODS)
