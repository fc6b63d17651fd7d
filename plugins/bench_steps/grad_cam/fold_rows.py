"""What a comparison of maps over folds leaves, and what follows from it; needs no framework."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench_core.metrics.map_tables import TRAINED, MapTable, read_folds
from bench_core.metrics.tables import TableError
from bench_core.plan.job import Job
from bench_steps.grad_cam.options import VOTED
from bench_steps.grad_cam.rows import layer_names, strange_layer

Rows = Sequence[Mapping[str, str]]


def like_grad_cam(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of `fold-maps` as those of a part over folds of `grad-cam`."""
    return {**options, "targets": [VOTED], "fold_images": options["images"]}


def networks_of(job: Job) -> int:
    """Return how many networks a job compares."""
    return len(job.needed("weights")) + len(job.needed("siblings"))


def fold_values(table: MapTable, networks: int) -> dict[str, float | str]:
    """Return a job's numbers: images and networks, and mean correlation and overlap over all maps by how many
    of two networks trained on the image (`rank-one` and so on), where they are defined."""
    values: dict[str, float | str] = {
        "images": float(len(set(table.images))),
        "networks": float(networks),
    }
    for trained in TRAINED:
        rows = np.array([each == trained for each, _ in table.more], dtype=bool)
        for name in ("rank", "overlap"):
            known = table.values[name][rows]
            known = known[~np.isnan(known)]
            if len(known):
                values[f"{name}-{trained}"] = float(known.mean())
    return values


def whole_folds(
    rows: Rows,
    layers: Rows,
    ids: Sequence[str],
    classes: Sequence[str],
    options: Mapping[str, Any],
    networks: int,
) -> MapTable:
    """Return the table of pairs of networks; raises TableError unless it holds every layer and method of each
    image, class and target that it is about, in order, and every pair of networks once."""
    table = read_folds(rows, ids, classes)
    names = layer_names(layers, options["layer"])
    if rows and not names:
        raise TableError("there are maps without layers")
    if len(set(table.images)) > options["fold_images"]:
        raise TableError("there are more images than its options ask for")
    strange = strange_layer(table, layers)
    if strange:
        raise TableError(strange)
    places = list(itertools.product(classes, options["targets"]))
    found = list(zip(table.images, table.kinds, table.more, strict=True))
    parts: dict[tuple[str, str, str], list[tuple[str, str, tuple[str, ...]]]] = {}
    for image, kind, more in found:
        parts.setdefault((image, kind.of_class, kind.target), []).append((kind.layer, kind.method, more))
    for part in parts.values():
        pairs = list(dict.fromkeys(more for _, _, more in part))
        expected = [(*one, more) for one in itertools.product(names, options["methods"]) for more in pairs]
        if part != expected or sum(int(count) for _, count in pairs) != networks * (networks - 1) // 2:
            raise TableError("the rows are not those of each layer, method and pair of networks in order")
    images = list(dict.fromkeys(table.images))
    order = [(images.index(image), places.index((of_class, target))) for image, of_class, target in parts]
    flat = [(image, kind.of_class, kind.target) for image, kind, _ in found]
    if order != sorted(order) or list(dict.fromkeys(flat)) != [key for key, _ in itertools.groupby(flat)]:
        raise TableError("the rows are not in the order of images, classes and targets")
    return table
