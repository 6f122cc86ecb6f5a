"""What a device may answer, and what is refused before anything reckons with it."""

from __future__ import annotations

import json

import pytest

from flash.answers import CHECKS, read_answer
from flash.errors import FlashError


def test_fields_are_found_behind_what_a_login_script_prints(good_answer):
    text = f"Welcome!\n{{}}\n{json.dumps(good_answer)}\n[1]\nGoodbye\n"
    assert read_answer(text, ("counter", "shape"), "pi") == {
        "counter": 0,
        "shape": good_answer["shape"],
    }
    assert read_answer(json.dumps(good_answer), CHECKS, "pi") == good_answer


@pytest.mark.parametrize("text", ["", "{}", "[" * 100_000, "5", '{"counter": 1', '["counter"]'])
def test_no_answer_is_one_line(text):
    with pytest.raises(FlashError, match="pi gave no answer that we understand"):
        read_answer(text, ("counter",), "pi")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("outcome", "would-activate"),
        ("active", 5),
        ("active", {}),
        ("active", {"name": "a\x1b[31m", "variant": "int8", "sha256": "0" * 64}),
        ("active", {"name": "seed", "variant": "int8", "sha256": 7}),
        ("previous", [1]),
        ("self_test", {}),
        ("self_test", "well"),
        ("problem", 5),
        ("signed_only", None),
        ("device_type", "a\x9b2J"),
        ("runtime", "0.1\x1b"),
        ("interpreters", ["litert"]),
        ("counter", "x"),
        ("counter", True),
        ("free_bytes", "many"),
        ("shape", [28, 28, 1, 5]),
        ("shape", 5),
    ],
)
def test_wrong_answer_of_a_device_is_one_line(good_answer, field, value):
    text = json.dumps({**good_answer, field: value})
    with pytest.raises(FlashError, match=f"pi answered with the {field} .*same version") as refused:
        read_answer(text, CHECKS, "pi")
    assert str(refused.value).isprintable()
