"""Workers that come, go and die, over the real policy: a simulation of discrete events."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from random import Random

from simulated_store import SimulatedStore

from bench_core.execute.board import NAMES_PER_OPERATION, Board, Costs
from bench_core.execute.graph import Graph
from bench_core.execute.manners import Manners
from bench_core.execute.tally import DONE
from bench_core.plan.expand import make_plan
from bench_core.plan.job import Job
from bench_core.plugins.wiring import load_registry
from bench_core.records import DataFacts, EpochRecord, TrainingRecord
from bench_core.spec.model import Spec
from bench_core.store.result import Result

STEP_SECONDS = 30.0
EVALUATE_SECONDS = 600.0
"""Means of one step and of one evaluate job; a search job takes its share of the epochs."""
IMAGES = 1000
"""Of a dataset, in the median."""
POLL_SECONDS = 2.0
"""How often a worker that has nothing to run comes back."""


@dataclass(frozen=True)
class Settings:
    """A cluster and its mishaps; times in seconds."""

    workers: int
    seed: int = 0
    spread: float = 0.5
    """Sigma of a job's log duration; half of its square is the network's, which all its jobs share."""
    sizes: float = 0.0
    """Sigma of the log number of images of datasets, on which the duration of their jobs depends."""
    mean_life: float = 24 * 3600.0
    """Until a worker dies, exponential; another comes in its place."""
    replaced_after: float = 600.0
    lease: float = 120.0
    """Silence after which a dead worker's job may be taken over."""
    late: float = 0.1
    """Share of workers that join at some time in the first half."""
    early: float = 0.1
    """Share that leave at some time in it, and give their job back."""
    operation: float = 0.002
    """Seconds that one operation takes."""


@cache
def study(most: int) -> tuple[Job, ...]:
    """Return the jobs of a study: search, evaluate and step jobs of square many cells; at least `most`."""
    side = math.ceil(math.sqrt(most / 13))
    spec = {
        "version": 1,
        "name": "large",
        "models": [{"name": "u-net", "label": f"m{n}", "options": {"width": n}} for n in range(1, side + 1)],
        "datasets": [
            {
                "name": "camus",
                "label": f"d{n}",
                "root": "data",
                "augmentation": [{"GaussianBlur": {"kernel_size": 2 * n + 1}}],
            }
            for n in range(side)
        ],
        "protocol": {
            "search": {"learning_rate": [1e-4, 5e-5, 1e-5], "epochs": 100},
            "evaluate": {"epochs": 150},
        },
        "steps": [{"name": "measure"}],
    }
    return make_plan(Spec.model_validate(spec), load_registry()).jobs


@dataclass(eq=False)
class Worker:
    """One process that pulls jobs. Times in seconds of the simulation."""

    token: str
    joins: float
    leaves: float
    dies: float
    board: Board | None = None
    asked: int = 0
    """Operations that its board had asked for when it was last charged for them."""

    @property
    def gone(self) -> float:
        """Return when it stops, of itself or not."""
        return min(self.leaves, self.dies)


@dataclass(eq=False)
class Simulation:
    """One study on one cluster."""

    jobs: Sequence[Job]
    settings: Settings
    now: float = 0.0
    wasted: float = 0.0
    """Seconds of work that nobody kept."""
    deaths: int = 0
    workers_seen: int = 0
    finished_at: float = 0.0
    costs: Costs = field(default_factory=Costs)

    def __post_init__(self) -> None:
        self.graph = Graph(self.jobs)
        self.store = SimulatedStore(self.settings.lease, self._result)
        self.seconds = durations(self.jobs, self.settings)
        self.epochs = [max(1, job.epochs) for job in self.jobs]
        self.saved = [0] * len(self.jobs)
        self._random = Random(self.settings.seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._presence: list[tuple[float, float]] = []
        self._number = 0

    def run(self) -> Simulation:
        """Play until every worker has left."""
        half = sum(self.seconds) / self.settings.workers / 2
        for index in range(self.settings.workers):
            draw = self._random.random()
            late, early = draw < self.settings.late, draw > 1 - self.settings.early
            joins = self._random.uniform(0, half) if late else self._random.uniform(0, 60)
            leaves = self._random.uniform(joins, half) if early and index else math.inf
            self._hire(joins, leaves)
        while self._events:
            self.now, _, happen = heapq.heappop(self._events)
            self.store.now = self.now
            happen()
        return self

    def _result(self, digest: str) -> Result:
        number = self.graph.number[digest]
        job, epoch = self.jobs[number], self.seconds[number] / self.epochs[number]
        record = EpochRecord(0, 0.0, 0.0, {}, epoch, 0.0)
        training = TrainingRecord(1e-4, {}, (record,), max(1, job.epochs), 0, "mdsc", 0.0)
        images = round(IMAGES * size_of(job, self.settings))
        return Result(digest, DataFacts("", "", images, images, images, 0, 0), training)

    def _at(self, when: float, happen: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (when, self._number, happen))

    def _hire(self, joins: float, leaves: float = math.inf, *, stands_by: bool = False) -> None:
        self.workers_seen += 1
        dies = joins + self._random.expovariate(1 / self.settings.mean_life)
        worker = Worker(f"worker-{self.settings.seed}-{self.workers_seen}", joins, leaves, dies)
        self._at(joins, lambda: self._join(worker, stands_by))

    def _join(self, worker: Worker, stands_by: bool) -> None:
        manners = Manners(token=worker.token, leave=not stands_by)
        worker.board = Board(self.graph, self.store, lambda: self.now, manners)
        worker.board.read()
        self._at(self.now + self._charge(worker), lambda: self._pull(worker))

    def _pull(self, worker: Worker) -> None:
        board = worker.board
        assert board is not None
        if self.now >= worker.gone:
            self._go(worker)
            return
        board.look()
        board.settle()
        number = board.take()
        del board.changed[:]
        if number is not None:
            # Others may claim it between this worker's look and its claim.
            self._at(self.now + self._charge(worker), lambda: self._claim(worker, number))
        elif board.finished():
            self._go(worker)
        else:
            self._at(self.now + self._charge(worker) + POLL_SECONDS, lambda: self._pull(worker))

    def _claim(self, worker: Worker, number: int) -> None:
        board = worker.board
        assert board is not None
        digest = self.graph.digests[number]
        if not self.store.claim(digest):
            board.leave(number)
            self._pull(worker)
            return
        board.begin(number)
        left = self.epochs[number] - self.saved[number]
        epoch = self.seconds[number] / self.epochs[number]
        end = self.now + left * epoch
        if worker.gone < end:
            self._at(max(worker.gone, self.now), partial(self._cut, worker, number, self.now))
        else:
            self._at(self.now + left * epoch / 2, lambda: self._look(worker))
            self._at(end, lambda: self._seal(worker, number))

    def _look(self, worker: Worker) -> None:
        """Do in the middle of a job what the loop of a worker does all the time."""
        if worker.board is not None:
            worker.board.look()

    def _cut(self, worker: Worker, number: int, began: float) -> None:
        epoch = self.seconds[number] / self.epochs[number]
        spent = self.now - began
        kept = min(int(spent / epoch), self.epochs[number] - 1 - self.saved[number])
        self.saved[number] += kept
        self.wasted += spent - kept * epoch
        digest = self.graph.digests[number]
        if worker.leaves <= worker.dies:
            self.store.release(digest)
        else:
            self.store.die(digest)
        self._go(worker)

    def _seal(self, worker: Worker, number: int) -> None:
        assert worker.board is not None
        self.store.seal(self.graph.digests[number])
        worker.board.end(number, DONE)
        self.finished_at = self.now
        self._pull(worker)

    def _go(self, worker: Worker) -> None:
        assert worker.board is not None
        costs = worker.board.costs
        self.costs.looks += costs.looks
        self.costs.surveys += costs.surveys
        self.costs.readings += costs.readings
        self.costs.failures += costs.failures
        self.costs.collisions += costs.collisions
        worker.board = None
        self._presence.append((worker.joins, self.now))
        if self.now >= worker.dies and worker.dies < worker.leaves:
            self.deaths += 1
            if len(self.store.sealed) < len(self.jobs):
                # Whoever comes for one that has died waits for what that one had: the others may have left.
                self._hire(self.now + self.settings.replaced_after, stands_by=True)

    def _charge(self, worker: Worker) -> float:
        """Return the seconds that the operations took which the board has asked for since it was charged."""
        assert worker.board is not None
        costs = worker.board.costs
        operations = costs.operations(len(self.jobs)) + 1
        new, worker.asked = operations - worker.asked, operations
        return new * self.settings.operation

    def bound(self) -> float:
        """Return when all could be done at the earliest: by those present, or along the longest chain."""
        work = sum(self.seconds)
        changes = sorted([(a, 1) for a, _ in self._presence] + [(b, -1) for _, b in self._presence])
        present, last = 0, 0.0
        for when, change in changes:
            # Who left because all was done could have stayed.
            done = present * (when - last)
            if done >= work:
                break
            work -= done
            present, last = present + change, when
        return max(last + max(0.0, work) / max(1, present), longest_chain(self.graph, self.seconds))

    def figures(self, costs: Mapping[str, int]) -> dict[str, float]:
        """Return what is to be shown; `costs` are operations by question.

        Fails unless each job is sealed exactly once.
        """
        assert set(self.store.sealed.values()) == {1} and len(self.store.sealed) == len(self.jobs)
        jobs, asked, bound = len(self.jobs), self.store.asked, self.bound()
        looks = {name: count for name, count in asked.items() if name.startswith("look: ")}
        operations = {
            "looks": sum(count * costs[name] for name, count in looks.items()),
            "listings": asked["survey"] * costs["survey"] + self.store.listed / NAMES_PER_OPERATION,
            "readings": asked["reading"] * costs["reading"],
            "claims": asked["claim"] * (costs["claim"] + costs["folder"] + costs["release"]),
            "seals": jobs * costs["seal"],
        }
        return {
            "workers": self.settings.workers,
            "jobs": jobs,
            "hours": round(self.finished_at / 3600, 2),
            "least possible hours": round(bound / 3600, 2),
            "ratio": round(self.finished_at / bound, 4),
            "workers that died": self.deaths,
            "jobs taken over": self.store.takeovers,
            "lost work in percent": round(100 * self.wasted / sum(self.seconds), 4),
            "collisions per job": round(self.costs.collisions / jobs, 3),
            "looks per job": round(sum(looks.values()) / jobs, 2),
            "surveys per worker": round(asked["survey"] / self.workers_seen, 2),
            "claims per job": round(asked["claim"] / jobs, 4),
            "operations per job": round(sum(operations.values()) / jobs, 1),
            **{f"of them {name}": round(count / jobs, 2) for name, count in operations.items()},
        }


def durations(jobs: Sequence[Job], settings: Settings) -> list[float]:
    """Return how long each job takes: lognormal, the mean being that of its stage."""
    part = settings.spread / math.sqrt(2)

    def factor(name: str) -> float:
        return Random(f"{settings.seed} {name}").lognormvariate(-part * part / 2, part)

    networks = {job.model.label: factor(job.model.label) for job in jobs}
    means = {"search": EVALUATE_SECONDS * 100 / 150, "evaluate": EVALUATE_SECONDS}
    return [
        means.get(job.stage, STEP_SECONDS)
        * networks[job.model.label]
        * size_of(job, settings)
        * factor(job.digest)
        for job in jobs
    ]


def size_of(job: Job, settings: Settings) -> float:
    """Return the number of images of a job's dataset, in relation to that of the median dataset."""
    return Random(f"{settings.seed} {job.dataset.label}").lognormvariate(0.0, settings.sizes)


def longest_chain(graph: Graph, seconds: Sequence[float]) -> float:
    """Return the seconds of the longest chain of jobs that need each other."""
    ends: dict[str, float] = {}
    for number in range(graph.count):
        before = max((ends[need.digest] for need in graph.needs[number]), default=0.0)
        ends[graph.digests[number]] = before + seconds[number]
    return max(ends.values())
