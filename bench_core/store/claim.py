"""Claims: who runs a job, held by one process at a time over all machines that share a store.

A claim is the folder claims/<digest> (see bench_core.store.chain), moved into place whole. A dead owner is
followed, not removed: its successor moves a folder named after the dead owner's token beside owner.json. Of
several that try, the rename lets exactly one through, and a slow one can never oust a live owner, for it
knows only the dead one's name. Whoever took a claim reads it back before it believes it.
docs/executors.md describes the protocol and what it assumes of a file system.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from bench_core.errors import StoreError
from bench_core.files.clock import now_in
from bench_core.files.system import looking_again, moved, opened, system
from bench_core.processes import liveness
from bench_core.processes.unbroken import unbroken
from bench_core.store import sightings
from bench_core.store.chain import (
    BEAT,
    BEAT_BYTES,
    OWNER,
    RELEASED,
    claim_owner,
    clear,
    end,
    follows,
    read_chain,
    slot_after,
)
from bench_core.store.files import make_folder, storing
from bench_core.store.owners import ClaimOwner, lease_seconds

__all__ = ["Claim", "ClaimLostError", "ClaimOwner", "claim_owner", "claiming", "release_all", "sweep",
           "take_claim"]  # fmt: skip

RUNNING = "running"
"""The folder beside that of the claims in which their owners work."""
BEATS_PER_LEASE = 12
SWEEP_SECONDS = 86400.0
"""Age from which half-made claims are removed."""
TRIES = 4
"""How often a claim that was given back as it was asked for is asked for again."""
_HALF_MADE = re.compile(r"\.(now|[0-9a-f]{32})\..+")


class ClaimLostError(StoreError):
    """The job was taken over by another process while this one seemed dead."""


@contextmanager
def claiming(
    claims: Path, digest: str, heartbeat: float | None = None, silent: str | None = None
) -> Iterator[Claim | None]:
    """Hold the claim of a job while the block runs; yield None if another live process holds it.

    `heartbeat` is in seconds, by default a twelfth of the lease; `silent` as for take_claim. Raises
    StoreError if the store cannot be written to.
    """
    claim = take_claim(claims, digest, silent)
    if claim is None:
        yield None
        return
    try:
        claim.beat_every(lease_seconds() / BEATS_PER_LEASE if heartbeat is None else heartbeat)
        yield claim
    finally:
        claim.release()


def take_claim(claims: Path, digest: str, silent: str | None = None) -> Claim | None:
    """Take a free or orphaned claim; return None if a live process holds it or was quicker.

    `silent` is the token of an owner that the caller knows to be dead, having watched it for its lease.
    """
    me = ClaimOwner(
        host=socket.gethostname(),
        machine=liveness.machine_identity(),
        pid=os.getpid(),
        process_start=liveness.process_start(os.getpid()) or "none",
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        token=_new_token(),
        lease=lease_seconds(),
        job=digest,
    )
    with unbroken(), storing(claims):
        for _ in range(TRIES):
            with opened(claims / digest) as at:
                if at is None:
                    return _entered(claims, me)
                chain = read_chain(at, digest)
                if chain.last is not None:
                    if chain.last.token != silent and sightings.ours().lives(chain.last):
                        return None
                    return _entered(claims, me, at, chain.owners)
                if chain.ended:
                    clear(claims / digest, at)
        return None


def _entered(
    claims: Path,
    me: ClaimOwner,
    at: int | None = None,
    before: Sequence[ClaimOwner] = (),
) -> Claim | None:
    """Move a folder of ours into the place of a new claim, or behind the owners of the open one."""
    beside, place = claims / f".{me.job}.{me.token}", claims / me.job
    work = claims.with_name(RUNNING) / f"{me.job}.{me.token}"
    beat, own = -1, -1
    claim: Claim | None = None
    # Whatever is there before the claim is ours, belongs to owners before us.
    earlier = _at_work(claims.with_name(RUNNING), me.job)
    try:
        # There before the claim, and never made again: who follows finds it and takes it away.
        make_folder(work)
        with suppress(FileExistsError):
            # The name is ours alone: it is there only if the answer to an earlier try was lost.
            looking_again(lambda: system().make(beside))
        content = json.dumps(me.to_json()).encode()
        system().close(looking_again(lambda: system().create(beside / OWNER, content)))
        beat = looking_again(lambda: system().create(beside / BEAT, _counter(0)))
        own = looking_again(lambda: system().open_folder(beside))
        claim = Claim(claims, me, slot_after(before[-1].token) if before else "", beat, before, earlier)
        if _moved_in(beside, place, own, claim, at):
            _held.add(claim)
            return claim
        return None
    finally:
        if own >= 0:
            with suppress(OSError):
                system().close(own)
        if claim is None or claim not in _held:
            if beat >= 0:
                with suppress(OSError):
                    system().close(beat)
            with suppress(OSError):
                system().remove(beside)
            with suppress(OSError):
                system().rmdir(work)


def _moved_in(beside: Path, place: Path, own: int, claim: Claim, at: int | None) -> bool:
    """Take the place with our folder, which is open as `own`; say whether the claim is ours."""
    chain = own if at is None else at
    try:
        try:
            if not moved(beside, place if at is None else claim.slot, target_at=at):
                return False
        except FileNotFoundError:
            # The answer to a rename that was done is lost, or the open folder is gone.
            pass
        if claim.held():
            return True
    except BaseException:
        claim.withdraw(own, chain)
        raise
    claim.withdraw(own, chain)
    return False


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
        system().overwrite(self._beat, _counter(self._count))

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


def release_all() -> None:
    """Give up every claim that this process holds; for its last moment."""
    for claim in list(_held):
        claim.release()


def sweep(claims: Path, older_than: float = SWEEP_SECONDS) -> None:
    """Remove what processes that were killed while taking a claim have left behind.

    Its age is told by one clock alone, the file server's. Who is stopped for so long while taking a claim
    finds that it did not get it.
    """
    now = now_in(claims)
    for path in claims.glob(".*"):
        with suppress(OSError):
            if _HALF_MADE.fullmatch(path.name) and now - path.stat().st_mtime > older_than:
                system().remove(path) if path.is_dir() else path.unlink()


def _at_work(running: Path, digest: str) -> frozenset[str]:
    with opened(running) as at:
        names = {} if at is None else looking_again(lambda: system().names(at))
    return frozenset(name for name, kind in names.items() if kind == "folder" and name.startswith(digest))


def _counter(count: int) -> bytes:
    return f"{count:0{BEAT_BYTES}d}".encode()


def _new_token() -> str:
    return uuid.uuid4().hex
