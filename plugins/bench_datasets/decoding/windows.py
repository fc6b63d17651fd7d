"""Which range of an image's values becomes 0..255; plain Python, checked with the spec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Range = tuple[float, float]


@dataclass(frozen=True)
class Percentiles:
    """Each image's own range, without its darkest and brightest pixels."""

    low: float
    high: float


Window = str | Range | Percentiles | tuple[Range, ...]
"""dtype (the full range of 8 or 16 bits), image (each image's own), window (that of a DICOM file's header),
one range for all channels, percentiles, or one range per channel."""
WORDS = ("dtype", "image", "window")
FORMS = (
    "dtype, image, window (DICOM), [low, high] with low < high, {percentiles: [1, 99]}, or one [low, high] "
    "per channel"
)


def parse_window(given: Any, channels: int | None = None) -> Window:
    """Return the window that an option means; raise ValueError for anything else.

    With `channels`, as many ranges as that are expected where there is one per channel.
    """
    if isinstance(given, str) and given in WORDS:
        return given
    if isinstance(given, dict) and set(given) == {"percentiles"}:
        found = _range(given["percentiles"])
        if found is not None and found[0] >= 0 and found[1] <= 100:
            return Percentiles(*found)
    found = _range(given)
    if found is not None:
        return found
    if isinstance(given, (list, tuple)) and given:
        ranges = [_range(item) for item in given]
        known = tuple(item for item in ranges if item is not None)
        if len(known) == len(ranges):
            if channels is not None and len(known) != channels:
                raise ValueError(f"option 'intensity' has {len(known)} ranges for {channels} channels")
            return known
    raise ValueError(f"option 'intensity' cannot be {given!r}: expected {FORMS}")


def _range(given: Any) -> Range | None:
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 2:
        return None
    low, high = given
    if all(isinstance(end, (int, float)) and not isinstance(end, bool) for end in given) and low < high:
        return float(low), float(high)
    return None
