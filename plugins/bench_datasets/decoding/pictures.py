"""Decode one image or mask file, whatever its format, without trusting what its header promises."""

from __future__ import annotations

import errno
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.data.samples import UInt8Array
from bench_core.errors import DataError
from bench_datasets.decoding.tiff import tiff_kind

MOST_PIXELS = 2**27
"""A file whose header promises more than these 134 million pixels is not decoded."""
REPLACE = "open it in a viewer; export or copy it again"
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF")
"""What is tried whatever the extension says; formats that start other programs are not."""


def decode_image(path: Path, channels: int, intensity: tuple[float, float] | str) -> UInt8Array:
    """Return uint8 [H, W, channels]; raise DataError with the path for what cannot be converted."""
    pixels = _scaled(_decode(path, colors=True), intensity, path)
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], channels, axis=2)
    if channels == 3:
        return pixels
    if not (pixels == pixels[:, :, :1]).all():
        raise DataError(
            "a color image, but the option says channels: 1", place=str(path), fix="set `channels: 3`"
        )
    return np.ascontiguousarray(pixels[:, :, :1])


def decode_mask(path: Path, *, colors: bool) -> NDArray[Any]:
    """Return label values [H, W] or, with `colors`, uint8 [H, W, 3]; raise DataError with the path."""
    pixels = _decode(path, colors=colors)
    if colors:
        if pixels.dtype != np.uint8:
            raise DataError(
                f"the classes are colors, but the mask is {pixels.dtype}",
                place=str(path),
                fix="store it with 8 bits",
            )
        return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels
    if pixels.ndim == 3:
        if not (pixels == pixels[:, :, :1]).all():
            raise DataError(
                "the mask is in color, but the classes are label values",
                place=str(path),
                fix="give the classes as colors: {name: '#rrggbb'}",
            )
        pixels = pixels[:, :, 0]
    if pixels.dtype.kind == "f":
        if not (np.isfinite(pixels).all() and (pixels == np.floor(pixels)).all()):
            raise DataError("the mask holds values that are not whole numbers", place=str(path), fix=REPLACE)
        pixels = pixels.astype(np.int64)
    return pixels


def _decode(path: Path, *, colors: bool) -> NDArray[Any]:
    try:
        if path.name.lower().endswith((".nii", ".nii.gz")):
            pixels = _decode_nifti(path)
        else:
            pixels = _decode_picture(path, colors=colors)
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    except DataError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise  # No fault of the file: another one would do no better.
        # Decoders raise almost anything on damaged input: OSError, SyntaxError, struct.error, EOFError, ...
        raise _undecodable(path, error) from error


def _undecodable(path: Path, error: Exception) -> DataError:
    return DataError(f"cannot be decoded: {str(error) or type(error).__name__}", place=str(path), fix=REPLACE)


def _decode_picture(path: Path, *, colors: bool) -> NDArray[Any]:
    from PIL import Image, ImageOps, UnidentifiedImageError

    # Larger files are refused below, with their path.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    with ExitStack() as opened:
        file = opened.enter_context(path.open("rb"))
        try:
            image = opened.enter_context(Image.open(file, formats=FORMATS))
        except UnidentifiedImageError as error:
            raise _unidentified(path) from error
        _check_size(path, image.width, image.height)
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":
            raise DataError(
                f"holds {frames} frames, expected one image", place=str(path), fix="export a single frame"
            )
        upright = ImageOps.exif_transpose(image)
        if upright.mode == "P" and not colors:
            return np.array(upright)
        if upright.mode == "1" and colors:
            return np.array(upright.convert("L"))
        if upright.mode == "1":
            return np.array(upright).astype(np.uint8)
        if upright.mode == "I" and image.format == "PNG":
            return np.array(upright).astype(np.uint16)
        if upright.mode == "LA":
            return np.array(upright.convert("L"))
        if upright.mode in ("L", "I", "F") or upright.mode.startswith("I;16"):
            return np.array(upright)
        return np.array(upright.convert("RGB"))


def _unidentified(path: Path) -> DataError:
    """Return why a file is not read: a TIFF of a kind that no decoder here knows, or no image at all."""
    kind = tiff_kind(path)
    if kind:
        return DataError(
            f"is a TIFF of {kind}, which is not read",
            place=str(path),
            fix="export it with 1 or 3 channels of 8 or 16 bits",
        )
    return DataError(
        f"is not an image in a known format ({', '.join(FORMATS)})", place=str(path), fix=REPLACE
    )


def _decode_nifti(path: Path) -> NDArray[Any]:
    import nibabel

    image: Any = nibabel.load(path)
    shape = tuple(image.shape)
    if len(shape) < 2 or any(side != 1 for side in shape[2:]):
        raise DataError(
            f"is a volume of {' x '.join(map(str, shape))}, expected one 2D image",
            place=str(path),
            fix="store each slice as a file",
        )
    _check_size(path, shape[0], shape[1])
    pixels = np.asanyarray(image.dataobj).reshape(shape[:2])
    if pixels.dtype.kind not in "uif":
        raise DataError(f"holds {pixels.dtype} values", place=str(path), fix="store numbers")
    # NIfTI's first axis runs along a row of the picture.
    return np.ascontiguousarray(pixels.T)


def _check_size(path: Path, width: int, height: int) -> None:
    if width < 1 or height < 1 or width * height > MOST_PIXELS:
        raise DataError(
            f"its header promises {width} x {height} pixels",
            place=str(path),
            fix="shrink or replace the image",
        )


def _scaled(pixels: NDArray[Any], intensity: tuple[float, float] | str, path: Path) -> UInt8Array:
    if intensity == "dtype":
        if pixels.dtype == np.uint8:
            return pixels
        if pixels.dtype != np.uint16:
            raise DataError(
                f"holds {pixels.dtype} values, whose range is not known",
                place=str(path),
                fix="set the option `intensity: [low, high]`, or `image` for each image's own range",
            )
        low, high = 0.0, 65535.0
    elif isinstance(intensity, tuple):
        low, high = intensity
    else:
        low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite(pixels).all():
        raise DataError("holds values that are not finite", place=str(path), fix="replace NaN and infinity")
    scale = 255.0 / (high - low) if high > low else 0.0
    scaled = np.empty(pixels.shape, dtype=np.uint8)
    # Line by line: as 64-bit numbers the largest image that is read would take gigabytes.
    for line, row in enumerate(pixels):
        scaled[line] = np.clip(np.floor((row.astype(np.float64) - low) * scale + 0.5), 0, 255)
    return scaled
