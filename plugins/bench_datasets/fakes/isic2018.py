"""A small copy of ISIC 2018 task 1: six folders, and what lies among the files beside images and masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench_core import FakeRequest
from bench_core.data.samples import UInt8Array
from bench_datasets.fakes.drawing import middle, save_jpeg, save_png
from bench_datasets.readers.isic2018 import PARTS, names_of
from bench_datasets.synthetic.canvas import Dice
from bench_datasets.synthetic.dermoscopy import draw

RANGES = {"training": (0, 16072), "validation": (12255, 36333), "test": (12169, 36347)}
"""Published ids of each part; they overlap, so that a number does not tell the part."""
SIDE = 256
"""Of the longer side; published images have 576 to 6,828 pixels."""
ASPECTS = (0.75, 2 / 3, 0.664)
"""Height by width: 1024 x 768, 3008 x 2000, 4288 x 2848."""
FEWEST = 10
TEXTS = {
    "LICENSE.txt": "CC0-1.0. A drawn copy of the published layout: it shows nobody.\n",
    "ATTRIBUTION.txt": "Drawn by a program after the layout of ISIC 2018, task 1.\n",
}


def fake_isic2018(request: FakeRequest) -> Mapping[str, Any]:
    """Draw the three parts with portrait images, a dot of a lesion, a mask of the whole image and a copy."""
    counts = _counts(max(request.samples, FEWEST))
    samples: list[dict[str, Any]] = []
    drawn: dict[str, tuple[UInt8Array, UInt8Array]] = {}
    traps: dict[str, list[str]] = {"portrait": [], "tiny lesion": [], "full mask": []}
    used: set[int] = set()
    for part in PARTS:
        folders = [request.root / name for name in names_of(part)]
        for folder in folders:
            folder.mkdir(parents=True)
            for name, text in TEXTS.items():
                (folder / name).write_text(text, encoding="utf-8")
        for place in range(counts[part]):
            key = f"ISIC_{_number(part, place, request.seed, used):07d}"
            kind = _kind(part, place)
            image, mask = _drawn(request.seed, part, place, kind)
            if kind is not None:
                traps[kind].append(key)
            _write(request, part, key, image, mask)
            drawn[key] = image, mask
            samples.append(_row(part, key, mask))
    first = samples[0]["id"]
    copied = next(row["id"] for row in reversed(samples) if row["part"] == "test")
    samples[-1] = _copy(request, first, copied, drawn[first])
    traps["not data"] = _others(
        request, [row["id"] for row in samples if row["part"] == "training"][:2], drawn
    )
    return {
        "samples": samples,
        "duplicates": [{"kind": "re-encoded", "samples": [first, copied]}],
        "traps": traps,
    }


def _counts(samples: int) -> dict[str, int]:
    validation = max(2, round(samples * 100 / 3694))
    test = max(4, round(samples * 1000 / 3694))
    return {"training": samples - validation - test, "validation": validation, "test": test}


def _number(part: str, place: int, seed: int, used: set[int]) -> int:
    dice, (low, high) = Dice("fake isic2018", seed, part, "id", place), RANGES[part]
    while (number := low + dice.below(high - low)) in used:
        pass
    used.add(number)
    return number


def _kind(part: str, place: int) -> str | None:
    """Return which rare image stands at a place of a part."""
    rare = {("training", 1): "portrait", ("training", 2): "portrait", ("training", 3): "tiny lesion",
            ("test", 0): "full mask", ("test", 1): "portrait"}  # fmt: skip
    return rare.get((part, place))


def _drawn(seed: int, part: str, place: int, kind: str | None) -> tuple[UInt8Array, UInt8Array]:
    names = ("fake isic2018", seed, part, place)
    reach = {"full mask": 8.0, "tiny lesion": 0.2}.get(kind or "", 1.0)
    image, mask = draw(Dice(*names, "skin"), Dice(*names, "lesion"), SIDE, 0.3, reach)
    if kind == "portrait":
        return np.ascontiguousarray(image.transpose(1, 0, 2)), np.ascontiguousarray(mask.T)
    height = round(SIDE * ASPECTS[place % len(ASPECTS)])
    return middle(image, height, SIDE), middle(mask, height, SIDE)


def _write(request: FakeRequest, part: str, key: str, image: UInt8Array, mask: UInt8Array) -> None:
    images, masks = names_of(part)
    save_jpeg(request.root / images / f"{key}.jpg", image)
    save_png(request.root / masks / f"{key}_segmentation.png", mask * np.uint8(255))


def _copy(request: FakeRequest, first: str, key: str, pair: tuple[UInt8Array, UInt8Array]) -> dict[str, Any]:
    """Write a training image again as this test image, with stronger compression."""
    images, masks = names_of("test")
    save_jpeg(request.root / images / f"{key}.jpg", pair[0], quality=85)
    save_png(request.root / masks / f"{key}_segmentation.png", pair[1] * np.uint8(255))
    return _row("test", key, pair[1])


def _others(
    request: FakeRequest, keys: list[str], drawn: Mapping[str, tuple[UInt8Array, UInt8Array]]
) -> list[str]:
    """Write superpixels beside an image and the attribute masks of task 2 among those of task 1."""
    images, masks = names_of("training")
    image, mask = drawn[keys[0]]
    left = [f"{images}/{keys[0]}_superpixels.png"]
    save_png(request.root / left[0], image // 32 * np.uint8(32))
    for name in ("globules", "milia_like_cyst", "negative_network", "pigment_network", "streaks"):
        left.append(f"{masks}/{keys[1]}_attribute_{name}.png")
        save_png(request.root / left[-1], np.zeros_like(mask))
    return left


def _row(part: str, key: str, mask: UInt8Array) -> dict[str, Any]:
    return {
        "id": key,
        "group": key,
        "part": part,
        "size": [mask.shape[1], mask.shape[0]],
        "pixels": {"lesion": int(mask.sum())},
    }
