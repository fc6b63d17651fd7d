"""How wide text is in print: an estimate before TeX measures it."""

from __future__ import annotations

import re

from bench_core.report.latex.escape import broken, is_known

_SETS = {
    2.8: "!',.:;[]`il|·",
    3.4: "- fj",
    3.6: "I",
    3.9: "()rst",
    4.5: "cez",
    5.0: '"$*/0123456789\\ago{}?J–′',
    5.3: "kqvxy",
    5.6: "Sbdhnpu",
    6.1: "Z^~L",
    6.8: "EFP",
    7.2: "BCTw",
    7.5: "RAHNUVXY",
    7.8: "D&+<=>@GKOQ_±−×≤≥≠≈",
    8.3: "#%m",
    9.2: "M",
    10.3: "W—→←∞…",
}
_WIDTHS = {char: width for width, chars in _SETS.items() for char in chars}
"""Points in Computer Modern at 10 pt, rounded up where they were put together (its font metrics)."""
_STOPS = re.compile("[.:!?;] ")
_STOP = 1.2
"""More space after the end of a sentence or part of one."""
_ACCENTED = 7.8
_NUMBERED = 48.0
"""Of [U+1F600], as pdfLaTeX prints what its fonts lack."""
BOLD = 1.16
"""Bold Computer Modern beside the roman, on average 15 % wider."""
SPACE = 3.4
SUPERSCRIPT = 0.75
"""Superscripts are set at 7 pt."""
STAR = 5.0


def text_width(text: str, bold: bool = False) -> float:
    """Return the width of text in points at 10 pt."""
    total = sum(map(_char, text)) + _STOP * len(_STOPS.findall(text))
    return total * BOLD if bold else total


def longest_word(text: str) -> float:
    """Return the width of the widest piece that cannot be broken, in points at 10 pt."""
    return max((text_width(piece) for word in text.split(" ") for piece in broken(word)), default=0.0)


def lines(text: str, width: float) -> int:
    """Return how many lines text takes at a width in points at 10 pt, at least 1."""
    number, filled = 1, 0.0
    for word in text.split(" "):
        wide = text_width(word)
        if filled and filled + SPACE + wide > width:
            number, filled = number + 1, 0.0
        filled += wide + (SPACE if filled else 0.0)
        if filled > width:
            number, filled = number + int(filled // max(width, 1.0)), filled % max(width, 1.0)
    return number


def stacked(text: str, width: float) -> list[str]:
    """Return a heading's lines, broken between words only, none wider than `width` where words allow it."""
    found: list[str] = []
    for word in text.split(" "):
        if found and text_width(f"{found[-1]} {word}") <= width:
            found[-1] += f" {word}"
        else:
            found.append(word)
    return found


def _char(char: str) -> float:
    return _WIDTHS.get(char, _ACCENTED if is_known(char) else _NUMBERED)
