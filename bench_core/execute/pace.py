"""How long jobs of a network and a dataset take, as results tell it: for the order of jobs alone."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice
from statistics import median

from bench_core.errors import StoreError
from bench_core.execute.graph import STEPS, Graph
from bench_core.execute.ledger import Ledger
from bench_core.store.result import Result

READINGS = 2
"""Results that are read of each network: one alone may have been slow by chance."""


class Pace:
    """The expected length of a graph's jobs: planned work times images times the pace of the network.

    A pace is the time of an epoch per pixel and image. What is not known counts as the median of what is, so
    that without any reading the order is the graph's.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._missing = [READINGS] * graph.networks
        """Results of each network that are still to be read."""
        self._paces: dict[int, list[float]] = {}
        """By network, log2 of its pace in each result that was read."""
        self._images: dict[int, list[float]] = {}
        """By dataset, log2 of its number of images, likewise; empty where it was read in vain."""
        self._of_network, self._of_dataset = [0] * graph.networks, [0] * graph.datasets
        """Steps by which jobs are longer than those of the median."""

    def urgencies(self, numbers: Iterable[int]) -> list[int]:
        """Return how urgent each is: steps of the expected time of the longest chain that begins with it."""
        rank, network, dataset = self._graph.rank, self._graph.network, self._graph.dataset
        of_network, of_dataset = self._of_network, self._of_dataset
        return [
            rank[number] + of_network[network[number]] + of_dataset[dataset[number]] for number in numbers
        ]

    def read(self, done: Sequence[int], ledger: Ledger, place: int) -> int:
        """Read those of the results of `done` jobs that tell something new; return how many.

        The jobs behind `place` come first: workers with other places read other results, so that no chance
        result misleads all of them.
        """
        if not any(self._missing) and len(self._images) == self._graph.datasets:
            return 0
        start, count = bisect_left(done, place), 0
        for number in chain(islice(done, start, None), islice(done, start)):
            if self._wants(number):
                count += 1
                result = None
                with suppress(StoreError, OSError):
                    result = ledger.result(self._graph.digests[number])
                self.learn(number, result)
        return count

    def _wants(self, number: int) -> bool:
        graph = self._graph
        return (
            number < graph.count
            and graph.side[number] > 0
            and (self._missing[graph.network[number]] > 0 or graph.dataset[number] not in self._images)
        )

    def learn(self, number: int, result: Result | None) -> None:
        """Take what the result of a job tells; None: it could not be read, which counts as read."""
        graph = self._graph
        network = graph.network[number]
        self._missing[network] = max(0, self._missing[network] - 1)
        paces = self._paces.setdefault(network, [])
        images = self._images.setdefault(graph.dataset[number], [])
        count = 0 if result is None else result.data.train + result.data.validation
        if result is None or not count:
            return
        images.append(math.log2(count))
        if 0 < (seconds := _epoch_seconds(result)) < math.inf:
            paces.append(math.log2(seconds) - math.log2(count) - 2 * math.log2(graph.side[number]))

    def settle(self) -> bool:
        """Order by all that was learned; return whether that changed the order."""
        before = self._of_network, self._of_dataset
        self._of_network = _steps(self._paces, self._graph.networks)
        self._of_dataset = _steps(self._images, self._graph.datasets)
        return before != (self._of_network, self._of_dataset)


def _steps(logs: Mapping[int, list[float]], count: int) -> list[int]:
    known = {index: median(found) for index, found in logs.items() if found}
    usual = median(known.values()) if known else 0.0
    return [round(STEPS * (known.get(index, usual) - usual)) for index in range(count)]


def _epoch_seconds(result: Result) -> float:
    """Return the time of an epoch, or of the whole where there is none; the test at the end is left out."""
    if result.training is None or not result.training.history:
        return result.seconds
    return median(record.train_seconds + record.validation_seconds for record in result.training.history)
