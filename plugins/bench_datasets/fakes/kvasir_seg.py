"""Small copies of Kvasir-SEG and of HyperKvasir's segmented images: the same pictures under other names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench_core import FakeRequest
from bench_core.data.samples import UInt8Array
from bench_datasets.fakes.scenes import polyp, row, save, save_text
from bench_datasets.synthetic.canvas import Dice

SIZES = ((622, 529), (1920, 1072), (487, 332), (626, 547))


def fake_kvasir_seg(request: FakeRequest) -> Mapping[str, Any]:
    """Draw images, JPEG masks and the misspelled table of boxes; return the truth."""

    def name(number: int) -> str:
        return "cju" + _digest(request.seed, number)[:22]

    traps = ["JPEG masks with values beside 0 and 255", "kavsir_bboxes.json, spelled as published"]
    return _draw(request, request.root / "Kvasir-SEG", "kavsir_bboxes.json", name, traps)


def fake_hyperkvasir(request: FakeRequest) -> Mapping[str, Any]:
    """Draw the pictures that `fake_kvasir_seg` draws from this seed, named as HyperKvasir names them."""

    def name(number: int) -> str:
        text = _digest("uuid", request.seed, number)
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:32]))

    traps = ["JPEG masks with values beside 0 and 255", "images of kvasir-seg under other names"]
    return _draw(request, request.root / "segmented-images", "bounding-boxes.json", name, traps)


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _draw(request: FakeRequest, top: Path, boxes: str, name: Any, traps: list[str]) -> Mapping[str, Any]:
    samples, table = [], {}
    for number in range(request.samples):
        size = SIZES[number % len(SIZES)]
        image, mask = polyp("kvasir", request.seed, number, size)
        key = name(number)
        save(top / "images" / f"{key}.jpg", image, quality=95)
        white = np.repeat((mask * 255)[:, :, None], 3, axis=2)
        noise = (Dice("fake-kvasir", request.seed, number).field(*mask.shape) * 5).astype(np.uint8)
        noisy = np.where(white > 0, 255 - noise[:, :, None], noise[:, :, None]).astype(np.uint8)
        save(top / "masks" / f"{key}.jpg", noisy, quality=95, subsampling="4:2:0")
        table[key] = {"height": size[1], "width": size[0], "bbox": [_box(mask)]}
        samples.append(row(key, key, mask))
    save_text(top / boxes, json.dumps(table))
    return {"samples": samples, "traps": traps}


def _box(mask: UInt8Array) -> dict[str, Any]:
    rows, columns = np.nonzero(mask)
    return {
        "label": "polyp",
        "xmin": int(columns.min()),
        "ymin": int(rows.min()),
        "xmax": int(columns.max()),
        "ymax": int(rows.max()),
    }
