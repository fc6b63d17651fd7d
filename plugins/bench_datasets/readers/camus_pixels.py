"""CAMUS's images and ground truth as arrays [H, W] with the probe on top."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.data.samples import UInt8Array
from bench_core.errors import DataError
from bench_datasets.decoding.pictures import MOST_PIXELS
from bench_datasets.readers.mhd import read_mhd
from bench_datasets.readers.stored import REPLACE

LABELS = 3
MOST_OFFSET = 2**20
"""Bytes before the pixels of a NIfTI file: header and extensions."""
MM = {"unknown": 1.0, "mm": 1.0, "meter": 1000.0, "micron": 0.001}
"""Some headers lack the unit; all lengths were published in mm."""


def pixels_of(path: Path) -> NDArray[Any]:
    """Return the values [H, W] of a file of either release; raise DataError with its path."""
    return read_mhd(path)[0] if path.suffix == ".mhd" else _nifti(path)


def spacing_of(path: Path) -> tuple[float, float] | None:
    """Return mm from pixel to pixel, (down, across); None for an unreadable header, as reading tells."""
    try:
        if path.suffix == ".mhd":
            return read_mhd(path, header_only=True)[1]
        image = _opened(path)
        across, down = (round(float(side), 6) for side in image.header.get_zooms()[:2])
        scale = MM[image.header.get_xyzt_units()[0]]
    except (DataError, KeyError, ValueError):
        return None
    found = (down * scale, across * scale)
    return found if all(np.isfinite(side) and side > 0 for side in found) else None


def to_gray(pixels: NDArray[Any], path: Path) -> UInt8Array:
    """Return [H, W, 1]; values are 0..255, stored as bytes or as floating-point numbers."""
    _check_finite(pixels, path)
    low, high = float(pixels.min()), float(pixels.max())
    if low < -0.5 or high >= 255.5:
        raise DataError(
            f"holds values from {low:g} to {high:g}, published as 0 to 255", place=str(path), fix=REPLACE
        )
    if pixels.dtype.kind == "f" and 0 < high <= 1:
        raise DataError(f"holds values from {low:g} to {high:g}: rescaled?", place=str(path), fix=REPLACE)
    return np.floor(pixels.astype(np.float64) + 0.5).clip(0, 255).astype(np.uint8)[:, :, None]


def to_labels(pixels: NDArray[Any], path: Path) -> UInt8Array:
    """Return [H, W] labels 0..3; raise DataError for other values."""
    _check_finite(pixels, path)
    values = np.unique(pixels)
    strange = values[(values != np.floor(values)) | (values < 0) | (values > LABELS)]
    if strange.size:
        shown = ", ".join(f"{value:g}" for value in strange[:5].tolist())
        raise DataError(
            f"the mask holds {shown}, published are the labels 0 to 3", place=str(path), fix=REPLACE
        )
    return pixels.astype(np.uint8)


def _check_finite(pixels: NDArray[Any], path: Path) -> None:
    if not np.isfinite(pixels).all():
        raise DataError("holds values that are not finite", place=str(path), fix=REPLACE)


def _nifti(path: Path) -> NDArray[Any]:
    image = _opened(path)
    shape = tuple(image.shape)
    if len(shape) < 2 or any(side != 1 for side in shape[2:]):
        raise DataError(
            f"is {' x '.join(map(str, shape))}, expected one 2D image", place=str(path), fix=REPLACE
        )
    if not 0 < shape[0] * shape[1] <= MOST_PIXELS or image.dataobj.offset > MOST_OFFSET:
        raise DataError(f"its header promises {shape[0]} x {shape[1]} pixels", place=str(path), fix=REPLACE)
    try:
        pixels = np.asanyarray(image.dataobj).reshape(shape[:2])
    except (MemoryError, DataError):
        raise
    except Exception as error:  # Decoders raise almost anything on damaged input.
        raise _undecodable(path, error) from error
    if pixels.dtype.kind not in "uif":
        raise DataError(f"holds {pixels.dtype} values", place=str(path), fix=REPLACE)
    # The first axis runs along a row of the picture, the second away from the probe.
    return np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("=")).T)


def _opened(path: Path) -> Any:
    import nibabel

    try:
        return nibabel.load(path)
    except Exception as error:
        raise _undecodable(path, error) from error


def _undecodable(path: Path, error: Exception) -> DataError:
    return DataError(f"cannot be decoded: {str(error) or type(error).__name__}", place=str(path), fix=REPLACE)
