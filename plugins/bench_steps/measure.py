"""The step `measure`: metrics of the label maps that evaluate jobs left; nothing is predicted anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench_core.data.describe import describe
from bench_core.declarations import IGNORE, Metric
from bench_core.errors import DataError
from bench_core.metrics.counts import mean_defined
from bench_core.metrics.declared import known_unit, of_labels
from bench_core.metrics.tables import SCORES, ImageScores, score_rows
from bench_core.options import complete_options
from bench_core.protocol.outcome import Outcome

if TYPE_CHECKING:
    from bench_core.protocol.session import Session


@dataclass(frozen=True)
class Measured:
    """A metric with the options and the unit of this job."""

    metric: Metric
    options: Mapping[str, Any]
    scores: ImageScores


def run(session: Session, options: Mapping[str, Any]) -> Outcome:
    """Measure the needed job's label maps against the masks; leave the table and each metric's mean.

    A length is in mm where the spacing of all images of the dataset is known, else in pixels of the grid that
    is tested. Raises DataError for a metric in mm on data whose spacing is not known.
    """
    split, classes = session.test, session.task.classes
    predictions = session.source("predictions").predictions()
    rows = {sample: row for row, sample in enumerate(predictions.ids)}
    pixels = session.job.pixels
    spacing = describe(split.arrays).grid_spacing(pixels.image_size, pixels.resize)
    measured = [_start(session, entry, spacing is not None, len(split)) for entry in options["metrics"]]
    for number, (sample, truth) in enumerate(session.truth(split)):
        ignore = truth == IGNORE
        pair = None if spacing is None else tuple(spacing[split.indices[number]].tolist())
        for item in measured:
            item.scores.values[number] = of_labels(
                item.metric,
                item.options,
                predictions.labels[rows[sample]],
                truth,
                len(classes),
                pair,
                ignore if ignore.any() else None,
            )
        session.progress(number + 1, len(split))
    found = {item.metric.name: item.scores for item in measured}
    session.records(SCORES, list(score_rows(split.ids, classes, found)))
    means = {name: float(mean_defined(mean_defined(scores.values))) for name, scores in found.items()}
    return Outcome(values={**means, "lengths": "px" if spacing is None else "mm"})


def _start(session: Session, entry: Mapping[str, Any], spacing: bool, images: int) -> Measured:
    metric = session.metric(entry["name"])
    if metric.unit == "mm" and not spacing:
        raise DataError(
            f"metric {metric.name!r} is in mm, and the spacing of {session.job.dataset.label} is not known",
            cause="not every image has a spacing",
            fix="leave the metric out for this dataset, or give its reader the spacing",
        )
    complete = complete_options(metric.options, entry["options"])
    values = np.full((images, len(session.task.classes)), np.nan)
    return Measured(metric, complete, ImageScores(known_unit(metric, spacing), values))
