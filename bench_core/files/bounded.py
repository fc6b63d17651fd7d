"""Files and JSON documents of others, read within bounds: what they claim is checked before use."""

from __future__ import annotations

import errno
import json
import math
import re
import stat
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

MOST_JSON_BYTES = 64 * 1024**2
DEEPEST_JSON = 64
"""Levels of lists and objects."""
_LARGEST_INTEGER = 2**63
_SURROGATE = re.compile("[\ud800-\udfff]")


class BoundError(ValueError):
    """Content that is damaged, or larger, deeper or of another kind than it may be."""


def parse_json(content: bytes | str, most_bytes: int = MOST_JSON_BYTES) -> Any:
    """Return a JSON document as plain data: finite numbers, integers of 64 bits, text that is Unicode.

    Raises BoundError where it is malformed, longer than `most_bytes`, nested more than DEEPEST_JSON levels,
    gives a key twice, or holds NaN, infinity, larger numbers or half of a surrogate pair.
    """
    if len(content) > most_bytes:
        raise BoundError(f"the document is larger than {most_bytes} bytes")
    try:
        text = content if isinstance(content, str) else _decoded(content)
        data = json.loads(
            text,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_finite,
            object_pairs_hook=_object,
        )
    except RecursionError:
        raise _too_deep() from None
    except BoundError:
        raise
    except ValueError as error:
        raise BoundError(str(error)) from error
    _check_depth(data)
    # Half of a pair is written out or escaped: most documents have neither, nor has any of their texts.
    if "\\u" in text or not (text.isascii() or _SURROGATE.search(text) is None):
        _check_texts(data)
    return data


def read_json(path: Path, most_bytes: int = MOST_JSON_BYTES) -> Any:
    """Return the JSON document in a file; raises OSError, and BoundError as `parse_json` does."""
    with open_regular(path) as file:
        return parse_json(file.read(most_bytes + 1), most_bytes)


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; OSError also for a pipe or a device, which could keep its reader waiting."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path.open("rb")


def _no_constant(text: str) -> NoReturn:
    raise BoundError(f"{text} is not a number")


def _integer(text: str) -> int:
    value = int(text) if len(text) <= 20 else _LARGEST_INTEGER
    if not -_LARGEST_INTEGER <= value < _LARGEST_INTEGER:
        raise BoundError(f"the number {text[:20]}... has more than 64 bits")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise BoundError(f"the number {text[:20]} is too large")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BoundError(f"key {twice!r} is given twice")
    return data


def _decoded(content: bytes) -> str:
    return content.decode(json.detect_encoding(content), "surrogatepass")


def _check_depth(data: Any) -> None:
    level, depth = [data], 0
    while level:
        if depth > DEEPEST_JSON:
            raise _too_deep()
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below += value.values()
            elif isinstance(value, list):
                below += value
        level, depth = below, depth + 1


def _check_texts(data: Any) -> None:
    left = [data]
    while left:
        value = left.pop()
        if isinstance(value, str):
            if _SURROGATE.search(value):
                raise BoundError("a text holds half of a surrogate pair")
        elif isinstance(value, dict):
            left += (*value, *value.values())
        elif isinstance(value, list):
            left += value


def _too_deep() -> BoundError:
    return BoundError(f"lists and objects are nested more than {DEEPEST_JSON} levels deep")
