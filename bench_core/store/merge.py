"""Joins stores of several machines: each job is checked before it is taken, and nothing is overwritten."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench_core.errors import BenchError, StoreError
from bench_core.files.bounded import open_regular
from bench_core.files.system import moved
from bench_core.plan.job import Job
from bench_core.store import folder as files
from bench_core.store.archive import copied, pieces_of
from bench_core.store.archive_manifest import Fact
from bench_core.store.carried import accept, describe, keep_studies, other_code, other_data
from bench_core.store.claim import Claim, ClaimLostError
from bench_core.store.differences import Side, differences
from bench_core.store.files import flush_folder, make_folder, remove_tree, storing
from bench_core.store.held import Held, checked
from bench_core.store.manifest import manifest_of
from bench_core.store.store import Store
from bench_core.store.taking import claiming

MERGING = "merging"
"""Folder of a store in which jobs are copied before they take their place."""


@dataclass(frozen=True)
class Conflict:
    """One job that stores hold with different content."""

    job: Job
    places: tuple[Path, ...]
    """Its folders, the target's first where that has it."""
    differences: tuple[str, ...]
    """What differs between the first two."""


@dataclass(frozen=True)
class Refused:
    """A job that was not taken, since it is not whole."""

    place: Path
    error: BenchError


@dataclass(frozen=True)
class Merged:
    """What a merge did, or would do."""

    taken: Mapping[Path, int]
    """Store to how many jobs came out of it."""
    present: int
    """Jobs that the target had already."""
    alike: int
    """Jobs that several stores hold with the same content."""
    replaced: tuple[Path, ...]
    """Where jobs of the target lie that a preferred store had otherwise."""
    conflicts: tuple[Conflict, ...]
    refused: tuple[Refused, ...]
    busy: tuple[str, ...]
    """Names of jobs that another process works on in the target."""
    notes: tuple[str, ...]
    """What a reader must know: other data, other code, other descriptions."""

    @property
    def complete(self) -> bool:
        """True where every job of every store is in the target."""
        return not (self.conflicts or self.refused or self.busy)


def merge(
    sources: Sequence[Store],
    target: Store,
    prefer: Store | None = None,
    *,
    dry: bool = False,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Merged:
    """Take the finished jobs of the sources into the target.

    Equal jobs are taken once. Of a job with different contents that of `prefer` is taken, and without one
    none; what the target held is then moved to `replaced`. Cut off and called again it resumes. `dry` only
    looks. Raises DiskError where the target cannot be written to.
    """
    held, refused = _look(sources, target, progress)
    conflicts: list[Conflict] = []
    chosen: list[tuple[Held, Held | None]] = []
    present = alike = 0
    for found in held.values():
        kinds = _kinds(found)
        here = next((item for item in found if item.store is target), None)
        winner = next((item for item in found if item.store is prefer), found[0] if len(kinds) == 1 else None)
        alike += len(kinds) == 1 and sum(item.store is not target for item in found) > 1
        if winner is None:
            one, other = kinds[0], kinds[1]
            told = differences(_side(one), _side(other))
            conflicts.append(Conflict(one.job, tuple(item.folder for item in kinds), tuple(told)))
        elif here is not None and here.facts == winner.facts:
            present += 1
        else:
            chosen.append((winner, here))
    taken: dict[Path, int] = {store.path: 0 for store in sources}
    replaced: list[Path] = []
    busy: list[str] = []
    for winner, here in chosen:
        if dry:
            taken[winner.store.path] += 1
            continue
        with claiming(target.claims, winner.job.digest) as claim:
            if claim is None:
                busy.append(winner.job.name)
                continue
            try:
                aside = _take(winner, target, here, claim)
            except ClaimLostError:
                busy.append(winner.job.name)
                continue
            except _ChangedError as error:
                refused.append(Refused(winner.folder, error))
                continue
            replaced += [aside] if aside is not None else []
            taken[winner.store.path] += 1
    everything = [item for found in held.values() for item in found]
    notes = [*other_data(everything), *other_code(everything)]
    if not dry:
        notes += describe(everything, target)
        notes += accept(sources, target)
        notes += keep_studies(sources, target)
    return Merged(
        taken, present, alike, tuple(replaced), tuple(conflicts), tuple(refused), tuple(busy), tuple(notes)
    )


class _ChangedError(StoreError):
    """A file that was whole when it was checked and is not when it is copied."""


def _look(
    sources: Sequence[Store], target: Store, progress: Callable[[int, int], None]
) -> tuple[dict[str, list[Held]], list[Refused]]:
    """Return each whole job by digest, as the target and the sources have it, and those that are not."""
    # What the target holds is asked first: it is in its place, and nothing is put there beside it.
    pairs = [(store, digest) for store in (target, *sources) for digest in sorted(_sealed(store))]
    wanted = {digest for store, digest in pairs if store is not target}
    held: dict[str, list[Held]] = {}
    refused = []
    for number, (store, digest) in enumerate(pairs):
        progress(number, len(pairs))
        if digest not in wanted:
            continue
        try:
            found = checked(store, digest)
            held.setdefault(digest, []).append(found)
        except BenchError as error:
            refused.append(Refused(store.folder(digest), error))
            if store is target:
                wanted.discard(digest)
    return {digest: found for digest, found in held.items() if digest in wanted}, refused


def _sealed(store: Store) -> Iterator[str]:
    return (digest for digest, state in store.states().items() if state == "done")


def _kinds(found: Sequence[Held]) -> list[Held]:
    """Return one of each content."""
    kinds: list[Held] = []
    for item in found:
        if all(item.facts != other.facts for other in kinds):
            kinds.append(item)
    return kinds


def _side(held: Held) -> Side:
    return Side(held.store, held.job.digest)


def _take(winner: Held, target: Store, here: Held | None, claim: Claim) -> Path | None:
    """Copy a job into the target; return where what was there is kept.

    Raises _ChangedError where a file is not as it was checked, ClaimLostError, DiskError where it cannot be
    written.
    """
    digest, source = winner.job.digest, winner.folder
    seen = target.seal_of(digest)
    facts = None if seen is None else manifest_of(target.folder(digest))
    if facts != (None if here is None else here.facts):
        raise _done_meanwhile(target, digest)
    for left in (target.path / MERGING).glob(f"{digest}.*"):
        remove_tree(left)
    place = target.path / MERGING / f"{digest}.{os.getpid()}"
    make_folder(place)
    names = [*winner.facts, files.MANIFEST]
    names += [files.LOG] if (source / files.LOG).exists() else []
    for name in names:
        expected = Fact(*winner.facts[name]) if name in winner.facts else None
        _copy(source / name, place / name, expected)
    if manifest_of(place) != winner.facts:
        raise _ChangedError("a file changed while it was merged", place=str(source / files.MANIFEST))
    aside = None
    if seen is None:
        target.drop_left(claim)
    else:
        aside = target.set_aside(claim, seen)
        if aside is None:
            raise _done_meanwhile(target, digest)
    with storing(target.jobs):
        flush_folder(place)
        if not moved(place, target.jobs / digest):
            raise _done_meanwhile(target, digest)
        flush_folder(target.jobs)
    remove_tree(target.failed / digest)
    return aside


def _done_meanwhile(target: Store, digest: str) -> _ChangedError:
    place = str(target.folder(digest))
    return _ChangedError("the job was done while stores were merged", place=place, fix="merge again")


def _copy(source: Path, to: Path, expected: Fact | None) -> None:
    make_folder(to.parent)
    try:
        file = open_regular(source)
    except OSError as error:
        raise _ChangedError(
            "a file changed while it was merged", place=str(source), cause=error.strerror
        ) from error
    with file, storing(to), to.open("xb") as out:
        found = copied(pieces_of(file), out, 2**62 if expected is None else expected.bytes)
        out.flush()
        os.fsync(out.fileno())
    if expected is not None and found != expected:
        raise _ChangedError("a file changed while it was merged", place=str(source), fix="merge again")
