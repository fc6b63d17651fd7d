"""A finished comparison of maps over folds asked again: from the data, and some images from the weights."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.metrics.map_tables import FOLD_MAPS, FOLD_NUMBERS, FOLD_TEXTS, TRAINED, MapTable
from bench_core.protocol.outcome import Outcome
from bench_core.protocol.session import Session
from bench_core.seeds import derive_seed
from bench_steps.grad_cam.alike import by_chance
from bench_steps.grad_cam.exact import exact
from bench_steps.grad_cam.fold_rows import fold_values, networks_of, whole_folds
from bench_steps.grad_cam.folds import Case, Looking, cases, first_of
from bench_steps.grad_cam.further import Row
from bench_steps.grad_cam.rounding import near_images, unexplained, within
from bench_steps.grad_cam.rows import LAYERS

CLOSE = 0.02
"""Largest difference of a number between two devices, where rounding alone does not move it further."""
CasesOf = Callable[[Sequence[str]], Iterable[Case]]
"""From ids of images to what is explained of them."""
Nearly = Callable[[Case], Iterable[Case]]
"""From what is explained of an image to the same of images that are nearly it."""
Places = Mapping[tuple[str, str, str], Sequence[int]]
"""Image, class and target to the rows that are about them."""


def again(session: Session, options: Mapping[str, Any]) -> Outcome:
    """Ask a part over folds of `grad-cam` again; raises ValueError for what does not hold."""
    ids = first_of(session, options)
    return ask(session, options, ids, lambda some: cases(session, options, some))


def near_cases(case: Case) -> Iterator[Case]:
    """Yield nearly the same image, of which the same pixels are explained."""
    for image in near_images(case.image):
        yield replace(case, image=image)


def ask(
    session: Session,
    options: Mapping[str, Any],
    ids: Sequence[str],
    cases_of: CasesOf,
    nearly: Nearly = near_cases,
    *,
    by_networks: bool = False,
) -> Outcome:
    """Ask whether rows are those of the images `ids`, of the pixels that are explained and of the folds that
    trained on them; with networks, compare the maps of some images anew. Leave the same tables.

    `by_networks` says that what is explained is only known with networks, so that rounding moves it, too; no
    network trained on such images. Raises ValueError for what does not hold.
    """
    rows, layers = session.kept_records(FOLD_MAPS), session.kept_records(LAYERS)
    networks = networks_of(session.job)
    table = whole_folds(rows, layers, session.test.ids, session.predicted.classes, options, networks)
    places: dict[tuple[str, str, str], list[int]] = {}
    for row, (image, kind) in enumerate(zip(table.images, table.kinds, strict=True)):
        places.setdefault((image, kind.of_class, kind.target), []).append(row)
    looked = [sample for sample in ids if sample in set(table.images)]
    if list(dict.fromkeys(table.images)) != looked:
        raise ValueError("its images are not those of the set")
    if not by_networks:
        _check_all(session, options, table, places, cases_of(ids))
    elif any(trained != TRAINED[0] for trained, _ in table.more):
        raise ValueError("it says that networks trained on images of the other dataset")
    if session.drawn is not None and ids:
        _compare_again(session, options, table, cases_of(_some(ids, session.drawn.ids)), nearly)
    session.records(FOLD_MAPS, rows)
    session.records(LAYERS, layers)
    return Outcome(values=fold_values(table, networks))


def _check_all(
    session: Session, options: Mapping[str, Any], table: MapTable, places: Places, found: Iterable[Case]
) -> None:
    """Hold rows against the pixels that are explained and the folds that trained on the image."""
    classes, expected = session.predicted.classes, []
    for case in found:
        for of_class, target in itertools.product(classes, options["targets"]):
            inside = case.labels[target] == classes.index(of_class) + 1
            if inside.any():
                which = (case.sample, of_class, target)
                expected.append(which)
                _check(table, places.get(which, []), which, case, inside[case.counted])
    if expected != list(places):
        raise ValueError("its rows are not those of the images of the set and the classes in them")


def _check(
    table: MapTable, rows: Sequence[int], which: tuple[str, str, str], case: Case, area: NDArray[np.bool_]
) -> None:
    """Hold the rows of an image, class and target against the folds and the area of its pixels."""
    about = f"the maps of {which[0]!a:.60}, {which[1]!a:.40}, {which[2]}"
    if not rows:
        raise ValueError(f"{about} are missing")
    known = Counter(TRAINED[one + other] for one, other in itertools.combinations(case.trained, 2))
    told = {trained: int(pairs) for trained, pairs in dict.fromkeys(table.more[row] for row in rows)}
    if told != dict(known):
        raise ValueError(
            f"{about} are said to be of {_pairs(told)} that trained on it, and are of {_pairs(known)}"
        )
    share = float(area.mean()) if area.size else 0.0
    chance = by_chance(share) if 0 < share < 1 else float("nan")
    for row in rows:
        if not np.isclose(table.values["chance"][row], chance, rtol=0, atol=1e-9, equal_nan=True):
            told_there = float(table.values["chance"][row])
            raise ValueError(f"{about} have the overlap {told_there!r} by chance, the pixels give {chance!r}")


def _pairs(found: Mapping[str, int]) -> str:
    return ", ".join(f"{count} pairs with {name}" for name, count in sorted(found.items()))


def _compare_again(
    session: Session, options: Mapping[str, Any], table: MapTable, found: Iterable[Case], nearly: Nearly
) -> None:
    """Compare the maps of some images anew; raise ValueError where numbers are others."""
    with exact(session.device):
        looking = Looking(session, options)
        for case in found:
            mine = [row for row, image in enumerate(table.images) if image == case.sample]
            passes = map(looking.rows, chain([case], nearly(case)))
            said = unexplained(passes, partial(_odd, table, case.sample, mine))
            if said is not None:
                raise ValueError(said)


def _odd(table: MapTable, sample: str, rows: Sequence[int], passes: Sequence[Sequence[Row]]) -> str | None:
    """Return which of an image's rows is none that the weights give, which were asked once or more often."""
    kinds = [table.kinds[row] for row in rows]
    kept = [(kind.of_class, kind.target, *table.more[row]) for kind, row in zip(kinds, rows, strict=True)]
    # A class of one pixel at a border has rows in some passes alone.
    alike = [fresh for fresh in passes if [_of(row) for row in fresh] == kept]
    if not alike:
        return f"the weights give other maps of {sample!a:.60}"
    for row, found in zip(rows, zip(*alike, strict=True), strict=True):
        kind = table.kinds[row]
        for name in FOLD_NUMBERS:
            old, new = float(table.values[name][row]), [float(str(each[name])) for each in found]
            if not within(old, new, CLOSE):
                about = f"the maps of {sample!a:.60} in {kind.layer!a:.60} ({kind.method})"
                return f"{about} have {name} {old:.4f}, the weights give {new[0]:.4f}"
    return None


def _of(row: Row) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in ("class", "target", *FOLD_TEXTS))


def _some(ids: Sequence[str], drawn: Sequence[str]) -> tuple[str, ...]:
    """Return as many images as were drawn, which nobody can know beforehand either."""
    ordered = sorted(ids, key=lambda sample: derive_seed("again", sample, *drawn))
    return tuple(sample for sample in ids if sample in set(ordered[: len(drawn)]))
