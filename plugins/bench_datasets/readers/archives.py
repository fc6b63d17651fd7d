"""Members of a zip archive, read where they are: no file is extracted, and no claimed size is believed.

Offsets and sizes come from the archive's table of contents; each read opens the archive for itself, so that
any number of threads may read (PKWARE APPNOTE 6.3.10, sections 4.3.7, 4.3.14, 4.3.16).
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from bench_core.files.bounded import BoundError, open_regular
from bench_core.files.zip_contents import check_contents

MOST_CONTENTS = 64 * 1024**2
"""Bytes of a table of contents; that of 2,594 images takes 300 KB."""
_LOCAL = b"PK\3\4"
_ENCRYPTED = 1


@dataclass(frozen=True)
class Member:
    """One file of an archive, by what its table of contents says."""

    name: str
    offset: int
    packed: int
    size: int
    deflated: bool
    crc: int

    def read(self, archive: Path, most_bytes: int) -> bytes:
        """Return the content; raise BoundError where it is damaged or larger, OSError if unreadable."""
        if self.size > most_bytes or self.packed > most_bytes:
            raise BoundError(f"is larger than {most_bytes:,} bytes")
        with open_regular(archive) as file:
            file.seek(self.offset)
            local = file.read(30)
            if len(local) < 30 or not local.startswith(_LOCAL):
                raise BoundError("is not where the archive's table of contents says")
            name, extra = struct.unpack_from("<HH", local, 26)
            file.seek(name + extra, 1)
            content = file.read(self.packed)
        if self.deflated:
            content = _inflated(content, self.size)
        if len(content) != self.size or zlib.crc32(content) != self.crc:
            raise BoundError("is damaged inside the archive: its checksum differs")
        return content


def members(archive: Path) -> list[Member]:
    """Return the files of an archive, sorted by name.

    Raises BoundError where it is damaged, encrypted or packed by another method than deflate, OSError where
    it cannot be read.
    """
    with open_regular(archive) as file:
        check_contents(file, MOST_CONTENTS)
        try:
            with zipfile.ZipFile(file) as opened:
                found = [entry for entry in opened.infolist() if not entry.is_dir()]
        except (zipfile.BadZipFile, struct.error, NotImplementedError, EOFError, ValueError) as error:
            raise BoundError(f"the archive is damaged: {error}") from error
    for entry in found:
        if entry.flag_bits & _ENCRYPTED:
            raise BoundError(f"the archive is encrypted: {entry.filename!a:.80}")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BoundError(f"{entry.filename!a:.80} is packed by another method than deflate")
    return sorted((_member(entry) for entry in found), key=lambda member: member.name)


def _member(entry: zipfile.ZipInfo) -> Member:
    return Member(
        name=entry.filename,
        offset=entry.header_offset,
        packed=entry.compress_size,
        size=entry.file_size,
        deflated=entry.compress_type == zipfile.ZIP_DEFLATED,
        crc=entry.CRC,
    )


def _inflated(content: bytes, size: int) -> bytes:
    """Return at most `size` + 1 bytes, whatever the content would grow to."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, size + 1)
    except zlib.error as error:
        raise BoundError(f"is damaged inside the archive: {error}") from error
