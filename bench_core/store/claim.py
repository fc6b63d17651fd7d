"""Claims: who runs a job, held by one process at a time over all machines that share a store.

A claim is the folder claims/<digest> with owner.json, moved into place whole. A dead owner is followed, not
removed: its successor moves a folder named after the dead owner's token beside owner.json. Of several that
try, the rename lets exactly one through, and a slow one can never oust a live owner, for it knows only the
dead one's name.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from bench_core.errors import StoreError
from bench_core.store.files import storing

OWNER = "owner.json"
HEARTBEAT_SECONDS = 10.0
"""How often an owner touches its claim."""
DEAD_AFTER_SECONDS = 120.0
"""An owner on another machine that has not touched its claim for so long counts as dead."""
SWEEP_SECONDS = 86400.0
"""Age from which half-made claims are removed."""


class ClaimLostError(StoreError):
    """The job was taken over by another process while this one seemed dead."""


@dataclass(frozen=True)
class ClaimOwner:
    """Who holds a claim."""

    host: str
    """Host name, for people."""
    machine: str
    """Tells whether process ids can be compared: boot and process namespace."""
    pid: int
    process_start: str
    """Start time of the process as the system counts it, so that a reused id is not taken for it."""
    started: str
    """UTC, ISO 8601."""
    token: str
    path: str = ""
    """Where this owner's file lies; not stored in it."""

    def alive(self, claims: Path, dead_after: float = DEAD_AFTER_SECONDS) -> bool:
        """Say whether the owner still lives: by its process here, by its heartbeat elsewhere."""
        if self.machine == machine_identity():
            return process_start(self.pid) == self.process_start
        try:
            return _now(claims) - Path(self.path).stat().st_mtime < dead_after
        except FileNotFoundError:
            return False


@cache
def machine_identity() -> str:
    """Return a text that is equal for processes that see each other's process ids."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with contextlib.suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def process_start(pid: int) -> str | None:
    """Return when a process of this machine started, or None if there is none (a zombie counts as none)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except (OSError, IndexError):
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "unknown"


def claim_owner(claim: Path) -> ClaimOwner | None:
    """Return the last owner in a claim's succession, or None if nobody holds it."""
    owner = _read_owner(claim)
    while owner is not None:
        successor = _read_owner(claim / f"after-{owner.token}")
        if successor is None:
            return owner
        owner = successor
    return None


@contextmanager
def claiming(
    claims: Path, digest: str, heartbeat: float = HEARTBEAT_SECONDS, dead_after: float = DEAD_AFTER_SECONDS
) -> Iterator[Claim | None]:
    """Hold the claim of a job while the block runs; yield None if another live process holds it.

    Raises StoreError if the store cannot be written to.
    """
    claim = take_claim(claims, digest, dead_after)
    if claim is None:
        yield None
        return
    claim.beat_every(heartbeat)
    try:
        yield claim
    finally:
        claim.release()


def take_claim(claims: Path, digest: str, dead_after: float = DEAD_AFTER_SECONDS) -> Claim | None:
    """Take a free or orphaned claim; return None if a live process holds it or was quicker."""
    me = ClaimOwner(
        host=socket.gethostname(),
        machine=machine_identity(),
        pid=os.getpid(),
        process_start=process_start(os.getpid()) or "unknown",
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        token=uuid.uuid4().hex,
    )
    target = claims / digest
    present = claim_owner(target)
    if present is None:
        place = target
    elif present.alive(claims, dead_after):
        return None
    else:
        place = target / f"after-{present.token}"
    beside = claims / f".{digest}.{me.token}"
    with storing(claims):
        beside.mkdir()
        data = asdict(me)
        del data["path"]
        with (beside / OWNER).open("w") as file:
            json.dump(data, file)
            file.flush()
            os.fsync(file.fileno())
        try:
            beside.rename(place)
        except OSError as error:
            shutil.rmtree(beside, ignore_errors=True)
            # Someone else's folder is in the way, or the claim was released since: they were quicker.
            if place.exists() or not place.parent.exists():
                return None
            raise error
    claim = Claim(claims, digest, me.token, place / OWNER, present)
    return claim if claim.held() else None


class Claim:
    """A claim that this process holds."""

    def __init__(
        self, claims: Path, digest: str, token: str, owner_file: Path, before: ClaimOwner | None
    ) -> None:
        self.claims = claims
        self.digest = digest
        self.before = before
        """The dead owner that this one took over from, if any."""
        self._token = token
        self._file = owner_file
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def held(self) -> bool:
        """Say whether this process is still the owner."""
        owner = claim_owner(self.claims / self.digest)
        return owner is not None and owner.token == self._token

    def check(self) -> None:
        """Raise ClaimLostError if another process has taken over."""
        if not self.held():
            raise ClaimLostError(
                "another process has taken this job over",
                place=f"job {self.digest}",
                cause=f"this process was silent for more than {DEAD_AFTER_SECONDS:g} s",
                fix="nothing is lost: the other process goes on with it",
            )

    def beat_every(self, seconds: float) -> None:
        """Touch the owner's file in a thread until the claim is released."""

        def beat() -> None:
            while not self._stop.wait(seconds):
                with contextlib.suppress(OSError):
                    os.utime(self._file)

        self._thread = threading.Thread(target=beat, name=f"heartbeat-{self.digest[:8]}", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Give the claim up, if it is still held; never fails."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if not self.held():
            return
        aside = self.claims / f".{self.digest}.{self._token}.released"
        with contextlib.suppress(OSError):
            (self.claims / self.digest).rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def sweep(claims: Path, older_than: float = SWEEP_SECONDS) -> None:
    """Remove what processes that were killed while taking or releasing a claim have left behind."""
    now = _now(claims)
    for path in claims.glob(".*"):
        with contextlib.suppress(OSError):
            if now - path.stat().st_mtime > older_than:
                shutil.rmtree(path)


def _read_owner(folder: Path) -> ClaimOwner | None:
    path = folder / OWNER
    try:
        return ClaimOwner(**json.loads(path.read_text()), path=str(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError) as error:
        raise StoreError(
            "damaged file in the store", place=str(path), cause=str(error), fix=f"rm -r '{path.parent}'"
        ) from error


def _now(folder: Path) -> float:
    """Return the file system's own clock, so that machines' clocks need not agree."""
    probe = folder / f".now.{uuid.uuid4().hex}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return datetime.now(UTC).timestamp()
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
