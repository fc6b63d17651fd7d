"""Cases as small PNGs: image, ground truth and prediction; classes differ by color and pattern."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.errors import MissingDependencyError
from bench_core.install import install_command
from bench_core.records import Case

UInt8 = NDArray[np.uint8]
CLASS_COLORS = ((230, 159, 0), (86, 180, 233), (0, 201, 143), (240, 228, 66), (213, 94, 0), (204, 121, 167))
"""Okabe-Ito hues (the green lightened to stand out on dark tissue), by class."""
WIDTHS = (208, 176, 144, 120, 96, 72, 56)
"""Widths that pictures may have: the largest that keeps all of them within the budget is taken."""
PALETTE = 96
_FILL = 0.42


def choose_width(cases: Sequence[Case], budget: int) -> int:
    """Return the largest width at which all pictures fit into `budget` bytes, measured on a sample."""
    if not cases:
        return WIDTHS[0]
    step = max(1, len(cases) // 6)
    sample = cases[::step]
    for width in WIDTHS:
        size = sum(len(uri) for case in sample for uri in case_pictures(case, width))
        if size / len(sample) * len(cases) <= budget:
            return width
    return WIDTHS[-1]


def case_pictures(case: Case, width: int) -> tuple[str, str, str]:
    """Return data URIs of the image, the ground truth over it, and the prediction over it.

    The prediction's picture carries the ground truth as a thin white line.
    """
    image, scale = _shrink(_rgb(case.image), width)
    mask, prediction = case.mask[::scale, ::scale], case.prediction[::scale, ::scale]
    height, wide = image.shape[:2]
    mask, prediction = mask[:height, :wide], prediction[:height, :wide]
    truth = overlay(image, mask)
    guess = overlay(image, prediction)
    guess[outline(mask > 0)] = 255
    return encode(image), encode(truth), encode(guess)


def overlay(image: UInt8, labels: UInt8) -> UInt8:
    """Return the image with each class filled (plain, striped, dotted in turn) and outlined in its color."""
    shown = image.astype(np.float32)
    for label in np.unique(labels[labels > 0]):
        area = labels == label
        color = np.array(class_color(int(label)), dtype=np.float32)
        fill = area & _pattern(int(label), area.shape)
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
    out = io.BytesIO()
    picture.save(out, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode("ascii")


def _pattern(label: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    rows, columns = np.indices(shape)
    kind = (label - 1) % 3
    if kind == 0:
        return np.ones(shape, dtype=bool)
    if kind == 1:
        return np.asarray((rows + columns) % 6 < 3)
    return np.asarray((rows % 5 < 2) & (columns % 5 < 2))


def _rgb(image: UInt8) -> UInt8:
    if image.ndim == 2:
        image = image[:, :, None]
    return image if image.shape[2] == 3 else np.repeat(image[:, :, :1], 3, axis=2)


def _shrink(image: UInt8, width: int) -> tuple[UInt8, int]:
    """Return the image averaged over whole-number blocks, and the block's side."""
    scale = max(1, -(-max(image.shape[:2]) // width))
    if scale == 1:
        return image, 1
    height, wide = (side // scale * scale for side in image.shape[:2])
    blocks = image[:height, :wide].reshape(height // scale, scale, wide // scale, scale, 3)
    return blocks.mean(axis=(1, 3)).round().astype(np.uint8), scale


def _pillow() -> Any:
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "pictures in a report need the package 'pillow', which is not installed",
            fix=install_command("report"),
        ) from error
    return Image
