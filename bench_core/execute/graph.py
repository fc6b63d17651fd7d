"""A plan's jobs by number: what each needs, what needs it, and how much work hangs on it."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable

from bench_core.plan.job import Apply, Job, Need

RATE = "rate"
"""Role of a search job: only such a one has ended when it diverged, as a rate that is not a candidate."""

STEPS = 2
"""Steps of urgency per factor of two in work; jobs of one step are equally urgent."""


def work_of(job: Job) -> float:
    """Return a guess at a job's work, for comparison alone: epochs times pixels."""
    return max(1, job.epochs) * float(job.pixels.image_size) ** 2


class Graph:
    """Jobs and what they need, numbered in the plan's order; not changed once made, so many may share it.

    Needed jobs that are not among `jobs` stand behind them, from number `count`.
    """

    def __init__(self, jobs: Iterable[Job], work: Callable[[Job], float] = work_of) -> None:
        made = list(jobs)
        self.count = len(made)
        self.digests = [job.digest for job in made]
        self.number = {digest: number for number, digest in enumerate(self.digests)}
        for job in made:
            for need in job.needs:
                if need.digest not in self.number:
                    self.number[need.digest] = len(self.digests)
                    self.digests.append(need.digest)
        self.needs: list[tuple[Need, ...]] = [job.needs for job in made]
        self.dependants: list[list[int]] = [[] for _ in self.digests]
        for number, needs in enumerate(self.needs):
            for need in needs:
                self.dependants[self.number[need.digest]].append(number)
        self.needed = array("l", (len(needs) for needs in self.needs))
        """How many jobs each one needs."""
        self.roots = [number for number in range(self.count) if not self.needs[number]]
        self.beyond = [
            number
            for number, needs in enumerate(self.needs)
            if any(self.number[need.digest] >= self.count for need in needs)
        ]
        """Jobs that need one which is not among `jobs`."""
        self.level = self._levels([work(job) for job in made])
        """Work on the longest chain that begins with a job."""
        self.rank = array("h", (round(STEPS * math.log2(max(level, 1e-9))) for level in self.level))
        """Jobs of one rank are equally urgent; more is more urgent."""
        self.network, self.networks = _numbered([job.model.label for job in made])
        """Of each job the number of its network; how many there are."""
        self.dataset, self.datasets = _numbered([job.dataset.label for job in made])
        """The same of datasets."""
        self.side = array("l", (_side(job) for job in made))
        """Pixels along an image's side, of jobs whose time tells the network's pace; 0 for steps."""

    def _levels(self, work: list[float]) -> list[float]:
        levels = list(work)
        open_ends = [len(self.dependants[number]) for number in range(self.count)]
        ends = [number for number, count in enumerate(open_ends) if count == 0]
        while ends:
            number = ends.pop()
            for need in self.needs[number]:
                other = self.number[need.digest]
                if other < self.count:
                    levels[other] = max(levels[other], work[other] + levels[number])
                    open_ends[other] -= 1
                    if open_ends[other] == 0:
                        ends.append(other)
        return levels


def _numbered(labels: list[str]) -> tuple[array[int], int]:
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    return array("l", (numbers[label] for label in labels)), len(numbers)


def _side(job: Job) -> int:
    return 0 if isinstance(job.work, Apply) else job.pixels.image_size
