"""What a worker does with a job, as bench_core.execute.job does it, on the store's own code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench_core.errors import StoreError
from bench_core.files.system import looking_again, system
from bench_core.store.claim import Claim, ClaimLostError
from bench_core.store.files import DiskError, write_bytes, write_json
from bench_core.store.result import Failure
from bench_core.store.running import epochs_kept, place_of
from bench_core.store.store import Store
from bench_core.store.taking import take_claim

DIGEST = "d" * 32
EPOCHS = 2
OLD = "old"
"""Who made a result that cannot be used any more."""
STORE = Path("/store")
Outcome = Literal["done", "failed", "elsewhere", "disk", "interrupted"]


@dataclass(frozen=True)
class Job:
    """As much of a job as the store asks for."""

    digest: str = DIGEST
    name: str = "job"
    data: dict[str, Any] = field(default_factory=lambda: {"name": "job"})

    def to_json(self) -> dict[str, Any]:
        return self.data


class InterruptedWorkError(BaseException):
    """Ctrl-C."""


def store() -> Store:
    """Return the store, whose folders are there; none of this path is on the machine's own disk."""
    return Store(STORE)


def attempt(nature: str, believed: Callable[[str], None], *, old: bool = False) -> Outcome:
    """Try to run the job once. `nature`: "fails" or "interrupted" in its last epoch, "" neither.

    `believed` hears of the token of a claim that was taken. With `old` there may be a result that is to be
    set aside first, and a job that is done is tidied up.
    """
    place = store()
    try:
        if old and place.is_done(DIGEST):
            _is_new(place, old)
            with _claimed(place, believed) as claim:
                if claim is not None:
                    _renew(place, claim)
        with _claimed(place, believed) as claim:
            if claim is None:
                return "done" if _is_new(place, old) else "elsewhere"
            return _attempt(place, claim, nature, old)
    except ClaimLostError:
        return "elsewhere"
    except DiskError:
        return "disk"
    except InterruptedWorkError:
        return "interrupted"


@contextmanager
def _claimed(place: Store, believed: Callable[[str], None]) -> Iterator[Claim | None]:
    # Without the thread that beats.
    claim = take_claim(place.claims, DIGEST)
    try:
        if claim is not None:
            believed(claim.token)
        yield claim
    finally:
        if claim is not None:
            claim.release()


def _renew(place: Store, claim: Claim) -> None:
    """Set a result aside that is old by now, as bench_core.execute.fresh does; tidy up after another."""
    seen = place.seal_of(DIGEST)
    if seen is not None and _is_new(place, True):
        place.drop_left(claim)
    elif seen is not None:
        place.set_aside(claim, seen)


def _is_new(place: Store, old: bool) -> bool:
    """Say whether the job is done, and its result can be used."""
    if not place.is_done(DIGEST):
        return False
    if not old:
        return True
    with suppress(FileNotFoundError):
        result = looking_again(lambda: system().read(place.folder(DIGEST) / "result.json", 2**20))
        return bool(json.loads(result)["by"] != OLD)
    return False


def _attempt(place: Store, claim: Claim, nature: str, old: bool) -> Outcome:
    if place.is_done(DIGEST):
        return "done" if _is_new(place, old) else "elsewhere"
    try:
        _run(place, claim, nature)
    except Exception as problem:
        if isinstance(problem, ClaimLostError) or not claim.held():
            with suppress(StoreError):
                place.forget(claim)
            return "elsewhere"
        failure = Failure(DIGEST, "job", type(problem).__name__, str(problem))
        with suppress(StoreError):
            place.fail(Job(), failure, claim)  # type: ignore[arg-type]
        if isinstance(problem, DiskError):
            raise
        return "failed"
    return "done"


def _run(place: Store, claim: Claim, nature: str) -> None:
    folder = place.prepare(Job(), claim)  # type: ignore[arg-type]
    if not is_whole(folder):
        lines = []
        start = epochs_kept(folder)
        if start:
            lines = looking_again(lambda: system().read(folder / "trace.jsonl", 2**20)).splitlines()[:start]
        for epoch in range(start, EPOCHS):
            claim.check()
            if epoch == EPOCHS - 1 and nature == "fails":
                raise ValueError("NaN")
            if epoch == EPOCHS - 1 and nature == "interrupted":
                raise InterruptedWorkError
            write_bytes(folder / f"state-{epoch % 2}.pt", f"epoch {epoch}".encode())
            lines.append(json.dumps({"epoch": epoch, "validation": {}}).encode())
            write_bytes(folder / "trace.jsonl", b"\n".join(lines) + b"\n")
            with suppress(OSError):
                claim.beat()
        claim.check()
        write_json(folder / "result.json", {"by": claim.token, "epochs": len(lines)})
        names = ("job.json", "result.json", "trace.jsonl")
        write_json(folder / "manifest.json", {"files": {name: _sha(folder / name) for name in names}})
    claim.check()
    place.seal(DIGEST, claim)


def old_result() -> dict[str, bytes]:
    """Return the files of a result that cannot be used any more."""
    lines = [json.dumps({"epoch": epoch, "validation": {}}).encode() for epoch in range(EPOCHS)]
    files = {
        "job.json": b"{}",
        "result.json": json.dumps({"by": OLD}).encode(),
        "trace.jsonl": b"\n".join(lines),
    }
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return files | {"manifest.json": json.dumps({"files": hashes}).encode()}


def is_whole(folder: Path) -> bool:
    """Say whether a folder holds all that its manifest lists."""
    try:
        manifest = json.loads(looking_again(lambda: system().read(folder / "manifest.json", 2**20)))
        return all(_sha(folder / name) == sha for name, sha in manifest["files"].items())
    except FileNotFoundError:
        return False


def own_place(token: str) -> str:
    """Return the name of an owner's folder."""
    return place_of(Path(), DIGEST, None).name + f".{token}"


def _sha(path: Path) -> str:
    return hashlib.sha256(looking_again(lambda: system().read(path, 2**20))).hexdigest()
