"""With the data at hand: does every number come out again, from label maps and masks?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench_core.analysis.verify import steps
from bench_core.analysis.verify.audit import Audit, Subject
from bench_core.analysis.verify.checks import Examine
from bench_core.analysis.verify.findings import Finding, told
from bench_core.analysis.verify.opened import opened
from bench_core.analysis.verify.predicted import Sampling
from bench_core.data.automatic import with_automatic
from bench_core.errors import BenchError
from bench_core.labels import count_all
from bench_core.records import Counts, Predictions
from bench_core.samples import PREFIX, Samples, automatic_name
from bench_core.store.folder import CASES, COUNTS, PREDICTIONS, RESULT

if TYPE_CHECKING:
    from bench_core.data.loader import Split
    from bench_core.execute.prepare import JobData


def recount(cache: Path, sampling: Sampling | None = None) -> Examine:
    """Return the check that counts each job again through this cache, and asks each step again.

    With `sampling`, steps that need weights have them for some images.
    """

    def examine(subject: Subject, audit: Audit) -> Iterable[Finding] | None:
        step = steps.declared(subject, audit)
        if subject.result is None or (subject.counts is None and (step is None or step.again is None)):
            return None
        return list(_recounted(subject, audit, cache, sampling))

    return examine


def _recounted(subject: Subject, audit: Audit, cache: Path, sampling: Sampling | None) -> Iterator[Finding]:
    result = subject.result
    if result is None:
        return
    data = opened(subject, audit, cache)
    if data.facts.fingerprint != result.data.fingerprint:
        now, then = data.facts.fingerprint[:16], result.data.fingerprint[:16]
        yield subject.finding(f"the data are {now}… now, the result is of {then}…", RESULT)
        return
    for name in ("fold_hash", "samples", "groups", "train", "validation", "test"):
        if getattr(data.facts, name) != getattr(result.data, name):
            yield subject.finding(f"its {name} is not that of the data", RESULT)
    if audit.same_folds(subject)[0] is subject:
        yield from _described(subject, audit, data)
    if audit.same_tested(subject)[0] is subject:
        yield from _looked_at(subject, audit, data)
    if subject.counts is not None and subject.predictions is not None:
        yield from _counted(subject, subject.counts, subject.predictions, data.tested)
    yield from steps.again(subject, audit, data, cache, sampling)


def _described(subject: Subject, audit: Audit, data: JobData) -> Iterator[Finding]:
    """Compare what the store keeps of the dataset with the data; folds are compared with each job's."""
    try:
        kept = audit.store.samples(data.facts.fingerprint)
    except BenchError:
        return
    mine, there = _plain(kept), _plain(data.samples)
    for name in dict.fromkeys((*mine, *there)):
        if mine.get(name) != there.get(name):
            path = audit.store.datasets / f"{kept.fingerprint}.json"
            yield subject.finding(f"{name} of the kept dataset ({path.name}) are not those of the data")


def _looked_at(subject: Subject, audit: Audit, data: JobData) -> Iterator[Finding]:
    """Compute the automatic attributes of the tested images again, as far as the store keeps them."""
    try:
        kept = audit.store.samples(data.facts.fingerprint)
    except BenchError:
        return
    pixels, tested = subject.job.pixels, data.tested
    name = automatic_name(pixels.image_size, pixels.resize, pixels.padding)
    columns = kept.automatic.get(name)
    if columns is None or kept.ids != data.samples.ids:
        return
    again = with_automatic(data.samples, tested.arrays, tested.indices, pixels.resize, pixels.padding)
    for index in tested.indices:
        if columns["size"][index] is None:
            continue
        for key, column in again.automatic[name].items():
            if columns[key][index] != column[index]:
                path = audit.store.datasets / f"{kept.fingerprint}.json"
                yield subject.finding(
                    f"{PREFIX}{key} of {kept.ids[index]} is {column[index]}, {path.name} says "
                    f"{columns[key][index]}"
                )
                return


def _plain(samples: Samples) -> dict[str, object]:
    plain = samples.to_json()
    attributes = plain.pop("attributes")
    del plain["folds"]
    plain.pop("automatic", None)
    return {**plain, **{f"attribute {name!a:.60}": values for name, values in attributes.items()}}


def _counted(subject: Subject, counts: Counts, kept: Predictions, tested: Split) -> Iterator[Finding]:
    if tested.ids != kept.ids:
        yield subject.finding("its label maps are not of the fold's images", PREDICTIONS)
        return
    masks = (np.asarray(tested.arrays.masks[index]) for index in tested.indices)
    again = count_all(kept, masks, tested.groups, subject.job.dataset.task.classes)
    if counts.groups != again.groups:
        yield subject.finding("its groups are not those of the data", COUNTS)
    for sample, mine, truth in zip(counts.ids, counts.values, again.values, strict=True):
        if (mine != truth).any():
            text = f"{sample} counted again gives {truth.tolist()}, its counts say {mine.tolist()}"
            yield subject.finding(text, COUNTS)
            break
    try:
        cases = subject.cases()
    except BenchError as error:
        yield subject.finding(told(error), CASES)
        return
    for case in cases or ():
        if case.id in tested.ids:
            row = tested.ids.index(case.id)
            mask = np.asarray(tested.arrays.masks[tested.indices[row]])
            image = tested.read([row])[0][0].permute(1, 2, 0).numpy()
            for what, mine, truth in (("mask", case.mask, mask), ("image", case.image, image)):
                if mine.shape != truth.shape or (mine != truth).any():
                    text = f"the picture of {case.id} shows another {what} than the data's"
                    yield subject.finding(text, CASES)
