from __future__ import annotations

import ast

import numpy as np
import pytest

from flash.c_source import c_number, c_string, identifier


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("seed_int8", "seed_int8"),
        ("Seed-Int8 (2)", "seed_int8_2"),
        ("7", "model_7"),
        ("é", "model"),
        ("", "model"),
        ("___", "model"),
    ],
)
def test_identifier_is_one_for_c(stem, name):
    assert identifier(stem) == name


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        'quo"te',
        "back\\slash",
        "??/",
        "é\u4e2d",
        "tab\there",
        "%d",
    ],
)
def test_string_literal_stands_for_the_same_bytes(text):
    literal = c_string(text)
    assert literal.isascii()
    assert "?" not in literal
    # Python reads octal escapes as C does.
    assert ast.literal_eval("b" + literal) == text.encode()


@pytest.mark.parametrize("value", [0, 1, -1, 1 / 255, np.pi, 1e-30, 3.4e38, 0.1])
def test_float_constants_are_exact(value):
    number = np.float32(value)
    text = c_number(number)
    assert text.endswith("f")
    assert "." in text or "e" in text
    assert np.float32(text[:-1]) == number
