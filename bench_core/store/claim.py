"""A claim that this process holds: whether it still does, its sign of life, and how it is given up."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from bench_core.errors import StoreError
from bench_core.files.system import looking_again, opened, system
from bench_core.processes.unbroken import unbroken
from bench_core.store.chain import BEAT_BYTES, RELEASED, clear, end, follows
from bench_core.store.owners import ClaimOwner

RUNNING = "running"
"""The folder beside that of the claims in which their owners work."""


class ClaimLostError(StoreError):
    """The job was taken over by another process while this one seemed dead."""


class Claim:
    """A claim that this process holds."""

    def __init__(
        self,
        claims: Path,
        owner: ClaimOwner,
        slot: str,
        beat: int,
        owners: Sequence[ClaimOwner] = (),
        earlier: frozenset[str] = frozenset(),
    ) -> None:
        self.claims = claims
        self.digest = owner.job
        self.token = owner.token
        """Names this owner and no other; what it writes stands under this name."""
        self.lease = owner.lease
        """Seconds."""
        self.owners = tuple(owners)
        """The dead owners that this one took over from, the first one first."""
        self.earlier = earlier
        """Names of the job's folders at work from before this claim."""
        self.slot = slot
        """Where its folder lies in the claim's; empty for the first owner."""
        self._beat = beat
        self.worked = False
        """Whether its folder at work may hold anything."""
        self._count = 0
        self._process = os.getpid()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def before(self) -> ClaimOwner | None:
        """The dead owner that this one took over from, if any."""
        return self.owners[-1] if self.owners else None

    def held(self) -> bool:
        """Say whether this process is still the owner, as far as it can see.

        Another may have followed a moment ago: what must not be done then fails by itself, since it goes
        through a name that the successor takes away.
        """
        with suppress(OSError), opened(self.claims / self.digest) as at:
            return at is not None and follows(at, self.slot, self.token)
        return False

    def check(self) -> None:
        """Raise ClaimLostError if another process has taken over."""
        if not self.held():
            raise self.lost()

    def lost(self) -> ClaimLostError:
        """Return the error that says so."""
        return ClaimLostError(
            "another process has taken this job over",
            place=f"job {self.digest}",
            cause=f"this process was silent for more than {self.lease:g} s",
            fix="nothing is lost: the other process works on it",
        )

    def beat(self) -> None:
        """Count on, for the owners-to-be of other machines; raises OSError.

        Through the open file: it never reaches the counter of another claim.
        """
        self._count += 1
        system().overwrite(self._beat, counter(self._count))

    def beat_every(self, seconds: float) -> None:
        """Beat in a thread until the claim is released."""

        def beat() -> None:
            while not self._stop.wait(seconds):
                with suppress(OSError):
                    self.beat()

        self._thread = threading.Thread(target=beat, name=f"heartbeat-{self.digest[:8]}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the beat, and nothing else."""
        self._stop.set()
        if self._thread is not None:
            # It may hang in a file system that does not answer.
            self._thread.join(timeout=2.0)

    def close(self) -> None:
        """Close the counter's file: open, it could not be removed on some file systems."""
        if self._beat >= 0 and (self._thread is None or not self._thread.is_alive()):
            with suppress(OSError):
                system().close(self._beat)
            self._beat = -1

    def release(self) -> None:
        """Give the claim up, if it is still held; never fails. In a forked process it does nothing."""
        if self._process != os.getpid():
            return
        _held.discard(self)
        self.stop()
        place = self.claims / self.digest
        with unbroken(), closing(self), suppress(OSError), opened(place) as at:
            if at is not None and follows(at, self.slot, self.token):
                if not self.worked:
                    with suppress(OSError):
                        system().rmdir(self.claims.with_name(RUNNING) / f"{self.digest}.{self.token}")
                own = looking_again(lambda: system().open_folder(self.slot or ".", at))
                try:
                    if self._ended(own, at):
                        self.close()
                        clear(place, at)
                finally:
                    system().close(own)

    def withdraw(self, own: int, chain: int) -> None:
        """Give back what may be ours though it cannot be seen: a claim that nobody holds stops a job.

        `own` is our open folder, `chain` the one that it was moved into.
        """
        with suppress(OSError):
            if self._ended(own, chain):
                clear(self.claims / self.digest, chain)

    def _ended(self, own: int, chain: int) -> bool:
        """Let nobody follow any more; where the disk refuses that, say that anybody may."""
        try:
            return end(own, chain, self.token)
        except OSError:
            system().overwrite(self._beat, RELEASED)
            return False


_held: set[Claim] = set()


def remember(claim: Claim) -> None:
    """Let `release_all` give up a claim that was taken."""
    _held.add(claim)


def release_all() -> None:
    """Give up every claim that this process holds; for its last moment."""
    for claim in list(_held):
        claim.release()


def counter(count: int) -> bytes:
    """Return what the file that others watch holds after so many beats."""
    return f"{count:0{BEAT_BYTES}d}".encode()
