"""What a device answers, checked where it comes in: what follows prints it and reckons with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from edge_runtime.manifest import BundleError, is_sha256, version_numbers

from .errors import FlashError

__all__ = ["read_answer"]

SAME_VERSION = "use the same version of edge-runtime on both ends"


def read_answer(stdout: str, fields: Iterable[str], place: str) -> dict[str, Any]:
    """Finds the JSON object in a command's output, whatever a login script printed before it.

    Args:
        stdout: What ``edge-run`` printed there.
        fields: The fields that are wanted.
        place: The device, for an error.

    Returns:
        These fields, each of the type that it should have.

    Raises:
        FlashError: There is no such object, or a field is not what it should be.
    """
    wanted = tuple(fields)
    for line in reversed(stdout.splitlines()):
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(values, dict) and all(field in values for field in wanted):
            answer = {field: values[field] for field in wanted}
            for field, value in answer.items():
                if not CHECKS[field](value):
                    raise FlashError(
                        f"{place} answered with the {field} {value!r:.80}", "", SAME_VERSION
                    )
            return answer
    raise FlashError(
        f"{place} gave no answer that we understand", "one JSON object from edge-run", SAME_VERSION
    )


def _text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 64 and value.isprintable()


def _count(value: object) -> bool:
    return type(value) is int and value >= 0


def _version(value: object) -> bool:
    try:
        version_numbers(value)
    except BundleError:
        return False
    return True


def _release(value: object) -> bool:
    return isinstance(value, dict) and (
        _text(value.get("name")) and _text(value.get("variant")) and is_sha256(value.get("sha256"))
    )


def _self_test(value: object) -> bool:
    return isinstance(value, dict) and (
        _count(value.get("inputs"))
        and all(
            type(value.get(name)) in (int, float) for name in ("largest_difference", "tolerance")
        )
        and all(_text(value.get(name)) for name in ("backend", "backend_version"))
    )


def _shape(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(map(_count, value[:3]))
        and isinstance(value[3], list)
        and all(isinstance(label, str) for label in value[3])
    )


def _interpreters(value: object) -> bool:
    return isinstance(value, dict) and all(map(_text, value))


def _or_none(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or check(value)


# The fields of `edge_runtime.device.Receipt` and of `edge_runtime.device.DeviceStatus`.
CHECKS: Mapping[str, Callable[[object], bool]] = {
    "outcome": lambda value: value in ("activated", "unchanged"),
    "active": _or_none(_release),
    "previous": _or_none(_release),
    "self_test": _or_none(_self_test),
    "problem": _or_none(lambda value: isinstance(value, str)),
    "signed_only": lambda value: isinstance(value, bool),
    "device_type": _text,
    "runtime": _version,
    "interpreters": _interpreters,
    "counter": _count,
    "free_bytes": _count,
    "shape": _or_none(_shape),
}
