"""What becomes of images that are stored too small.

Both are kinds of ImageNet-C (Hendrycks and Dietterich, ICLR 2019), with steps further apart; its pixels are
enlarged as squares, here bilinearly, as a viewer does.
"""

from __future__ import annotations

import io

import numpy as np

from bench_steps.corruption.exact import UInt8

_QUALITY = (40, 25, 15, 9, 5)
_SHARE = (0.5, 0.35, 0.25, 0.18, 0.12)
"""Of an image's side that is left."""


def jpeg(image: UInt8, severity: int, random: np.random.Generator, side: int) -> UInt8:
    """Write the image as JPEG of low quality, colors at half resolution, and read it again."""
    from PIL import Image

    plain = np.ascontiguousarray(image[:, :, 0] if image.shape[2] == 1 else image)
    file = io.BytesIO()
    Image.fromarray(plain).save(file, "JPEG", quality=_QUALITY[severity - 1])
    file.seek(0)
    with Image.open(file) as read:
        found = np.asarray(read, dtype=np.uint8)
    return found.reshape(image.shape)


def down_sampling(image: UInt8, severity: int, random: np.random.Generator, side: int) -> UInt8:
    """Average over boxes down to a share of the side, and enlarge bilinearly to the same size."""
    from PIL import Image

    height, width = image.shape[:2]
    share = _SHARE[severity - 1]
    small = max(1, round(width * share)), max(1, round(height * share))
    planes = []
    for plane in np.moveaxis(image, 2, 0):
        reduced = Image.fromarray(np.ascontiguousarray(plane)).resize(small, Image.Resampling.BOX)
        planes.append(np.asarray(reduced.resize((width, height), Image.Resampling.BILINEAR)))
    return np.stack(planes, axis=2)
