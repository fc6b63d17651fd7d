"""What the header of a TIFF says of its pixels, for files that no decoder here reads."""

from __future__ import annotations

import struct
from pathlib import Path

_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_BITS, _CHANNELS, _FORMAT = 258, 277, 339
_SHORT = 3
_KINDS = {1: "whole numbers", 2: "signed numbers", 3: "floating-point numbers", 5: "complex", 6: "complex"}
"""Values of the tag SampleFormat (TIFF 6.0, section 19)."""


def tiff_kind(path: Path) -> str:
    """Return a TIFF's channels and kind of numbers in words; empty for a file that is not a readable TIFF."""
    with path.open("rb") as file:
        head = file.read(8)
        order = _ORDERS.get(head[:4])
        if order is None or len(head) < 8:
            return ""
        file.seek(struct.unpack(f"{order}I", head[4:])[0])
        count = file.read(2)
        if len(count) < 2:
            return ""
        entries = file.read(12 * struct.unpack(f"{order}H", count)[0])
        found = {_BITS: 1, _CHANNELS: 1, _FORMAT: 1}
        for start in range(0, len(entries) - 11, 12):
            tag, kind, number = struct.unpack(f"{order}HHI", entries[start : start + 8])
            if tag not in found or kind != _SHORT or not number:
                continue
            # Up to two short values stand in the entry itself, more of them elsewhere.
            value = entries[start + 8 : start + 10]
            if number > 2:
                file.seek(struct.unpack(f"{order}I", entries[start + 8 : start + 12])[0])
                value = file.read(2)
            if len(value) == 2:
                found[tag] = struct.unpack(f"{order}H", value)[0]
    channels = found[_CHANNELS]
    words = "1 channel" if channels == 1 else f"{channels} channels"
    return f"{words} of {found[_BITS]}-bit {_KINDS.get(found[_FORMAT], 'values')}"
