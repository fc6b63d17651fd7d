"""The step `fold-maps`: maps of all folds of a model on images of another dataset, on which none trained.

All networks explain the same pixels: those that their vote labels as a class, in the classes of the networks.
The other dataset's masks are not asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from bench_core.data.overlap import told
from bench_core.errors import DataError
from bench_core.protocol.outcome import Outcome
from bench_core.protocol.session import Session
from bench_core.protocol.site import ImageBatch
from bench_core.protocol.voting import voting
from bench_core.seeds import derive_seed
from bench_steps.grad_cam.fold_again import ask
from bench_steps.grad_cam.fold_rows import like_grad_cam
from bench_steps.grad_cam.folds import Case, compare
from bench_steps.grad_cam.options import VOTED
from bench_steps.grad_cam.rounding import near_images
from bench_steps.grad_cam.sets import part_of


def run(session: Session, options: Mapping[str, Any]) -> Outcome:
    """Compare the maps of all folds on random images; leave the tables of a part over folds of `grad-cam`.

    Raises DataError where images are copies of images of the trained dataset, unless `overlap` leaves these
    out.
    """
    ids, options = chosen(session, options), like_grad_cam(options)
    return compare(session, options, cases(session, ids), len(ids))


def again(session: Session, options: Mapping[str, Any]) -> Outcome:
    """Ask a finished job again; without networks, only whether images and layers are what they must be.

    Raises ValueError for what does not hold.
    """
    ids = chosen(session, options)
    return ask(
        session,
        like_grad_cam(options),
        ids,
        lambda some: cases(session, some),
        lambda case: near_cases(session, case),
        by_networks=True,
    )


def chosen(session: Session, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the ids of random images, without copies of images that networks were trained on."""
    split, seen = session.test, session.seen()
    if seen and (options["overlap"] != "drop" or len(seen) == len(split)):
        raise DataError(
            f"{len(seen)} of {len(split)} images of {session.job.dataset.label} are copies of images that "
            f"networks were trained on: {told(seen)}",
            fix="write `overlap: drop` to leave such images out, or choose another dataset",
        )
    left = [sample for sample in split.ids if sample not in seen]
    drawn = sorted(left, key=lambda sample: (derive_seed("grad-cam", session.job.seed, sample), sample))
    return tuple(drawn[: options["images"]])


def cases(session: Session, ids: Sequence[str]) -> Iterator[Case]:
    """Yield images with the label maps that the vote of all networks gives."""
    if not ids:
        return
    split, vote = part_of(session.test, ids), _vote(session)
    voted = session.predict(split, vote)
    for batch, labels in zip(session.images(split, 1), voted.labels, strict=True):
        (sample,) = batch.ids
        counted = np.ones(labels.shape, dtype=bool)
        yield Case(sample, batch.images, {VOTED: labels}, counted, (False,) * len(session.members))


def near_cases(session: Session, case: Case) -> Iterator[Case]:
    """Yield nearly the same image with its own votes: a pixel at a border may fall to the other side."""
    split, vote = part_of(session.test, [case.sample]), _vote(session)
    for image in near_images(case.image):
        voted = session.predict(split, lambda batch, image=image: vote(replace(batch, images=image)))  # type: ignore[misc]
        yield replace(case, image=image, labels={VOTED: voted.labels[0]})


def _vote(session: Session) -> Callable[[ImageBatch], Tensor]:
    return voting(session.networks(), [()], binary=session.predicted.binary)
