"""Two runs of one study, on other machines or by other versions: what is equal, and what differs how much."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev

from bench_core.analysis.evidence import Finished
from bench_core.analysis.inference.compare import Compared, Settings, corrected, judge
from bench_core.analysis.inference.field import Field, field_of_folds
from bench_core.analysis.inference.folds import components
from bench_core.analysis.inference.paired import View
from bench_core.analysis.quantity import Quantity
from bench_core.errors import BenchError
from bench_core.plan.diff import FieldChange, changes_of
from bench_core.plan.job import Job
from bench_core.store import folder as files
from bench_core.store.differences import conditions, same_numbers, stands_on
from bench_core.store.store import Store

FIRST, SECOND = "first", "second"
MOST_NAMED = 3
"""Jobs that are named of those which only one store has."""


@dataclass(frozen=True)
class Pair:
    """One job as both stores have it."""

    first: Finished
    second: Finished

    @property
    def same_job(self) -> bool:
        """Whether the two have one digest; otherwise they are paired by their place in the study."""
        return self.first.job.digest == self.second.job.digest

    @property
    def equal(self) -> bool:
        """Whether counts, label maps, values and history are equal bit for bit."""
        return same_numbers(self.first.result, self.second.result)

    @property
    def equal_weights(self) -> bool:
        """Whether the files of weights are equal; False where there are none."""
        found = [side.result.files.get(files.BEST) for side in (self.first, self.second)]
        return found[0] is not None and found[0] == found[1]


@dataclass(frozen=True)
class CellRuns:
    """One model on one dataset in both stores; numbers in the metric's stored unit, NaN where undefined."""

    model: str
    dataset: str
    pairs: tuple[Pair, ...]
    first: float
    """Mean over the paired folds."""
    second: float
    folds: float | None
    """Standard deviation over the first store's folds; None of one fold."""
    repeats: float | None
    """Standard deviation between repeats of one fold in it; None without repeats."""
    compared: Compared | None
    """The second against the first, over groups; None where all numbers are equal, or not to be paired."""
    reason: str = ""
    """Why nothing can be paired."""
    changes: tuple[FieldChange, ...] = ()
    """How the jobs differ that are paired by their place."""

    @property
    def difference(self) -> float:
        """The second minus the first."""
        return self.second - self.first

    @property
    def equal(self) -> int:
        """Jobs that are equal bit for bit."""
        return sum(pair.equal for pair in self.pairs)

    @property
    def noise(self) -> tuple[float, str] | None:
        """How much one fold's number varies by chance, and over what: repeats where there are some."""
        if self.repeats is not None:
            return self.repeats, "repeats"
        return None if self.folds is None else (self.folds, "folds")

    @property
    def within(self) -> bool | None:
        """Whether the difference is no larger than that; None where it is not known."""
        if self.noise is None or math.isnan(self.difference):
            return None
        return abs(self.difference) <= self.noise[0]


@dataclass(frozen=True)
class TwoRuns:
    """Two stores side by side."""

    cells: tuple[CellRuns, ...]
    stages: Mapping[str, tuple[int, int]]
    """Stage to how many jobs both have, and how many of them are equal bit for bit."""
    only: tuple[tuple[str, ...], tuple[str, ...]]
    """Names of jobs that only the first, only the second store has."""
    differing: Mapping[str, int] = field(default_factory=dict)
    """What results stand on and were computed with, "NAME: FIRST | SECOND", to the number of jobs."""
    unreadable: tuple[BenchError, ...] = ()

    @property
    def pairs(self) -> int:
        """How many jobs both stores have."""
        return sum(number for number, _ in self.stages.values())


def two_runs(
    stores: tuple[Store, Store],
    quantity: Quantity,
    view: View,
    settings: Settings,
    wanted: Collection[Job] | None = None,
    datasets: Collection[str] = (),
) -> TwoRuns:
    """Compare the finished jobs of two stores, or those of them that stand in the place of a `wanted` one.

    Jobs are paired by digest; those without a twin by stage, model, dataset, fold, repeat and, of a search,
    learning rate. `quantity` is one of pixel counts. Verdicts of cells are corrected for all cells by Holm.
    """
    places = None if wanted is None else {_place(job) for job in wanted}
    unreadable: list[BenchError] = []
    held = [
        [
            done
            for done in _finished(store, unreadable)
            if (places is None or _place(done.job) in places)
            and (not datasets or done.job.cell[1] in datasets)
        ]
        for store in stores
    ]
    pairs, only = _paired(held[0], held[1])
    cells: dict[tuple[str, str], list[Pair]] = {}
    stages: dict[str, list[Pair]] = {}
    for pair in pairs:
        stages.setdefault(pair.first.job.stage, []).append(pair)
        if pair.first.job.stage == "evaluate":
            cells.setdefault(pair.first.job.cell, []).append(pair)
    found = {cell: _cell(cell, members, quantity, view, settings) for cell, members in cells.items()}
    judged = corrected({key: cell.compared for key, cell in found.items() if cell.compared}, settings.alpha)
    return TwoRuns(
        cells=tuple(
            replace(cell, compared=judged[key]) if key in judged else cell for key, cell in found.items()
        ),
        stages={
            stage: (len(members), sum(pair.equal for pair in members)) for stage, members in stages.items()
        },
        only=only,
        differing=_differing(pairs),
        unreadable=tuple(unreadable),
    )


def _finished(store: Store, unreadable: list[BenchError]) -> Iterator[Finished]:
    for digest, state in sorted(store.states().items()):
        if state != "done":
            continue
        try:
            store.check_quickly(digest)
            done = Finished(store.job(digest), store.result(digest), store)
            if done.job.stage == "evaluate":
                _ = done.counts
        except BenchError as error:
            unreadable.append(error)
            continue
        yield done


def _paired(
    first: Sequence[Finished], second: Sequence[Finished]
) -> tuple[list[Pair], tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return the pairs, and the names of the jobs that have none."""
    there = {done.job.digest: done for done in second}
    pairs = [Pair(done, there[done.job.digest]) for done in first if done.job.digest in there]
    met = {pair.first.job.digest for pair in pairs}
    taken = {_place(pair.first.job) for pair in pairs}
    rest = [_by_place(side, met, taken) for side in (first, second)]
    both = rest[0].keys() & rest[1].keys()
    # Of several jobs of one place nobody knows which is meant.
    pairs += [
        Pair(rest[0][place][0], rest[1][place][0])
        for place in rest[0]
        if place in both and len(rest[0][place]) == len(rest[1][place]) == 1
    ]
    paired = {side.job.digest for pair in pairs for side in (pair.first, pair.second)}
    alone = [
        tuple(sorted(done.job.name for done in side if done.job.digest not in paired))
        for side in (first, second)
    ]
    order = {done.job.digest: number for number, done in enumerate(sorted(first, key=_order))}
    return sorted(pairs, key=lambda pair: order[pair.first.job.digest]), (alone[0], alone[1])


def _by_place(
    side: Sequence[Finished], met: Collection[str], taken: Collection[Hashable]
) -> dict[Hashable, list[Finished]]:
    found: dict[Hashable, list[Finished]] = {}
    for done in side:
        if done.job.digest not in met and _place(done.job) not in taken:
            found.setdefault(_place(done.job), []).append(done)
    return found


def _place(job: Job) -> tuple[Hashable, ...]:
    rate = job.learning_rate if job.stage == "search" else None
    return (job.stage, *job.cell, job.dataset.label, job.fold.index, job.repeat, rate)


def _order(done: Finished) -> tuple[str, str, str, int, int]:
    job = done.job
    return (job.stage, job.cell[1], job.cell[0], job.repeat, job.fold.index)


def _cell(
    cell: tuple[str, str], pairs: Sequence[Pair], quantity: Quantity, view: View, settings: Settings
) -> CellRuns:
    sides = [[pair.first for pair in pairs], [pair.second for pair in pairs]]
    scores = [{_fold(done): quantity.of_fold(done) for done in side} for side in sides]
    defined = [value for value in scores[0].values() if not math.isnan(value)]
    parts = components(scores[0]) if len(defined) == len(scores[0]) else None
    compared, reason = None, ""
    if not all(pair.equal for pair in pairs):
        found = _field(cell[1], sides, quantity)
        judged = judge(found, view, settings) if found is not None else None
        if judged is None:
            reason = "the two have other test images or groups"
        else:
            compared = replace(judged.pair(SECOND, FIRST), model=SECOND, reference=FIRST)
    changed = [(pair.first.job, pair.second.job) for pair in pairs if not pair.same_job]
    return CellRuns(
        model=cell[0],
        dataset=cell[1],
        pairs=tuple(pairs),
        first=fmean(scores[0].values()),
        second=fmean(scores[1].values()),
        folds=stdev(defined) if len(defined) > 1 else None,
        repeats=parts.repeats if parts is not None else None,
        compared=compared,
        reason=reason,
        changes=changes_of(changed),
    )


def _fold(done: Finished) -> tuple[int, int]:
    return done.job.fold.index, done.job.repeat


def _field(dataset: str, sides: Sequence[list[Finished]], quantity: Quantity) -> Field | None:
    if len({done.counts.classes for side in sides for done in side}) > 1:
        return None
    ordered = [sorted(side, key=lambda done: (done.job.repeat, done.job.fold.index)) for side in sides]
    named = {FIRST: ordered[0], SECOND: ordered[1]}
    return field_of_folds(dataset, quantity, named, dict.fromkeys(named, ""))


def _differing(pairs: Sequence[Pair]) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for pair in pairs:
        one, other = pair.first.result, pair.second.result
        counted.update({*stands_on(one, other), *conditions(one.provenance, other.provenance)})
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))
