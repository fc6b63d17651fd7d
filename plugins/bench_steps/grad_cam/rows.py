"""Rows of the tables that a step `grad-cam` leaves, and what follows from them; needs no framework."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np

from bench_core.metrics.map_tables import NUMBERS, ONE_MAP, RESTATES, MapStatus, MapTable

LAYERS = "layers"
"""Name of the table of layers."""
LAYER_COLUMNS = ("layer", "part", "depth", "stride", "note")


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
