"""Interventions, shifts and shuffled weights of a finished job, asked again from the weights for some images.

Each costs many passes through the network, so that a share of the images that are drawn is asked, and all of
them where all images of a fold are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

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
from bench_steps.grad_cam.rounding import near_subjects, unexplained, within

CLOSE = 0.05
"""Largest difference of a number between two devices, as a share of it where it is above 1, where rounding
alone does not move it further."""
SHARES = {INTERVENTIONS: 8, STABILITY: 4, RANDOMIZATION: 4}
"""Of so many drawn images one is asked, and one at least."""
Asked = tuple[Explorer, Subject]
Subjects = Callable[[Sequence[str]], Iterable[Asked]]
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
    asked = list(subjects([sample for sample in ids if sample in wanted]))
    for name, table in tables.items():
        mine = [each for each in asked if each[1].sample in chosen[name]]
        passes = chain([mine], zip(*(near_subjects(*each) for each in mine), strict=True))
        fresh = (_fresh(name, each, session.job.seed) for each in passes)
        said = unexplained(fresh, partial(_odd, name, table, rows_of(table, chosen[name])))
        if said is not None:
            raise ValueError(said)


def _fresh(name: str, asked: Sequence[Asked], seed: int) -> list[Row]:
    """Return the rows of a table of images, whose explorer is the same."""
    found: list[Row] = []
    if name == RANDOMIZATION:
        for explorer, _ in asked[:1]:
            found += randomized([subject for _, subject in asked], explorer, seed)
    for explorer, subject in asked:
        if name == INTERVENTIONS:
            found += intervened(subject, explorer, seed)
        if name == STABILITY:
            found += shifted(subject, explorer)
    return found


def _some(session: Session, name: str, ids: Sequence[str]) -> tuple[str, ...]:
    """Return which images are asked, which nobody can know beforehand."""
    drawn = session.drawn.ids if session.drawn is not None else ()
    count = len(ids) if len(drawn) == len(session.test) else max(1, len(drawn) // SHARES[name])
    ordered = sorted(ids, key=lambda sample: derive_seed("again", name, sample, *drawn))
    return tuple(ordered[:count])


def _odd(
    name: str, table: MapTable, rows: Mapping[Which, int], passes: Sequence[Sequence[Row]]
) -> str | None:
    """Return which row is none that the weights give; None where each is."""
    texts, numbers = MORE_MAPS[name]
    found = [{_which(row, texts): row for row in fresh} for fresh in passes]
    # A map that rounding makes constant has rows in some passes alone.
    if any(all((which in rows) != (which in one) for one in found) for which in {*rows, *chain(*found)}):
        return f"the weights give other rows of {name!r}"
    for which, row in rows.items():
        image, kind, more = which
        for column in numbers:
            old = float(table.values[column][row])
            new = [float(str(one[which][column])) for one in found if which in one]
            if not within(old, new, CLOSE):
                said = ", ".join((kind.layer, kind.method, kind.target, *more))
                about = f"{name} of {image!a:.60} ({said!a:.120})"
                return f"{about} have {column} {old:.4f}, the weights give {new[0]:.4f}"
    return None


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
