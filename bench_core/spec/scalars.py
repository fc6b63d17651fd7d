"""Unquoted words to values, by the core schema of YAML 1.2."""

from __future__ import annotations

import re

from bench_core.spec.nodes import Scalar

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_NAN = {".nan", ".NaN", ".NAN"}
LONGEST_NUMBER = 400
"""Characters; beyond this a number is a mistake, and converting it would take quadratic time."""


def resolve(text: str) -> Scalar:
    """Return the value of an unquoted YAML scalar.

    `1e-4` is a number; `off`, `no`, `on`, `yes` and dates stay text. Raises ValueError for numbers of more
    than LONGEST_NUMBER characters. Source: YAML 1.2.2, section 10.3.2.
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if text[0] not in "+-.0123456789":
        return text
    if text in _NAN:
        return float("nan")
    infinite = _INFINITE.fullmatch(text)
    if infinite:
        return float(f"{infinite[1]}inf")
    base = 10 if _INT.fullmatch(text) else 8 if _OCTAL.fullmatch(text) else 16 if _HEX.fullmatch(text) else 0
    if base == 0 and not _FLOAT.fullmatch(text):
        return text
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"a number of {len(text)} characters")
    if base:
        return int(text, base) if base == 10 else int(text[2:], base)
    return float(text)
