"""Which values of the steps here follow from the tables that they left; needs no framework."""

from __future__ import annotations

from collections.abc import Mapping

from bench_core.metrics.corrupted import CORRUPTION_COUNTS, corruption_values, read_corruption
from bench_core.metrics.counts import mean_defined, micro
from bench_core.metrics.tables import (
    ENSEMBLE_CLASSES,
    HOME_COUNTS,
    NATIVE_COUNTS,
    SCORES,
    TRANSFER_IMAGES,
    TableError,
    classes_of,
    read_counts,
    read_scored,
    read_scores,
    read_seen,
)
from bench_core.metrics.transferred import transfer_values
from bench_core.plan.job import Apply
from bench_core.store.left import Left


def measured(left: Left) -> Mapping[str, float | str]:
    """Return the mean of each metric over classes, then images, and the unit of lengths if one has it.

    Raises ValueError (TableError) for scores of other images, classes or units than the job's.
    """
    found = read_scores(left.records(SCORES), left.images, left.job.dataset.task.classes)
    values: dict[str, float | str] = {
        name: float(mean_defined(mean_defined(scores.values))) for name, scores in found.items()
    }
    for unit in {scores.unit for scores in found.values()} - {"fraction"}:
        values["lengths"] = unit
    return values


def native(left: Left) -> Mapping[str, float]:
    """Return the pooled metrics of the counts at original size; raises ValueError as `measured` does."""
    return micro(read_counts(left.records(NATIVE_COUNTS), left.images, left.job.dataset.task.classes))


def voted(left: Left) -> Mapping[str, float]:
    """Return the pooled metrics there, and how many images are scored and left out; raises as `measured`."""
    seen, counts = read_seen(left.records(TRANSFER_IMAGES), left.images), left.counts()
    names = read_scored(left.records(ENSEMBLE_CLASSES), counts.classes)
    _expect_whole(left, len(names) == len(counts.classes))
    places = [place for place, name in enumerate(counts.classes) if name in names]
    used = [place for place, sample in enumerate(counts.ids) if sample not in seen]
    pooled = micro(counts.values[used][:, places])
    return {**pooled, "images": float(len(used)), "left-out": float(len(seen))}


def _expect_whole(left: Left, whole: bool) -> None:
    work = left.job.work
    if not whole and isinstance(work, Apply) and work.options["unreached"] != "leave-out":
        raise TableError("classes are left out, which its options do not say")


def transferred(left: Left) -> Mapping[str, float | str]:
    """Return the pooled metrics there and at home, and how many images are scored and left out.

    Raises ValueError as `measured` does.
    """
    seen, rows = read_seen(left.records(TRANSFER_IMAGES), left.images), left.records(HOME_COUNTS)
    counts, names = left.counts(), classes_of(rows)
    places = [place for place, name in enumerate(counts.classes) if name in names]
    if tuple(counts.classes[place] for place in places) != names or not names:
        raise TableError(f"classes {', '.join(names)!a:.80} are not among those that are predicted")
    _expect_whole(left, len(places) == len(counts.classes))
    home = read_counts(rows, list(dict.fromkeys(row["image"] for row in rows)), names)
    used = [place for place, sample in enumerate(counts.ids) if sample not in seen]
    values = transfer_values(counts.values[used][:, places], home)
    return {**values, "images": float(len(used)), "left-out": float(len(seen))}


def corrupted(left: Left) -> Mapping[str, float]:
    """Return the pooled Dice of clean images and of each corruption, and the mean degradation.

    Raises ValueError as `measured` does.
    """
    rows = left.records(CORRUPTION_COUNTS)
    return corruption_values(*read_corruption(rows, left.images, left.job.dataset.task.classes))
