"""What the decoders return: values as they are stored, and what is known of their range."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bench_core.errors import DataError

MOST_PIXELS = 2**27
"""A file whose header promises more than these 134 million pixels is not decoded."""
MOST_BYTES = 2**30
"""Nor one whose decoded values would take more memory than this."""
MOST_CHANNELS = 16
GIVE_CHANNELS = "give the channels that the networks were trained on"
REPLACE = "open it in a viewer; export or copy it again"
_FULL = {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0)}


class OptionError(DataError):
    """A file that other options of its dataset would read."""

    elsewhere: tuple[str, str] | None = None
    """Message and fix for images of no dataset, which have no options."""

    @classmethod
    def of(cls, message: str, path: object, fix: str, elsewhere: tuple[str, str]) -> OptionError:
        """Return the error of a file, in both ways."""
        error = cls(message, place=str(path), fix=fix)
        error.elsewhere = elsewhere
        return error


@dataclass(frozen=True)
class Pixels:
    """One decoded image or mask."""

    stored: Any
    """[H, W] or [H, W, C], as stored, without an alpha channel; or a Pillow image, RGB or L, that says so."""
    alpha: NDArray[Any] | None = None
    """[H, W] of the transparency channel, where there is one."""
    full: tuple[float, float] | None = None
    """Range of the stored type, where it says less than `values.dtype` does (12 bits in 16)."""
    window: tuple[float, float] | None = None
    """Range in which the file says that it should be looked at."""
    inverted: bool = False
    """Whether low values are bright."""
    mode: str = ""
    """Pillow's name of how a picture is stored, such as RGB, CMYK or I;16."""
    shared: NDArray[Any] | None = None
    """The memory of a stored Pillow image, where it is an array's."""

    @cached_property
    def values(self) -> NDArray[Any]:
        """What is stored, as an array; read-only where Pillow decoded it."""
        return np.asarray(self.stored) if self.shared is None else self.shared

    @property
    def values_type(self) -> np.dtype[Any]:
        """That of the values, which need not be made for it."""
        return self.stored.dtype if self.picture is None else np.dtype(np.uint8)

    @property
    def picture(self) -> Any | None:
        """The Pillow image, where there is one."""
        return None if isinstance(self.stored, np.ndarray) else self.stored

    @property
    def range(self) -> tuple[float, float] | None:
        """The range that the type can hold; None for signed and floating-point numbers."""
        return self.full or _FULL.get(self.values.dtype.name)


@dataclass(frozen=True)
class Content:
    """Bytes that were read already, such as those of an archive's member; stands where a path does."""

    place: str
    """Names them in messages."""
    data: bytes

    def __str__(self) -> str:
        return self.place

    def open(self, mode: str = "rb") -> BinaryIO:
        """Return them as a file."""
        return BytesIO(self.data)

    def read_bytes(self) -> bytes:
        """Return them."""
        return self.data


def content_of(path: Path | Content, file: BinaryIO) -> bytes:
    """Return a file's content; raise DataError for one larger than what is decoded."""
    size = len(path.data) if isinstance(path, Content) else os.fstat(file.fileno()).st_size
    if size > MOST_BYTES:
        raise DataError(
            f"is larger than {MOST_BYTES // 2**20} MB", place=str(path), fix="shrink or replace the image"
        )
    return file.read()


def check_size(path: Path | Content, width: int, height: int, channels: int = 1, item_bytes: int = 1) -> None:
    """Raise DataError for a header that promises more than is decoded, or nothing."""
    if width < 1 or height < 1 or width * height > MOST_PIXELS:
        raise DataError(
            f"its header promises {width} x {height} pixels",
            place=str(path),
            fix="shrink or replace the image",
        )
    if channels > MOST_CHANNELS or width * height * channels * item_bytes > MOST_BYTES:
        raise DataError(
            f"its header promises {width} x {height} pixels of {channels} channels and {item_bytes} bytes",
            place=str(path),
            cause=f"at most {MOST_CHANNELS} channels and {MOST_BYTES // 2**20} MB are read",
            fix="shrink or replace the image",
        )


def turned(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return values [H, W, ...] upright; `orientation` is that of EXIF and TIFF, 1 to 8 (TIFF 6.0, p. 36)."""
    if orientation in (3, 4, 6, 7):
        values = values[::-1]
    if orientation in (2, 3, 7, 8):
        values = values[:, ::-1]
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    return np.ascontiguousarray(values)
