"""What steps left about the test images of evaluate jobs, and of other datasets, read once and checked."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench_core.errors import StoreError
from bench_core.metrics.corrupted import CORRUPTION_COUNTS, Condition, read_corruption
from bench_core.metrics.costs import MEASURED, OPERATIONS, Done, Measured, read_measured, read_operations
from bench_core.metrics.map_tables import FOLD_MAPS as FOLD_RECORD
from bench_core.metrics.map_tables import (
    LAYERS,
    MAPS,
    MORE_MAPS,
    MapLayer,
    MapTable,
    read_folds,
    read_layers,
    read_maps,
    read_numbers,
)
from bench_core.metrics.tables import (
    ENSEMBLE_CLASSES,
    HOME_COUNTS,
    NATIVE_COUNTS,
    SCORES,
    TRANSFER_IMAGES,
    ImageScores,
    Rows,
    TableError,
    classes_of,
    read_counts,
    read_scored,
    read_scores,
    read_seen,
)
from bench_core.plan.job import Apply, Job
from bench_core.plugins.quantities import (
    CORRUPTION,
    COST,
    ENSEMBLE,
    FOLD_MAPS,
    GRAD_CAM,
    MEASURE,
    NATIVE,
    TRANSFER,
)
from bench_core.records import Counts
from bench_core.store.folder import fix_for
from bench_core.store.store import Store

_TABLES = {
    MEASURE: SCORES,
    NATIVE: NATIVE_COUNTS,
    TRANSFER: HOME_COUNTS,
    ENSEMBLE: ENSEMBLE_CLASSES,
    GRAD_CAM: MAPS,
    FOLD_MAPS: FOLD_RECORD,
    CORRUPTION: CORRUPTION_COUNTS,
    COST: MEASURED,
}
"""The table of each step that is read first."""


@dataclass(frozen=True, eq=False)
class Elsewhere:
    """One or more networks on another dataset: the images and classes that are scored."""

    there: Counts
    """Of the images there, without those that are copies of training images."""
    left_out: Mapping[str, str]
    """Images there that are not scored, and the training images that they are copies of."""
    unscored: tuple[str, ...]
    """Classes there that no class of the network stands for."""


@dataclass(frozen=True, eq=False)
class Transferred(Elsewhere):
    """A single network on another dataset."""

    home: Counts
    """Of the images that its own job tested, in the classes there."""


@dataclass(frozen=True, eq=False)
class Corrupted:
    """A network on its own test images under corruptions."""

    conditions: tuple[Condition, ...]
    """Kinds with severities; the first is the clean images."""
    values: NDArray[np.int64]
    """[X, N, K, 3] by condition; images and classes in the order of the evaluate job's counts."""


@dataclass(frozen=True, eq=False)
class StepTables:
    """The numbers per image and class that a step job left; empty for steps that leave none."""

    scores: Mapping[str, ImageScores] = field(default_factory=dict)
    """By metric; images and classes in the order of the evaluate job's counts."""
    native_counts: NDArray[np.int64] | None = None
    """[N, K, 3] at the images' original sizes, in the same order."""
    transferred: Transferred | None = None
    voted: Elsewhere | None = None
    corrupted: Corrupted | None = None
    maps: MapTable | None = None
    """Numbers of heat maps."""
    more_maps: Mapping[str, MapTable] = field(default_factory=dict)
    """Of interventions and the like, by the record's name."""
    fold_maps: MapTable | None = None
    """How alike maps of the same images are that the networks of several folds made."""
    map_layers: Mapping[str, MapLayer] = field(default_factory=dict)
    """The layers of the maps, by name."""
    operations: tuple[Done, ...] = ()
    measured: tuple[Measured, ...] | None = None
    """Of a network: what it does, and what that takes."""


def read_tables(job: Job, store: Store, counts: Counts) -> StepTables:
    """Return the tables of a done step job; `counts` are those of the evaluate job that it needs.

    Raises StoreError for a table that is missing, damaged or about other images.
    """
    step = job.work.step if isinstance(job.work, Apply) else ""
    name = _TABLES.get(step)
    if name is None:
        return _of_others(job, store, counts)
    if step == GRAD_CAM and isinstance(job.work, Apply) and job.work.options.get("folds"):
        name = FOLD_RECORD
    rows = store.records(job.digest, name)
    try:
        if name == FOLD_RECORD:
            # Images may be another dataset's, which the evaluate job does not name.
            ids = counts.ids if step == GRAD_CAM else tuple({row.get("image", "") for row in rows})
            compared = read_folds(rows, ids, counts.classes)
            name = LAYERS
            return StepTables(fold_maps=compared, map_layers=read_layers(store.records(job.digest, name)))
        if step == TRANSFER:
            there, images = store.counts(job.digest), store.records(job.digest, TRANSFER_IMAGES)
            classes = classes_of(rows)
            home = Counts(counts.ids, counts.groups, classes, read_counts(rows, counts.ids, classes))
            return StepTables(transferred=Transferred(**vars(_elsewhere(classes, images, there)), home=home))
        if step == ENSEMBLE:
            there, images = store.counts(job.digest), store.records(job.digest, TRANSFER_IMAGES)
            return StepTables(voted=_elsewhere(read_scored(rows, there.classes), images, there))
        if step == GRAD_CAM:
            left = store.result(job.digest).artifacts
            more_maps: dict[str, MapTable] = {}
            for name, (texts, numbers) in MORE_MAPS.items():
                if f"records/{name}.csv" in left:
                    more_maps[name] = read_numbers(
                        store.records(job.digest, name), counts.ids, counts.classes, texts, numbers
                    )
            name = LAYERS
            layers = read_layers(store.records(job.digest, name)) if f"records/{name}.csv" in left else {}
            name = MAPS
            maps = read_maps(rows, counts.ids, counts.classes)
            return StepTables(maps=maps, more_maps=more_maps, map_layers=layers)
        if step == CORRUPTION:
            return StepTables(corrupted=Corrupted(*read_corruption(rows, counts.ids, counts.classes)))
        if step == COST:
            measured = read_measured(rows)
            done: tuple[Done, ...] = ()
            if isinstance(job.work, Apply) and job.work.options.get("operations"):
                name = OPERATIONS
                done = read_operations(store.records(job.digest, name))
            return StepTables(operations=done, measured=measured)
        if step == NATIVE:
            return StepTables(native_counts=read_counts(rows, counts.ids, counts.classes))
        return StepTables(scores=read_scores(rows, counts.ids, counts.classes))
    except TableError as error:
        folder = store.folder(job.digest)
        place = str(folder / "records" / f"{name}.csv")
        fix = fix_for(folder)
        raise StoreError("damaged file in the store", place=place, cause=str(error), fix=fix) from error


def _of_others(job: Job, store: Store, counts: Counts) -> StepTables:
    """Return the table of a plugin's own corruptions; a table of that name may be about something else."""
    if f"records/{CORRUPTION_COUNTS}.csv" in store.result(job.digest).artifacts:
        with suppress(TableError):
            rows = store.records(job.digest, CORRUPTION_COUNTS)
            return StepTables(corrupted=Corrupted(*read_corruption(rows, counts.ids, counts.classes)))
    return StepTables()


def _elsewhere(classes: tuple[str, ...], images: Rows, there: Counts) -> Elsewhere:
    left_out = read_seen(images, there.ids)
    places = [place for place, name in enumerate(there.classes) if name in classes]
    if not places or tuple(there.classes[place] for place in places) != classes:
        raise TableError("its classes are not among those of the images there")
    used = [place for place, sample in enumerate(there.ids) if sample not in left_out]
    return Elsewhere(
        there=Counts(
            tuple(there.ids[place] for place in used),
            tuple(there.groups[place] for place in used),
            classes,
            there.values[used][:, places],
        ),
        left_out=left_out,
        unscored=tuple(name for name in there.classes if name not in classes),
    )
