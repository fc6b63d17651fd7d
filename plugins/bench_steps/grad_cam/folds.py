"""Maps of the same images by the networks of all folds of a model, compared with each other.

At home only one fold's network has not seen an image that it tests; the others trained on it, or chose their
epoch by it. Each row says how many of two networks trained on the image. Of a transfer set none did.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from bench_core.declarations import IGNORE, Task
from bench_core.metrics.map_tables import FOLD_MAPS, read_folds
from bench_core.protocol.outcome import Outcome
from bench_core.protocol.session import Session
from bench_core.protocol.site import Source
from bench_steps.grad_cam.alike import compared, seen
from bench_steps.grad_cam.exact import exact
from bench_steps.grad_cam.fold_rows import fold_values, networks_of
from bench_steps.grad_cam.further import Row, which
from bench_steps.grad_cam.layers import Chosen, chosen_layers
from bench_steps.grad_cam.maps import Explorer, Labels, Looked
from bench_steps.grad_cam.options import PREDICTED
from bench_steps.grad_cam.rows import LAYERS, layer_row
from bench_steps.grad_cam.sets import chosen, part_of


@dataclass(frozen=True, eq=False)
class Case:
    """One image, whose pixels are explained."""

    sample: str
    image: Tensor
    """[1, C, S, S] as the networks take it."""
    labels: Labels
    counted: NDArray[np.bool_]
    """[S, S]: pixels that count."""
    trained: tuple[bool, ...]
    """Which of the networks trained on it."""


def run(session: Session, options: Mapping[str, Any]) -> Outcome:
    """Compare maps of the first images of a set; leave a table of pairs of networks, and one of layers.

    Raises TrainingError where the network has no layer that is asked for.
    """
    ids = first_of(session, options)
    return compare(session, options, cases(session, options, ids), len(ids))


def compare(session: Session, options: Mapping[str, Any], found: Iterable[Case], count: int) -> Outcome:
    """Compare the maps of all networks on `count` cases; leave the tables and return the numbers."""
    rows: list[Row] = []
    layers: list[dict[str, object]] = []
    with exact(session.device):
        looking = Looking(session, options)
        for place, case in enumerate(found):
            rows += looking.rows(case)
            layers = layers or list(looking.layers)
            session.progress(place + 1, count)
    session.records(FOLD_MAPS, rows)
    session.records(LAYERS, layers)
    texts = [{name: str(cell) for name, cell in row.items()} for row in rows]
    table = read_folds(texts, session.test.ids, session.predicted.classes)
    return Outcome(values=fold_values(table, networks_of(session.job)))


def first_of(session: Session, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the images of the set that all networks look at."""
    return chosen(session, {**options, "worst": options["fold_images"], "random": options["fold_images"]})


def sources(session: Session) -> tuple[Source, ...]:
    """Return the jobs of all folds, that of the session's own first."""
    return (*session.members, *session.siblings)


def cases(session: Session, options: Mapping[str, Any], ids: Sequence[str]) -> Iterator[Case]:
    """Yield images of the test split; the pixels predicted are those of the network that never saw them."""
    split = part_of(session.test, ids)
    predicted = session.source("weights").predictions()
    places = {sample: row for row, sample in enumerate(predicted.ids)}
    trained = [source.trained() for source in sources(session)]
    truths = session.truth(split)
    for batch in session.images(split, 1):
        ((sample,), image), (_, truth) = (batch.ids, batch.images), next(truths)
        known = dict.fromkeys(options["targets"], truth)
        if PREDICTED in known:
            known[PREDICTED] = predicted.labels[places[sample]]
        yield Case(sample, image, known, truth != IGNORE, tuple(sample in each for each in trained))


class Looking:
    """The networks of all folds and the layers that are looked at, which are the same in each."""

    def __init__(self, session: Session, options: Mapping[str, Any]) -> None:
        self._session, self._options = session, options
        self._explorers: list[Explorer] = []
        self._strides: dict[str, float] = {}

    @property
    def layers(self) -> Iterator[dict[str, object]]:
        """Yield the rows of the table of layers, once an image has been looked at."""
        for layer in self._explorers[0].layers if self._explorers else ():
            yield layer_row(layer, self._strides[layer.name])

    def rows(self, case: Case) -> list[Row]:
        """Return a row per map of an image and kind of pairs; none where no pixel is of the class."""
        explorers = self._explorers = self._explorers or self._made(case)
        looked = [explorer.look(case.sample, case.image, case.labels) for explorer in explorers]
        self._strides |= {made.layer.name: made.stride for made in looked[0].maps}
        found: list[Row] = []
        for place, made in enumerate(looked[0].maps):
            if made.status != "no-pixels":
                found += self._pairs(case, explorers[0], looked, place)
        return found

    def _pairs(self, case: Case, explorer: Explorer, looked: Sequence[Looked], place: int) -> Iterator[Row]:
        made = looked[0].maps[place]
        area = (case.labels[made.target] == made.place + 1)[case.counted]
        size = int(area.sum())
        maps = [
            seen(each.full(case.counted.shape[0]) if each.status == "ok" else None, case.counted, size)
            for each in (one.maps[place] for one in looked)
        ]
        share = size / area.size if area.size else 0.0
        for (trained, pairs), numbers in compared(maps, case.trained, share).items():
            yield {**which(case.sample, explorer, made), "trained": trained, "pairs": pairs, **numbers}

    def _made(self, case: Case) -> list[Explorer]:
        session, source = self._session, sources(self._session)[0]
        networks = [each.network().to(session.device).eval() for each in sources(session)]
        with session.drawing(case.sample):
            layers = chosen_layers(
                source.explained, self._options["layer"], networks[0], case.image, session.job.model.label
            )
        return [self._explorer(network, layers, session.predicted, source) for network in networks]

    def _explorer(self, network: nn.Module, layers: Sequence[Chosen], task: Task, source: Source) -> Explorer:
        methods, drawing = self._options["methods"], self._session.drawing
        return Explorer(network, task, layers, methods, drawing, source.random_at_inference)
