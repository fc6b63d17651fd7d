"""The step `ensemble`: a soft vote of all folds of a model on another dataset.

Every image at home was trained on by all folds but one or two, so a vote has no honest score there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench_core.data.loader import Split
from bench_core.labels import count
from bench_core.metrics.counts import micro
from bench_core.metrics.tables import ENSEMBLE_CLASSES, TRANSFER_IMAGES, class_rows, seen_rows
from bench_core.protocol.outcome import Outcome
from bench_core.protocol.session import Session
from bench_core.records import Predictions
from bench_steps.class_maps import ClassMap
from bench_steps.transfer import check_kept, classes_of, refuse_seen
from bench_steps.votes import voting


def run(session: Session, options: Mapping[str, Any]) -> Outcome:
    """Predict all images of the other dataset by a vote; leave label maps in its classes and the metrics.

    Raises DataError as `transfer` does.
    """
    classes = classes_of(session, options)
    return _outcome(session, options, classes, _voted(session, options, classes, session.test))


def again(session: Session, options: Mapping[str, Any]) -> Outcome:
    """Look for copies and count once more; with networks, vote on some images anew.

    Raises ValueError as `transfer` does.
    """
    classes = classes_of(session, options)
    kept = check_kept(session, classes, lambda split: _voted(session, options, classes, split))
    return _outcome(session, options, classes, kept)


def _voted(session: Session, options: Mapping[str, Any], classes: ClassMap, split: Split) -> Predictions:
    binary = session.predicted.binary
    found = session.predict(split, voting(session.networks(), options["flips"], binary=binary))
    for labels in found.labels:
        labels[...] = classes.table[labels]
    return found


def _outcome(session: Session, options: Mapping[str, Any], classes: ClassMap, found: Predictions) -> Outcome:
    split = session.test
    seen = refuse_seen(session, options)
    session.records(TRANSFER_IMAGES, list(seen_rows(split.ids, seen)))
    session.records(ENSEMBLE_CLASSES, list(class_rows(session.task.classes, classes.scored)))
    used = [place for place, sample in enumerate(split.ids) if sample not in seen]
    counts = [
        count(
            found.labels[place],
            np.asarray(split.arrays.masks[split.indices[place]]),
            len(session.task.classes),
        )
        for place in used
    ]
    return Outcome(
        predictions=found,
        values={
            **micro(np.stack(counts)[:, list(classes.scored)]),
            "images": float(len(used)),
            "left-out": float(len(seen)),
            "map": classes.words,
            "networks": float(len(session.members)),
            "views": ", ".join(("as it is", *options["flips"])),
        },
    )
