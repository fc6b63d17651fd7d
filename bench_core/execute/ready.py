"""Jobs that can start, in the order in which one of many workers tries them."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable
from itertools import chain
from random import Random

from bench_core.execute.pace import Pace

WIDENING = 8
"""By how much the choice grows with every job that turned out to be taken."""


class InOrder:
    """The plan's order, for a run that has the jobs for itself."""

    def __init__(self) -> None:
        self._heap: list[int] = []

    def add(self, number: int) -> None:
        """Take a job that can start."""
        heapq.heappush(self._heap, number)

    def next(self, free: Callable[[int], bool]) -> int | None:
        """Return the first job that is `free`, and forget it; those before it are dropped."""
        while self._heap:
            number = heapq.heappop(self._heap)
            if free(number):
                return number
        return None

    def reorder(self) -> None:
        """Hear that jobs are known better: the plan's order stays."""

    def prune(self, free: Callable[[int], object]) -> None:
        """Drop all that are not `free`."""
        self._heap = [number for number in self._heap if free(number)]
        heapq.heapify(self._heap)

    def taken(self) -> None:
        """Hear that the last one belongs to another worker."""

    def got(self) -> None:
        """Hear that the last one was free."""


class FromOwnPlace:
    """The most urgent first, and among equals those behind a place of this worker's own, which are alike.

    A job that turned out to be taken is followed by a jump: at random among the eight most urgent, then among
    the 64, and so on, so that a thousand workers part after a few tries. `token` decides all draws.
    """

    def __init__(self, pace: Pace, token: str) -> None:
        self._pace = pace
        self._random = Random(token)
        self._pools: dict[int, list[int]] = {}
        self._place: dict[int, int] = {}
        self._order: list[int] = []
        """Ranks, the most urgent first."""
        self._width = 0
        self._last: int | None = None
        """The job that was met last."""

    def add(self, number: int) -> None:
        """Take a job that can start."""
        (rank,) = self._pace.urgencies([number])
        if rank not in self._pools:
            self._pools[rank] = []
            self._order = sorted(self._pools, reverse=True)
        self._pools[rank].append(number)

    def next(self, free: Callable[[int], bool]) -> int | None:
        """Return the next job that is `free`, and forget it; those met before it are dropped."""
        while (rank := self._choose()) is not None:
            pool = self._pools[rank]
            place = self._place.get(rank)
            if place is None or self._width:
                place = self._random.randrange(len(pool))
            place %= len(pool)
            number = self._last = pool[place]
            # The order behind the place is kept: neighbours use the same data and network.
            self._place[rank] = place
            del pool[place]
            if not pool:
                self._remove(rank)
            if free(number):
                return number
        return None

    def prune(self, free: Callable[[int], object]) -> None:
        """Drop all that are not `free`."""
        for rank, pool in list(self._pools.items()):
            place = self._place.get(rank, 0)
            before, behind = [list(filter(free, part)) for part in (pool[:place], pool[place:])]
            self._pools[rank] = before + behind
            if rank in self._place:
                self._place[rank] = len(before)
            if not self._pools[rank]:
                self._remove(rank)

    def reorder(self) -> None:
        """Ask anew how urgent each is; this worker's own place stays behind the job that it met last."""
        numbers = sorted(chain.from_iterable(self._pools.values()))
        self._pools, self._place, self._order = {}, {}, []
        for number, rank in zip(numbers, self._pace.urgencies(numbers), strict=True):
            self._pools.setdefault(rank, []).append(number)
        self._order = sorted(self._pools, reverse=True)
        if self._last is not None:
            self._place = {rank: bisect_left(pool, self._last) for rank, pool in self._pools.items()}

    def taken(self) -> None:
        """Hear that the last one belongs to another worker."""
        self._width = max(1, self._width) * WIDENING

    def got(self) -> None:
        """Hear that the last one was free."""
        self._width = 0

    def _remove(self, rank: int) -> None:
        del self._pools[rank]
        self._place.pop(rank, None)
        self._order.remove(rank)

    def _choose(self) -> int | None:
        if not self._order:
            return None
        if not self._width:
            return self._order[0]
        near: list[int] = []
        held = 0
        for rank in self._order:
            near.append(rank)
            held += len(self._pools[rank])
            if held >= self._width:
                break
        return self._random.choices(near, [len(self._pools[rank]) for rank in near])[0]
