"""From stored values to the 8 bits that models see, through a window that the user knows of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.data.samples import UInt8Array
from bench_core.errors import DataError
from bench_datasets.decoding.pixels import GIVE_CHANNELS, OptionError, Pixels
from bench_datasets.decoding.windows import Percentiles, Range, Window

CHOOSE = (
    "set the option `intensity: [low, high]`; `image` or `{percentiles: [1, 99]}` take each image's own range"
)
AS_TRAINED = "store it as the images were stored that the networks were trained on"
BLOCK = 2**20
"""Values that are scaled at once."""


def scaled(pixels: Pixels, window: Window, path: Path) -> UInt8Array:
    """Return uint8 of the same shape; values outside of the window become 0 or 255.

    Raises DataError where the window is not known or not one of these pixels, or values are not finite.
    """
    values = pixels.values
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError("holds values that are not finite", place=str(path), fix="replace NaN and infinity")
    if taken_whole(pixels, window) or (
        values.dtype == np.uint8 and window_of(pixels, window, path) == (0.0, 255.0) and not pixels.inverted
    ):
        return np.asarray(values, dtype=np.uint8)
    if isinstance(window, tuple) and isinstance(window[0], tuple):
        if values.ndim != 3 or values.shape[2] != len(window):
            count = values.shape[2] if values.ndim == 3 else 1
            has = f"has {count} channel{'s' if count > 1 else ''}"
            raise OptionError.of(
                f"{has}, but `intensity` has {len(window)} ranges",
                path,
                "give one range for all channels, or one per channel",
                (f"{has}, the networks were trained on {len(window)}", GIVE_CHANNELS),
            )
        parts = [_stretched(values[:, :, place], part) for place, part in enumerate(window)]
        found = np.stack(parts, axis=2)
    else:
        found = _stretched(values, window_of(pixels, window, path))
    return 255 - found if pixels.inverted else found


def taken_whole(pixels: Pixels, window: Window) -> bool:
    """Say whether the stored 8 bits are the result already, which can be told without looking at them."""
    plain = pixels.picture is not None and pixels.full in (None, (0.0, 255.0)) and not pixels.inverted
    return plain and window in ("dtype", (0.0, 255.0))


def window_of(pixels: Pixels, window: Window, path: Path) -> Range | None:
    """Return the one range that becomes 0..255; None where each channel has its own."""
    if isinstance(window, Percentiles):
        low, high = np.percentile(pixels.values, [window.low, window.high])
        return float(low), float(high)
    if window == "image":
        return float(pixels.values.min()), float(pixels.values.max())
    if window == "window":
        if pixels.window is None:
            said = "says no window of its own"
            raise OptionError.of(said, path, CHOOSE, (said, AS_TRAINED))
        return pixels.window
    if window == "dtype":
        if pixels.range is None:
            said = f"holds {pixels.values.dtype} values, whose range is not known"
            raise OptionError.of(said, path, CHOOSE, (said, AS_TRAINED))
        return pixels.range
    return None if isinstance(window[0], tuple) else window  # type: ignore[return-value]


def _stretched(values: NDArray[Any], window: Range | None) -> UInt8Array:
    assert window is not None
    low, high = window
    scale = 255.0 / (high - low) if high > low else 0.0
    found = np.empty(values.shape, dtype=np.uint8)
    # In parts: as 64-bit numbers the largest image that is read would take gigabytes.
    lines = max(1, BLOCK // max(1, values[:1].size))
    for start in range(0, len(values), lines):
        part = values[start : start + lines].astype(np.float64)
        found[start : start + lines] = np.clip(np.floor((part - low) * scale + 0.5), 0, 255)
    return found
