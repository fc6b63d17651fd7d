"""What is asked of a few images beyond their maps: pixels replaced, images moved, weights shuffled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench_core.declarations import IGNORE
from bench_core.metrics.map_tables import ONE_MAP
from bench_core.seeds import derive_seed
from bench_steps.grad_cam.interventions import Probe
from bench_steps.grad_cam.maps import Explorer, Labels, Looked, Made, channel_of
from bench_steps.grad_cam.options import IMPUTERS
from bench_steps.grad_cam.sanity import cascade, groups, similarity
from bench_steps.grad_cam.stability import moved, shifts, under_shifts

GROUPS = 4
"""In which the modules of a network are shuffled, from the output down."""
_SHIFTS = 4
_DISTANCE = 32
"""Images are moved by their side over this, by one pixel at least."""
Row = dict[str, object]


@dataclass(frozen=True, eq=False)
class Subject:
    """One image of a set, with what is known of it."""

    sample: str
    image: Tensor
    """[1, C, S, S] as the network takes it."""
    truth: NDArray[np.uint8]
    """[S, S]."""
    labels: Labels
    looked: Looked

    @property
    def size(self) -> int:
        """The image's side."""
        return self.image.shape[-1]

    @property
    def usable(self) -> Iterator[Made]:
        """Its maps that are neither constant nor missing."""
        return (made for made in self.looked.maps if made.status == "ok")


def intervened(subject: Subject, explorer: Explorer, seed: int) -> Iterator[Row]:
    """Yield a row of `interventions` per usable map of a class that the truth has, and imputer."""
    image = subject.image[0].float().cpu().numpy()
    probes: dict[int, Probe] = {}
    for made in subject.usable:
        mask = subject.truth == made.place + 1
        if not mask.any():
            continue
        if made.place not in probes:
            probes[made.place] = Probe(
                image,
                mask,
                channel_of(explorer.task, made.place),
                explorer.logits_of(subject.sample),
                counted=subject.truth != IGNORE,
                seed=derive_seed("interventions", seed, subject.sample),
            )
        for imputer in IMPUTERS:
            found = probes[made.place].of_map(made.full(subject.size), round(made.stride), imputer)
            yield {**which(subject.sample, explorer, made), "imputer": imputer, **found}


def shifted(subject: Subject, explorer: Explorer) -> Iterator[Row]:
    """Yield a row of `stability` per usable map."""
    moves = shifts(_SHIFTS, max(1, subject.size // _DISTANCE))
    image = subject.image[0].float().cpu().numpy()
    # One pass for a move, whatever is asked of it then: maps come in the same order as without a move.
    passes: list[Sequence[Made]] = []
    for move in moves:
        there = torch.from_numpy(moved(image, move))[None].to(subject.image)
        labels = {name: moved(each, move, fill=IGNORE) for name, each in subject.labels.items()}
        passes.append(explorer.look(subject.sample, there, labels).maps)
    for place, made in enumerate(subject.looked.maps):
        if made.status != "ok":
            continue
        again = iter([maps[place].full(subject.size) for maps in passes])
        found = under_shifts(
            image,
            subject.labels[made.target],
            made.full(subject.size),
            lambda image, labels, again=again: next(again),  # type: ignore[misc]
            moves,
        )
        yield {**which(subject.sample, explorer, made), **found}


def randomized(subjects: Sequence[Subject], explorer: Explorer, seed: int) -> Iterator[Row]:
    """Yield a row of `randomization` per usable map and step, in each of which more modules are shuffled."""
    if not subjects:
        return
    first = subjects[0]
    parts = groups(explorer.network, lambda: explorer.logits_of(first.sample)(_array(first.image)), GROUPS)
    with closing(cascade(explorer.network, parts, derive_seed("randomization", seed))) as steps:
        for number in steps:
            for subject in subjects:
                found = explorer.look(subject.sample, subject.image, subject.labels).maps
                for before, after in zip(subject.looked.maps, found, strict=True):
                    if before.status == "ok":
                        alike = similarity(before.full(subject.size), after.full(subject.size))
                        yield {
                            **which(subject.sample, explorer, before),
                            "step": number + 1,
                            "steps": len(parts),
                            "similarity": alike,
                        }


def which(sample: str, explorer: Explorer, made: Made) -> Mapping[str, object]:
    """Return the columns that say which map a row is about, but its status."""
    layer = made.layer
    cells = (
        sample,
        explorer.task.classes[made.place],
        made.target,
        layer.name,
        layer.depth,
        made.stride,
        made.method,
    )
    return dict(zip(ONE_MAP[:-1], cells, strict=True))


def _array(image: Tensor) -> NDArray[np.float32]:
    return np.asarray(image.float().cpu().numpy())
