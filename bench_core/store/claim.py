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
import re
import shutil
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench_core.errors import StoreError
from bench_core.files.clock import now_in
from bench_core.processes.liveness import is_running, machine_identity, process_start
from bench_core.processes.unbroken import unbroken
from bench_core.store.files import storing

OWNER = "owner.json"
HEARTBEAT_SECONDS = 10.0
"""How often an owner touches its claim."""
DEAD_AFTER_SECONDS = 120.0
"""An owner whose process cannot be looked up counts as dead when it was silent for so long."""
SWEEP_SECONDS = 86400.0
"""Age from which half-made claims are removed."""
UNREADABLE = "unreadable"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,200}")
_HALF_MADE = re.compile(r"\.(now|[0-9a-f]{32})\..+")
_LARGEST = 65536
"""Bytes of an owner's file at most."""


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
        """Say whether the owner lives: by its process where that can be looked up, else by its heartbeat.

        The heartbeat is compared with the file system's own clock.
        """
        if self.machine == machine_identity():
            seen = is_running(self.pid, self.process_start)
            if seen is not None:
                return seen
        try:
            return now_in(claims) - Path(self.path).stat().st_mtime < dead_after
        except OSError:
            return False


def claim_owner(claim: Path) -> ClaimOwner | None:
    """Return the last owner in a claim's succession, or None if nobody holds it.

    A file of an owner that cannot be read counts as one of an unknown owner, whose heartbeat is its time.
    """
    seen: set[str] = set()
    owner = _read_owner(claim)
    while owner is not None and owner.token not in seen:
        seen.add(owner.token)
        successor = _read_owner(claim / f"after-{owner.token}")
        if successor is None:
            return owner
        owner = successor
    return owner


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
        process_start=process_start(os.getpid()) or "none",
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
    with unbroken():
        if not _move_in(claims, digest, me, place):
            return None
        claim = Claim(claims, digest, me.token, place / OWNER, present)
        if not claim.held():
            return None
        _held.add(claim)
    return claim


def _move_in(claims: Path, digest: str, me: ClaimOwner, place: Path) -> bool:
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
            if place.is_dir() or not place.parent.exists():
                return False
            raise error
    return True


class Claim:
    """A claim that this process holds."""

    def __init__(
        self, claims: Path, digest: str, token: str, owner_file: Path, before: ClaimOwner | None
    ) -> None:
        self.claims = claims
        self.digest = digest
        self.token = token
        """Names this owner and no other; what it writes stands under this name."""
        self.before = before
        """The dead owner that this one took over from, if any."""
        self._file = owner_file
        self._process = os.getpid()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def held(self) -> bool:
        """Say whether this process is still the owner."""
        owner = claim_owner(self.claims / self.digest)
        return owner is not None and owner.token == self.token

    def check(self) -> None:
        """Raise ClaimLostError if another process has taken over."""
        if not self.held():
            raise ClaimLostError(
                "another process has taken this job over",
                place=f"job {self.digest}",
                cause=f"this process was silent for more than {DEAD_AFTER_SECONDS:g} s",
                fix="nothing is lost: the other process works on it",
            )

    def beat_every(self, seconds: float) -> None:
        """Touch the owner's file in a thread until the claim is released or lost."""

        def beat() -> None:
            while not self._stop.wait(seconds):
                with contextlib.suppress(OSError):
                    # In the place of a claim that was lost another one may stand, whose owner may be dead.
                    owner = _read_owner(self._file.parent)
                    if owner is None or owner.token != self.token:
                        return
                    os.utime(self._file)

        self._thread = threading.Thread(target=beat, name=f"heartbeat-{self.digest[:8]}", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Give the claim up, if it is still held; never fails. In a forked process it does nothing."""
        if self._process != os.getpid():
            return
        _held.discard(self)
        self._stop.set()
        if self._thread is not None:
            # It may hang in a file system that does not answer.
            self._thread.join(timeout=2.0)
        with unbroken(), contextlib.suppress(OSError):
            if self.held():
                self._remove()

    def _remove(self) -> None:
        whole = self.claims / self.digest
        aside = self.claims / f".{self.digest}.{self.token}.released"
        whole.rename(aside)
        if (aside / f"after-{self.token}").exists():
            # Somebody has followed us between the look and the rename: theirs it is.
            with contextlib.suppress(OSError):
                aside.rename(whole)
                return
        shutil.rmtree(aside, ignore_errors=True)


_held: set[Claim] = set()


def release_all() -> None:
    """Give up every claim that this process holds; for its last moment."""
    for claim in list(_held):
        claim.release()


def sweep(claims: Path, older_than: float = SWEEP_SECONDS) -> None:
    """Remove what processes that were killed while taking or releasing a claim have left behind."""
    now = now_in(claims)
    for path in claims.glob(".*"):
        with contextlib.suppress(OSError):
            if _HALF_MADE.fullmatch(path.name) and now - path.stat().st_mtime > older_than:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _read_owner(folder: Path) -> ClaimOwner | None:
    path = folder / OWNER
    try:
        with path.open("rb") as file:
            return _owner(json.loads(file.read(_LARGEST)), path)
    except (FileNotFoundError, NotADirectoryError):
        # A folder that holds something else stands in the way of a new claim as an owner does.
        return _unreadable(folder, folder) if _holds_something(folder) else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return _unreadable(folder, path)


def _owner(data: Any, path: Path) -> ClaimOwner:
    texts = {
        name: _plain(data[name], name) for name in ("host", "machine", "process_start", "started", "token")
    }
    pid = data["pid"]
    if not isinstance(pid, int) or not 0 < pid < 2**31 or not _TOKEN.fullmatch(texts["token"]):
        raise ValueError("not an owner")
    return ClaimOwner(**texts, pid=pid, path=str(path))


def _plain(value: Any, name: str) -> str:
    if not isinstance(value, str) or len(value) > 1000 or not value.isprintable():
        raise ValueError(f"{name} is not a line of text")
    return value


def _unreadable(folder: Path, path: Path) -> ClaimOwner:
    """Return an owner of whom nothing is known but the time of its file."""
    # Named by its place in the succession: two of them must not have one name.
    token = UNREADABLE if not folder.name.startswith("after-") else f"{folder.name}-{UNREADABLE}"[-200:]
    return ClaimOwner(
        host="an unknown host", machine="", pid=0, process_start="", started="an unknown time", token=token,
        path=str(path),
    )  # fmt: skip


def _holds_something(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return False
