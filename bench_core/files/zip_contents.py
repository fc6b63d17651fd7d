"""How large the table of contents of a zip file is, told from the file's end.

zipfile reads all of it before it can be counted.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from bench_core.files.bounded import BoundError

LARGEST_CONTENTS = 128 * 1024**2
"""Of the table of contents of a zip file of many members."""
_END, _LARGE_END, _LARGE_RECORD = b"PK\5\6", b"PK\6\7", b"PK\6\6"
"""Signatures of the end of a zip file, and of the two that stand before it in one of more than 4 GiB."""
_LOCATOR, _RECORD = 20, 56
"""Bytes of these two."""
_LONGEST_END = 22 + 65_535


def check_contents(file: BinaryIO, most_bytes: int = LARGEST_CONTENTS) -> None:
    """Raise BoundError where a zip file has no end, or a table of contents of more than `most_bytes`."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _LONGEST_END - _LOCATOR))
    tail = file.read()
    start = tail.rfind(_END)
    if start < 0 or len(tail) - start < 22:
        raise BoundError("the archive is damaged: it has no end")
    (contents,) = struct.unpack_from("<L", tail, start + 12)
    if start >= _LOCATOR and tail[start - _LOCATOR :].startswith(_LARGE_END):
        (place,) = struct.unpack_from("<Q", tail, start - 12)
        # Some readers look where this says, some right before it: nobody may find another record than we.
        before = size - len(tail) + start - _LOCATOR - _RECORD
        file.seek(max(0, before))
        record = file.read(_RECORD)
        if place != before or not record.startswith(_LARGE_RECORD):
            raise BoundError("the archive is damaged: its end leads nowhere")
        (contents,) = struct.unpack_from("<Q", record, 40)
    if contents > min(most_bytes, size):
        raise BoundError("the archive's table of contents is too large")
    file.seek(0)
