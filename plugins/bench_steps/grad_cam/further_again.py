"""Interventions, shifts and shuffled weights of a finished job, asked again from the weights for some images.

Each costs many passes through the network, so that a share of the images that are drawn is asked, and all of
them where all images of a fold are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bench_core.metrics.map_tables import (
    INTERVENTIONS,
    MORE_MAPS,
    RANDOMIZATION,
    STABILITY,
    MapKind,
    MapTable,
)
from bench_core.protocol.session import Session
from bench_core.seeds import derive_seed
from bench_steps.grad_cam.further import Row, Subject, intervened, randomized, shifted
from bench_steps.grad_cam.further_rows import Which, rows_of
from bench_steps.grad_cam.maps import Explorer

CLOSE = 0.05
"""Largest difference of a number between two devices, as a share of it where it is above 1: of two pixels
that are nearly equal another one is replaced there, and maps of shuffled weights are rounded otherwise."""
SHARES = {INTERVENTIONS: 8, STABILITY: 4, RANDOMIZATION: 4}
"""Of so many drawn images one is asked, and one at least."""
Subjects = Callable[[Sequence[str]], Iterable[tuple[Explorer, Subject]]]
"""From ids of images to these with their maps."""


def ask_further(
    session: Session,
    options: Mapping[str, Any],
    tables: Mapping[str, MapTable],
    ids: Sequence[str],
    subjects: Subjects,
) -> None:
    """Compute rows of the further tables anew; raise ValueError where they are others."""
    chosen = {name: _some(session, name, ids[: options[name]]) for name in tables}
    wanted = {sample for samples in chosen.values() for sample in samples}
    fresh: dict[str, list[Row]] = {name: [] for name in tables}
    shuffled: list[Subject] = []
    explorer: Explorer | None = None
    for explorer, subject in subjects([sample for sample in ids if sample in wanted]):
        if subject.sample in chosen.get(INTERVENTIONS, ()):
            fresh[INTERVENTIONS] += intervened(subject, explorer, session.job.seed)
        if subject.sample in chosen.get(STABILITY, ()):
            fresh[STABILITY] += shifted(subject, explorer)
        if subject.sample in chosen.get(RANDOMIZATION, ()):
            shuffled.append(subject)
    if explorer is not None and shuffled:
        fresh[RANDOMIZATION] += randomized(shuffled, explorer, session.job.seed)
    for name, table in tables.items():
        _compare(name, table, rows_of(table, chosen[name]), fresh[name])


def _some(session: Session, name: str, ids: Sequence[str]) -> tuple[str, ...]:
    """Return which images are asked, which nobody can know beforehand."""
    drawn = session.drawn.ids if session.drawn is not None else ()
    count = len(ids) if len(drawn) == len(session.test) else max(1, len(drawn) // SHARES[name])
    ordered = sorted(ids, key=lambda sample: derive_seed("again", name, sample, *drawn))
    return tuple(ordered[:count])


def _compare(name: str, table: MapTable, rows: Mapping[Which, int], fresh: Sequence[Row]) -> None:
    texts, numbers = MORE_MAPS[name]
    found = {_which(row, texts): row for row in fresh}
    if found.keys() != rows.keys():
        raise ValueError(f"the weights give other rows of {name!r}")
    for which, row in rows.items():
        image, kind, more = which
        said = ", ".join((kind.layer, kind.method, kind.target, *more))
        for column in numbers:
            old, new = float(table.values[column][row]), float(str(found[which][column]))
            near = CLOSE * max(1.0, abs(new))
            if not (np.isnan(old) and np.isnan(new)) and not abs(old - new) <= near:
                about = f"{name} of {image!a:.60} ({said!a:.120})"
                raise ValueError(f"{about} have {column} {old:.4f}, the weights give {new:.4f}")


def _which(row: Row, texts: Sequence[str]) -> Which:
    kind = MapKind(
        str(row["class"]),
        str(row["target"]),
        str(row["layer"]),
        int(str(row["depth"])),
        float(str(row["stride"])),
        str(row["method"]),
    )
    return str(row["image"]), kind, tuple(str(row[name]) for name in texts)
