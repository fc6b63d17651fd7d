"""Several processes of a job as threads of one: the same exchanges in memory, fast enough for many sizes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Tensor

from bench_core.protocol.ranks import Ranks

Result = TypeVar("Result")
PATIENCE_SECONDS = 60


class Board:
    """Where the threads of one job leave what they exchange."""

    def __init__(self, world: int) -> None:
        self.world = world
        self._barriers = {size: threading.Barrier(size) for size in range(1, world + 1)}
        self._left: dict[int, Any] = {}

    def exchange(self, rank: int, size: int, value: Any) -> list[Any]:
        """Return what the first `size` threads gave."""
        self._left[rank] = value
        self._barriers[size].wait(PATIENCE_SECONDS)
        found = [self._left[each] for each in range(size)]
        self._barriers[size].wait(PATIENCE_SECONDS)
        return found

    def give_up(self) -> None:
        """Let nobody wait any more."""
        for barrier in self._barriers.values():
            barrier.abort()


class ThreadedRanks(Ranks):
    def __init__(self, rank: int, board: Board) -> None:
        super().__init__(rank, board.world, active=board.world)
        self._board = board

    def form(self, sizes: Iterable[int]) -> None:
        """Do nothing: any number can meet."""

    def sum(self, tensor: Tensor) -> Tensor:
        return torch.stack(self._board.exchange(self.rank, self.world, tensor.detach().clone())).sum(0)

    def gather_active(self, vector: Tensor) -> Tensor:
        return torch.stack(self._board.exchange(self.rank, self.active, vector.detach().clone()))

    def tell_bytes(self, content: bytes) -> bytes:
        told: bytes = self._board.exchange(self.rank, self.world, content)[0]
        return told

    def collect(self, content: bytes) -> list[bytes] | None:
        found = self._board.exchange(self.rank, self.world, content)
        return found if self.first else None


def together(world: int, work: Callable[[Ranks], Result]) -> list[Result]:
    """Run `work` in so many threads at once and return what each one hands back."""
    board = Board(world)

    def one(rank: int) -> Result:
        try:
            return work(ThreadedRanks(rank, board))
        except BaseException:
            board.give_up()
            raise

    with ThreadPoolExecutor(world) as pool:
        waited = [pool.submit(one, rank) for rank in range(world)]
    errors = [error for each in waited if (error := each.exception()) is not None]
    for error in errors:
        if not isinstance(error, threading.BrokenBarrierError):
            raise error
    return [each.result() for each in waited]
