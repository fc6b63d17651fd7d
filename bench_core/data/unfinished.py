"""A cache folder that is being filled: samples in order, and a journal by which another process continues."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bench_core.data.arrays import IMAGES, MASKS, sample_checksum
from bench_core.data.looks import SIDE
from bench_core.data.samples import Sample, UInt8Array

JOURNAL = "journal.jsonl"
_LONGEST_LINE = 64 * 1024
"""Bytes; a row holds hashes, sizes and at most 256 labels."""


class Unfinished:
    """Appends samples to a folder; what an earlier process finished there is held against its checksums.

    The folder's name must cover everything that the samples' bytes depend on. Use as a context.
    Raises OSError if the folder cannot be read or written.
    """

    def __init__(self, folder: Path, samples: Sequence[Sample], size: int, channels: int | None) -> None:
        self._folder, self._samples, self._size = folder, samples, size
        self.channels = channels
        self.rows: list[dict[str, Any]] = []
        """What is known of the pixels of each finished sample, by name."""
        self.looks: list[UInt8Array] = []
        """[32, 32] small pictures of the finished samples."""
        self._files: list[BinaryIO] = []

    def __enter__(self) -> Unfinished:
        self._files = [_opened(self._folder / name) for name in (JOURNAL, IMAGES, MASKS)]
        journal, *arrays = self._files
        end = self._resume(journal)
        journal.seek(end)
        journal.truncate()
        for file, shape in zip(arrays, self._shapes(), strict=True):
            place = len(_header(len(self._samples), shape)) + len(self.rows) * _bytes(shape)
            file.seek(place if self.rows else 0)
            file.truncate()
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            with contextlib.suppress(OSError):
                file.close()

    def append(self, image: UInt8Array, mask: UInt8Array, row: dict[str, Any], look: UInt8Array) -> None:
        """Add the next sample: image [S, S, C], mask [S, S], what is known of both, the small picture."""
        journal, images, masks = self._files
        if not self.rows:
            self.channels = image.shape[2]
            for file, shape in zip((images, masks), self._shapes(), strict=True):
                file.write(_header(len(self._samples), shape))
        images.write(np.ascontiguousarray(image).data)
        masks.write(np.ascontiguousarray(mask).data)
        sample = self._samples[len(self.rows)]
        line = json.dumps([sample.id, image.shape[2], look.tobytes().hex(), row])
        journal.write(f"{_seal(line)} {line}\n".encode())
        for file in (images, masks, journal):
            file.flush()
        self.rows.append(row)
        self.looks.append(look)

    def close(self) -> None:
        """Bring everything to the disk."""
        for file in self._files:
            # Without this a power loss after the rename could leave a complete-looking folder of zeros.
            file.flush()
            os.fsync(file.fileno())
        self.__exit__()
        (self._folder / JOURNAL).unlink()

    def _shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        size = self._size
        return (size, size, self.channels or 1), (size, size)

    def _resume(self, journal: BinaryIO) -> int:
        """Take over what was finished; return where the journal's good lines end."""
        end = 0
        for sample in self._samples:
            line = journal.readline(_LONGEST_LINE)
            try:
                channels, look, row = _parsed(line, sample.id)
                if (self.rows and channels != self.channels) or channels != (self.channels or channels):
                    break
                self.channels = channels
                if not self._holds(row["checksums"]):
                    break
            except (ValueError, LookupError, TypeError):
                break
            self.rows.append(row)
            self.looks.append(look)
            end += len(line)
        return end

    def _holds(self, checksum: object) -> bool:
        """Say whether the next sample in the files has this checksum."""
        parts = []
        for file, shape in zip(self._files[1:], self._shapes(), strict=True):
            header = _header(len(self._samples), shape)
            if not self.rows and file.read(len(header)) != header:
                return False
            content = file.read(_bytes(shape))
            if len(content) != _bytes(shape):
                return False
            parts.append(np.frombuffer(content, dtype=np.uint8).reshape(shape))
        return sample_checksum(parts[0], parts[1]) == checksum


def _parsed(line: bytes, sample: str) -> tuple[int, UInt8Array, dict[str, Any]]:
    seal, _, text = line.decode().partition(" ")
    text = text.removesuffix("\n")
    if not line.endswith(b"\n") or seal != _seal(text):
        raise ValueError("a line that was cut off")
    known, channels, look, row = json.loads(text)
    if known != sample:
        raise ValueError("another sample")
    return channels, np.frombuffer(bytes.fromhex(look), dtype=np.uint8).reshape(SIDE, SIDE), row


def _seal(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _opened(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b")


def _bytes(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape))


def _header(count: int, shape: tuple[int, ...]) -> bytes:
    # Plain writes, no memory map: a full disk is then an error here and not a killed process.
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
    )
    return file.getvalue()
