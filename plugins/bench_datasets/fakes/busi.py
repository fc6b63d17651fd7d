"""A small copy of BUSI: names with blanks and parentheses, several masks of an image, empty normal masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench_core import FakeRequest
from bench_core.data.samples import UInt8Array
from bench_datasets.fakes.scenes import breast, row, save

SIZES = ((300, 240), (190, 240), (330, 260))
KINDS = ("benign", "malignant", "normal")


def fake_busi(request: FakeRequest) -> Mapping[str, Any]:
    """Draw about half benign, the rest malignant and normal; return the truth, the masks joined."""
    count = max(request.samples, 3)
    numbers = {"benign": count - 2 * (count // 4), "malignant": count // 4, "normal": count // 4}
    if count == 3:
        numbers = dict.fromkeys(KINDS, 1)
    samples, drawn = [], 0
    for kind in KINDS:
        for number in _numbers(numbers[kind], kind):
            size = SIZES[drawn % len(SIZES)]
            lesions = 0 if kind == "normal" else (2 if kind == "benign" and number == 2 else 1)
            image, masks = breast(request.seed, drawn, size, lesions)
            name = f"{kind} ({number})"
            folder = request.root / "Dataset_BUSI_with_GT" / kind
            save(folder / f"{name}.png", _picture(image, drawn))
            joined = np.zeros(image.shape, dtype=np.uint8)
            for place, mask in enumerate(masks or [joined]):
                save(folder / f"{name}_mask{f'_{place}' if place else ''}.png", _mask(mask, drawn))
                joined = joined | mask
            samples.append(row(name, name, joined, attributes={"class": kind}))
            drawn += 1
    return {
        "samples": samples,
        "traps": [
            "benign (2) has two masks",
            "masks of normal images are empty",
            "benign (10) comes before benign (2) as text",
            "images of three or four channels that are gray; masks of 1 bit, of 8 and of 24",
        ],
    }


def _numbers(count: int, kind: str) -> list[int]:
    """Return 1, 2 ... and as the last benign image at least the tenth."""
    return [*range(1, count), max(count, 10) if kind == "benign" and count > 1 else count]


def _picture(image: UInt8Array, number: int) -> UInt8Array:
    color = np.repeat(image[:, :, None], 3, axis=2)
    if number % 2:
        return color
    return np.concatenate([color, np.full((*image.shape, 1), 255, dtype=np.uint8)], axis=2)


def _mask(mask: UInt8Array, number: int) -> Any:
    if number % 3 == 0:
        return mask.astype(bool)
    return mask * 255 if number % 3 == 1 else np.repeat((mask * 255)[:, :, None], 3, axis=2)
