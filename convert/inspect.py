"""What is inside a ``.tflite`` file: contract, tensors, operators with versions, and their cost.

No interpreter and no TensorFlow is imported, so this is quick, and a damaged or hostile file meets
nothing that it could crash.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isfinite, prod
from typing import Any

from edge_runtime.contract import read_sealed

from .macs import multiply_accumulates
from .schema import Budget, load_schema, names_of, reading

__all__ = [
    "Layer",
    "ModelReport",
    "Operator",
    "Tensor",
    "inspect_model",
]

MAX_RANK = 32
# Bits of one element, by the schema's TensorType; types that hold no numbers are left out.
BITS = {
    "FLOAT64": 64,
    "FLOAT32": 32,
    "FLOAT16": 16,
    "BFLOAT16": 16,
    "COMPLEX64": 64,
    "COMPLEX128": 128,
    "INT64": 64,
    "INT32": 32,
    "INT16": 16,
    "INT8": 8,
    "INT4": 4,
    "INT2": 2,
    "UINT64": 64,
    "UINT32": 32,
    "UINT16": 16,
    "UINT8": 8,
    "UINT4": 4,
    "BOOL": 8,
}
MINIMUM_RUNTIME = "min_runtime_version"


@dataclass(frozen=True)
class Tensor:
    """One tensor.

    Attributes:
        subgraph: Index of the subgraph it belongs to.
        index: Its index there.
        name: Its name.
        shape: Its shape; -1 where the size is free.
        dtype: Type in NumPy's spelling where there is one, for example "int8".
        scales: Real step of one integer, one value or one a channel; empty for a float tensor.
        zero_points: The integer that stands for 0.0, likewise.
        constant: Whether the file holds its values: a weight, not an activation.
        size_bytes: Bytes of its values, for one picture where the batch is free.
        role: "input", "output", or "" for what lies between.
    """

    subgraph: int
    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    constant: bool
    size_bytes: int
    role: str


@dataclass(frozen=True)
class Layer:
    """One operator in its place.

    Attributes:
        subgraph: Index of the subgraph it belongs to.
        name: The operator, as the schema names it.
        version: Its version: a runtime must know this one.
        inputs: Indices of its input tensors; -1 for one that is left out.
        outputs: Indices of its output tensors.
        macs: Multiply-accumulates for one picture; None if not known.
    """

    subgraph: int
    name: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    macs: int | None


@dataclass(frozen=True)
class Operator:
    """All operators of one kind.

    Attributes:
        name: The operator, as the schema names it.
        version: Its version.
        count: How often it occurs.
        macs: Multiply-accumulates of all of them for one picture; None if not known.
    """

    name: str
    version: int
    count: int
    macs: int | None


@dataclass(frozen=True)
class ModelReport:
    """What is inside a model.

    Attributes:
        contract: The contract's fields, or None for a model that was never sealed.
        file_bytes: Size of the whole file.
        flatbuffer_bytes: Size without the seal: what a microcontroller has to hold.
        weights_bytes: Bytes of all constant tensors; a buffer that several share counts once.
        macs: Multiply-accumulates for one picture; operators of unknown cost are left out.
        subgraphs: Number of subgraphs.
        description: What the converter wrote about itself.
        minimum_runtime: The oldest TensorFlow Lite that the converter thinks can run it, or None.
        operators: Kinds of operators, in the order of their first use.
        layers: Every operator, in order.
        tensors: Every tensor.
    """

    contract: Mapping[str, Any] | None
    file_bytes: int
    flatbuffer_bytes: int
    weights_bytes: int
    macs: int
    subgraphs: int
    description: str
    minimum_runtime: str | None
    operators: tuple[Operator, ...]
    layers: tuple[Layer, ...]
    tensors: tuple[Tensor, ...]

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The model's inputs: those of its first subgraph."""
        return tuple(t for t in self.tensors if t.role == "input" and t.subgraph == 0)

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """The model's outputs: those of its first subgraph."""
        return tuple(t for t in self.tensors if t.role == "output" and t.subgraph == 0)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return dataclasses.asdict(self)


def inspect_model(data: bytes, source: str = "the model") -> ModelReport:
    """Takes a model apart.

    Args:
        data: The bytes of a ``.tflite``, sealed or not.
        source: What to call it in an error.

    Returns:
        What is inside.

    Raises:
        ModelError: It is not a TensorFlow Lite model, or a damaged one.
        MissingDependencyError: No package with the schema is installed.
    """
    sealed = read_sealed(data, source)
    schema = load_schema()
    with reading(source) as budget:
        model = schema.Model.GetRootAs(sealed.flatbuffer, 0)
        parser = _Parser(schema, model, budget, len(data))
        subgraphs = range(budget.spend(model.SubgraphsLength()))
        tensors = [tensor for i in subgraphs for tensor in parser.tensors(i)]
        layers = [layer for i in subgraphs for layer in parser.layers(i, tensors)]
        return ModelReport(
            contract=sealed.contract.to_dict() if sealed.contract else None,
            file_bytes=len(data),
            flatbuffer_bytes=len(sealed.flatbuffer),
            weights_bytes=sum(parser.weights.values()),
            macs=sum(layer.macs or 0 for layer in layers),
            subgraphs=len(subgraphs),
            description=parser.text(model.Description()),
            minimum_runtime=parser.metadata(MINIMUM_RUNTIME),
            operators=_summed(layers),
            layers=tuple(layers),
            tensors=tuple(tensors),
        )


class _Parser:
    """Reads the tables of one model; every loop is charged to the budget."""

    def __init__(self, schema: Any, model: Any, budget: Budget, file_bytes: int) -> None:
        self._model = model
        self._file_bytes = file_bytes
        self._budget = budget
        self._types = names_of(schema.TensorType)
        self._operators = names_of(schema.BuiltinOperator)
        self.weights: dict[int, int] = {}
        """Bytes of each buffer that a tensor refers to."""

    def text(self, raw: bytes | None) -> str:
        """A string of the flatbuffer on one line."""
        raw = raw or b""
        self._budget.spend(len(raw) // 64)
        text = raw.decode(errors="replace")
        return "".join(
            letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
        )

    def numbers(self, length: int, item: Any) -> tuple[Any, ...]:
        """A vector of numbers, `item(i)` for each."""
        return tuple(item(i) for i in range(self._budget.spend(length)))

    def metadata(self, name: str) -> str | None:
        """The text that the converter stored under a name."""
        for i in range(self._budget.spend(self._model.MetadataLength())):
            entry = self._model.Metadata(i)
            if self.text(entry.Name()) == name:
                buffer = _index(entry.Buffer(), self._model.BuffersLength())
                data = self._model.Buffers(buffer).DataAsNumpy()
                return self.text(bytes(data).rstrip(b"\0")) or None
        return None

    def tensors(self, subgraph: int) -> list[Tensor]:
        graph = self._model.Subgraphs(subgraph)
        inputs = set(self.numbers(graph.InputsLength(), graph.Inputs))
        outputs = set(self.numbers(graph.OutputsLength(), graph.Outputs))
        found = []
        for index in range(self._budget.spend(graph.TensorsLength())):
            raw = graph.Tensors(index)
            size = self._shape(raw.ShapeLength(), raw.Shape)
            free = self._shape(raw.ShapeSignatureLength(), raw.ShapeSignature)
            kind = self._types.get(raw.Type(), f"type {raw.Type()}")
            scales, zero_points = self._quantization(raw.Quantization())
            stored = self._stored_bytes(raw.Buffer())
            computed = ceil(prod(max(side, 1) for side in size) * BITS.get(kind, 0) / 8)
            found.append(
                Tensor(
                    subgraph,
                    index,
                    self.text(raw.Name()),
                    free or size,
                    kind.lower(),
                    scales,
                    zero_points,
                    stored > 0,
                    stored or computed,
                    "input" if index in inputs else "output" if index in outputs else "",
                )
            )
        return found

    def layers(self, subgraph: int, tensors: Sequence[Tensor]) -> list[Layer]:
        graph = self._model.Subgraphs(subgraph)
        shapes = [
            tuple(max(side, 1) for side in tensor.shape)
            for tensor in tensors
            if tensor.subgraph == subgraph
        ]
        return [
            self._layer(subgraph, graph.Operators(i), shapes)
            for i in range(self._budget.spend(graph.OperatorsLength()))
        ]

    def _layer(self, subgraph: int, raw: Any, shapes: Sequence[tuple[int, ...]]) -> Layer:
        opcode = _index(raw.OpcodeIndex(), self._model.OperatorCodesLength())
        code = self._model.OperatorCodes(opcode)
        # Codes above 127 did not fit the first field; the schema says to take the larger.
        number = max(code.DeprecatedBuiltinCode(), code.BuiltinCode())
        name = self._operators.get(number, f"operator {number}")
        inputs = self.numbers(raw.InputsLength(), raw.Inputs)
        outputs = self.numbers(raw.OutputsLength(), raw.Outputs)
        macs = multiply_accumulates(
            name,
            [() if i == -1 else shapes[_index(i, len(shapes))] for i in inputs],
            [shapes[_index(i, len(shapes))] for i in outputs],
        )
        if name == "CUSTOM":
            name = f"CUSTOM {self.text(code.CustomCode())}"
        return Layer(subgraph, name, code.Version(), inputs, outputs, macs)

    def _shape(self, rank: int, side: Any) -> tuple[int, ...]:
        if rank > MAX_RANK:
            raise ValueError(f"a tensor has {rank} dimensions")
        return self.numbers(rank, side)

    def _quantization(self, raw: Any) -> tuple[tuple[float, ...], tuple[int, ...]]:
        if raw is None:
            return (), ()
        scales = self.numbers(raw.ScaleLength(), raw.Scale)
        if not all(map(isfinite, scales)):
            raise ValueError("a quantization scale is not a number")
        return scales, self.numbers(raw.ZeroPointLength(), raw.ZeroPoint)

    def _stored_bytes(self, buffer: int) -> int:
        """Bytes of a buffer, noted among the weights; 0 for an activation."""
        raw = self._model.Buffers(_index(buffer, self._model.BuffersLength()))
        # Above 2 GB the values lie behind the flatbuffer, and only their size stands in it.
        size = raw.DataLength() or raw.Size()
        if size > self._file_bytes:
            raise ValueError(f"buffer {buffer} has {size:,} bytes, more than the file")
        if size:
            self.weights[buffer] = size
        return size


def _index(value: int, length: int) -> int:
    """`value` if it is an index: the generated parser would read on beyond the end."""
    if not 0 <= value < length:
        raise IndexError(f"there is no part {value} among {length}")
    return value


def _summed(layers: Sequence[Layer]) -> tuple[Operator, ...]:
    kinds: dict[tuple[str, int], list[Layer]] = {}
    for layer in layers:
        kinds.setdefault((layer.name, layer.version), []).append(layer)
    return tuple(
        Operator(
            name,
            version,
            len(members),
            None
            if any(layer.macs is None for layer in members)
            else sum(layer.macs or 0 for layer in members),
        )
        for (name, version), members in kinds.items()
    )
