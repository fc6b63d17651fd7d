"""Images and label maps as small files: photos, overlays, swatches; classes differ by color and pattern."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.errors import MissingDependencyError
from bench_core.install import install_command
from bench_core.report.bitmap import bitmap

UInt8 = NDArray[np.uint8]
CLASS_COLORS = ((230, 159, 0), (86, 180, 233), (0, 201, 143), (240, 228, 66), (213, 94, 0), (204, 121, 167))
"""Okabe-Ito hues (the green lightened to stand out on dark tissue), by class."""
PALETTE = 96
QUALITY = 88
"""Of JPEG: photos are looked at, and nothing is counted in them."""
_FILL = 0.42


def overlay(image: UInt8, labels: UInt8) -> UInt8:
    """Return the image with each class filled (plain, striped, dotted in turn) and outlined in its color."""
    shown = image.astype(np.float32)
    for label in np.unique(labels[labels > 0]):
        area = labels == label
        color = np.array(class_color(int(label)), dtype=np.float32)
        fill = area & pattern(int(label), area.shape)
        shown[fill] = (1 - _FILL) * shown[fill] + _FILL * color
        shown[outline(area)] = color
    return np.clip(shown, 0, 255).astype(np.uint8)


def outline(area: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of an area that touch a pixel outside it, above, below, left or right."""
    padded = np.pad(area, 1, constant_values=False)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    edge: NDArray[np.bool_] = area & ~inside
    return edge


def class_color(label: int) -> tuple[int, int, int]:
    """Return a class's color; classes beyond the palette repeat it with other patterns."""
    return CLASS_COLORS[(label - 1) % len(CLASS_COLORS)]


def swatch(label: int, size: int = 22) -> str:
    """Return a data URI of a class's color and pattern, for the legend."""
    image = np.full((size, size, 3), 170, dtype=np.uint8)
    return encode(overlay(image, np.full((size, size), label, dtype=np.uint8)))


def encode(image: UInt8) -> str:
    """Return an image [H, W, 3] as a PNG data URI with a palette of its own: small and without artifacts."""
    pillow = _pillow()
    picture = pillow.fromarray(np.ascontiguousarray(image)).quantize(PALETTE, dither=pillow.Dither.NONE)
    return data_uri(_saved(picture, "PNG", optimize=True))


def photo(image: UInt8) -> bytes:
    """Return an image [H, W, C] as JPEG."""
    return _saved(_pillow().fromarray(np.ascontiguousarray(rgb(image))), "JPEG", quality=QUALITY)


def layer(picture: UInt8) -> bytes:
    """Return a transparent picture [H, W, 4] as PNG with a palette."""
    pillow = _pillow()
    words, places = np.unique(np.ascontiguousarray(picture).view(np.uint32), return_inverse=True)
    colors = words.view(np.uint8).reshape(-1, 4)
    if len(colors) > 256:
        quick = pillow.Quantize.FASTOCTREE
        return _saved(pillow.fromarray(np.ascontiguousarray(picture)).quantize(128, method=quick), "PNG")
    found = pillow.fromarray(places.reshape(picture.shape[:2]).astype(np.uint8), mode="P")
    found.putpalette(colors[:, :3].tobytes())
    return _saved(found, "PNG", transparency=bytes(colors[:, 3].tolist()))


def sheet(areas: Sequence[NDArray[np.bool_]]) -> bytes:
    """Return areas [H, W] as tiles of one transparent PNG, from left to right and then down.

    There are as many columns as rows, or one more; the page draws with the tiles and never reads a pixel.
    """
    columns = max(1, math.ceil(math.sqrt(len(areas))))
    height, width = areas[0].shape
    found = np.zeros((-(-len(areas) // columns), height, columns, width), dtype=bool)
    for number, area in enumerate(areas):
        found[number // columns, :, number % columns] = area
    return bitmap(found.reshape(-1, columns * width))


def data_uri(content: bytes) -> str:
    """Return a PNG or JPEG file as a data URI."""
    kind = "png" if content.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def pattern(label: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which pixels of an area are filled: all, stripes or dots, in turn by class."""
    rows, columns = np.indices(shape)
    kind = (label - 1) % 3
    if kind == 0:
        return np.ones(shape, dtype=bool)
    if kind == 1:
        return np.asarray((rows + columns) % 6 < 3)
    return np.asarray((rows % 5 < 2) & (columns % 5 < 2))


def rgb(image: UInt8) -> UInt8:
    """Return an image [H, W] or [H, W, C] as RGB [H, W, 3]; other numbers of channels show the first."""
    if image.ndim == 2:
        image = image[:, :, None]
    return image if image.shape[2] == 3 else np.repeat(image[:, :, :1], 3, axis=2)


def shrunk(image: UInt8, width: int) -> tuple[UInt8, int]:
    """Return an RGB image averaged over whole-number blocks to at most `width`, and the block's side."""
    scale = max(1, -(-max(image.shape[:2]) // width))
    if scale == 1:
        return image, 1
    height, wide = (side // scale * scale for side in image.shape[:2])
    blocks = image[:height, :wide].reshape(height // scale, scale, wide // scale, scale, 3)
    return blocks.mean(axis=(1, 3)).round().astype(np.uint8), scale


def _saved(picture: Any, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, format=kind, **options)
    return out.getvalue()


def _pillow() -> Any:
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "pictures in a report need the package 'pillow', which is not installed",
            fix=install_command("report"),
        ) from error
    return Image
