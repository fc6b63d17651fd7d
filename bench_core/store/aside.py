"""Moving a finished result out of the way, so that its job is computed anew: only for who holds the claim.

The owner's folder in `running` becomes `replaced/.DIGEST.TOKEN`, and one rename moves the result into it. An
owner who was followed can do neither: its successor takes the first folder away and removes the second before
it changes anything. Removing succeeds where a folder is empty; where it is not, the result in it is the one
that was to go, and is kept. So what a successor has sealed stays, whoever wakes up and whenever.
"""

from __future__ import annotations

import errno
import re
from contextlib import suppress
from functools import partial
from pathlib import Path

from bench_core.files.bounded import MOST_JSON_BYTES
from bench_core.files.system import LOOKS, TAKEN, looking_again, moved, opened, system
from bench_core.store.claim import Claim
from bench_core.store.files import flush_folder, make_folder, storing
from bench_core.store.folder import MANIFEST
from bench_core.store.running import discard, earlier_names, place_of

_WAY = re.compile(r"\.([0-9a-f]{32})\.[A-Za-z0-9_-]{1,200}")
_RESULT = "result"


def seal_of(jobs: Path, digest: str) -> bytes | None:
    """Return the manifest of a finished job as it is now, whatever this machine remembers; None without one.

    It tells one result from another. Raises DiskError.
    """
    with storing(jobs), opened(jobs) as at:
        if at is None:
            return None
        try:
            return looking_again(lambda: system().read(f"{digest}/{MANIFEST}", MOST_JSON_BYTES, at))
        except (FileNotFoundError, NotADirectoryError):
            return None


def drop_left(running: Path, replaced: Path, claim: Claim) -> None:
    """Remove the folders of a job's earlier owners, with all that they kept; later owners' are not touched.

    From then on none of them can change anything of the job. Raises ClaimLostError, DiskError.
    """
    with storing(running):
        for name in earlier_names(claim):
            discard(running / name)
    bar_ways(replaced, claim)


def bar_ways(replaced: Path, claim: Claim) -> None:
    """Let no earlier owner of a job set its result aside any more; raises ClaimLostError, DiskError.

    Their folders in `running` must have been taken away before.
    """
    with storing(replaced), opened(replaced) as at:
        names = {} if at is None else looking_again(lambda: system().names(at))
        mine = _way(replaced, claim).name
        ways = [name for name in names if _is_way_of(name, claim.digest) and name != mine]
        if ways:
            # Who was there when this owner was the last one came before it.
            claim.check()
        for name in ways:
            _bar(replaced / name, claim.digest)


def set_aside(running: Path, jobs: Path, replaced: Path, claim: Claim, seen: bytes) -> Path | None:
    """Move a job's result into replaced/DIGEST-N and return where it is kept; None if it is not the one seen.

    `seen` is what `seal_of` returned before the result was judged, under the same claim. That is of no use
    afterwards but to be given back. Raises ClaimLostError, DiskError.
    """
    make_folder(replaced)
    drop_left(running, replaced, claim)
    way = _way(replaced, claim)
    with storing(replaced):
        if not _is_moved(place_of(running, claim.digest, claim), way):
            raise claim.lost()
        kept = None
        try:
            if seal_of(jobs, claim.digest) == seen and not _is_moved(jobs / claim.digest, way / _RESULT):
                raise claim.lost()
        finally:
            with suppress(OSError):
                kept = _bar(way, claim.digest)
        flush_folder(jobs)
    return kept


def _way(replaced: Path, claim: Claim) -> Path:
    return replaced / f".{claim.digest}.{claim.token}"


def _is_way_of(name: str, digest: str) -> bool:
    match = _WAY.fullmatch(name)
    return match is not None and match[1] == digest


def _is_moved(source: Path, target: Path) -> bool:
    """Move a folder to a name that is this owner's alone; say whether it is there."""
    with suppress(FileNotFoundError):
        if moved(source, target):
            return True
    # The answer to a rename that was done may be lost.
    with opened(target.parent) as at:
        return at is not None and target.name in looking_again(lambda: system().names(at))


def _bar(way: Path, digest: str) -> Path | None:
    """Remove an owner's way, and give a result in it its last name, which is returned."""
    kept = None
    for _ in range(LOOKS):
        try:
            looking_again(partial(system().rmdir, way))
            return kept
        except FileNotFoundError:
            return kept
        except OSError as error:
            if error.errno not in TAKEN:
                raise
        kept = _named(way / _RESULT, way.parent, digest) or kept
    raise OSError(errno.ENOTEMPTY, "something else lies in it", str(way))


def _named(result: Path, replaced: Path, digest: str) -> Path | None:
    number = 1
    with suppress(FileNotFoundError):
        while not moved(result, replaced / f"{digest}-{number}"):
            number += 1
        return replaced / f"{digest}-{number}"
    return None
