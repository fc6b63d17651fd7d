"""A folder of contact sheets: one PNG per dataset, and one page with all of them."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench_core.data.arrays import CachedArrays
from bench_core.data.check import Prepared
from bench_core.data.describe import label_pixels
from bench_core.report.contact.sheet import sheet, spread, tile
from bench_core.report.page import render, templates
from bench_core.report.pictures import swatch

SHOWN = 200
"""Pixels of a picture on the page."""
MOST_CLUSTERS, MOST_COPIES = 60, 8
"""Clusters of copies of a dataset, and images of each, that the page shows; the rest are counted."""


@dataclass(frozen=True)
class Tile:
    """One image of the page."""

    picture: str
    """Data URI."""
    caption: str
    note: str


@dataclass(frozen=True)
class Cluster:
    """Images that are copies of each other."""

    tiles: tuple[Tile, ...]
    rest: str
    """Those that are not shown, in words."""


@dataclass(frozen=True)
class Part:
    """One dataset of the page."""

    label: str
    anchor: str
    facts: tuple[tuple[str, str], ...]
    legend: tuple[tuple[str, str], ...]
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    warnings: tuple[str, ...]
    tiles: tuple[Tile, ...]
    clusters: tuple[Cluster, ...]
    more_clusters: int


def write_sheets(ready: Sequence[Prepared], out: Path, images: int) -> list[Path]:
    """Write OUT/LABEL.png for each dataset and OUT/index.html; return the files, the page last.

    `images` are shown of each dataset, evenly spread over its samples.
    """
    out.mkdir(parents=True, exist_ok=True)
    written, parts = [], []
    for number, item in enumerate(ready):
        numbers = spread(len(item.arrays.ids), images)
        name = f"{number:02d}-{re.sub(r'[^A-Za-z0-9._-]', '-', item.label).lstrip('.')[:80]}"
        path = out / f"{name}.png"
        sheet(item.arrays, numbers).save(path)
        written.append(path)
        parts.append(_part(item, numbers, name))
    page = out / "index.html"
    page.write_text(render(templates(), "contact.html.j2", parts=parts), encoding="utf-8")
    return [*written, page]


def _part(item: Prepared, numbers: Sequence[int], anchor: str) -> Part:
    samples, arrays = item.samples, item.arrays
    sizes = samples.sizes
    facts = (
        ("images", f"{len(samples.ids):,}, of which {len(numbers):,} are shown"),
        ("groups", f"{len(set(samples.groups)):,}"),
        ("wide", f"{sizes[:, 1].min()} to {sizes[:, 1].max()} pixels"),
        ("high", f"{sizes[:, 0].min()} to {sizes[:, 0].max()} pixels"),
        ("brought to", f"{arrays.images.shape[1]} pixels, {arrays.images.shape[3]} channel(s)"),
        ("fingerprint", samples.fingerprint[:16]),
    )
    return Part(
        label=item.label,
        anchor=anchor,
        facts=facts,
        legend=tuple((name, swatch(label)) for label, name in enumerate(item.classes, start=1)),
        head=("", "images", "groups", *item.classes),
        rows=_counts(item),
        warnings=item.warnings,
        tiles=tuple(_tile(item, number) for number in numbers),
        clusters=tuple(_cluster(item, cluster) for cluster in arrays.copies[:MOST_CLUSTERS]),
        more_clusters=max(len(arrays.copies) - MOST_CLUSTERS, 0),
    )


def _tile(item: Prepared, number: int) -> Tile:
    samples = item.samples
    folds = next(iter(samples.folds.values()), None)
    notes = [] if samples.groups[number] == samples.ids[number] else [f"group {samples.groups[number]}"]
    notes += [] if folds is None else [f"fold {folds[number]}"]
    return Tile(picture(item.arrays, number), samples.ids[number], ", ".join(notes))


def _cluster(item: Prepared, cluster: Sequence[str]) -> Cluster:
    places = {name: number for number, name in enumerate(item.arrays.ids)}
    kept = [name for name in cluster if name in places]
    left_out = [name for name in cluster if name not in places]
    rest = [f"left out: {', '.join(left_out)}"] if left_out else []
    if len(kept) > MOST_COPIES:
        rest.append(f"and {len(kept) - MOST_COPIES} more")
    return Cluster(tuple(_tile(item, places[name]) for name in kept[:MOST_COPIES]), "; ".join(rest))


def picture(arrays: CachedArrays, number: int) -> str:
    """Return one image with its contours as a data URI."""
    from PIL import Image

    shown = tile(np.asarray(arrays.images[number]), np.asarray(arrays.masks[number]), SHOWN)
    file = io.BytesIO()
    Image.fromarray(shown).save(file, format="JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _counts(item: Prepared) -> tuple[tuple[str, ...], ...]:
    """Return how many images, groups and masks with each class there are, in all and by fold."""
    samples = item.samples
    present = label_pixels(item.arrays)[:, 1 : len(item.classes) + 1] > 0
    rows = [("all", np.ones(len(samples.ids), dtype=bool))]
    for name, folds in samples.folds.items():
        assigned = np.array(folds)
        rows += [(f"{name}: fold {fold}", assigned == fold) for fold in np.unique(assigned)]
    groups = np.array(samples.groups)
    return tuple(
        (name, f"{chosen.sum()}", f"{len(set(groups[chosen]))}", *map(str, present[chosen].sum(axis=0)))
        for name, chosen in rows
    )
