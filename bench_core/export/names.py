"""File names made of labels and sample ids, which are text of others and no paths."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

LONGEST = 100
_OTHERS = re.compile(r"[^A-Za-z0-9._+-]+")
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""Names that mean a device on Windows, whatever follows the dot."""


def file_names(texts: Iterable[str]) -> dict[str, str]:
    """Return a plain file name (without suffix) for each of these texts, different for different texts.

    A text that is such a name is its own. Any other, and each of those that differ in large and small
    letters alone, ends in the first eight digits of its SHA-256.
    """
    listed = list(dict.fromkeys(texts))
    alike = Counter(_plain(text).lower() for text in listed)
    names = {
        text: _plain(text) if _plain(text) == text and alike[text.lower()] == 1 else _marked(text)
        for text in listed
    }
    # A text can be, letter for letter, the name that another one was given.
    taken = Counter(name.lower() for name in names.values())
    return {text: _marked(text) if taken[name.lower()] > 1 else name for text, name in names.items()}


def _plain(text: str) -> str:
    # No dot, dash or plus in front: hidden files, options of programs, formulas of spreadsheets.
    name = _OTHERS.sub("-", text).lstrip(".-+")[:LONGEST].rstrip(".")
    return f"{name}-" if _DEVICES.fullmatch(name) else name or "unnamed"


def _marked(text: str) -> str:
    digits = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{_plain(text)[: LONGEST - 9]}-{digits}"
