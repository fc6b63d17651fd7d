"""One picture of many images, each with the contours of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.data.arrays import CachedArrays
from bench_core.declarations import IGNORE
from bench_core.report.pictures import UInt8, class_color, outline

SIDE = 160
"""Pixels of a tile."""
COLUMNS = 10
GAP, CAPTION = 6, 16
IGNORED = (150, 150, 150)


def tile(image: UInt8, mask: UInt8, side: int = SIDE) -> UInt8:
    """Return an image [S, S, C] as RGB [side, side, 3] with a bright line along each class's border.

    One or three channels are shown as they are, of others the first.
    """
    from PIL import Image

    channels = image if image.shape[2] == 3 else np.repeat(image[:, :, :1], 3, axis=2)
    small = np.array(Image.fromarray(channels).resize((side, side), Image.Resampling.BILINEAR))
    labels = np.asarray(Image.fromarray(mask).resize((side, side), Image.Resampling.NEAREST))
    for label in np.unique(labels[labels > 0]):
        color = IGNORED if label == IGNORE else class_color(int(label))
        area = labels == label
        # A dark line around the bright one: either alone is lost on some tissue.
        small[_around(area)] = 0
        small[outline(area)] = color
    return small


def _around(area: NDArray[np.bool_]) -> NDArray[np.bool_]:
    edge: NDArray[np.bool_] = outline(~area) & ~area
    return edge


def sheet(arrays: CachedArrays, numbers: Sequence[int]) -> Any:
    """Return a Pillow image with the tiles of these samples and their ids beneath."""
    from PIL import Image, ImageDraw

    columns = min(COLUMNS, max(len(numbers), 1))
    rows = -(-len(numbers) // columns)
    width, height = columns * (SIDE + GAP) + GAP, rows * (SIDE + CAPTION + GAP) + GAP
    page = Image.new("RGB", (width, height), (255, 255, 255))
    draw = ImageDraw.Draw(page)
    for place, number in enumerate(numbers):
        left = GAP + place % columns * (SIDE + GAP)
        top = GAP + place // columns * (SIDE + CAPTION + GAP)
        picture = tile(np.asarray(arrays.images[number]), np.asarray(arrays.masks[number]))
        page.paste(Image.fromarray(picture), (left, top))
        draw.text((left, top + SIDE + 2), _short(arrays.ids[number]), fill=(60, 60, 60))
    return page


def _short(text: str, longest: int = 25) -> str:
    shown = text if len(text) <= longest else "..." + text[3 - longest :]
    # The built-in font knows Latin letters only.
    return shown.encode("latin-1", "replace").decode("latin-1")


def spread(count: int, wanted: int) -> list[int]:
    """Return at most `wanted` of `count` numbers, evenly spread and both ends among them."""
    if wanted >= count:
        return list(range(count))
    return sorted({round(number * (count - 1) / max(wanted - 1, 1)) for number in range(wanted)})
