"""Tables of numbers about heat maps: how their columns are called, and how they are read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bench_core.metrics.tables import Rows, TableError

MAPS, INTERVENTIONS, STABILITY, RANDOMIZATION = "maps", "interventions", "stability", "randomization"
"""Names of the records."""
MapStatus = Literal["ok", "constant", "nan", "no-pixels"]
"""Of a map: usable, one value everywhere, not finite, or not made since the target has no pixels."""
ONE_MAP = ("image", "class", "target", "layer", "depth", "stride", "method", "status")
"""Columns of `maps` that say which map a row is about; `target` is predicted or truth."""
NUMBERS = ("share", "energy", "lift", "pointing", "iou", "auprc", "logits")
"""Columns of `maps` that follow."""
INTERVENED = (
    *(f"{way}_{where}" for way in ("deletion", "insertion") for where in ("inside", "outside")),
    *(f"random_{way}_{where}" for way in ("deletion", "insertion") for where in ("inside", "outside")),
    *("deletion_gain", "insertion_gain", "loss_inside", "loss_outside", "loss", "leakage"),
)
"""Columns of numbers of `interventions`, behind those that name the map and `imputer`."""
SHIFTED = ("shift", "shift_least", "shift_silent")
"""Columns of numbers of `stability`."""
RANDOMIZED = ("similarity",)
"""Spearman's correlation with the map before, in `randomization`. Its rows say how many groups of modules
are shuffled (`step`), and of how many (`steps`)."""
MORE_MAPS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    INTERVENTIONS: (("imputer",), INTERVENED),
    STABILITY: ((), SHIFTED),
    RANDOMIZATION: (("step", "steps"), RANDOMIZED),
}
"""Further tables, by the record's name: columns of texts and of numbers behind those that name a map."""
FOLD_MAPS = "fold-maps"
"""Name of the record that compares maps of the same image by the networks of several folds."""
FOLD_TEXTS = ("trained", "pairs")
"""Its columns behind those that name the maps: how many of two networks trained on the image (none, one or
both), and how many pairs of networks that is of."""
TRAINED = ("none", "one", "both")
FOLD_NUMBERS = ("rank", "rank_least", "overlap", "chance", "silent")
"""Its columns of numbers."""
LAYERS = "layers"
"""Name of the table of layers."""
LAYER_COLUMNS = ("layer", "part", "depth", "stride", "note")
"""Its columns; `part` is encoder, decoder, auto or named."""
RESTATES = 0.9
"""Above this correlation with the network's own logits a map restates the prediction."""
UNCHANGED = 0.9
"""A map that is more similar than this when all weights are shuffled does not depend on them."""
_MOST = 1e9
_BOUNDS = {"lift": (0.0, _MOST), "logits": (-1.0, 1.0)}


@dataclass(frozen=True)
class MapKind:
    """What maps have in common that differ in the image alone."""

    of_class: str
    target: str
    layer: str
    depth: int
    """Place among the network's layers, from the input on."""
    stride: float
    """Pixels of the image's side per cell of the map."""
    method: str


@dataclass(frozen=True)
class MapLayer:
    """What is known of a layer besides its place."""

    part: str
    note: str
    """What a reader of its maps must know; empty: nothing."""


@dataclass(frozen=True, eq=False)
class MapTable:
    """Numbers of R maps, one row each."""

    images: tuple[str, ...]
    kinds: tuple[MapKind, ...]
    more: tuple[tuple[str, ...], ...]
    """What else tells rows apart: the status of `maps`, the imputer of `interventions`."""
    values: Mapping[str, NDArray[np.float64]]
    """By number: [R], NaN where undefined."""

    def where(self, kind: MapKind, more: Sequence[str] | None = None) -> NDArray[np.intp]:
        """Return the rows of one kind, in their order; with `more`, those that are told apart so."""
        rows = self._rows.get(kind, [])
        if more is not None:
            rows = [row for row in rows if self.more[row] == tuple(more)]
        return np.array(rows, dtype=np.intp)

    @cached_property
    def _rows(self) -> Mapping[MapKind, list[int]]:
        known: dict[MapKind, list[int]] = {}
        for row, kind in enumerate(self.kinds):
            known.setdefault(kind, []).append(row)
        return known


def read_maps(rows: Rows, ids: Sequence[str], classes: Sequence[str]) -> MapTable:
    """Return the table `maps`, each row's status in `more`; raise TableError."""
    found = read_numbers(rows, ids, classes, ("status",), NUMBERS)
    for row, (status,) in enumerate(found.more):
        if status not in get_args(MapStatus):
            raise TableError(f"status {status!a:.40} is none of {', '.join(get_args(MapStatus))}")
        if status != "ok" and not all(
            math.isnan(values[row]) for name, values in found.values.items() if name != "share"
        ):
            raise TableError(f"a map of {found.images[row]!a:.60} that is {status} has numbers")
    return found


def read_folds(rows: Rows, ids: Sequence[str], classes: Sequence[str]) -> MapTable:
    """Return the table `fold-maps`, with FOLD_TEXTS in `more`; raise TableError."""
    found = read_numbers(rows, ids, classes, FOLD_TEXTS, FOLD_NUMBERS)
    for trained, pairs in found.more:
        if trained not in TRAINED:
            raise TableError(f"{trained!a:.40} networks of a pair cannot have trained on an image")
        _number(pairs, 1, 1_000_000)
    for name in ("overlap", "chance", "silent"):
        values = found.values[name]
        if (values > 1 + 1e-6).any() or (values < -1e-6).any():
            raise TableError(f"{name!r} is a share, and not all of its values are")
    if (np.abs(np.stack([found.values["rank"], found.values["rank_least"]])) > 1 + 1e-6).any():
        raise TableError("a correlation is not between -1 and 1")
    return found


def read_layers(rows: Rows) -> dict[str, MapLayer]:
    """Return the layers by name, as the table `layers` has them; raise TableError."""
    found: dict[str, MapLayer] = {}
    for row in rows:
        if tuple(row) != LAYER_COLUMNS:
            raise TableError(f"the columns are not {', '.join(LAYER_COLUMNS)}")
        if row["layer"] in found:
            raise TableError(f"layer {row['layer']!a:.60} is there twice")
        found[row["layer"]] = MapLayer(row["part"], row["note"])
    return found


def read_numbers(
    rows: Rows, ids: Sequence[str], classes: Sequence[str], more: Sequence[str], numbers: Sequence[str]
) -> MapTable:
    """Return a table of numbers of maps; raise TableError.

    Its columns are those that name a map, `more` of texts and `numbers`; no map is there twice.
    """
    columns = (*ONE_MAP[:-1], *more, *numbers)
    images, kinds, told = [], [], []
    values = np.full((len(rows), len(numbers)), np.nan)
    known_images, known_classes = set(ids), set(classes)
    kept: dict[tuple[str, ...], MapKind] = {}
    seen: set[tuple[str, ...]] = set()
    for place, row in enumerate(rows):
        if tuple(row) != columns:
            raise TableError(f"the columns are not {', '.join(columns)}")
        image, of_class, target, layer, depth, stride, method, *others = row.values()
        if image not in known_images or of_class not in known_classes:
            raise TableError(
                f"image {image!a:.60}, class {of_class!a:.60} is not among those that were tested"
            )
        texts = tuple(others[: len(more)])
        which = (image, of_class, target, layer, depth, stride, method)
        unique = (*which, *texts) if "status" not in more else which
        if unique in seen:
            raise TableError(f"a map of {image!a:.60} is there twice")
        seen.add(unique)
        kind = kept.get(which[1:])
        if kind is None:
            kind = kept[which[1:]] = MapKind(
                of_class, target, layer, int(_number(depth, 0, 10_000)), _number(stride, 0, _MOST), method
            )
        images.append(image)
        kinds.append(kind)
        told.append(texts)
        for column, (name, text) in enumerate(zip(numbers, others[len(more) :], strict=True)):
            values[place, column] = _number(text, *_BOUNDS.get(name, _usual(name)), undefined=True)
    return MapTable(
        images=tuple(images),
        kinds=tuple(kinds),
        more=tuple(told),
        values={name: values[:, column] for column, name in enumerate(numbers)},
    )


def _usual(name: str) -> tuple[float, float]:
    """Return between what a number lies: shares of what there is, and what may lie about them."""
    return (0.0, 1.0) if name in NUMBERS or name == "shift_silent" else (-_MOST, _MOST)


def _number(text: str, low: float, high: float, *, undefined: bool = False) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise TableError(f"{text!a:.40} is not a number") from error
    if math.isnan(value):
        if undefined:
            return value
    elif low - 1e-6 <= value <= high + 1e-6:
        return value
    raise TableError(f"{text!a:.40} is not possible here")
