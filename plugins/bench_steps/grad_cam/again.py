"""A finished job of the step `grad-cam` asked again from the data, and some of its maps from the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from bench_core.declarations import IGNORE, Task
from bench_core.metrics.map_pictures import MOST_MAPS, MOST_SIDE, Picture, name_of, read_pictures
from bench_core.metrics.map_tables import MAPS, NUMBERS, MapTable
from bench_core.protocol.outcome import Outcome
from bench_core.protocol.session import Session
from bench_core.seeds import derive_seed
from bench_steps.grad_cam import fold_again
from bench_steps.grad_cam.artifact import picture_of
from bench_steps.grad_cam.exact import exact
from bench_steps.grad_cam.follow import whole
from bench_steps.grad_cam.further import Subject
from bench_steps.grad_cam.further_again import ask_further
from bench_steps.grad_cam.further_rows import further_tables
from bench_steps.grad_cam.maps import channel_of, enlarged
from bench_steps.grad_cam.options import PREDICTED
from bench_steps.grad_cam.rounding import near_subjects, unexplained, within
from bench_steps.grad_cam.rows import LAYERS, values_of
from bench_steps.grad_cam.sets import chosen, part_of
from bench_steps.grad_cam.step import numbers_of, subjects

STEP = 0.5 / 255
"""By how much a cell of a picture is off, as a share of the map's largest value."""
CLOSE = 0.02
"""Largest difference of a number, and mean difference of a picture as a share of the largest value, between
two devices, where rounding alone does not move them further; of lift, which is unbounded, as a share."""


def again(session: Session, options: Mapping[str, Any]) -> Outcome:
    """Ask whether the images are those of the set, the statuses and shares those of the masks, and the
    energies those of the pictures; leave the same tables.

    With a network, the maps of some images are made anew, and of some what was asked beyond them.
    Raises ValueError for what does not hold.
    """
    if options["folds"]:
        return fold_again.again(session, options)
    rows, layers = session.kept_records(MAPS), session.kept_records(LAYERS)
    table = whole(rows, layers, session.test.ids, session.task, options)
    ids = chosen(session, options)
    if tuple(dict.fromkeys(table.images)) != ids:
        raise ValueError("its images are not those of the set")
    pictures = _pictures(session, table)
    _check_masks(session, options, table, pictures)
    further = dict(further_tables(table, options, session.kept_records))
    if session.drawn is not None and ids:
        _make_again(session, options, table, pictures, _some(ids, session.drawn.ids))
        with exact(session.device):
            ask_further(session, options, further, ids, lambda some: subjects(session, options, some))
    session.records(MAPS, rows)
    session.records(LAYERS, layers)
    for name in further:
        session.records(name, session.kept_records(name))
    return Outcome(values=values_of(table, layers))


def _pictures(session: Session, table: MapTable) -> dict[int, Picture]:
    usable = [row for row, (status,) in enumerate(table.more) if status == "ok"]
    found = dict(read_pictures(session.kept, len(usable)))
    if list(found) != usable or _is_there(session, name_of(-(-len(usable) // MOST_MAPS))):
        raise ValueError("the pictures of maps are not those of the maps that can be used")
    return found


def _is_there(session: Session, name: str) -> bool:
    try:
        session.kept(name)
    except ValueError:
        return False
    return True


def _check_masks(
    session: Session, options: Mapping[str, Any], table: MapTable, pictures: Mapping[int, Picture]
) -> None:
    """Hold statuses, shares and energies against label maps and pictures."""
    predicted = session.source("weights").predictions()
    labels = dict(zip(predicted.ids, predicted.labels, strict=True))
    truths = (
        dict(session.truth(part_of(session.test, tuple(dict.fromkeys(table.images))))) if table.images else {}
    )
    for row, (sample, kind) in enumerate(zip(table.images, table.kinds, strict=True)):
        truth, place = truths[sample], session.task.classes.index(kind.of_class)
        asked = labels[sample] if kind.target == PREDICTED else truth
        (status,) = table.more[row]
        about = f"the map of {sample!a:.60}, {kind.of_class!a:.40}, {kind.target}"
        if (status == "no-pixels") == bool((asked == place + 1).any()):
            raise ValueError(
                f"{about} is {status}, and the target has {int((asked == place + 1).sum())} pixels"
            )
        counted = truth != IGNORE
        inside = truth[counted] == place + 1
        share = float(inside.mean()) if inside.size else float("nan")
        if not np.isclose(table.values["share"][row], share, rtol=0, atol=1e-9, equal_nan=True):
            raise ValueError(
                f"{about} has the share {float(table.values['share'][row])!r}, the mask {share!r}"
            )
        if status == "ok" and 0 < share < 1 and session.test.arrays.masks.shape[1] / kind.stride <= MOST_SIDE:
            full = enlarged((pictures[row] / 255).astype(np.float32), truth.shape[0])[counted]
            energy = float(full[inside].sum() / full.sum())
            if abs(table.values["energy"][row] - energy) > 2 * STEP / float(full.mean()) + 1e-4:
                told = table.values["energy"][row]
                raise ValueError(f"{about} has the energy {told:.4f}, its picture {energy:.4f}")


def _make_again(
    session: Session,
    options: Mapping[str, Any],
    table: MapTable,
    pictures: Mapping[int, Picture],
    ids: Sequence[str],
) -> None:
    """Make the maps of some images anew; raise ValueError where numbers or pictures are others."""
    first = {sample: row for row, sample in reversed(list(enumerate(table.images)))}
    with exact(session.device):
        for explorer, subject in subjects(session, options, ids):
            passes = chain([subject], (near for _, near in near_subjects(explorer, subject)))
            said = unexplained(passes, partial(_odd, table, pictures, first[subject.sample], session.task))
            if said is not None:
                raise ValueError(said)


def _odd(
    table: MapTable, pictures: Mapping[int, Picture], first: int, task: Task, passes: Sequence[Subject]
) -> str | None:
    """Return which map of an image is none that the weights give, which were asked once or more often.

    `first` is the row of the first map.
    """
    for offset, found in enumerate(zip(*(subject.looked.maps for subject in passes), strict=True)):
        row = first + offset
        kind, (status,) = table.kinds[row], table.more[row]
        about = f"the map of {table.images[row]!a:.60} in {kind.layer!a:.60} ({kind.method})"
        alike = [place for place, made in enumerate(found) if made.status == status]
        if found[0].layer.name != kind.layer or not alike:
            return f"the weights give {found[0].status} in {found[0].layer.name} for {about}: {status}"
        cells = [made.cells for place in alike if (made := found[place]).cells is not None]
        if status != "ok" or not cells:
            continue
        fresh, *near = [picture_of(each) for each in cells]
        spread = max((_apart(each, fresh) for each in near), default=0.0)
        if fresh.shape != pictures[row].shape or _apart(fresh, pictures[row]) > CLOSE + spread:
            return f"the weights give another picture than {about}"
        numbers = [
            numbers_of(
                found[place],
                passes[place].looked.logits[channel_of(task, found[place].place)],
                passes[place].truth,
            )
            for place in alike
        ]
        for name in NUMBERS:
            mine, there = float(table.values[name][row]), [each[name] for each in numbers]
            # The largest pixel of two that are nearly equal is another on another device.
            if not within(mine, there, CLOSE if name != "pointing" else 1.0):
                return f"{about} has {name} {mine:.4f}, the weights give {there[0]:.4f}"
    return None


def _apart(one: Picture, other: Picture) -> float:
    return float(np.abs(one.astype(np.int16) - other.astype(np.int16)).mean()) / 255


def _some(ids: Sequence[str], drawn: Sequence[str]) -> tuple[str, ...]:
    """Return as many images of the set as were drawn, which nobody can know beforehand either."""
    ordered = sorted(ids, key=lambda sample: derive_seed("again", sample, *drawn))
    return tuple(sample for sample in ids if sample in set(ordered[: len(drawn)]))
