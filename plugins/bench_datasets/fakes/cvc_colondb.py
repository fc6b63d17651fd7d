"""A small copy of CVC-ColonDB: the official frames for even seeds, the circulating PNGs for odd ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench_core import FakeRequest
from bench_datasets.fakes.scenes import polyp, row, save
from bench_datasets.readers.cvc_colondb import SIZE


def fake_cvc_colondb(request: FakeRequest) -> Mapping[str, Any]:
    """Draw frames of one of the two layouts; return the truth."""
    official = request.seed % 2 == 0
    top = request.root / "CVC-ColonDB"
    samples = []
    for frame in range(1, request.samples + 1):
        image, mask = polyp("cvc-colondb", request.seed, frame, SIZE)
        if official:
            extension = "tiff" if frame % 2 else "bmp"
            save(top / f"{frame}.{extension}", image)
            save(top / f"p{frame}.{extension}", mask * 255)
            save(top / f"s{frame}.{extension}", (image.max(axis=2) < 8).astype(np.uint8) * 255)
            save(top / f"c{frame}.{extension}", _contour(mask) * 255)
        else:
            save(top / f"images/{frame}.png", image)
            save(top / f"masks/{frame}.png", mask * 255)
        samples.append(row(str(frame), str(frame), mask))
    traps = ["names are numbers, so that 10 comes before 2 as text"]
    if official:
        traps.append("masks pN among frames N, regions sN and contours cN that are neither")
    return {"samples": samples, "layout": "official" if official else "circulating", "traps": traps}


def _contour(mask: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    inner = mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    contour = mask.copy()
    contour[1:-1, 1:-1] -= inner
    return contour
