"""With data and weights at hand: do the kept weights give the kept label maps?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench_core.analysis.verify.audit import Audit, Subject
from bench_core.analysis.verify.checks import Examine
from bench_core.analysis.verify.findings import Finding, Level
from bench_core.analysis.verify.opened import opened
from bench_core.labels import count
from bench_core.metrics.counts import micro
from bench_core.plan.job import Train
from bench_core.records import Predictions
from bench_core.seeds import derive_seed
from bench_core.store.folder import BEST, PREDICTIONS, RESULT

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from bench_core.data.loader import Split
    from bench_core.execute.prepare import JobData
    from bench_core.protocol.session import Session
    from bench_core.protocol.site import ImageBatch

ROUNDING = {"fp32": 1e-3, "fp16": 2e-2, "bf16": 1e-1}
"""How near to another label a logit may lie, relative to the image's largest, to have been rounded across."""
METRIC_ROUNDING = 1e-3
"""Largest difference of a metric of the validation images that are predicted again."""


@dataclass(frozen=True)
class Sampling:
    """Which images of each job are predicted again."""

    images: int = 8
    """At most."""
    seed: int = 0
    """Whoever verifies chooses it, so that nobody knows beforehand which images are asked."""

    def of(self, split: Split, subject: Subject) -> Split:
        """Return the drawn images of a split, in its order."""
        from bench_core.data.loader import Split

        if len(split) <= self.images:
            return split
        random = np.random.default_rng(derive_seed(self.seed, "verify", subject.job.digest))
        rows = np.sort(random.choice(len(split), self.images, replace=False))
        return Split(split.arrays, split.indices[rows], split.channels)


def predicting(cache: Path, sampling: Sampling) -> Examine:
    """Return the check that loads each job's weights and predicts some of its images again."""

    def examine(subject: Subject, audit: Audit) -> Iterable[Finding] | None:
        if subject.predictions is None or not (subject.folder / BEST).exists():
            return None
        return list(_predicted(subject, audit, cache, sampling))

    return examine


def _predicted(subject: Subject, audit: Audit, cache: Path, sampling: Sampling) -> Iterator[Finding]:
    kept, result = subject.predictions, subject.result
    if kept is None or result is None or not isinstance(subject.job.work, Train):
        return
    data = opened(subject, audit, cache)
    if data.tested.ids != kept.ids:
        return  # `recount` names it.
    session = _session(subject, audit, data)
    drawn = sampling.of(data.tested, subject)
    network = session.network()
    for text, level in _compared(subject, session, network, drawn, kept):
        yield subject.finding(text, PREDICTIONS, level=level)
    validation = data.validation
    if validation is not None and validation is not data.tested and len(validation) <= sampling.images:
        yield from _validated(subject, session, network, validation)


def _session(subject: Subject, audit: Audit, data: JobData) -> Session:
    """Return a session in which the job's own network predicts, under the rules of its test."""
    from bench_core.execute.sources import tested_network, tested_weights
    from bench_core.protocol.session import Session
    from bench_core.protocol.site import Site, Source

    job, store, registry = subject.job, audit.store, audit.registry
    own = Source(
        job=job,
        predictions=partial(store.predictions, job.digest),
        weights=partial(tested_weights, store, job.digest),
        network=partial(tested_network, job, store, registry),
        random_at_inference=registry.model(job.model.name).random_at_inference,
    )
    return Session(
        Site(
            job=job,
            train=data.train,
            validation=data.validation,
            test=data.test,
            sources={"weights": own},
            device=device_of(subject),
        )
    )


def device_of(subject: Subject) -> str:
    """Return the kind of device that the job ran on, where there is one here; else the CPU."""
    import torch

    used = subject.result.provenance.get("device") if subject.result is not None else None
    return "cuda" if str(used).startswith("cuda") and torch.cuda.is_available() else "cpu"


def _compared(
    subject: Subject, session: Session, network: nn.Module, drawn: Split, kept: Predictions
) -> Iterator[tuple[str, Level]]:
    """Yield which label maps the weights do not give, and how many pixels rounding alone can explain."""
    from bench_core.protocol.evaluator import predict_labels

    rows = {sample: row for row, sample in enumerate(kept.ids)}
    task, scoring = session.task, session.job.scoring
    allowed = ROUNDING[subject.job.training.precision]
    odd: list[tuple[str, float]] = []
    near = pixels = 0
    for ids, logits in _logits(session, network, drawn):
        found = predict_labels(logits, task, scoring).cpu().numpy()
        for place, sample in enumerate(ids):
            mine = kept.labels[rows[sample]]
            other = found[place] != mine
            pixels += other.size
            if not other.any():
                continue
            apart = _apart(logits[place], found[place], mine, other, session)
            if apart > allowed:
                odd.append((sample, float(other.mean())))
            else:
                near += int(other.sum())
    if odd:
        sample, share = odd[0]
        text = f"its weights give other label maps for {len(odd)} of {len(drawn)} images, {sample} for one: "
        yield f"{text}{share:.2%} of its pixels", "error"
    if near:
        text = f"its weights give {near / pixels:.4%} of the pixels of {len(drawn)} images another label"
        yield f"{text}, within rounding", "warning"


def _logits(session: Session, network: nn.Module, split: Split) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    def forward(batch: ImageBatch) -> Tensor:
        logits: Tensor = network(batch.images)
        return logits

    yield from session.logits(split, forward)


def _apart(
    logits: Tensor,
    found: NDArray[np.int64],
    mine: NDArray[np.uint8],
    other: NDArray[np.bool_],
    session: Session,
) -> float:
    """Return how far the logits [K, S, S] of differing pixels are from the other label, at most.

    Relative to the image's largest logit, or to 1.
    """
    values = logits.float().cpu().numpy()
    scale = max(1.0, float(np.abs(values).max()))
    if session.task.binary:
        from bench_core.protocol.evaluator import logit_threshold

        return float(np.abs(values[0] - logit_threshold(session.job.scoring))[other].max()) / scale
    down, across = np.nonzero(other)
    if mine[other].max() >= len(values):
        return float("inf")
    gap = values[found[other], down, across] - values[mine[other], down, across]
    return float(np.abs(gap).max()) / scale


def _validated(
    subject: Subject, session: Session, network: nn.Module, validation: Split
) -> Iterator[Finding]:
    """Compare the metrics that chose the epoch with those of the kept weights on all validation images."""
    from bench_core.protocol.evaluator import predict_labels

    training = subject.training
    if training is None:
        return
    values = []
    masks = iter(validation.indices)
    for _, logits in _logits(session, network, validation):
        for labels in predict_labels(logits, session.task, session.job.scoring).cpu().numpy():
            truth = np.asarray(validation.arrays.masks[next(masks)])
            values.append(count(labels.astype(np.uint8), truth, len(session.task.classes)))
    claimed = training.history[training.chosen_epoch].validation
    for name, value in micro(np.stack(values)).items():
        known = claimed.get(name, float("nan"))
        if not (np.isnan(value) and np.isnan(known)) and not abs(value - known) <= METRIC_ROUNDING:
            text = f"its weights give {name} {value!r} on the validation images, the history of epoch "
            yield subject.finding(f"{text}{training.chosen_epoch} {known!r}", RESULT)
            return
