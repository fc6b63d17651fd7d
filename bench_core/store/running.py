"""The folders of jobs at work: one for each owner of a claim, so that one who has lost it reaches nothing.

An owner works in running/<digest>.<token>, named by its claim. A successor moves that folder into one of its
own, by its name, and takes the work out of it: from then on every path of the former owner leads nowhere, or,
where its machine remembers an old state of the file system, into a folder that nobody uses. It may have
been stopped for hours and wake up in the middle of any call; what it then writes, removes, records or seals
reaches nothing of its successor's.
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from bench_core.files.system import kind_of, looking_again, moved, opened, system
from bench_core.store.claim import Claim
from bench_core.store.files import make_folder, storing
from bench_core.store.folder import MANIFEST, TRACE

_PLACE = re.compile(r"([0-9a-f]{32})(?:\.([A-Za-z0-9_-]{1,200}))?")
_EPOCH_LINE_BYTES = 65536
_LEFT, _GONE = ".left", ".gone"
"""In an owner's folder: those of earlier owners until all is taken out of them, and afterwards."""
_REPLACED_WHOLE = {".pt"}
"""Files that are only ever replaced by a rename: nobody holds one of them open for writing."""
_WITHOUT_LINKS = frozenset(
    {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EACCES}
)


def digest_of(name: str) -> str | None:
    """Return the digest of the job that works in a folder of this name; None for anything else."""
    match = _PLACE.fullmatch(name)
    return match[1] if match else None


def place_of(running: Path, digest: str, claim: Claim | None) -> Path:
    """Return the folder of a claim's owner; without a claim (imported results) one without a token."""
    return running / (digest if claim is None else f"{digest}.{claim.token}")


def recorded_place(running: Path, claim: Claim) -> Path:
    """Return what an owner's folder is called once it has recorded a failure."""
    return running / f"{claim.digest}.{claim.token}-failed"


def places(running: Path, digest: str) -> list[Path]:
    """Return the folders that this job has: more than one only where an owner was followed as it began."""
    with storing(running):
        found = [path for path in running.glob(f"{digest}*") if digest_of(path.name) == digest]
        return sorted((path for path in found if path.is_dir()), key=lambda path: -_changed(path))


def work_of(folder: Path) -> Path:
    """Return where the work in an owner's folder lies: it may have been cut off while taking it over."""
    return max(_works(folder), key=lambda work: (kind_of(work / MANIFEST) is not None, epochs_kept(work)))


def _progress(work: Path) -> tuple[bool, int]:
    return kind_of(work / MANIFEST) is not None, epochs_kept(work)


def open_place(running: Path, claim: Claim) -> Path:
    """Return the owner's folder, with all that earlier owners have left; raises ClaimLostError, DiskError.

    It was made with the claim and is not made again: where it is gone, a successor has it.

    Only folders of earlier owners are touched: their names were there before the claim was taken, or are
    those of the owners that it follows. They are asked for in the order of these owners, since a folder only
    ever moves from one to a later one.
    """
    target = place_of(running, claim.digest, claim)
    with storing(running):
        claim.check()
        names = earlier_names(claim)
        if claim.worked or not names:
            claim.worked = True
            return target
        claim.worked = True
        left = target / _LEFT
        try:
            looking_again(lambda: system().make(left))
        except FileExistsError:
            pass  # The answer to an earlier try was lost.
        except FileNotFoundError as error:
            raise claim.lost() from error
        for name in names:
            with suppress(FileNotFoundError):
                # Where the answer to a rename that was done is lost, it is missing here and found there.
                moved(running / name, left / name)
        _take_out(target)
        return target


def earlier_names(claim: Claim) -> list[str]:
    """Return what folders of the job's earlier owners may be called, in the order in which they move on."""
    digest = claim.digest
    followed = [f"{digest}.{owner.token}{end}" for owner in claim.owners for end in ("", "-failed")]
    others = sorted(name for name in claim.earlier if digest_of(name) == digest and name not in followed)
    return [name for name in (*others, *followed) if _PLACE.fullmatch(name)]


def discard(folder: Path) -> None:
    """Remove a folder in `running`, unless somebody has taken it away; raises OSError.

    It is renamed first: a machine that remembers an old state would empty what is somebody else's by now.
    """
    gone, again = folder.with_name(f".{folder.name}{_GONE}"), False
    for _ in range(2):
        with suppress(FileNotFoundError):
            # One that was cut off may have left such a folder.
            again = not moved(folder, gone)
        with suppress(FileNotFoundError):
            looking_again(lambda: system().remove(gone))
        if not again:
            return


def is_discarded(name: str) -> bool:
    """Say whether a folder in `running` of this name was to be removed."""
    return name.startswith(".") and name.endswith(_GONE) and digest_of(name[1 : -len(_GONE)]) is not None


def epochs_kept(folder: Path) -> int:
    """Return how many whole epochs the trace in a job's folder tells of; 0 where it tells nothing."""
    found = last_epoch(folder)
    return 0 if found is None else int(found["epoch"]) + 1


def last_epoch(folder: Path) -> Mapping[str, Any] | None:
    """Return what the trace says of the last whole epoch: epoch (from 0), loss and validation, or None."""
    try:
        # An epoch's own line comes last, and is written together with its steps.
        lines = looking_again(lambda: system().read_end(folder / TRACE, _EPOCH_LINE_BYTES)).splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        with suppress(ValueError, TypeError, KeyError, RecursionError):
            found = json.loads(line)
            whole = isinstance(found["validation"], dict) and isinstance(found["epoch"], int)
            if whole and found["epoch"] >= 0:
                return dict(found)
    return None


def _works(folder: Path) -> Iterator[Path]:
    left = folder / _LEFT
    with opened(left) as at:
        names = {} if at is None else looking_again(lambda: system().names(at))
    inside = [name for name, kind in names.items() if kind == "folder"]
    if not inside:
        yield folder
    for name in sorted(inside):
        yield from _works(left / name)


def _take_out(target: Path) -> None:
    """Take the work out of the folders of earlier owners, which may still write there, and drop them."""
    for work in list(_works(target)):
        _drop_half_written(work)
    work = work_of(target)
    if work != target:
        for old, new in _files(work, target):
            try:
                looking_again(partial(_taken, old, new))
            except OSError as error:
                # A former owner who wakes up may remove a file meanwhile, as it does before sealing; links
                # are not followed.
                if error.errno not in (errno.ENOENT, errno.ELOOP):
                    raise
    gone = target / _GONE
    with suppress(FileNotFoundError):
        moved(target / _LEFT, gone)
    with suppress(OSError):
        system().remove(gone)


def _drop_half_written(work: Path) -> None:
    """Remove what was being written, first of all a failure that is not recorded yet: it never will be."""
    with opened(work) as at:
        names = {} if at is None else looking_again(lambda: system().names(at))
    for name in filter(_is_half_written, names):
        with suppress(FileNotFoundError):
            looking_again(partial(system().unlink, work / name))


def _is_half_written(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")


def _taken(old: Path, new: Path) -> None:
    if old.suffix in _REPLACED_WHOLE:
        try:
            system().link(old, new)
            return
        except FileExistsError:
            # The answer to an earlier try was lost; a copy would write over the one file of both names.
            return
        except OSError as error:
            if error.errno not in _WITHOUT_LINKS:
                raise
    # A former owner may hold it open, as its log.
    system().copy(old, new)


def _files(folder: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    """Yield each whole file below a folder with its new place, whose folders are made."""
    with opened(folder) as at:
        names = {} if at is None else looking_again(lambda: system().names(at))
    for name, kind in sorted(names.items()):
        if name in (_LEFT, _GONE) or _is_half_written(name):
            continue
        if kind == "file":
            yield folder / name, target / name
        else:
            make_folder(target / name)
            yield from _files(folder / name, target / name)


def _changed(path: Path) -> float:
    with suppress(OSError):
        return max(entry.stat().st_mtime for entry in [path, *path.iterdir()])
    return 0.0
