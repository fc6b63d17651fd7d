"""Pictures for small copies of published datasets: drawn small and brought to the published size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench_core.data.samples import UInt8Array
from bench_datasets.synthetic import dermoscopy, endoscopy
from bench_datasets.synthetic.canvas import Canvas, Dice, blur, ellipse, mix, step, to_bytes

DRAWN = 128
"""Longer side in pixels at which pictures are drawn."""
VIEWS, MOVED = 7, 1
"""Views of one scene, and by how many pixels each is moved against the one before."""
Size = tuple[int, int]
Pair = tuple[UInt8Array, UInt8Array]


def skin(dataset: str, seed: int, scene: int, size: Size, view: int = 0) -> Pair:
    """Return a dermoscopic image [H, W, 3] and its mask [H, W] (1 = lesion) of `size` (width, height).

    Each `scene` is a lesion; another `view` of it is moved by a few pixels.
    """
    who, what = (Dice("fake", dataset, seed, kind, scene) for kind in ("patient", "image"))
    return _viewed(dermoscopy.draw(who, what, DRAWN, 0.3), size, view)


def polyp(dataset: str, seed: int, scene: int, size: Size, view: int = 0) -> Pair:
    """Return a colonoscopic image [H, W, 3] and its mask [H, W] (1 = polyp) of `size` (width, height).

    Each `scene` is a polyp; another `view` of it is moved by a few pixels, as in a video.
    """
    who, what = (Dice("fake", dataset, seed, kind, scene) for kind in ("patient", "image"))
    image, mask = endoscopy.draw(who, what, DRAWN, 0.3, scene)
    return _viewed((image, (mask > 0).astype(np.uint8)), size, view)


def _viewed(drawn: Pair, size: Size, view: int) -> Pair:
    """Bring a picture to a size, a little larger, and cut out the part that a view shows."""
    width, height = size
    wider = width + MOVED * VIEWS, height + MOVED * VIEWS
    left, top = MOVED * (view % VIEWS), MOVED * (view * 2 % VIEWS)
    place = slice(top, top + height), slice(left, left + width)
    image, mask = drawn
    return scaled(image, wider)[place], scaled_mask(mask, wider)[place]


def breast(seed: int, number: int, size: Size, lesions: int) -> tuple[UInt8Array, list[UInt8Array]]:
    """Return an ultrasound image [H, W] of layered tissue and one mask [H, W] for each dark lesion."""
    dice = Dice("fake", "busi", seed, number)
    width, height = size
    canvas = Canvas(round(DRAWN * height / width), DRAWN) if width >= height else Canvas(
        DRAWN, round(DRAWN * width / height)
    )  # fmt: skip
    x, y = canvas.warp(dice, 4, 0.06)
    layers = 0.35 + 0.3 * canvas.noise(dice, 3, 2) + 0.15 * step(-0.1, 0.3, y)
    masks = []
    for place in range(lesions):
        center = (-0.2 + 0.4 * place + dice.between(-0.05, 0.05), dice.between(-0.1, 0.1))
        radius = dice.between(0.09, 0.14)
        inside = ellipse(x, y, center, (radius, radius * dice.between(0.6, 0.9)), dice.between(-0.3, 0.3))
        layers = mix(layers, 0.08, step(1.1, 0.9, inside))
        masks.append(scaled_mask((inside <= 1).astype(np.uint8), size))
    speckle = 0.5 + dice.field(canvas.height, canvas.width)
    return scaled(to_bytes(blur(layers, 1) * speckle), size), masks


def scaled(image: UInt8Array, size: Size) -> UInt8Array:
    """Bring an image to (width, height) in pixels."""
    from PIL import Image

    return np.array(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def scaled_mask(mask: UInt8Array, size: Size) -> UInt8Array:
    """Bring a mask to (width, height) without new values."""
    from PIL import Image

    return np.array(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))


def save(path: Path, pixels: UInt8Array, **how: Any) -> None:
    """Write a picture in the format of its extension, and its folders."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **how)


def save_text(path: Path, text: str) -> None:
    """Write a text file with its folders, the same on every system."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def row(name: str, group: str, mask: UInt8Array, **more: Any) -> Mapping[str, Any]:
    """Return what is true of a sample: id, group, pixels of foreground, size and what else is known."""
    return {
        "id": name,
        "group": group,
        "foreground": int((mask > 0).sum()),
        "size": [mask.shape[1], mask.shape[0]],
        **more,
    }


def spread(count: int, last: int) -> list[int]:
    """Return `count` numbers from 1 to `last`, evenly spread."""
    count = max(1, min(count, last))
    return [1 + number * (last - 1) // max(count - 1, 1) for number in range(count)]
