"""Joins stores of several machines: each job is checked before it is taken, and nothing is overwritten."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench_core.errors import BenchError, StoreError
from bench_core.files.bounded import open_regular
from bench_core.plan.identity import digest_of
from bench_core.plan.job import Job
from bench_core.store import folder as files
from bench_core.store.accepted import add_acceptance, read_accepted
from bench_core.store.archive import Fact, copied, pieces_of
from bench_core.store.claim import claiming
from bench_core.store.differences import Side, differences
from bench_core.store.files import flush_folder, make_folder, remove_tree, storing
from bench_core.store.store import Store
from bench_core.store.studies import keep_study, kept_studies

DATA = "data"
"""What a result calls its dataset among what it stands on."""
MERGING = "merging"
"""Folder of a store in which jobs are copied before they take their place."""
Facts = Mapping[str, tuple[int, str]]


@dataclass(frozen=True)
class Held:
    """A job as one store has it, checked."""

    store: Store
    job: Job
    facts: Facts
    """Of each file: size and SHA-256."""
    fingerprint: str
    basis: tuple[tuple[str, str], ...]

    @property
    def folder(self) -> Path:
        """Where it is sealed."""
        return self.store.folder(self.job.digest)


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
                aside = _take(winner, target, here)
            except StoreError as error:
                if not isinstance(error, _ChangedError):
                    raise
                refused.append(Refused(winner.folder, error))
                continue
            replaced += [aside] if aside is not None else []
            taken[winner.store.path] += 1
    everything = [item for found in held.values() for item in found]
    notes = [*_other_data(everything), *_other_code(everything)]
    if not dry:
        notes += _describe(everything, target)
        notes += _accept(sources, target)
        notes += _keep_studies(sources, target)
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
            found = _checked(store, digest)
            held.setdefault(digest, []).append(found)
        except BenchError as error:
            refused.append(Refused(store.folder(digest), error))
            if store is target:
                wanted.discard(digest)
    return {digest: found for digest, found in held.items() if digest in wanted}, refused


def _sealed(store: Store) -> Iterator[str]:
    return (digest for digest, state in store.states().items() if state == "done")


def _checked(store: Store, digest: str) -> Held:
    """Return a job that is whole: sealed, as its manifest has it, and the one that its folder's name says.

    Raises StoreError for any other.
    """
    folder = store.folder(digest)
    fix = files.fix_for(folder)
    if folder.is_symlink():
        raise StoreError("a link is not merged", place=str(folder), fix=fix)
    facts = files.manifest_of(folder)
    for name in facts:
        _regular(folder, name)
    store.check(digest)
    job, result = store.job(digest), store.result(digest)
    if not files.log_is_whole(folder):
        raise StoreError("the log does not begin as it did", place=str(folder / files.LOG), fix=fix)
    for name in (files.JOB, files.RESULT):
        if name not in facts:
            raise StoreError(f"the manifest does not list {name}", place=str(folder), fix=fix)
    for name, found in ((files.JOB, job.digest), (files.JOB, digest_of(job)), (files.RESULT, result.digest)):
        if found != digest:
            raise StoreError(f"it is of job {found[:12]}", place=str(folder / name), fix=fix)
    for name, hashed in result.files.items():
        if facts.get(name, (0, ""))[1] != hashed:
            raise StoreError("it is not the file of the result", place=str(folder / name), fix=fix)
    if files.COUNTS in facts:
        store.counts(digest)
    return Held(store, job, facts, result.data.fingerprint, tuple(sorted(result.basis.items())))


def _regular(folder: Path, name: str) -> None:
    """Raise StoreError for a file that a link leads to, itself or a folder above it."""
    path = folder
    for part in Path(name).parts:
        path = path / part
        try:
            mode = path.lstat().st_mode
        except OSError:
            return  # `check` names what is missing.
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise StoreError("a link is not merged", place=str(path), fix=files.fix_for(folder))


def _kinds(found: Sequence[Held]) -> list[Held]:
    """Return one of each content."""
    kinds: list[Held] = []
    for item in found:
        if all(item.facts != other.facts for other in kinds):
            kinds.append(item)
    return kinds


def _side(held: Held) -> Side:
    return Side(held.store, held.job.digest)


def _take(winner: Held, target: Store, here: Held | None) -> Path | None:
    """Copy a job into the target; return where what was there is kept.

    Raises _ChangedError where a file is not as it was checked, DiskError where it cannot be written.
    """
    digest, source = winner.job.digest, winner.folder
    for left in (target.path / MERGING).glob(f"{digest}.*"):
        remove_tree(left)
    place = target.path / MERGING / f"{digest}.{os.getpid()}"
    make_folder(place)
    names = [*winner.facts, files.MANIFEST]
    names += [files.LOG] if (source / files.LOG).exists() else []
    for name in names:
        expected = Fact(*winner.facts[name]) if name in winner.facts else None
        _copy(source / name, place / name, expected)
    if files.manifest_of(place) != winner.facts:
        raise _ChangedError("a file changed while it was merged", place=str(source / files.MANIFEST))
    aside = target.set_aside(digest) if here is not None else None
    with storing(target.jobs):
        flush_folder(place)
        place.rename(target.jobs / digest)
        flush_folder(target.jobs)
    remove_tree(target.failed / digest)
    return aside


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


def _other_data(held: Sequence[Held]) -> Iterator[str]:
    """Yield which datasets are not the same in all stores."""
    seen: dict[str, dict[str, dict[Path, int]]] = {}
    for item in held:
        stores = seen.setdefault(item.job.dataset.label, {}).setdefault(item.fingerprint, {})
        stores[item.store.path] = stores.get(item.store.path, 0) + 1
    for label, prints in seen.items():
        if len(prints) > 1:
            listed = "; ".join(
                f"{print_[:12]} ({', '.join(f'{place}: {number} jobs' for place, number in stores.items())})"
                for print_, stores in prints.items()
            )
            yield f"the data of {label} are not the same in all results: {listed}"


def _other_code(held: Sequence[Held]) -> Iterator[str]:
    """Yield which plugin and weights files are not the same in all stores."""
    seen: dict[tuple[str, str], dict[str, set[Path]]] = {}
    for item in held:
        for name, digest in item.basis:
            if name != DATA:
                places = seen.setdefault((item.job.model.label, name), {}).setdefault(digest, set())
                places.add(item.store.path)
    for (model, name), digests in seen.items():
        if len(digests) > 1:
            listed = "; ".join(
                f"{digest[:12]} ({', '.join(sorted(map(str, places)))})" for digest, places in digests.items()
            )
            yield f"{name} of {model} is not the same in all results: {listed}"


def _describe(held: Sequence[Held], target: Store) -> Iterator[str]:
    """Keep what the sources know of the datasets; yield where two describe the same data otherwise."""
    wanted = {(item.store.path, item.fingerprint): item for item in held if item.store is not target}
    for item in wanted.values():
        path = item.store.datasets / f"{item.fingerprint}.json"
        if not path.exists():
            continue
        try:
            samples = item.store.samples(item.fingerprint)
        except StoreError as error:
            yield f"a description of a dataset is not taken: {error.place}: {error.cause or error.message}"
            continue
        if not (target.datasets / path.name).exists():
            target.keep_samples(samples)
            continue
        try:
            present = target.samples(item.fingerprint)
        except StoreError as error:
            yield f"a description of a dataset is damaged: {error.place}: {error.cause or error.message}"
            continue
        shared = {name: present.folds[name] for name in present.folds.keys() & samples.folds.keys()}
        mine, theirs = replace(present, folds=shared), replace(samples, folds={**samples.folds, **shared})
        alike = {**theirs.to_json(), "folds": mine.to_json()["folds"]} == mine.to_json()
        if not alike or any(samples.folds[name] != folds for name, folds in shared.items()):
            kept = target.datasets / path.name
            yield f"{path} describes {item.job.dataset.label} otherwise than {kept}, which is kept"
        else:
            target.keep_samples(replace(present, folds={**present.folds, **samples.folds}))


def _accept(sources: Sequence[Store], target: Store) -> Iterator[str]:
    """Take along what was accepted of jobs that the target has; yield what was taken."""
    known = list(read_accepted(target.path))
    for source in sources:
        for item in read_accepted(source.path):
            results = {digest: why for digest, why in item.results.items() if target.is_done(digest)}
            taken = replace(item, results=results)
            if results and taken not in known:
                add_acceptance(target.path, taken)
                known.append(taken)
                told = f"by {item.by}: {item.because} ({len(results)} jobs)"
                yield f"what was accepted in {source.path} is accepted here, {told}"


def _keep_studies(sources: Sequence[Store], target: Store) -> Iterator[str]:
    """Take along which specs were run; yield what could not be taken."""
    for source in sources:
        found, damaged = kept_studies(source.path)
        for study in found.values():
            keep_study(target.path, study)
        for error in damaged.values():
            yield f"what was run is not taken: {error.place}: {error.cause or error.message}"
