"""Which mirrored images vote in a step `ensemble`; needs no framework."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench_core.declarations import Metric

FLIPS = {"horizontal": (-1,), "vertical": (-2,), "both": (-2, -1)}
"""Name of a view to the directions in which images [..., H, W] are mirrored."""


def resolve(options: Mapping[str, Any], metrics: Mapping[str, Metric]) -> Mapping[str, Any]:
    """Return complete options with the views in one order; raise ValueError where one is listed twice."""
    flips = options["flips"]
    if len(set(flips)) != len(flips):
        raise ValueError("option 'flips' lists a view twice")
    return {**options, "flips": [name for name in FLIPS if name in flips]}
