"""Names of files that others declare: a plain name leads to a file in the folder at hand and nowhere else."""

from __future__ import annotations

from bench_core.text import hidden_in

LONGEST_NAME = 200
"""Bytes, so that suffixes such as `.part` still fit into what file systems take."""
_DEVICES = frozenset(
    ("con", "prn", "aux", "nul", *(f"{kind}{number}" for kind in ("com", "lpt") for number in range(1, 10)))
)
"""Names that Windows keeps for devices, whatever suffix follows."""


def name_problem(name: object) -> str | None:
    """Return why `name` is not the plain name of a file, or None if it is.

    A plain name has no separator of any system, no control character and no drive, and is neither empty nor
    one of the folder's own names.
    """
    if not isinstance(name, str):
        return f"it is {type(name).__name__}, not text"
    if not name.strip() or name.strip(". ") == "":
        return "it is empty or names a folder"
    if found := next((mark for mark in "/\\:" if mark in name), None):
        return f"it holds {found!r}, which leads to another place"
    if hidden := hidden_in(name, name=True):
        return f"it holds {hidden}"
    if len(name.encode()) > LONGEST_NAME:
        return f"it is longer than {LONGEST_NAME} bytes"
    if name != name.strip() or name.endswith("."):
        return "it begins or ends with a space, or ends with a dot"
    if name.split(".")[0].lower() in _DEVICES:
        return "it is the name of a device"
    return None
