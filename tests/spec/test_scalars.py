from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.spec.scalars import LONGEST_NUMBER, resolve


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("NULL", None), ("nUll", "nUll"),
        ("true", True), ("False", False), ("tRue", "tRue"),
        ("off", "off"), ("no", "no"), ("on", "on"), ("yes", "yes"), ("n", "n"), ("OFF", "OFF"),
        ("0", 0), ("-12", -12), ("+5", 5), ("007", 7), ("0o17", 15), ("0x1F", 31), ("0b1", "0b1"),
        ("1_000", "1_000"), ("1:30", "1:30"), ("2026-01-31", "2026-01-31"), ("1.2.3", "1.2.3"),
        ("1e-4", 1e-4), ("1E3", 1000.0), ("5.", 5.0), (".5", 0.5),
        ("-1.5e+2", -150.0), (".", "."), ("-", "-"),
        (".inf", math.inf), ("-.INF", -math.inf), ("inf", "inf"), ("1e", "1e"), ("+", "+"),
        ("1e999", math.inf),
    ],
)  # fmt: skip
def test_words_of_the_core_schema(text: str, value: object) -> None:
    found = resolve(text)
    assert found == value
    assert type(found) is type(value)


def test_not_a_number() -> None:
    found = resolve(".nan")
    assert isinstance(found, float) and math.isnan(found)
    assert resolve("nan") == "nan"


def test_numbers_of_absurd_length_are_refused() -> None:
    assert resolve("9" * LONGEST_NUMBER) == int("9" * LONGEST_NUMBER)
    with pytest.raises(ValueError, match="401 characters"):
        resolve("9" * (LONGEST_NUMBER + 1))


@given(st.integers(-(10**30), 10**30))
def test_every_integer_is_read_back(value: int) -> None:
    assert resolve(str(value)) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_is_read_back(value: float) -> None:
    found = resolve(repr(value))
    assert isinstance(found, float) and found == value
