"""Rows of the tables that a step `grad-cam` leaves, and what follows from them; needs no framework."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np

from bench_core.metrics.map_tables import NUMBERS, ONE_MAP, RESTATES, MapStatus, MapTable
from bench_core.metrics.tables import TableError
from bench_steps.grad_cam.options import SWEEP

LAYERS = "layers"
"""Name of the table of layers."""
LAYER_COLUMNS = ("layer", "part", "depth", "stride", "note")


def layer_row(layer: Any, stride: float) -> dict[str, object]:
    """Return a row of the table of layers; `layer` is a `layers.Chosen`."""
    cells = (layer.name, layer.part, layer.depth, stride, layer.note)
    return dict(zip(LAYER_COLUMNS, cells, strict=True))


def map_row(
    image: str,
    of_class: str,
    target: str,
    layer: tuple[str, int, float],
    method: str,
    status: str,
    numbers: Mapping[str, float],
) -> dict[str, object]:
    """Return a row of `maps`; `layer` is name, depth and stride."""
    which = (image, of_class, target, *layer, method, status)
    return {**dict(zip(ONE_MAP, which, strict=True)), **{name: numbers[name] for name in NUMBERS}}


def values_of(table: MapTable, layers: Sequence[Mapping[str, str]]) -> dict[str, float | str]:
    """Return a job's numbers: images, maps, the share of each status, and that of maps which restate the
    prediction among those that can be used; and the layer, where there is one."""
    statuses = Counter(status for (status,) in table.more)
    total = len(table.images)
    usable = np.array([status == "ok" for (status,) in table.more], dtype=bool)
    logits = table.values["logits"][usable]
    values: dict[str, float | str] = {"images": float(len(set(table.images))), "maps": float(total)}
    values |= {name: statuses[name] / total if total else 0.0 for name in get_args(MapStatus)}
    values["restates"] = float((logits > RESTATES).mean()) if len(logits) else 0.0
    if len(layers) == 1:
        values["layer"] = layers[0]["layer"][:200]
        if layers[0]["note"]:
            values["note"] = layers[0]["note"]
    return values


def layer_names(layers: Sequence[Mapping[str, str]], wanted: str) -> list[str]:
    """Return the names in the table of layers; raises TableError for what a step does not leave."""
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


def strange_layer(table: MapTable, layers: Sequence[Mapping[str, str]]) -> str:
    """Return what is odd of the layers of a table of maps, empty where nothing is."""
    told = {row["layer"]: (int(row["depth"]), float(row["stride"])) for row in layers}
    for kind in dict.fromkeys(table.kinds):
        if told.get(kind.layer) != (kind.depth, kind.stride):
            return f"depth and stride of {kind.layer!a:.60} are others among the layers"
    return ""
