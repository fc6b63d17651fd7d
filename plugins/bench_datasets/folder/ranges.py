"""Images that use a fraction of the range that becomes 0..255, or lie outside of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench_core.data.samples import Sample
from bench_core.errors import BenchError
from bench_datasets.decoding.pixels import Pixels
from bench_datasets.decoding.scaling import window_of
from bench_datasets.decoding.windows import Percentiles, parse_window

LOOKED_AT = 24
"""Images that are decoded for this, evenly spread."""
FRACTION = 0.5
CLIPPED = 0.2
"""Share of an image's values outside of the window from which on it is told."""
_EXACT = (".jpg", ".jpeg", ".webp", ".gif", ".bmp")
"""Formats of 8 bits, which cameras fill."""


def range_remarks(
    samples: Sequence[Sample], options: Mapping[str, Any], pixels_of: Callable[[Sample], Pixels]
) -> list[str]:
    """Return what the window makes of the values that the images hold, if that is rarely meant."""
    window = parse_window(options["intensity"])
    if window in ("image", "window") or isinstance(window, Percentiles):
        return []
    places = np.linspace(0, len(samples) - 1, LOOKED_AT).tolist() if samples else []
    chosen = [samples[place] for place in sorted({int(place) for place in places})]
    found = [
        seen
        for seen in (_seen(one, pixels_of, window) for one in chosen if not _is_plain(one.files[0], window))
        if seen is not None
    ]
    if not found:
        return []
    low, high = min(item[0] for item in found), max(item[1] for item in found)
    start, end = min(item[2] for item in found), max(item[3] for item in found)
    outside = sum(item[4] for item in found) / len(found)
    looked = f"{len(found)} images that were looked at hold values from {low:g} to {high:g}"
    advice = f"set the option `intensity: [{low:g}, {high:g}]` if that is their range"
    if outside > CLIPPED:
        ends = f"{start:g} to {end:g}"
        return [f"{looked}; {outside:.0%} of them lie outside of {ends} and become 0 or 255: {advice}"]
    if low < high < start + FRACTION * (end - start):
        return [f"{looked}, of {start:g} to {end:g}, which become 0 to 255: they will be dark; {advice}"]
    return []


def _is_plain(path: Path, window: Any) -> bool:
    return window == "dtype" and path.name.lower().endswith(_EXACT)


def _seen(
    sample: Sample, pixels_of: Callable[[Sample], Pixels], window: Any
) -> tuple[float, float, float, float, float] | None:
    """Return least and largest value, ends of the window, and the share of values outside of it."""
    try:
        pixels = pixels_of(sample)
        range_ = window_of(pixels, window, sample.files[0])
    except BenchError:
        return None  # Told where the image is read.
    if range_ is None:
        return None
    values = pixels.values
    outside = float(np.count_nonzero((values < range_[0]) | (values > range_[1]))) / values.size
    return float(values.min()), float(values.max()), *range_, outside
