"""The folders of jobs at work: one for each owner of a claim, so that one who has lost it reaches nothing.

An owner works in running/<digest>.<token>, named by its claim. A successor renames that folder to its own
name: the work goes along, and from then on every path of the former owner leads nowhere. It may have been
stopped for hours and wake up in the middle of any call; what it then writes, removes or seals fails, since
all of that goes through its own folder's name.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from bench_core.store.claim import Claim
from bench_core.store.files import make_folder, remove_tree, replacing, storing
from bench_core.store.folder import TRACE

_PLACE = re.compile(r"([0-9a-f]{32})(?:\.([A-Za-z0-9_-]{1,200}))?")
_EPOCH_LINE_BYTES = 65536
_HALF_WRITTEN = ".*.tmp"
_REPLACED_WHOLE = {".pt"}
"""Files that are only ever replaced by a rename: nobody holds one of them open for writing."""


def digest_of(name: str) -> str | None:
    """Return the digest of the job that works in a folder of this name; None for anything else."""
    match = _PLACE.fullmatch(name)
    return match[1] if match else None


def place_of(running: Path, digest: str, claim: Claim | None) -> Path:
    """Return the folder of a claim's owner; without a claim (imported results) one without a token."""
    return running / (digest if claim is None else f"{digest}.{claim.token}")


def places(running: Path, digest: str) -> list[Path]:
    """Return the folders that this job has: more than one only where an owner was followed as it began."""
    with storing(running):
        found = [path for path in running.glob(f"{digest}*") if digest_of(path.name) == digest]
        return sorted((path for path in found if path.is_dir()), key=lambda path: -_changed(path))


def open_place(running: Path, claim: Claim) -> Path:
    """Return the owner's folder, with all that earlier owners have left; raises ClaimLostError, DiskError.

    The order is what fences: the folders are listed, then the claim is checked, then one that was listed is
    renamed. Had another owner begun before the check, the claim would be lost; if one begins after it, then
    either its rename or ours finds nothing.
    """
    target = place_of(running, claim.digest, claim)
    while True:
        present = places(running, claim.digest)
        claim.check()
        if target in present:
            return target
        if not present:
            make_folder(target)
            return target
        with storing(running):
            try:
                present[0].rename(target)
            except FileNotFoundError:
                continue
        for other in present[1:]:
            remove_tree(other)
        _take_over(target, from_dead=claim.before is not None)
        return target


def epochs_kept(folder: Path) -> int:
    """Return how many whole epochs the trace in a job's folder tells of; 0 where it tells nothing."""
    try:
        with (folder / TRACE).open("rb") as file:
            # An epoch's own line comes last, and is written together with its steps.
            file.seek(max(0, file.seek(0, os.SEEK_END) - _EPOCH_LINE_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return 0
    for line in reversed(lines):
        with suppress(ValueError, TypeError, KeyError, RecursionError):
            found = json.loads(line)
            if "validation" in found and isinstance(found["epoch"], int) and found["epoch"] >= 0:
                return int(found["epoch"]) + 1
    return 0


def _take_over(folder: Path, *, from_dead: bool) -> None:
    """Drop half-written files; replace those that the former owner may hold open, as its log, by copies."""
    with storing(folder):
        for path in folder.rglob(_HALF_WRITTEN):
            path.unlink()
        if not from_dead:
            return
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.suffix not in _REPLACED_WHOLE:
                times = path.stat()
                with path.open("rb") as old, replacing(path) as new:
                    shutil.copyfileobj(old, new)
                # When it was last written to tells how long the former owner worked.
                os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _changed(path: Path) -> float:
    with suppress(OSError):
        return max(entry.stat().st_mtime for entry in [path, *path.iterdir()])
    return 0.0
