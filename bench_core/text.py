"""Text of others, made safe to show: on a terminal, on a page, in a table that a spreadsheet opens."""

from __future__ import annotations

import json
import re
import sys

_DIRECTIONS = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""Marks that reverse what follows them (Unicode Standard Annex 9)."""
_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff"
"""C0, C1, other line ends, byte-order mark, and bytes of names that are not UTF-8; not tab and line feed."""
_HIDDEN = re.compile(f"[{_CONTROLS}{_DIRECTIONS}]")
_HIDDEN_IN_NAMES = re.compile(f"[\t\n{_CONTROLS}{_DIRECTIONS}]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)? ?%?")
_LINE_END = re.compile(r"\r\n|\r|\n")


def visible(text: str) -> str:
    r"""Return text with characters that act instead of being seen written out, as \x1b or \u202e.

    Line feeds and tabs stay. What comes out is valid Unicode, whatever bytes a file name held.
    """
    return _HIDDEN.sub(_written_out, text)


def visible_name(text: str) -> str:
    """Return a name as `visible` does, on one line."""
    return _HIDDEN_IN_NAMES.sub(_written_out, text)


def hidden_in(text: str, *, name: bool = False) -> str | None:
    """Return in words the first character that `visible` (or `visible_name`) would write out, or None."""
    found = (_HIDDEN_IN_NAMES if name else _HIDDEN).search(text)
    return None if found is None else in_words(found[0])


def in_words(character: str) -> str:
    """Return what a hidden character is: a byte that is not UTF-8, a control character, a direction mark."""
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"the byte 0x{code - 0xDC00:02x}, which is not {_names_of_files()}"
    if re.match(f"[{_DIRECTIONS}]", character):
        return f"U+{code:04X}, which changes the direction of the text after it"
    if character in "\x85\u2028\u2029":
        return f"U+{code:04X}, which some programs take for the end of a line"
    return f"the control character U+{code:04X}"


def encodable(text: str) -> str:
    r"""Return text that can be written as UTF-8: halves of surrogate pairs are written out, as \xff."""
    return _SURROGATE.sub(_written_out, text)


def json_visible(text: str, *, ascii_only: bool = False) -> str:
    r"""Return a JSON document in which hidden characters (or all but ASCII) are escaped, as \u202e.

    A byte that is not UTF-8 has no JSON escape of its own and is written out as text, \xff.
    """
    text = _HIDDEN.sub(_json_escaped, text)
    return re.sub(r"[^\x00-\x7f]", _json_escaped, text) if ascii_only else text


def table_cell(text: str) -> str:
    """Return text for a cell of a CSV file that spreadsheets show instead of computing it.

    What begins like a formula and is not a plain number gets an apostrophe in front. Source: OWASP, CSV
    injection.
    """
    if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text):
        text = f"'{text}"
    return visible(text)


def lines_of(text: str) -> list[str]:
    """Return a text's lines as YAML 1.2 and editors count them: only LF, CR LF and CR end one."""
    return _LINE_END.split(text)


def _json_escaped(match: re.Match[str]) -> str:
    if _SURROGATE.match(match[0]):
        return json.dumps(_written_out(match))[1:-1]
    # Line feeds never come here; DEL is the one character that JSON takes as it is.
    return "\\u007f" if match[0] == "\x7f" else json.dumps(match[0])[1:-1]


def _written_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return {9: "\\t", 10: "\\n"}.get(code) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def _names_of_files() -> str:
    encoding = sys.getfilesystemencoding()
    return "UTF-8" if encoding == "utf-8" else f"{encoding.upper()}, this locale's (try LC_ALL=C.UTF-8)"
