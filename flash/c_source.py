"""Writes C: the model, its golden answers, its resolver and the instructions, as text.

What the files look like stands in ``templates/``; here the places in them are filled.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template

import numpy as np
from numpy.typing import NDArray

from edge_runtime.backend import TensorInfo
from edge_runtime.contract import ModelContract

__all__ = ["C_TYPES", "CModel", "c_number", "c_string", "identifier", "source_files"]

C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "float32": "float"}
"""The C type of each tensor type that a picture classifier has for input and output."""

# Where TfLitePtrUnion of TensorFlow Lite's common.h keeps each of them.
UNION_FIELDS = {"int8": "int8", "uint8": "uint8", "int16": "i16", "float32": "f"}
POLARITY_WORDS = {
    "light-on-dark": "light on dark; what is dark on light is inverted (255 - pixel) first",
    "dark-on-light": "dark on light; what is light on dark is inverted (255 - pixel) first",
    "any": "as they are",
}
# "edge" would make edge_model.h and .c: the files of the reader for flash images.
READERS_NAME = "edge"
TEMPLATES = Path(__file__).parent / "templates"
LINE_LENGTH = 100


@dataclass(frozen=True)
class CModel:
    """Everything that goes into the files.

    Attributes:
        name: C identifier that all names begin with.
        contract: The model's contract.
        flatbuffer: The model, without its seal.
        input: Its input tensor.
        output: Its output tensor.
        pixel_table: (256, channels), the input tensor's value for each 8-bit pixel.
        golden_pixels: uint8 (N, height, width, channels).
        golden_inputs: The same in the input's dtype.
        golden_outputs: (N, classes) in the output's dtype.
        interface_id: What other models must share to take this one's place.
        arena_measured_bytes: What TFLM used.
        arena_bytes: What to reserve.
        arena_margin: Share by which the latter is larger.
        resolver_methods: How the operators are registered.
        tflite_micro: Version of the package that measured this.
    """

    name: str
    contract: ModelContract
    flatbuffer: bytes
    input: TensorInfo
    output: TensorInfo
    pixel_table: NDArray
    golden_pixels: NDArray[np.uint8]
    golden_inputs: NDArray
    golden_outputs: NDArray
    interface_id: int
    arena_measured_bytes: int
    arena_bytes: int
    arena_margin: float
    resolver_methods: tuple[str, ...]
    tflite_micro: str


def identifier(text: str) -> str:
    """`text` as a C identifier in small letters.

    >>> identifier("seed_int8"), identifier("7-segment model"), identifier("edge")
    ('seed_int8', 'model_7_segment_model', 'model_edge')
    """
    name = re.sub(r"[^0-9a-z]+", "_", text.lower()).strip("_")
    usable = name and not name[0].isdigit() and name != READERS_NAME
    return name if usable else f"model_{name}".rstrip("_")


def c_string(text: str) -> str:
    r"""`text` as a C string literal of UTF-8 bytes.

    Octal escapes have three digits and so end by themselves, unlike hexadecimal ones; question
    marks are escaped because two of them begin a trigraph.

    >>> print(c_string('a "b" é'))
    "a \042b\042 \303\251"
    """
    letters = (
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"
        for byte in text.encode()
    )
    return f'"{"".join(letters)}"'


def c_number(value: float | np.number) -> str:
    """A number as a C constant; nine digits hold every float exactly.

    Args:
        value: An int, or a float (also NumPy's), which becomes a constant of type float.

    >>> c_number(-128), c_number(1 / 255), c_number(2.0)
    ('-128', '0.00392156863f', '2.0f')
    """
    if isinstance(value, (int, np.integer)):
        return str(value)
    text = f"{float(value):.9g}"
    return f"{text}f" if re.search(r"[.e]", text) else f"{text}.0f"


def source_files(model: CModel) -> dict[str, str]:
    """All files by name.

    Args:
        model: What to write.

    Returns:
        Text for each file name: model header and source, golden header and source, resolver
        header and README.
    """
    places = _places(model)
    return {
        f"{model.name}_{template.stem}": Template(template.read_text("utf-8")).substitute(places)
        for template in sorted(TEMPLATES.glob("*.in"))
    }


def _places(model: CModel) -> dict[str, object]:
    """What stands for each name in the templates."""
    contract, count = model.contract, len(model.golden_inputs)
    digest = hashlib.sha256(model.flatbuffer).hexdigest()
    channels = contract.channels
    table = np.broadcast_to(model.pixel_table, (256, channels)).T
    # Inside a comment nothing may end it, and outside ASCII compilers disagree.
    title = re.sub(r"[^ \w.,()+-]", "_", f"{contract.name}, {contract.variant}", flags=re.ASCII)
    return {
        "name": model.name,
        "UPPER": model.name.upper(),
        "title": title,
        "length": len(model.flatbuffer),
        "length_words": f"{len(model.flatbuffer):,}",
        "sha256": digest,
        "model_id": f"0x{digest[:8]}u",
        "flatbuffer": _wrapped(np.frombuffer(model.flatbuffer, np.uint8)),
        "interface_id": f"0x{model.interface_id:08x}u",
        "arena": model.arena_bytes,
        "arena_words": f"{model.arena_bytes:,}",
        "arena_measured": model.arena_measured_bytes,
        "arena_measured_words": f"{model.arena_measured_bytes:,}",
        "arena_margin": f"{model.arena_margin:.0%}",
        "tflite_micro": model.tflite_micro,
        "height": contract.height,
        "width": contract.width,
        "channels": channels,
        "classes": len(contract.labels),
        "labels": "\n".join(f"    {c_string(label)}," for label in contract.labels),
        "input_type": C_TYPES[model.input.dtype],
        "input_field": UNION_FIELDS[model.input.dtype],
        "input_scale": c_number(model.input.scale),
        "input_zero_point": model.input.zero_point,
        "output_type": C_TYPES[model.output.dtype],
        "output_field": UNION_FIELDS[model.output.dtype],
        "output_scale": c_number(model.output.scale),
        "output_zero_point": model.output.zero_point,
        "output_is_logits": int(contract.output == "logits"),
        "rejection_threshold": c_number(float(contract.rejection_threshold or 0)),
        "polarity": c_string(contract.polarity),
        "polarity_words": POLARITY_WORDS[contract.polarity],
        "fit": c_string(contract.fit),
        "pixel_mean": _row(contract.mean, channels),
        "pixel_scale": _row(contract.scale, channels),
        "pixel_table": _rows(table),
        "golden_count": count,
        "golden_pixels": _rows(model.golden_pixels.reshape(count, -1)),
        "golden_inputs": _rows(model.golden_inputs.reshape(count, -1)),
        "golden_outputs": _rows(model.golden_outputs),
        "operator_count": len(model.resolver_methods),
        "resolver_lines": "\n".join(
            f"  if (resolver.{method}() != kTfLiteOk) return kTfLiteError;"
            for method in model.resolver_methods
        ),
    }


def _row(values: tuple[float, ...], channels: int) -> str:
    return ", ".join(c_number(float(v)) for v in np.broadcast_to(np.array(values), channels))


def _rows(table: NDArray) -> str:
    return "\n".join(f"    {{\n{_wrapped(row)}\n    }}," for row in table)


def _wrapped(values: NDArray) -> str:
    """Constants in lines of at most `LINE_LENGTH` characters."""
    lines = [""]
    for value in values:
        text = f"{c_number(value)},"
        if len(lines[-1]) + len(text) > LINE_LENGTH:
            lines.append("")
        lines[-1] += text
    return "\n".join(lines)
