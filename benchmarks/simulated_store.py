"""A store without files, for many simulated workers: what each question finds, and how often it was asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from bench_core.store.result import Failure, Result
from bench_core.store.states import State


class SimulatedStore:
    """Claims and results of all workers (see bench_core.execute.ledger.Ledger). `now` is set by who plays."""

    def __init__(self, lease: float, result: Callable[[str], Result]) -> None:
        self._result = result
        self.now = 0.0
        self.asked: Counter[str] = Counter()
        """Questions by kind; looks by what they found."""
        self.listed = 0
        """Names in all listings."""
        self.sealed: Counter[str] = Counter()
        self.takeovers = 0
        self._lease = lease
        self._names: dict[str, State] = {}
        """What a listing shows, which does not tell whether an owner lives."""
        self._dead: dict[str, float] = {}
        """Jobs whose owner has died, and when."""
        self._at_work = 0

    def states(self) -> Mapping[str, State]:
        """Return the state of every job, with a look at each owner."""
        self.asked["look: running"] += self._at_work
        return self.survey()

    def survey(self) -> Mapping[str, State]:
        """Return the same from names alone. All who ask share one table, which goes on changing."""
        self.asked["survey"] += 1
        self.listed += len(self._names)
        return self._names

    def state(self, digest: str) -> State:
        """Return one job's state."""
        found = self._state(digest)
        self.asked[f"look: {found}"] += 1
        return found

    def failure(self, digest: str) -> Failure | None:
        """Return nothing: no job fails by itself here."""
        self.asked["failure"] += 1
        return None

    def result(self, digest: str) -> Result:
        """Return what a done job left."""
        assert self._names[digest] == "done"
        self.asked["reading"] += 1
        return self._result(digest)

    def claim(self, digest: str) -> bool:
        """Take a job; return False if another has it."""
        self.asked["claim"] += 1
        # Jobs at work are listed to find what an earlier owner of this one has left.
        self.listed += self._at_work
        if self._state(digest) != "todo":
            return False
        if self._dead.pop(digest, None) is None:
            self._at_work += 1
        else:
            self.takeovers += 1
        self._names[digest] = "running"
        return True

    def release(self, digest: str) -> None:
        """Give a job back."""
        self._at_work -= 1
        del self._names[digest]

    def die(self, digest: str) -> None:
        """Have the owner of a job fall silent."""
        self._dead[digest] = self.now

    def seal(self, digest: str) -> None:
        """Keep a result; only the owner of a job has one."""
        assert self._names[digest] == "running" and digest not in self._dead
        self._at_work -= 1
        self.sealed[digest] += 1
        self._names[digest] = "done"

    def _state(self, digest: str) -> State:
        dead = self._dead.get(digest)
        if dead is not None and self.now - dead >= self._lease:
            return "todo"
        return self._names.get(digest, "todo")
