"""What of a job's numbers follows from the tables and pictures that it left; needs no framework."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from bench_core.declarations import Task
from bench_core.metrics.map_tables import FOLD_MAPS, MAPS, MapTable, read_maps
from bench_core.metrics.tables import TableError
from bench_core.plan.job import Apply
from bench_core.store.left import Left
from bench_steps.grad_cam.fold_rows import fold_values, like_grad_cam, networks_of, whole_folds
from bench_steps.grad_cam.further_rows import further_tables
from bench_steps.grad_cam.rows import LAYERS, layer_names, strange_layer, values_of

Rows = Sequence[Mapping[str, str]]


def follows(left: Left) -> Mapping[str, float | str]:
    """Return the job's values; raises ValueError (TableError) for tables that are not what it leaves."""
    work = left.job.work
    options = work.options if isinstance(work, Apply) else {}
    layers, task = left.records(LAYERS), left.job.dataset.task
    if options.get("folds"):
        return _followed(left, layers, task.classes, options)
    table = whole(left.records(MAPS), layers, left.images, task, options)
    for _ in further_tables(table, options, left.records):
        pass
    return values_of(table, layers)


def follows_elsewhere(left: Left) -> Mapping[str, float | str]:
    """Return the values of a job of `fold-maps`; raises as `follows`."""
    work = left.job.work
    options = like_grad_cam(work.options if isinstance(work, Apply) else {})
    # Its classes are those of the networks, which the job that is asked does not name.
    classes = tuple(dict.fromkeys(row.get("class", "") for row in left.records(FOLD_MAPS)))
    return _followed(left, left.records(LAYERS), classes, options)


def _followed(
    left: Left, layers: Rows, classes: Sequence[str], options: Mapping[str, Any]
) -> Mapping[str, float | str]:
    networks = networks_of(left.job)
    table = whole_folds(left.records(FOLD_MAPS), layers, left.images, classes, options, networks)
    return fold_values(table, networks)


def whole(rows: Rows, layers: Rows, ids: Sequence[str], task: Task, options: Mapping[str, Any]) -> MapTable:
    """Return the table of maps; raises TableError unless it holds every class, target, layer and method of
    each of its images, in order, and no more images than the set may have."""
    table = read_maps(rows, ids, task.classes)
    names = layer_names(layers, options["layer"])
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
    strange = strange_layer(table, layers)
    if strange:
        raise TableError(strange)
    return table
