"""Pictures in the formats of cameras, drawing programs and the web, with Pillow and OpenCV."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.errors import DataError
from bench_datasets.decoding.pixels import (
    MOST_PIXELS,
    REPLACE,
    Content,
    OptionError,
    Pixels,
    check_size,
    content_of,
    turned,
)
from bench_datasets.decoding.png import SIGNATURE, check_all_rows, is_interlaced
from bench_datasets.decoding.tiff import decode_tiff, is_tiff

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP")
"""What is tried whatever the extension says; formats that start other programs are not."""
_UNWRITTEN = 165
"""What stands in memory where no pixel was decoded."""
_PNG_GRAY, _PNG_GRAY_ALPHA = 0, 4
_ORIENTATION = 0x0112


def decode_raster(
    path: Path | Content,
    *,
    colors: bool,
    upright: bool = True,
    page: int | None = None,
    formats: tuple[str, ...] = FORMATS,
) -> Pixels:
    """Return a picture's values; of a palette the colors, or without `colors` its indices.

    Gray of 2 and 4 bits is 0..255 with `colors`, else 0..3 and 0..15. `upright` applies the orientation
    that a camera noted; `page` is one of a TIFF.
    """
    from PIL import Image, UnidentifiedImageError

    # Larger files are refused below, with their path.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    with ExitStack() as opened:
        file: Any = opened.enter_context(path.open("rb"))
        head = file.read(32)
        file.seek(0)
        if is_tiff(head) and "TIFF" in formats:
            found = decode_tiff(path, file, page, upright=upright)
            if found is not None:
                return found
            file.seek(0)
        else:
            # From a file, Python reserves whatever length a damaged part claims.
            file = BytesIO(content_of(path, file))
        try:
            image: Any = opened.enter_context(Image.open(file, formats=formats))
        except UnidentifiedImageError as error:
            raise _unidentified(path, head, formats) from error
        except Image.DecompressionBombError as error:
            raise DataError(
                f"its header promises more than {MOST_PIXELS} pixels",
                place=str(path),
                fix="shrink or replace the image",
            ) from error
        check_size(path, image.width, image.height)
        frames = getattr(image, "n_frames", 1)
        if page is not None and image.format == "TIFF":
            image.seek(page)
        elif frames > 1 and image.format != "MPO":
            said, fix = f"holds {frames} frames, expected one image", "export a single frame"
            option = "cut it with the option `slices: acquired`, or " if image.format == "TIFF" else ""
            raise OptionError.of(said, path, f"{option}{fix}", (said, fix))
        bits = _bits(image)
        orientation = noted_orientation(image) if upright else 1
        if image.format == "TIFF" and not upright:
            # Pillow turns a TIFF while it loads.
            image.getexif()[_ORIENTATION] = 1
        shared = _shared_memory(image) if image.mode == "L" and bits == 8 else None
        image.load()
        if image.format == "PNG" and _may_lack_rows(image, shared, content := file.getvalue()):
            check_all_rows(path, content)
        if bits == 16 and head[:8] == SIGNATURE and head[25] != _PNG_GRAY:
            pixels = _deep_png(path, head[25])
        else:
            pixels = _values(image, bits, colors=colors)
    pixels = replace(pixels, mode=image.mode)
    if orientation == 1:
        return replace(pixels, shared=shared) if pixels.stored is image else pixels
    alpha = None if pixels.alpha is None else turned(pixels.alpha, orientation)
    return replace(pixels, stored=turned(pixels.values, orientation), alpha=alpha)


def _shared_memory(image: Any) -> NDArray[np.uint8] | None:
    """Have Pillow decode an opened gray picture into an array; None for formats that bring their own memory.

    An array made of the decoded picture would be the third copy of its pixels.
    """
    from PIL import Image

    if image.format not in ("PNG", "JPEG"):
        return None
    # Zeros, as Pillow's own memory, where a damaged file leaves something open.
    values = np.zeros((image.height, image.width), np.uint8)
    values[-1] = _UNWRITTEN
    image.im = Image.frombuffer("L", image.size, values, "raw", "L", 0, 1).im
    values.flags.writeable = False
    return values


def _may_lack_rows(image: Any, shared: NDArray[np.uint8] | None, content: bytes) -> bool:
    """Say whether a PNG's last row looks as its memory did: counting rows takes as long as decoding."""
    if is_interlaced(content):
        return True
    if shared is not None:
        return bool((shared[-1] == _UNWRITTEN).all())
    return not any(image.crop((0, image.height - 1, image.width, image.height)).tobytes())


def noted_orientation(image: Any) -> int:
    """Return the orientation that an opened picture notes, 1 (upright) to 8; Pillow turns TIFF by itself."""
    return 1 if image.format == "TIFF" else _noted(image)


def _noted(image: Any) -> int:
    if image.format == "PNG" and "exif" not in image.info:
        # Pillow would decode all of it, to see whether the note stands behind the pixels.
        return 1
    found = image.getexif().get(_ORIENTATION, 1)
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _bits(image: Any) -> int:
    """Return the bits of a gray value, or of a channel of a PNG, as the file says."""
    args = image.tile[0][3] if image.tile else None
    word = args if isinstance(args, str) else args[0] if isinstance(args, tuple) and args else ""
    mode, _, kind = str(word).partition(";")
    if image.mode == "L" and mode == "L" and kind[:1] in ("2", "4"):
        return int(kind[0])
    if image.mode == "I;16" and kind.startswith("12"):
        return 12
    return 16 if ";16" in str(word) else 8


def _values(image: Any, bits: int, *, colors: bool) -> Pixels:
    mode = image.mode
    if mode == "P" and not colors:
        return Pixels(_indices(image))
    if mode == "1":
        return Pixels(np.array(image.convert("L")) if colors else np.array(image).astype(np.uint8))
    if mode == "I" and image.format == "PNG":
        return Pixels(np.array(image).astype(np.uint16))
    if mode == "L" and bits < 8 and not colors:
        # Pillow stretches them to 0..255.
        return Pixels(np.array(image) // np.uint8(255 // ((1 << bits) - 1)))
    if bits == 12:
        return Pixels(_native(np.array(image)), full=(0.0, 4095.0))
    if mode == "L" and image.format != "TIFF" and "transparency" not in image.info:
        return Pixels(image)
    if mode in ("L", "I", "F") or mode.startswith("I;16"):
        return Pixels(_native(np.array(image)))
    if mode in ("LA", "La"):
        both = np.array(image.convert("LA"))
        return Pixels(both[:, :, 0], both[:, :, 1])
    if mode in ("RGBA", "RGBa", "PA") or "transparency" in image.info:
        four = np.array(image.convert("RGBA"))
        return Pixels(np.ascontiguousarray(four[:, :, :3]), four[:, :, 3])
    # Converted to what it is already, an image is copied; a TIFF that Pillow has turned needs that.
    return Pixels(image if mode == "RGB" and image.format != "TIFF" else image.convert("RGB"))


def _indices(image: Any) -> NDArray[Any]:
    """Return a palette's indices; of a GIF in gray the grays, since every GIF has a palette."""
    indices: NDArray[Any] = np.array(image)
    if image.format != "GIF":
        return indices
    palette = np.array(image.getpalette() or [], dtype=np.uint8).reshape(-1, 3)
    used = np.unique(indices)
    if used.max() < len(palette) and (palette[used] == palette[used][:, :1]).all():
        gray = np.zeros(256, np.uint8)
        gray[: len(palette)] = palette[:, 0]
        return np.asarray(gray[indices])
    return indices


def _deep_png(path: Path | Content, color_type: int) -> Pixels:
    """Return a PNG of 16 bits a channel, of which Pillow keeps 8; it must have been decoded once."""
    import cv2

    found = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None or found.dtype != np.uint16 or found.ndim != 3:
        raise DataError("is a PNG of 16 bits that cannot be decoded", place=str(path), fix=REPLACE)
    alpha = np.ascontiguousarray(found[:, :, 3]) if found.shape[2] == 4 else None
    if color_type == _PNG_GRAY_ALPHA:
        return Pixels(np.ascontiguousarray(found[:, :, 0]), alpha)
    # OpenCV's channels are blue, green, red.
    return Pixels(np.ascontiguousarray(found[:, :, 2::-1]), alpha)


def _native(values: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(values, values.dtype.newbyteorder("="))


def _unidentified(path: Path | Content, head: bytes, formats: tuple[str, ...]) -> DataError:
    if not head:
        return DataError("is an empty file", place=str(path), fix="copy or export it again")
    return DataError(
        f"is not an image in a known format ({', '.join(formats)})", place=str(path), fix=REPLACE
    )


def noted_in(path: Path) -> int:
    """Return the orientation that a picture file notes, 1 to 8; 1 for whatever cannot be opened."""
    from PIL import Image

    with path.open("rb") as file:
        head = file.read(12)
        file.seek(0)
        if head[:2] != b"\xff\xd8" and head[:8] != SIGNATURE and head[8:] != b"WEBP" and not is_tiff(head):
            return 1
        try:
            with Image.open(file, formats=FORMATS) as image:
                return _noted(image)
        except Exception:  # A damaged file is told of where it is decoded.
            return 1
