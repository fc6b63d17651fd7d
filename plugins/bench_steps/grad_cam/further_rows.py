"""Whether tables of interventions, shifts and shuffled weights are whole, and their numbers fit each other;
needs no framework."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bench_core.metrics.map_tables import (
    INTERVENTIONS,
    MORE_MAPS,
    RANDOMIZATION,
    STABILITY,
    MapKind,
    MapTable,
    read_numbers,
)
from bench_core.metrics.tables import TableError
from bench_steps.grad_cam.options import IMPUTERS

Rows = Sequence[Mapping[str, str]]
Which = tuple[str, MapKind, tuple[str, ...]]
"""Image, kind of map and what else tells rows apart."""
CLOSE = 1e-9
"""Largest difference of numbers that follow from each other."""


def further_tables(
    maps: MapTable, options: Mapping[str, Any], records: Callable[[str], Rows]
) -> Iterator[tuple[str, MapTable]]:
    """Yield the further tables that a job must have left beside its table of maps, by name.

    Raises TableError (ValueError) where one is not about the usable maps of the first images of the set, in
    order, or holds numbers that contradict each other.
    """
    images = tuple(dict.fromkeys(maps.images))
    for name, (texts, numbers) in MORE_MAPS.items():
        asked = images[: options[name]]
        usable = [
            (image, kind)
            for row, (image, kind, (status,)) in enumerate(
                zip(maps.images, maps.kinds, maps.more, strict=True)
            )
            # Where the mask has no pixels of the class there is nothing to replace.
            if status == "ok" and image in asked and (name != INTERVENTIONS or maps.values["share"][row] > 0)
        ]
        if not usable:
            continue
        classes = tuple(dict.fromkeys(kind.of_class for kind in maps.kinds))
        table = read_numbers(records(name), asked, classes, texts, numbers)
        found = list(zip(table.images, table.kinds, table.more, strict=True))
        if found != list(_expected(name, usable, found)):
            raise TableError(f"the rows of {name!r} are not those of the usable maps of its images, in order")
        contradiction = _CONTRADICTIONS[name](table)
        if contradiction:
            raise TableError(f"in {name!r}, {contradiction}")
        yield name, table


def _expected(name: str, usable: Sequence[tuple[str, MapKind]], found: Sequence[Which]) -> Iterator[Which]:
    if name == STABILITY:
        yield from ((image, kind, ()) for image, kind in usable)
    elif name == INTERVENTIONS:
        yield from ((image, kind, (imputer,)) for image, kind in usable for imputer in IMPUTERS)
    else:
        # Step by step, since each shuffles more than the one before.
        steps = found[0][2][1] if found and found[0][2][1] in ("1", "2", "3", "4") else "0"
        for step in range(1, int(steps) + 1):
            yield from ((image, kind, (str(step), steps)) for image, kind in usable)


def _of_interventions(table: MapTable) -> str:
    values = table.values
    for gain, more, less in (
        ("deletion_gain", "random_deletion_inside", "deletion_inside"),
        ("insertion_gain", "insertion_inside", "random_insertion_inside"),
    ):
        expected = values[more] - values[less]
        if not np.allclose(values[gain], expected, rtol=CLOSE, atol=CLOSE, equal_nan=True):
            return f"{gain!r} is not {more!r} less {less!r}"
    chance = [name for name in values if name.startswith("random_")]
    known: dict[tuple[object, ...], list[float]] = {}
    for row, (image, kind, (imputer,)) in enumerate(zip(table.images, table.kinds, table.more, strict=True)):
        here = [float(values[name][row]) for name in chance]
        # A random map is one for each image and stride, whatever map it stands beside.
        there = known.setdefault((image, kind.of_class, round(kind.stride), imputer), here)
        if not np.allclose(here, there, rtol=CLOSE, atol=CLOSE, equal_nan=True):
            return f"a random map of {image!a:.60} has two results"
    return ""


def _of_stability(table: MapTable) -> str:
    values = table.values
    if (values["shift_least"] > values["shift"] + CLOSE).any():
        return "the least of several correlations is above their mean"
    undefined = np.isnan(values["shift"]) != np.isnan(values["shift_least"])
    return "a mean is there without its least" if undefined.any() else ""


def _of_randomization(table: MapTable) -> str:
    beyond = np.abs(table.values["similarity"]) > 1 + CLOSE
    return "a correlation is not between -1 and 1" if beyond.any() else ""


_CONTRADICTIONS: Mapping[str, Callable[[MapTable], str]] = {
    INTERVENTIONS: _of_interventions,
    STABILITY: _of_stability,
    RANDOMIZATION: _of_randomization,
}
assert set(_CONTRADICTIONS) == set(MORE_MAPS)


def rows_of(table: MapTable, images: Sequence[str]) -> dict[Which, int]:
    """Return the rows that are about some images."""
    wanted = set(images)
    keys = zip(table.images, table.kinds, table.more, strict=True)
    return {key: row for row, key in enumerate(keys) if key[0] in wanted}
