"""Did training follow the protocol: the order of samples, the learning rate, the history, the stopping?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bench_core.analysis.verify.audit import Audit, Subject
from bench_core.analysis.verify.findings import Finding
from bench_core.analysis.verify.traces import Ids, TracedEpoch
from bench_core.data.order import batch_sizes, epoch_order
from bench_core.errors import BenchError
from bench_core.execute.rate import choose_rate
from bench_core.plan.job import job_seed
from bench_core.protocol.schedule import learning_rate
from bench_core.protocol.stopping import BestCheckpoint, EarlyStopping
from bench_core.records import EpochRecord, TrainingRecord
from bench_core.store.folder import RESULT, TRACE

CLOSE = 1e-12
"""Largest relative difference of a recomputed learning rate or loss."""


def order(subject: Subject, audit: Audit) -> Iterable[Finding] | None:
    """Compare batches with the rule of the protocol, and the order with that of the other models.

    Models that stop at different epochs share the epochs that both have. Under a declared batch size of its
    own a model may lack an epoch's last sample.
    """
    if subject.trace is None:
        return None
    broken = _against_rule(subject, audit)
    if broken is not None:
        return [broken]
    usual = audit.usual("order", audit.same_split(subject), lambda peer: _first_order(peer, audit))
    reference = usual[1] if usual else subject
    if reference is subject or reference.trace is None:
        return []
    who = f"{reference.job.name} has"
    for number, (mine, theirs) in enumerate(zip(subject.trace, reference.trace, strict=False)):
        position = _difference(mine.order, theirs.order)
        if position is not None:
            return [_differs(subject, number, mine, position, theirs.order, who)]
    return []


def _against_rule(subject: Subject, audit: Audit) -> Finding | None:
    return audit.once(("rule", subject.job.digest), lambda: _broken_rule(subject, audit))


def _broken_rule(subject: Subject, audit: Audit) -> Finding | None:
    seed = job_seed(subject.job)
    size = subject.job.training.batch_size
    samples = subject.result.data.train if subject.result else None
    for number, epoch in enumerate(subject.trace or ()):
        sizes = [len(batch) for batch in epoch.batches]
        if isinstance(samples, int) and sizes != batch_sizes(samples, size):
            expected = batch_sizes(samples, size)
            text = f"epoch {number} has {len(sizes)} steps of {_spans(sizes)} samples"
            text += f", {samples} samples in batches of {size} are {len(expected)} of {_spans(expected)}"
            return subject.finding(text, TRACE, epoch.line)
        shown = epoch.order
        if len(set(shown)) != len(shown):
            return subject.finding(f"epoch {number} shows a sample twice", TRACE, epoch.line)
        # Models share their epochs, and sorting them is what takes most of the time of all checks.
        moved = audit.once((seed, number, shown), lambda: _ruled_order(shown, seed, number))  # noqa: B023
        if moved is not None:
            position = _difference(shown, moved) or 0
            return _differs(subject, number, epoch, position, moved, "the seed's order is")
    return None


def _ruled_order(shown: Ids, seed: int, number: int) -> Ids | None:
    """Return the order in which the seed shows these samples, or None if they are shown so."""
    ruled = tuple(shown[index] for index in epoch_order(shown, seed, number))
    return None if ruled == shown else ruled


def _first_order(subject: Subject, audit: Audit) -> Ids | None:
    if subject.trace is None or _against_rule(subject, audit) is not None:
        return None
    # Without its last sample, which a batch size can cost.
    return subject.trace[0].order[:-1]


def _difference(mine: Ids, theirs: Ids) -> int | None:
    for position, (one, other) in enumerate(zip(mine, theirs, strict=False)):
        if one != other:
            return position
    return None if abs(len(mine) - len(theirs)) <= 1 else min(len(mine), len(theirs))


def _differs(
    subject: Subject, number: int, epoch: TracedEpoch, position: int, theirs: Ids, who: str
) -> Finding:
    ends = np.cumsum([len(batch) for batch in epoch.batches])
    step = min(int(np.searchsorted(ends, position, side="right")), len(ends) - 1)
    start = int(ends[step]) - len(epoch.batches[step])
    mine = epoch.order[start : start + len(epoch.batches[step])]
    there = theirs[start : start + len(mine)]
    text = f"epoch {number}, step {step} trains on {', '.join(mine)}; {who} {', '.join(there) or 'nothing'}"
    return subject.finding(text, TRACE, epoch.line + step)


def _spans(sizes: Sequence[int]) -> str:
    low, high = min(sizes, default=0), max(sizes, default=0)
    return str(low) if low == high else f"{low} to {high}"


def schedule(subject: Subject, audit: Audit) -> Iterable[Finding] | None:
    """Compare each step's learning rate with the spec's schedule from the job's own rate."""
    if subject.trace is None or subject.training is None:
        return None
    training, base = subject.job.training, subject.training.learning_rate
    for number, epoch in enumerate(subject.trace):
        steps = len(epoch.batches)
        for step, rate in enumerate(epoch.rates):
            ruled = learning_rate(training.schedule, base, number, step, training.epochs, steps)
            if not math.isclose(rate, ruled, rel_tol=CLOSE):
                text = (
                    f"epoch {number}, step {step} has the rate {float(rate)!r}, the schedule gives {ruled!r}"
                )
                return [subject.finding(text, TRACE, epoch.line + step)]
    return []


def history(subject: Subject, audit: Audit) -> Iterable[Finding] | None:
    """Compare the result's history with the trace, and each epoch's loss with the mean over its samples."""
    if subject.trace is None or subject.training is None:
        return None
    records = subject.training.history
    if len(records) != len(subject.trace):
        text = f"the result has {len(records)} epochs, the trace {len(subject.trace)}"
        return [subject.finding(text, RESULT)]
    for number, (record, epoch) in enumerate(zip(records, subject.trace, strict=True)):
        difference = _epoch_difference(record, epoch)
        if difference is not None:
            line = epoch.line + len(epoch.batches)
            return [subject.finding(f"epoch {number}: {difference}", TRACE, line)]
    return []


def _epoch_difference(record: EpochRecord, epoch: TracedEpoch) -> str | None:
    if not _same(record.learning_rate, float(epoch.rates[0])):
        return f"the history's rate is {record.learning_rate!r}, the trace's {float(epoch.rates[0])!r}"
    if not _same(record.loss, epoch.loss):
        return f"the history's loss is {record.loss!r}, the trace's {epoch.loss!r}"
    sizes = [len(batch) for batch in epoch.batches]
    mean = math.fsum(loss * size for loss, size in zip(epoch.losses, sizes, strict=True)) / sum(sizes)
    if not math.isclose(mean, epoch.loss, rel_tol=CLOSE):
        return f"the loss is {epoch.loss!r}, the mean over its steps {mean!r}"
    for name in sorted({*record.validation, *epoch.validation}):
        mine, theirs = record.validation.get(name), epoch.validation.get(name)
        if mine is None or theirs is None or not _same(mine, theirs):
            return f"the history's {name} is {mine!r}, the trace's {theirs!r}"
    return None


def stopping(subject: Subject, audit: Audit) -> Iterable[Finding] | None:
    """Apply the rules of early stopping and of the chosen epoch to the history once more."""
    if subject.training is None:
        return None
    return [subject.finding(text, RESULT) for text in _ruled(subject, subject.training)]


def _ruled(subject: Subject, result: TrainingRecord) -> Iterable[str]:
    training = subject.job.training
    stop, best = EarlyStopping(training.early_stopping), BestCheckpoint(training.checkpoint)
    ended = training.epochs
    for number, record in enumerate(result.history):
        if record.epoch != number:
            yield f"the history has epoch {record.epoch} where epoch {number} belongs"
        best.update(number, record.validation)
        if stop.update(record.validation):
            ended = min(ended, number + 1)
    ran = len(result.history)
    if ran != ended:
        yield f"it has {ran} epochs, the rules end it after {ended}"
    if result.planned_epochs != training.epochs:
        yield f"it says that {result.planned_epochs} epochs were planned, the spec plans {training.epochs}"
    if result.chosen_epoch != best.epoch:
        yield f"it tested epoch {result.chosen_epoch}, the rule chooses epoch {best.epoch}"
    if result.monitor != training.checkpoint.monitor or not _same(result.best_value, best.value):
        yield f"it says {result.monitor} {result.best_value!r}, epoch {best.epoch} has {best.value!r}"


def rate(subject: Subject, audit: Audit) -> Iterable[Finding] | None:
    """Choose the learning rate from the results of the search once more."""
    result = subject.training
    if result is None:
        return None
    try:
        chosen = choose_rate(subject.job, audit.store)
    except BenchError as error:
        return [subject.finding(f"the search that chose its rate cannot be read: {error.message}", RESULT)]
    found = []
    if chosen.value != result.learning_rate:
        where = "the search chooses" if subject.job.needed("rate") else "the spec gives it"
        text = f"it trained at {result.learning_rate!r}, {where} {chosen.value!r}"
        found.append(subject.finding(text, RESULT))
    if not _same_values(chosen.candidates, result.candidates):
        text = f"it chose among {dict(result.candidates)}, the search has {dict(chosen.candidates)}"
        found.append(subject.finding(text, RESULT))
    return found


def _same_values(mine: Mapping[str, float], theirs: Mapping[str, float]) -> bool:
    return mine.keys() == theirs.keys() and all(_same(mine[name], theirs[name]) for name in mine)


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
