"""Decode one image or mask file, whatever its format, without trusting what its header promises."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.data.picture import Picture
from bench_core.data.samples import UInt8Array
from bench_core.errors import DataError, MissingDependencyError
from bench_datasets.decoding.dicom import decode_dicom, is_dicom
from bench_datasets.decoding.nifti import decode_nifti, is_nifti
from bench_datasets.decoding.pixels import GIVE_CHANNELS, MOST_PIXELS, REPLACE, Content, OptionError, Pixels
from bench_datasets.decoding.raster import FORMATS, decode_raster
from bench_datasets.decoding.scaling import scaled, taken_whole
from bench_datasets.decoding.windows import Window

__all__ = [
    "FORMATS",
    "MOST_PIXELS",
    "as_image",
    "as_picture",
    "decode_image",
    "decode_mask",
    "decode_picture",
    "decode_pixels",
]


def decode_picture(path: Path, channels: int, intensity: Window, *, upright: bool = True) -> Picture:
    """Return 8 bits in so many channels; raise DataError with the path for what cannot be converted.

    Gray images are repeated to three channels; any number of channels but 1 and 3 must be the file's own,
    transparency included if it is the fourth of four.
    """
    return as_picture(decode_pixels(path, colors=True, upright=upright), channels, intensity, path)


def decode_image(path: Path, channels: int, intensity: Window, *, upright: bool = True) -> UInt8Array:
    """Return uint8 [H, W, channels], as `decode_picture` does."""
    return decode_picture(path, channels, intensity, upright=upright).array


def as_picture(pixels: Pixels, channels: int, intensity: Window, path: Path) -> Picture:
    """Return decoded values with 8 bits in so many channels, as `decode_picture` does."""
    picture = pixels.picture
    if picture is not None and taken_whole(pixels, intensity):
        if picture.mode == "L" and channels == 3:
            return Picture(picture.convert("RGB"))
        if (picture.mode, channels) in (("RGB", 3), ("L", 1)):
            return Picture(picture)
    return Picture(as_image(pixels, channels, intensity, path))


def as_image(pixels: Pixels, channels: int, intensity: Window, path: Path) -> UInt8Array:
    """Return decoded values as uint8 [H, W, channels], as `decode_image` does."""
    if channels == 4 and pixels.alpha is not None and pixels.values.ndim == 3:
        pixels = Pixels(np.dstack([pixels.values, pixels.alpha]), full=pixels.full)
    values = scaled(pixels, intensity, path)
    if values.ndim == 2 and channels in (1, 3):
        return np.repeat(values[:, :, None], channels, axis=2)
    found = values.shape[2] if values.ndim == 3 else 1
    if found == channels:
        return np.ascontiguousarray(values)
    if channels != 1 or found != 3:
        more = "" if found in (1, 3) else " and `protocol: {channels: native}`"
        has = f"has {found} channel{'s' if found > 1 else ''}"
        raise OptionError.of(
            f"{has}, but the option says channels: {channels}",
            path,
            f"set `channels: {found}`{more}, or convert the image",
            (f"{has}, the networks were trained on {channels}", GIVE_CHANNELS),
        )
    if not (values == values[:, :, :1]).all():
        raise OptionError.of(
            "a color image, but the option says channels: 1",
            path,
            "set `channels: 3`",
            ("a color image, the networks were trained on gray ones", "convert it to gray as those were"),
        )
    return np.ascontiguousarray(values[:, :, :1])


def decode_mask(
    path: Path, *, colors: bool, alpha: bool = False, upright: bool = True, page: int | None = None
) -> NDArray[Any]:
    """Return label values [H, W] or, with `colors`, uint8 [H, W, 3]; raise DataError with the path.

    With `alpha` the values are those of the transparency channel, with `page` those of a page of a TIFF.
    """
    pixels = decode_pixels(path, colors=colors or alpha, upright=upright, page=page)
    if alpha:
        if pixels.alpha is None:
            raise DataError(
                "has no alpha channel, but the option says mask_channel: alpha",
                place=str(path),
                fix="export it with transparency, or remove `mask_channel`",
            )
        return pixels.alpha
    values = pixels.values
    _check_alpha(pixels, path)
    if colors:
        if values.dtype != np.uint8 or (values.ndim == 3 and values.shape[2] != 3):
            what = values.dtype if values.ndim == 2 else f"{values.dtype} of {values.shape[2]} channels"
            raise DataError(
                f"the classes are colors, but the mask is {what}",
                place=str(path),
                fix="store it as RGB with 8 bits",
            )
        return np.repeat(values[:, :, None], 3, axis=2) if values.ndim == 2 else values
    if values.ndim == 3:
        if not (values == values[:, :, :1]).all():
            raise DataError(
                "the mask is in color, but the classes are label values",
                place=str(path),
                fix="give the classes as colors: {name: '#rrggbb'}",
            )
        values = values[:, :, 0]
    if values.dtype.kind == "f":
        if not (np.isfinite(values).all() and (values == np.floor(values)).all()):
            raise DataError("the mask holds values that are not whole numbers", place=str(path), fix=REPLACE)
        values = values.astype(np.int64)
    return values


def decode_pixels(
    path: Path | Content,
    *,
    colors: bool,
    upright: bool = True,
    page: int | None = None,
    formats: tuple[str, ...] = FORMATS,
) -> Pixels:
    """Return the values that a file, or a page of a TIFF, holds; raise DataError with the path.

    What was read already is a picture in one of the formats, whatever its name says.
    """
    try:
        if isinstance(path, Path) and is_nifti(path):
            return decode_nifti(path)
        if isinstance(path, Path) and is_dicom(path):
            return decode_dicom(path)
        return decode_raster(path, colors=colors, upright=upright, page=page, formats=formats)
    except (DataError, MissingDependencyError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise  # No fault of the file: another one would do no better.
        # Decoders raise almost anything on damaged input: OSError, SyntaxError, struct.error, EOFError, ...
        raise DataError(
            f"cannot be decoded: {str(error) or type(error).__name__}", place=str(path), fix=REPLACE
        ) from error


def _check_alpha(pixels: Pixels, path: Path) -> None:
    """Raise DataError for a mask that is drawn in its transparency: one color, more or less of it."""
    alpha, values = pixels.alpha, pixels.values
    if alpha is None or (alpha == alpha[:1, :1]).all() or not (values == values[:1, :1]).all():
        return
    raise DataError(
        "the mask is drawn in its alpha channel: its color is the same everywhere, its transparency is not",
        place=str(path),
        fix="set the option `mask_channel: alpha`, or export the mask without transparency",
    )
