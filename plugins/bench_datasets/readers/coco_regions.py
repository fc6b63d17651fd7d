"""Which polygons and RLE of COCO annotations are painted; pycocotools trusts what it is given.

Of an RLE that ends early it leaves the rest of the mask uninitialized, and of a polygon it paints every edge.
"""

from __future__ import annotations

import math
from typing import Any

MOST_POINTS = 1_000_000
"""Corners of one polygon, and runs of one RLE."""
LONGEST_RLE = 8 * MOST_POINTS


def wrong_region(form: Any, size: tuple[int, int]) -> str:
    """Return in words why a region is not painted; pycocotools trusts what it is given."""
    width, height = size
    if isinstance(form, list):
        return _wrong_polygons(form, width, height)
    if not isinstance(form, dict) or form.get("size") != [height, width]:
        return f"has neither polygons nor an RLE of the image's size [{height}, {width}]"
    counts = form.get("counts")
    if isinstance(counts, str):
        fine = counts.isascii() and len(counts) <= LONGEST_RLE and ends_where(counts) == width * height
        return "" if fine else "has a compressed RLE that does not end where the image does"
    if not isinstance(counts, list) or len(counts) > MOST_POINTS:
        return "has an RLE without counts"
    if not all(isinstance(run, int) and not isinstance(run, bool) and run >= 0 for run in counts):
        return "has an RLE whose counts are not whole numbers from 0 on"
    return "" if sum(counts) == width * height else "has an RLE that does not end where the image does"


def _wrong_polygons(form: list[Any], width: int, height: int) -> str:
    if not form:
        return "has no polygon"
    for polygon in form:
        if (
            not isinstance(polygon, list)
            or len(polygon) < 6
            or len(polygon) % 2
            or len(polygon) > MOST_POINTS
        ):
            return "has a polygon that is not a list of three or more corners x, y"
        if not all(
            isinstance(at, (int, float)) and not isinstance(at, bool) and math.isfinite(at) for at in polygon
        ):
            return "has a polygon whose corners are not numbers"
        # A corner far outside would have its edge painted pixel by pixel all the way.
        for side, places in ((width, polygon[::2]), (height, polygon[1::2])):
            if min(places) < -side or max(places) > 2 * side:
                return "has a polygon that leaves the image"
    return ""


def ends_where(counts: str) -> int:
    """Return the number of pixels that a compressed RLE covers, -1 for a broken one.

    Runs are stored as differences from the last but one, five bits per character (as maskApi.c of COCO).
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 30 or len(runs) > MOST_POINTS:
            return -1
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value |= -1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        if runs[-1] < 0:
            return -1
        value = shift = 0
    return -1 if shift else sum(runs)
