"""The step `grad-cam`: maps of a set of test images, in numbers and as small pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.declarations import IGNORE
from bench_core.metrics.map_tables import INTERVENTIONS, MAPS, NUMBERS, RANDOMIZATION, STABILITY, read_maps
from bench_core.protocol.outcome import Outcome
from bench_core.protocol.session import Session
from bench_steps.grad_cam import folds
from bench_steps.grad_cam.artifact import PictureWriter, picture_of
from bench_steps.grad_cam.exact import exact
from bench_steps.grad_cam.further import Row, Subject, intervened, randomized, shifted
from bench_steps.grad_cam.layers import Chosen, chosen_layers
from bench_steps.grad_cam.maps import Explorer, Made, channel_of
from bench_steps.grad_cam.numbers import of_map
from bench_steps.grad_cam.options import PREDICTED
from bench_steps.grad_cam.rows import LAYERS, layer_row, map_row, values_of
from bench_steps.grad_cam.sets import chosen, part_of


def run(session: Session, options: Mapping[str, Any]) -> Outcome:
    """Make the maps of a set; leave tables of layers, of maps and of what was asked of a few images.

    Of a part over folds, the maps of all folds' networks are compared instead. Raises TrainingError where the
    network has no layer that is asked for.
    """
    if options["folds"]:
        return folds.run(session, options)
    ids = chosen(session, options)
    rows: list[dict[str, object]] = []
    layers: list[dict[str, object]] = []
    further: dict[str, list[Row]] = {INTERVENTIONS: [], STABILITY: [], RANDOMIZATION: []}
    pictures = PictureWriter(session.artifact)
    with exact(session.device):
        shuffled: list[Subject] = []
        explorer: Explorer | None = None
        for number, (explorer, subject) in enumerate(subjects(session, options, ids)):
            for made in subject.looked.maps:
                if made.status == "ok" and made.cells is not None:
                    pictures.add(len(rows), picture_of(made.cells))
                rows.append(_row(subject, explorer, made))
            if not layers:
                layers = list(_layer_rows(explorer.layers, subject))
            if number < options["interventions"]:
                further[INTERVENTIONS] += intervened(subject, explorer, session.job.seed)
            if number < options["stability"]:
                further[STABILITY] += shifted(subject, explorer)
            if number < options["randomization"]:
                shuffled.append(subject)
            session.progress(number + 1, len(ids))
        if explorer is not None:
            further[RANDOMIZATION] += randomized(shuffled, explorer, session.job.seed)
    pictures.close()
    session.records(MAPS, rows)
    session.records(LAYERS, layers)
    for name, found in further.items():
        if found:
            session.records(name, found)
    return Outcome(values=_values(session, rows, layers))


def subjects(
    session: Session, options: Mapping[str, Any], ids: Sequence[str]
) -> Iterator[tuple[Explorer, Subject]]:
    """Yield images of the test split with their maps, in the order of `ids`, and with what makes them."""
    if not ids:
        return
    source, network = session.source("weights"), session.network()
    split = part_of(session.test, ids)
    predicted = source.predictions()
    places = {sample: row for row, sample in enumerate(predicted.ids)}
    explorer: Explorer | None = None
    truths = session.truth(split)
    for batch in session.images(split, 1):
        ((sample,), image), (_, truth) = (batch.ids, batch.images), next(truths)
        if explorer is None:
            with session.drawing(sample):
                layers = chosen_layers(
                    source.explained, options["layer"], network, image, session.job.model.label
                )
            explorer = Explorer(
                network,
                session.task,
                layers,
                options["methods"],
                session.drawing,
                source.random_at_inference,
            )
        known = dict.fromkeys(options["targets"], truth)
        if PREDICTED in known:
            # What was predicted when the network was tested, in its own precision.
            known[PREDICTED] = predicted.labels[places[sample]]
        yield explorer, Subject(sample, image, truth, known, explorer.look(sample, image, known))


def numbers_of(made: Made, logits: NDArray[np.float32], truth: NDArray[np.uint8]) -> dict[str, float]:
    """Return the numbers of a map, with the class's logits [S, S] and the truth [S, S]."""
    found = of_map(made.full(truth.shape[0]), truth == made.place + 1, logits, truth != IGNORE)
    if made.status == "ok":
        return found
    return {name: found[name] if name == "share" else float("nan") for name in NUMBERS}


def _row(subject: Subject, explorer: Explorer, made: Made) -> dict[str, object]:
    logits = subject.looked.logits[channel_of(explorer.task, made.place)]
    layer = (made.layer.name, made.layer.depth, made.stride)
    of_class = explorer.task.classes[made.place]
    numbers = numbers_of(made, logits, subject.truth)
    return map_row(subject.sample, of_class, made.target, layer, made.method, made.status, numbers)


def _layer_rows(layers: Sequence[Chosen], subject: Subject) -> Iterator[dict[str, object]]:
    shapes = {made.layer.name: made.stride for made in subject.looked.maps}
    for layer in layers:
        yield layer_row(layer, shapes[layer.name])


def _values(
    session: Session, rows: Sequence[Mapping[str, object]], layers: Sequence[Mapping[str, object]]
) -> dict[str, float | str]:
    texts = [{name: str(cell) for name, cell in row.items()} for row in rows]
    table = read_maps(texts, session.test.ids, session.task.classes)
    return values_of(table, [{name: str(cell) for name, cell in row.items()} for row in layers])
