"""A ledger and workers without files: time is a number, and every job takes as long as told."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench_core.errors import StoreError
from bench_core.execute.board import Board
from bench_core.execute.graph import Graph
from bench_core.execute.manners import Manners
from bench_core.execute.tally import DIVERGED, DONE, FAILED, TODO
from bench_core.store.result import Failure, Result
from bench_core.store.states import State


@dataclass
class SimulatedLedger:
    """Claims, results and failures of all workers."""

    alive: Callable[[str], bool] = lambda owner: True
    owners: dict[str, str] = field(default_factory=dict)
    done: dict[str, list[str]] = field(default_factory=dict)
    """By job, who sealed it."""
    failures: dict[str, Failure] = field(default_factory=dict)
    results: Callable[[str], Result | None] = lambda digest: None
    """By job, what is read of one that is done; None: its file is damaged."""
    read: list[str] = field(default_factory=list)
    operations: int = 0

    def states(self) -> Mapping[str, State]:
        return {digest: self.state(digest) for digest in self.survey()}

    def survey(self) -> Mapping[str, State]:
        self.operations += 3 + (len(self.owners) + len(self.done)) // 300
        table: dict[str, State] = dict.fromkeys(self.failures, "failed")
        table.update(dict.fromkeys(self.owners, "running"))
        table.update(dict.fromkeys(self.done, "done"))
        return table

    def state(self, digest: str) -> State:
        self.operations += 3
        if digest in self.done:
            return "done"
        if digest in self.owners and self.alive(self.owners[digest]):
            return "running"
        return "failed" if digest in self.failures else "todo"

    def failure(self, digest: str) -> Failure | None:
        self.operations += 1
        return self.failures.get(digest)

    def result(self, digest: str) -> Result:
        self.operations += 2
        self.read.append(digest)
        result = self.results(digest) if digest in self.done else None
        if result is None:
            raise StoreError("file is missing or damaged")
        return result

    def claim(self, digest: str, owner: str, known: Failure | None = None) -> bool:
        """Take a job if it is free, as `run_job` does."""
        if self.state(digest) == "running" or digest in self.done:
            return False
        if self.failures.get(digest) not in (None, known):
            return False
        self.owners[digest] = owner
        return True

    def seal(self, digest: str, owner: str) -> None:
        if self.owners.get(digest) == owner:
            del self.owners[digest]
            self.failures.pop(digest, None)
            self.done.setdefault(digest, []).append(owner)

    def fail(self, digest: str, owner: str, failure: Failure) -> None:
        if self.owners.get(digest) == owner:
            del self.owners[digest]
            self.failures[digest] = failure


@dataclass
class Crowd:
    """Workers over one simulated ledger, each with a board of its own."""

    graph: Graph
    seconds: Callable[[int], float]
    """How long a job takes, by number."""
    kind: Callable[[int], str] = lambda number: "done"
    """How it ends: done, failed or diverged."""
    dies: Mapping[str, float] = field(default_factory=dict)
    """Worker to the time at which it dies."""
    poll: float = 0.2
    now: float = 0.0

    def __post_init__(self) -> None:
        self.ledger = SimulatedLedger(alive=lambda owner: self.dies.get(owner, float("inf")) > self.now)
        self.boards: dict[str, Board] = {}
        self.started: list[tuple[int, str]] = []
        self.ended: dict[str, float] = {}

    def add(self, token: str, manners: Manners | None = None) -> None:
        """Let a worker begin; its place among the jobs follows from its name."""
        manners = manners or Manners(token=token)
        self.boards[token] = Board(self.graph, self.ledger, lambda: self.now, manners, retried={})
        self.boards[token].read()

    def run(self, most_seconds: float = 1e9) -> float:
        """Let all work until they leave; return when the last one has."""
        events = [(self.now, place, token, -1) for place, token in enumerate(self.boards)]
        count = len(events)
        heapq.heapify(events)
        while events:
            self.now, _, token, number = heapq.heappop(events)
            if self.now > most_seconds:
                raise AssertionError(f"not finished after {most_seconds} s")
            if self.dies.get(token, float("inf")) <= self.now:
                continue
            wait, following = self._turn(token, number)
            if wait is not None:
                count += 1
                heapq.heappush(events, (self.now + wait, count, token, following))
        return max(self.ended.values(), default=self.now)

    def _turn(self, token: str, number: int) -> tuple[float | None, int]:
        board, ledger = self.boards[token], self.ledger
        if number >= 0:
            self._end(token, number)
        if board.finished():
            self.ended[token] = self.now
            return None, -1
        board.look()
        board.settle()
        taken = board.take()
        if taken is None:
            return self.poll, -1
        digest = self.graph.digests[taken]
        if not ledger.claim(digest, token, board.known_failures.get(taken)):
            board.leave(taken)
            return self.poll, -1
        assert board.states[taken] == TODO
        board.begin(taken)
        self.started.append((taken, token))
        return self.seconds(taken), taken

    def _end(self, token: str, number: int) -> None:
        board, digest, kind = self.boards[token], self.graph.digests[number], self.kind(number)
        if kind == "done":
            self.ledger.seal(digest, token)
            board.end(number, DONE)
            return
        name = "DivergedError" if kind == "diverged" else "ValueError"
        failure = Failure(digest, "name", name, "it broke", host=token)
        self.ledger.fail(digest, token, failure)
        board.end(number, DIVERGED if kind == "diverged" else FAILED, failure)
