"""A play of several workers on one job: who runs when, and what goes wrong, are given; time is simulated.

Workers are threads of which one runs at a time, until a switch is due at a file operation, it waits or it
ends. Who was switched away stands still until it is switched to, or nobody else can run: a stopped process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

from bench_core.files.system import using
from bench_core.processes import liveness
from bench_core.store import claim as claims
from bench_core.store import sightings, taking
from bench_core.store.sightings import Sightings
from tests.store.nfs.client import Crash, Machine, Memory, SimulatedFileSystem, possible
from tests.store.nfs.server import Server
from tests.store.nfs.truth import LEASE_SECONDS, Truth
from tests.store.nfs.work import DIGEST, attempt, old_result

ROUNDS = 40
"""How often a worker looks whether it can have the job."""
MOST_STEPS = 20_000


@dataclass(frozen=True)
class Part:
    """A worker: what becomes of its job, and which machine it is on."""

    nature: str = ""
    machine: str = ""
    retry: bool = True
    """Whether it tries again after an end of its own that is none of the job's."""


@dataclass
class Actor:
    """A worker as it plays."""

    name: str
    part: Part
    machine: Machine
    seen: Sightings
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    ended: bool = False
    dead: bool = False
    until: float = 0.0
    """It waits for this time."""
    outcomes: list[str] = field(default_factory=list)
    error: BaseException | None = None


class TooLongError(AssertionError):
    """A play without end."""


class World:
    """One play. `switches`: at which operation who goes on; `faults`: at which one what goes wrong.

    A fault is one of those that the operation can have, by number. `choose` decides at each one instead.
    With `old` there is a result from before, which is to be set aside and computed anew.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        memory: Memory,
        switches: Mapping[int, int] | None = None,
        faults: Mapping[int, int] | None = None,
        choose: Callable[[World, str], str] | None = None,
        *,
        old: bool = False,
    ) -> None:
        self.server = Server()
        self.truth = Truth(self.server)
        self.steps: list[tuple[int, str]] = []
        """Who did what."""
        self.injected: list[str] = []
        self._memory = memory
        self._switches, self._faults, self._choose = switches or {}, faults or {}, choose
        self._system = SimulatedFileSystem(self.server, self)
        self._over = threading.Event()
        self._tokens = 0
        self.actors: list[Actor] = []
        for part in parts:
            self._add(part)
        self._current = 0
        self._old = old
        self._found()
        self.server.before = lambda change: self.truth.check(self.actor.name, change)

    @property
    def actor(self) -> Actor:
        """Who runs now."""
        return self.actors[self._current]

    def play(self) -> World:
        """Play to the end, then let a worker that nothing happens to do what is left of the job."""
        with self._around():
            self._run()
            self.finish()
        return self

    def finish(self) -> None:
        """Check what is left when all have ended, and let one more worker do the rest."""
        last = [token for token in self.truth.owners()[-1:] if token not in self.truth.released]
        held = [self.truth.tokens[token] for token in last]
        if held and held[0] not in self.truth.off:
            self.truth.errors.append(f"{held[0]} has ended and its claim is still held")
        self._switches, self._faults, self._choose = {}, {}, None
        self.server.now += 2 * LEASE_SECONDS
        self._current = self._add(Part(), Memory())
        self._run()
        if self.truth.sealed is None:
            self.truth.errors.append("the job cannot be done any more")
        if self._old:
            self.truth.check_kept()

    def step(self, what: str) -> str:
        """Count an operation, switch if it is time, and return its fault."""
        actor = self.actor
        if actor.dead:
            raise Crash
        number = len(self.steps)
        if number > MOST_STEPS:
            raise TooLongError
        target = self._switches.get(number)
        if target is not None and target != self._current and not self.actors[target].ended:
            self._to(target)
        self.steps.append((self._current, what))
        fault = ""
        if number in self._faults:
            kinds = possible(what)
            fault = kinds[self._faults[number] % len(kinds)]
        if self._choose is not None:
            fault = self._choose(self, what)
        if fault:
            self.injected.append(fault)
        if fault.startswith("crash"):
            actor.dead = True
            self.truth.off.add(actor.name)
        return fault

    def machine(self) -> Machine:
        return self.actor.machine

    def sleep(self, seconds: float) -> None:
        actor = self.actor
        if actor.dead:
            raise Crash
        actor.until = self.server.now + seconds
        self._yield()

    def switch(self, target: int) -> None:
        """Let another worker go on; for who chooses faults."""
        if target != self._current and not self.actors[target].ended:
            self._to(target)

    def _add(self, part: Part, memory: Memory | None = None) -> int:
        name = f"w{len(self.actors)}"
        self.truth.weak |= (memory or self._memory).weak
        machine = Machine(memory or self._memory)
        for other in self.actors:
            if part.machine and other.part.machine == part.machine:
                machine = other.machine
        self.actors.append(Actor(name, part, machine, Sightings(lambda: self.server.now)))
        return len(self.actors) - 1

    def _found(self) -> None:
        self.server.now = 0.0
        for name in ("", "/jobs", "/running", "/claims", "/failed"):
            *parents, last = f"/store{name}".strip("/").split("/")
            folder = self.server.at("/".join(parents))
            assert folder is not None
            self.server.make(folder, last)
            if name == "/jobs" and self._old:
                jobs = self.server.at("/store/jobs")
                assert jobs is not None
                sealed = self.server.make(jobs, DIGEST)
                for file, content in old_result().items():
                    self.server.write(self.server.create(sealed, file), content)
        self.server.now = 1000.0

    def _run(self) -> None:
        threads = [
            threading.Thread(target=self._play, args=(actor,), daemon=True)
            for actor in self.actors
            if not actor.ended
        ]
        for thread in threads:
            thread.start()
        self._over.clear()
        self.actor.go.release()
        self._over.wait()
        for thread in threads:
            thread.join()
        for actor in self.actors:
            if actor.error is not None:
                raise actor.error

    def _play(self, actor: Actor) -> None:
        actor.go.acquire()
        try:
            for _ in range(ROUNDS):
                outcome = attempt(actor.part.nature, self.truth.believed, old=self._old)
                actor.outcomes.append(outcome)
                if outcome in ("done", "failed") or (outcome == "interrupted" or not actor.part.retry):
                    break
                self.sleep(LEASE_SECONDS / 4)
            else:
                self.truth.errors.append(f"{actor.name} waits for ever: {actor.outcomes[-3:]}")
        except Crash:
            pass
        except Exception as error:
            self.truth.errors.append(f"{actor.name}: ends with {error!r}")
        except BaseException as error:
            actor.error = error
        actor.ended = True
        self.truth.ended.add(actor.name)
        self._next()

    def _yield(self) -> None:
        me = self._current
        self._next()
        if self._current != me:
            self.actors[me].go.acquire()

    def _to(self, target: int) -> None:
        me = self._current
        self._current = target
        self.actors[target].until = 0.0
        self.actors[target].go.release()
        self.actors[me].go.acquire()

    def _next(self) -> None:
        """Choose who goes on where nobody is switched to: one that waits, as long as there is one."""
        me = self.actor
        alive = [actor for actor in self.actors if not actor.ended]
        if not alive:
            self._over.set()
            return
        # A stopped process of the same machine is never followed: it wakes up in the end.
        waiting = [actor for actor in alive if actor.until and len(actor.outcomes) < ROUNDS // 2]
        stopped = [actor for actor in alive if not actor.until]
        target = min(waiting, key=lambda actor: actor.until) if waiting else [*stopped, *alive][0]
        self.server.now = max(self.server.now, target.until)
        target.until = 0.0
        self._current = self.actors.index(target)
        if target is not me:
            target.go.release()

    @contextmanager
    def _around(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(using(self._system))
            for target, name, new in (
                (liveness, "machine_identity", self._identity),
                (liveness, "is_running", self._is_running),
                (liveness, "process_start", lambda pid: "start"),
                (sightings, "ours", lambda: self.actor.seen),
                (taking, "_new_token", self._token),
                (claims, "_held", set()),
                (claims.os, "getpid", lambda: self._current + 1),
            ):
                stack.enter_context(patch.object(target, name, new))
            yield

    def _identity(self) -> str:
        return self.actor.part.machine or self.actor.name

    def _is_running(self, pid: int, start: str) -> bool:
        return not self.actors[pid - 1].ended

    def _token(self) -> str:
        self._tokens += 1
        token = f"t{self._tokens}"
        self.truth.tokens[token] = self.actor.name
        return token


def job_place() -> str:
    """Return where the result lies."""
    return f"/store/jobs/{DIGEST}"
