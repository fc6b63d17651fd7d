"""What of a job's numbers follows from the tables and pictures that it left; needs no framework."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from bench_core.declarations import Task
from bench_core.metrics.map_tables import MAPS, MapTable, read_maps
from bench_core.metrics.tables import TableError
from bench_core.plan.job import Apply
from bench_core.store.left import Left
from bench_steps.grad_cam.options import SWEEP
from bench_steps.grad_cam.rows import LAYER_COLUMNS, LAYERS, values_of

Rows = Sequence[Mapping[str, str]]


def follows(left: Left) -> Mapping[str, float | str]:
    """Return the job's values; raises ValueError (TableError) for tables that are not what it leaves."""
    work = left.job.work
    options = work.options if isinstance(work, Apply) else {}
    layers = left.records(LAYERS)
    table = whole(left.records(MAPS), layers, left.images, left.job.dataset.task, options)
    return values_of(table, layers)


def whole(rows: Rows, layers: Rows, ids: Sequence[str], task: Task, options: Mapping[str, Any]) -> MapTable:
    """Return the table of maps; raises TableError unless it holds every class, target, layer and method of
    each of its images, in order, and no more images than the set may have."""
    table = read_maps(rows, ids, task.classes)
    names = _layer_names(layers, options["layer"])
    images = list(dict.fromkeys(table.images))
    if bool(images) != bool(names):
        raise TableError("there are layers without maps, or maps without layers")
    (chosen,) = options["sets"]
    if len(images) > options["random" if chosen == "random" else "worst"]:
        raise TableError(f"there are {len(images)} images, more than its options ask for")
    expected = itertools.product(images, task.classes, options["targets"], names, options["methods"])
    found = [
        (image, kind.of_class, kind.target, kind.layer, kind.method)
        for image, kind in zip(table.images, table.kinds, strict=True)
    ]
    if found != list(expected):
        raise TableError("the maps are not those of each image, class, target, layer and method in order")
    told = {row["layer"]: (int(row["depth"]), float(row["stride"])) for row in layers}
    for kind in dict.fromkeys(table.kinds):
        if told[kind.layer] != (kind.depth, kind.stride):
            raise TableError(f"depth and stride of {kind.layer!a:.60} are others among the layers")
    return table


def _layer_names(layers: Rows, wanted: str) -> list[str]:
    for row in layers:
        if tuple(row) != LAYER_COLUMNS:
            raise TableError(f"the columns of {LAYERS!r} are not {', '.join(LAYER_COLUMNS)}")
        try:
            int(row["depth"]), float(row["stride"])
        except ValueError as error:
            raise TableError(f"depth or stride of {row['layer']!a:.60} is not a number") from error
    if len(layers) > 1 and wanted != SWEEP:
        raise TableError(f"there are {len(layers)} layers, and its options ask for {wanted!a:.60}")
    return [row["layer"] for row in layers]
