"""A play that is directed from outside: who goes on for how long, what goes wrong, and what time it is."""

from __future__ import annotations

import threading
from contextlib import ExitStack

from tests.store.nfs.client import Machine, Memory
from tests.store.nfs.world import Actor, Part, World


class Stage(World):
    """Workers that run only while `advance` lets them; `close` when it is over."""

    def __init__(self, *, old: bool = False) -> None:
        super().__init__((), Memory(stale=True), old=old)
        self._stack = ExitStack()
        self._stack.enter_context(self._around())
        self._back = threading.Semaphore(0)
        self._budget = 0
        self._fault = 0
        self._directed = True
        self._threads: list[threading.Thread] = []

    def start(self, part: Part, weak: bool) -> Actor:
        """Add a worker."""
        actor = self.actors[self._add(part, Memory(stale=True, weak=weak))]
        self._threads.append(threading.Thread(target=self._play, args=(actor,), daemon=True))
        self._threads[-1].start()
        return actor

    def advance(self, actor: Actor, operations: int, fault: int | None = None) -> None:
        """Let a worker do so many operations, or until it waits or ends; the last one may go wrong."""
        if actor.ended:
            return
        self.server.now, actor.until = max(self.server.now, actor.until), 0.0
        self._current, self._budget = self.actors.index(actor), operations
        self._faults = {} if fault is None else {len(self.steps) + operations - 1: fault}
        actor.go.release()
        self._back.acquire()
        if actor.error is not None:
            raise actor.error

    def close(self) -> None:
        """Let everybody finish, then one more to whom nothing happens, and check what is left."""
        try:
            self._faults = {}
            while any(not actor.ended for actor in self.actors):
                for actor in list(self.actors):
                    self.advance(actor, 10_000)
            self._leave()
        finally:
            self._stack.close()

    def _leave(self) -> None:
        for thread in self._threads:
            thread.join()
        self._directed = False
        self.finish()

    def step(self, what: str) -> str:
        if self._directed and not self.actor.dead:
            if self._budget == 0:
                self._hand_back(self.actor)
            self._budget -= 1
        return super().step(what)

    def _hand_back(self, actor: Actor) -> None:
        self._back.release()
        actor.go.acquire()

    def _yield(self) -> None:
        if self._directed:
            self._hand_back(self.actor)
        else:
            super()._yield()

    def _next(self) -> None:
        if self._directed:
            self._back.release()
        else:
            super()._next()

    def lag(self, machine: Machine, seconds: float) -> None:
        """Let a machine remember for so long from now on."""
        machine.lag = lambda: seconds
