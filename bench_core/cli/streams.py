"""Output that fails for no encoding: what a terminal's character set lacks is spelled out."""

from __future__ import annotations

import codecs
import io
import sys

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


def _spell_out(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(_SPELLED.get(letter) or _escaped(letter) for letter in letters), error.end


def _escaped(letter: str) -> str:
    return letter.encode("ascii", "backslashreplace").decode("ascii")
