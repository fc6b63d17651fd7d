"""Taking an image's and a mask's pixels from other places of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, reduce
from typing import Any

import cv2
import numpy as np
import torch

from bench_core.protocol.places import Places
from bench_core.protocol.planes import Planes


def nearest(planes: Planes, places: Places, outside: Sequence[int]) -> Planes:
    """Return each pixel of each plane from the one nearest to its place, or what the plane has `outside`.

    All come from the same places, which take longer to compute than to look up.
    """
    height, width = planes[0].shape
    moved = [np.full_like(plane, value) for plane, value in zip(planes, outside, strict=True)]
    # Most of a mask is background, as is what comes from outside.
    box = (0, 0, width, height) if any(outside) else cv2.boundingRect(reduce(np.maximum, planes))
    if box[2]:
        for strip in places.strips(box, 0.5):
            for plane, out, value in zip(planes, moved, outside, strict=True):
                cv2.remap(
                    plane, strip.x, strip.y, cv2.INTER_NEAREST, out[strip.part], cv2.BORDER_CONSTANT, value
                )
    return moved


def weighed(image: Planes, places: Places) -> Planes:
    """Return each pixel of an image as the mean of four, weighed by how near its place is to them.

    Pixels outside count as 0. On the border the result is multiplied by the share of those inside besides,
    and so faded twice, as torchvision does it.
    """
    inside = np.full_like(image[0], 255)
    moved: Planes = []
    for start in range(0, len(image), 3):
        planes = image[start : start + 3]
        # Four channels in one are sampled in half the time of three alone.
        *found, share = _sampled([*planes, *planes[:1] * (3 - len(planes)), inside], places)
        moved += found[: len(planes)]
    # All but 0 and 255.
    border = np.flatnonzero(share - np.uint8(1) < 254)
    shares = share.reshape(-1)[border] / np.float32(255)
    for plane in moved:
        flat = plane.reshape(-1)
        flat[border] = np.rint(flat[border] * shares)
    return moved


def _sampled(four: Planes, places: Places) -> Planes:
    if not exact_places():
        return sampled_by_torch(four, places)
    size = four[0].shape[::-1]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return list(cv2.split(cv2.warpAffine(cv2.merge(four), places.matrix, size, flags=flags)))


@cache
def exact_places() -> bool:
    """Tell whether OpenCV weighs pixels by their exact places: before version 5 it cuts these to 1/32."""
    stripes = np.zeros((64, 64, 4), dtype=np.uint8)
    stripes[:, 1::2] = 255
    wide = np.array([[1 / 64, 0.0, 2.0], [0.0, 1.0, 0.0]])
    found: Any = cv2.warpAffine(stripes, wide, (64, 64), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return bool(np.abs(found - (np.arange(64) / 64 * 255)[:, None]).max() < 0.6)


def sampled_by_torch(planes: Planes, places: Places) -> Planes:
    """Do by PyTorch, several times slower, what OpenCV does from version 5 on."""
    height, width = planes[0].shape
    sides = np.array([width, height], dtype=np.float32)
    source = torch.from_numpy(np.stack(planes))[None].float()
    moved = [np.zeros_like(plane) for plane in planes]
    for strip in places.strips((0, 0, width, height), 1.0):
        grid = torch.from_numpy((2 * np.stack([strip.x, strip.y], axis=-1) + 1) / sides - 1)
        found = torch.nn.functional.grid_sample(source, grid[None], padding_mode="zeros", align_corners=False)
        for plane, levels in zip(moved, found[0].numpy(), strict=True):
            plane[strip.part] = cv2.convertScaleAbs(levels)
    return moved
