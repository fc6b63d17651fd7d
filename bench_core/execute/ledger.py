"""What a schedule asks of the place where results are kept: five questions, each of known cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from bench_core.store.result import Failure, Result
from bench_core.store.states import State


class Ledger(Protocol):
    """Which jobs are done, failed or at work, whoever works on them; a Store is one."""

    def states(self) -> Mapping[str, State]:
        """Return the state of every known job: a listing, and a look at each owner whether it lives."""

    def survey(self) -> Mapping[str, State]:
        """Return the same from names alone: a listing. What is "running" may have lost its owner."""

    def state(self, digest: str) -> State:
        """Return one job's state: a handful of operations. One whose owner has died is "todo"."""

    def failure(self, digest: str) -> Failure | None:
        """Return why a job failed: one file."""

    def result(self, digest: str) -> Result:
        """Return what a done job left: one file; raises StoreError if it is missing or damaged."""
