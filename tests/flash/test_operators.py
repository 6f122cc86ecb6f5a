"""What tflite-runtime loads, asked of tflite-runtime itself."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from edge_runtime.contract import load_sealed
from flash.operators import TFLITE_RUNTIME, unknown_operator

# An operator code alone is looked up, whether an operator uses it or not.
PROGRAM = """
import json, sys
from importlib import metadata
import flatbuffers
from convert.schema import load_schema
from tflite_runtime.interpreter import Interpreter

assert metadata.version("tflite-runtime") == "2.14.0"
schema = load_schema()

def loads(code, version):
    model, operator, graph = schema.ModelT(), schema.OperatorCodeT(), schema.SubGraphT()
    operator.builtinCode, operator.deprecatedBuiltinCode = code, min(code, 127)
    operator.version = version
    graph.tensors = graph.inputs = graph.outputs = graph.operators = []
    model.version, model.operatorCodes, model.subgraphs = 3, [operator], [graph]
    model.buffers = [schema.BufferT()]
    builder = flatbuffers.Builder(64)
    builder.Finish(model.Pack(builder), b"TFL3")
    try:
        Interpreter(model_content=bytes(builder.Output()))
    except (ValueError, RuntimeError):
        return False
    return True

codes = {name: code for name, code in vars(schema.BuiltinOperator).items() if type(code) is int}
newest = {
    name: max((version for version in range(1, 25) if loads(code, version)), default=0)
    for name, code in codes.items()
}
print(json.dumps({name: version for name, version in newest.items() if version}))
"""


def test_tflite_runtime_loads_exactly_these():
    pytest.importorskip("tflite_runtime", reason="tflite-runtime is not installed")
    # A process of its own: TensorFlow may be loaded here, after which tflite-runtime fails.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == TFLITE_RUNTIME


def test_released_variants_are_known(models):
    for path in models.glob("*.tflite"):
        assert unknown_operator(path.read_bytes(), ["tflite-runtime"]) is None


def test_newer_operator_is_named_where_tflite_runtime_is_all_there_is(newer_model):
    data = newer_model.read_bytes()
    assert unknown_operator(data, ["tflite-runtime"]) == (
        "FULLY_CONNECTED version 12 (it loads up to 10)"
    )
    assert unknown_operator(data, ["litert", "tflite-runtime"]) is None
    assert unknown_operator(data, ["litert"]) is None


def test_operator_that_it_never_had_is_named(models, monkeypatch):
    monkeypatch.delitem(TFLITE_RUNTIME, "CONV_2D")
    data = load_sealed(models / "seed_int8.tflite").flatbuffer
    assert unknown_operator(data, ["tflite-runtime"]) == "CONV_2D, which it does not have"
