"""The pictures that benchmarks of data are made of, drawn without a framework."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

LARGE = (3000, 2000)
"""Pixels across and down of a camera's picture."""


def draw(number: int, width: int, height: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A smooth picture with some texture and a lesion, and its mask."""
    draws = np.random.default_rng(number)
    coarse = Image.fromarray(draws.integers(60, 220, (12, 16, 3), dtype=np.uint8))
    image = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).copy()
    grain = Image.fromarray(draws.integers(0, 24, (height // 4, width // 4), dtype=np.uint8))
    image += np.asarray(grain.resize((width, height)))[..., None]
    rows, columns = np.ogrid[:height, :width]
    center, radius = draws.uniform(0.3, 0.7, 2), draws.uniform(0.1, 0.25) * height
    mask = (rows - center[0] * height) ** 2 + (columns - center[1] * width) ** 2 < radius**2
    image[mask] = image[mask] // 2
    return image, mask.astype(np.uint8)
