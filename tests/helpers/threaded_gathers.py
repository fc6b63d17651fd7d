"""Ranks as threads of one process: what they exchange passes through a barrier."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

Gather = Callable[[Tensor], Tensor]
Result = TypeVar("Result")
_PATIENCE = 60


class Meeting:
    """Where ranks exchange vectors; a rank that fails lets the others fail."""

    def __init__(self, ranks: int) -> None:
        self._barrier = threading.Barrier(ranks)
        self._brought: list[Tensor | None] = [None] * ranks
        self.exchanges = 0

    def of(self, rank: int) -> Gather:
        """Return the function by which one rank gathers."""

        def gather(vector: Tensor) -> Tensor:
            self._brought[rank] = vector.detach().clone()
            self._barrier.wait(_PATIENCE)
            together = torch.stack([part for part in self._brought if part is not None])
            self.exchanges += rank == 0
            self._barrier.wait(_PATIENCE)
            return together

        return gather

    def abort(self) -> None:
        """Let all ranks that wait fail."""
        self._barrier.abort()


def together(ranks: int, work: Callable[[int, Gather], Result]) -> list[Result]:
    """Run `work(rank, gather)` of all ranks at the same time and return their results in order."""
    meeting = Meeting(ranks)

    def guarded(rank: int) -> Result:
        try:
            return work(rank, meeting.of(rank))
        except BaseException:
            meeting.abort()
            raise

    with ThreadPoolExecutor(ranks) as pool:
        waiting = [pool.submit(guarded, rank) for rank in range(ranks)]
        failures = [error for done in waiting if (error := done.exception()) is not None]
        for error in sorted(failures, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
            raise error
        return [done.result() for done in waiting]
