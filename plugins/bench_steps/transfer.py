"""The step `transfer`: finished networks on another dataset, in its classes and against its masks.

Images are prepared as the networks' own were: size, resize, channels and normalization are those of the job
that trained. Predictions are made in the network's classes and mapped to the other dataset's; for a score at
home that can stand beside it, the label maps and masks of the job's own test images are mapped alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bench_core.data.loader import Split
from bench_core.data.overlap import Seen, told
from bench_core.errors import DataError
from bench_core.labels import count
from bench_core.metrics.tables import HOME_COUNTS, TRANSFER_IMAGES, count_rows, seen_rows
from bench_core.metrics.transferred import transfer_values
from bench_core.protocol.outcome import Outcome
from bench_core.protocol.session import Session
from bench_core.protocol.site import ImageBatch
from bench_core.records import Predictions
from bench_steps.class_maps import ClassMap, class_map

MOST_STRANGE = 1e-3
"""Share of an image's pixels that may differ where a network's logits lie within rounding of the border."""


def run(session: Session, options: Mapping[str, Any]) -> Outcome:
    """Predict all images of the other dataset; leave label maps in its classes, two tables and the metrics.

    Raises DataError where images are copies of images that the network may have been trained on, unless the
    option `overlap` leaves these out.
    """
    classes = classes_of(session, options)
    return _outcome(session, options, classes, _predicted(session, classes, session.test))


def again(session: Session, options: Mapping[str, Any]) -> Outcome:
    """Look for copies, map and count once more; return the kept label maps.

    With a network some images are predicted anew. Raises ValueError where the label maps hold a class that
    none is mapped to, or are not what the weights give.
    """
    classes = classes_of(session, options)
    kept = check_kept(session, classes, lambda split: _predicted(session, classes, split))
    return _outcome(session, options, classes, kept)


def check_kept(session: Session, classes: ClassMap, predict: Callable[[Split], Predictions]) -> Predictions:
    """Return the label maps that the sealed job left, in the other dataset's classes.

    Raises ValueError where they hold a class that none is mapped to or, with a network, are not what
    `predict` gives for the drawn images.
    """
    kept = session.kept_maps()
    strange = set(np.unique(kept.labels).tolist()) - {0, *(place + 1 for place in classes.scored)}
    if strange:
        raise ValueError(f"its label maps hold label {min(strange)}, to which no class is mapped")
    if session.drawn is not None:
        rows = {sample: row for row, sample in enumerate(kept.ids)}
        found = predict(session.drawn)
        for sample, labels in zip(found.ids, found.labels, strict=True):
            share = float((labels != kept.labels[rows[sample]]).mean())
            if share > MOST_STRANGE:
                raise ValueError(f"the weights give {share:.2%} of the pixels of {sample} another label")
    return kept


def refuse_seen(session: Session, options: Mapping[str, Any]) -> Mapping[str, Seen]:
    """Return the images there that are copies of images of the trained dataset; raise DataError for any.

    Not where the option `overlap` leaves them out, and others are left.
    """
    seen, count = session.seen(), len(session.test)
    if seen and (options["overlap"] != "drop" or len(seen) == count):
        raise DataError(
            f"{len(seen)} of {count} images of {session.job.dataset.label} are copies of images that "
            f"networks were trained on: {told(seen)}",
            fix="write `overlap: drop` to leave such images out of the scores, or choose another dataset",
        )
    return seen


def classes_of(session: Session, options: Mapping[str, Any]) -> ClassMap:
    """Return what becomes of the network's classes."""
    return class_map(options, session.predicted, session.task)


def _predicted(session: Session, classes: ClassMap, split: Split) -> Predictions:
    network = session.network()

    def forward(batch: ImageBatch) -> Tensor:
        logits: Tensor = network(batch.images)
        return logits

    found = session.predict(split, forward)
    for labels in found.labels:
        # In place: the label maps of a large dataset are gigabytes.
        labels[...] = classes.table[labels]
    return found


def _outcome(session: Session, options: Mapping[str, Any], classes: ClassMap, found: Predictions) -> Outcome:
    """Leave which images are scored, and the counts at home; return label maps and metrics."""
    split, seen = session.test, refuse_seen(session, options)
    names = [session.task.classes[place] for place in classes.scored]
    session.records(TRANSFER_IMAGES, list(seen_rows(split.ids, seen)))
    home, own = _at_home(session, classes)
    size = home.arrays.masks.shape[1], home.arrays.masks.shape[2]
    session.records(HOME_COUNTS, list(count_rows(home.ids, names, [size] * len(home), own)))
    counts = np.stack(
        [
            count(labels, np.asarray(split.arrays.masks[index]), len(session.task.classes))
            for labels, index in zip(found.labels, split.indices, strict=True)
        ]
    )
    used = np.array([sample not in seen for sample in split.ids])
    values = transfer_values(counts[used][:, list(classes.scored)], own)
    return Outcome(
        predictions=found,
        values={**values, "images": float(used.sum()), "left-out": float(len(seen)), "map": classes.words},
    )


def _at_home(session: Session, classes: ClassMap) -> tuple[Split, NDArray[np.int64]]:
    """Return the images that the network's own job tested, and their counts [N, K, 3] in mapped classes."""
    source = session.source("weights")
    home, maps = source.tested(), source.predictions()
    rows = {sample: row for row, sample in enumerate(maps.ids)}
    values = np.zeros((len(home), len(classes.scored), 3), dtype=np.int64)
    for place, (sample, index) in enumerate(zip(home.ids, home.indices, strict=True)):
        labels = classes.table[maps.labels[rows[sample]]]
        truth = classes.table[np.asarray(home.arrays.masks[index])]
        values[place] = count(labels, truth, len(session.task.classes))[list(classes.scored)]
    return home, values
