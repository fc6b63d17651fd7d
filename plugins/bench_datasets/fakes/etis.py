"""A small copy of ETIS-Larib: the official folders for even seeds, images/ and masks/ for odd ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench_core import FakeRequest
from bench_datasets.fakes.scenes import polyp, row, save
from bench_datasets.readers.etis import NAME, SIZE


def fake_etis(request: FakeRequest) -> Mapping[str, Any]:
    """Draw frames of one of the two layouts; return the truth."""
    official = request.seed % 2 == 0
    samples = []
    for frame in range(1, request.samples + 1):
        image, mask = polyp("etis", request.seed, frame, SIZE)
        if official:
            save(request.root / f"{NAME}/{NAME}/{frame}.tif", image)
            save(request.root / f"{NAME}/Ground Truth/p{frame}.tif", mask * 255)
        else:
            save(request.root / f"images/{frame}.png", image)
            save(request.root / f"masks/{frame}.png", mask * 255)
        samples.append(row(str(frame), str(frame), mask))
    traps = ["a folder within a folder of the same name", "masks have the prefix p"] if official else []
    return {"samples": samples, "layout": "official" if official else "circulating", "traps": traps}
