"""Output that fails for no encoding: what a terminal's character set lacks is spelled out."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_SPELLED = {
    "✓": "ok", "✗": "x", "…": "...", "–": "-", "—": "-", "−": "-", "×": "x", "±": "+/-", "→": "->", "≤": "<=",
    "≥": ">=", "·": "*", "★": "*", "†": "+", "‘": "'", "’": "'", "“": '"', "”": '"', "\u00a0": " ", "µ": "u",
}  # fmt: skip
_HANDLER = "segtrial-spelled-out"


def prepare_streams() -> None:
    """Let stdout and stderr spell out what they cannot encode: under LC_ALL=C, or for names out of UTF-8."""
    codecs.register_error(_HANDLER, _spell_out)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


@contextmanager
def stdout_apart() -> Iterator[TextIO]:
    """Give out a stream to where stdout leads, while file descriptor 1 leads to stderr.

    C code knows nothing of `sys.stdout`: what it prints goes to the descriptor. A stdout that is not this
    descriptor (a test's) is given out as it is.
    """
    try:
        number = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        number = -1
    if number != 1:
        yield sys.stdout
        return
    sys.stdout.flush()
    before = os.dup(1)
    stream = os.fdopen(os.dup(1), "w", encoding=sys.stdout.encoding, errors=_HANDLER)
    os.dup2(2, 1)
    try:
        with stream:
            yield stream
    finally:
        os.dup2(before, 1)
        os.close(before)


def _spell_out(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(_SPELLED.get(letter) or _escaped(letter) for letter in letters), error.end


def _escaped(letter: str) -> str:
    return letter.encode("ascii", "backslashreplace").decode("ascii")
