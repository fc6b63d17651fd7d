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
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from bench_core.files.clock import now_in
from bench_core.files.system import looking_again, moved, opened, system
from bench_core.processes import liveness
from bench_core.processes.unbroken import unbroken
from bench_core.store import sightings
from bench_core.store.chain import BEAT, OWNER, clear, read_chain, slot_after
from bench_core.store.claim import RUNNING, Claim, counter, remember
from bench_core.store.files import make_folder, storing
from bench_core.store.owners import ClaimOwner, lease_seconds

BEATS_PER_LEASE = 12
SWEEP_SECONDS = 86400.0
"""Age from which half-made claims are removed."""
TRIES = 4
"""How often a claim that was given back as it was asked for is asked for again."""
_HALF_MADE = re.compile(r"\.(now|[0-9a-f]{32})\..+")


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
    taken = False
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
        beat = looking_again(lambda: system().create(beside / BEAT, counter(0)))
        own = looking_again(lambda: system().open_folder(beside))
        claim = Claim(claims, me, slot_after(before[-1].token) if before else "", beat, before, earlier)
        taken = _moved_in(beside, place, own, claim, at)
        if taken:
            remember(claim)
            return claim
        return None
    finally:
        if own >= 0:
            with suppress(OSError):
                system().close(own)
        if not taken:
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


def _at_work(running: Path, digest: str) -> frozenset[str]:
    with opened(running) as at:
        names = {} if at is None else looking_again(lambda: system().names(at))
    return frozenset(name for name, kind in names.items() if kind == "folder" and name.startswith(digest))


def _new_token() -> str:
    return uuid.uuid4().hex
