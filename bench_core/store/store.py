"""The store: one folder per job, sealed by a rename; states are read from names alone."""

from __future__ import annotations

import shlex
from collections.abc import Container, Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.errors import StoreError
from bench_core.files.hashes import sha256_of
from bench_core.files.system import kind_of, looking_again, opened, system
from bench_core.plan.job import Job
from bench_core.records import Case, Counts, Predictions
from bench_core.samples import Samples
from bench_core.store import aside
from bench_core.store import folder as files
from bench_core.store.claim import Claim, ClaimLostError
from bench_core.store.datasets import keep_samples, stored_samples
from bench_core.store.files import (
    make_folder,
    read_json,
    remove_tree,
    storing,
)
from bench_core.store.manifest import damaged_files, write_manifest
from bench_core.store.marker import check_store, mark_store
from bench_core.store.owners import ClaimOwner
from bench_core.store.result import Failure, Result
from bench_core.store.running import (
    discard,
    epochs_kept,
    is_discarded,
    open_place,
    place_of,
    places,
    work_of,
)
from bench_core.store.sealing import FAILURE, record, seal
from bench_core.store.states import State, States, job_names
from bench_core.store.taking import claiming

TESTED_FILES = (files.COUNTS, files.CASES, files.PREDICTIONS)
"""What a job that tests a model leaves besides job and result; a step leaves what it leaves."""


class Store:
    """A folder of results; several processes and machines may use one at the same time.

    A folder that does not exist reads as empty, unless `create` makes it. Raises StoreError if the folder
    is something else, of a newer format, or cannot be created.
    """

    def __init__(
        self, path: Path, create: bool = False, left_out: Mapping[str, frozenset[str]] | None = None
    ) -> None:
        self.path = path
        self.shown = path
        """What printed commands call it."""
        self.left_out = left_out or {}
        """Digest to files that are listed and not here: weights and pictures that an archive leaves out."""
        self.jobs = path / "jobs"
        self.running = path / "running"
        self.claims = path / "claims"
        self.failed = path / "failed"
        self.cache = path / "cache"
        self.datasets = path / "datasets"
        self.replaced = path / "replaced"
        """Sealed folders whose jobs were computed anew."""
        self._states = States(self.jobs, self.claims, self.failed)
        check_store(path)
        if create:
            # The marker first: a store that was cut off while being made is still known as one.
            mark_store(path)
            for part in (self.jobs, self.running, self.claims, self.failed):
                make_folder(part)

    def states(self) -> dict[str, State]:
        """Return the state of every job that the store knows, by digest; reads names, not results."""
        return self._states.all()

    def survey(self) -> dict[str, State]:
        """Return the state of every job from three listings; "running" is also one whose owner has died."""
        return self._states.survey()

    def is_done(self, digest: str) -> bool:
        """Say whether a job is sealed."""
        return self._states.is_done(digest)

    def state(self, digest: str) -> State:
        """Return the state of one job; a job whose process has died is still to do."""
        return self._states.of(digest)

    def owner(self, digest: str) -> ClaimOwner | None:
        """Return who holds the job's claim, dead or alive."""
        return self._states.owner(digest)

    def silence(self, digest: str) -> float | None:
        """Return for how many seconds the owner of a job's claim gave no sign of life, by the server's clock.

        For people: whether an owner of another machine lives is decided by watching it. None if unknown.
        """
        return self._states.silence(digest)

    def folder(self, digest: str) -> Path:
        """Return the sealed folder of a done job."""
        return self.jobs / digest

    def job(self, digest: str) -> Job:
        """Return the job as it was run; raises StoreError if it is unknown or damaged."""
        return files.read_job(self._known(digest))

    def result(self, digest: str) -> Result:
        """Return a done job's result; raises StoreError if it is missing or damaged."""
        return files.read_result(self.jobs / digest)

    def counts(self, digest: str) -> Counts:
        """Return a done job's pixel counts; raises StoreError if they are missing or damaged."""
        return files.read_counts(self.jobs / digest)

    def cases(self, digest: str, wanted: Container[str] | None = None) -> tuple[Case, ...]:
        """Return a done job's best, median and worst case; raises StoreError if they are damaged.

        With `wanted` only those of them that are of these ids.
        """
        return files.read_cases(self.jobs / digest, wanted)

    def predictions(self, digest: str) -> Predictions:
        """Return a done job's label maps; raises StoreError if they are missing or damaged."""
        return files.read_predictions(self.jobs / digest)

    def each_prediction(self, digest: str) -> Generator[tuple[str, NDArray[np.uint8]], None, None]:
        """Yield id and label map of a done job one at a time; raises StoreError as `predictions` does."""
        return files.each_prediction(self.jobs / digest)

    def records(self, digest: str, name: str) -> list[dict[str, str]]:
        """Return a table that a done job left; raises StoreError if it is missing or damaged."""
        return files.read_records(self.jobs / digest, name)

    def keep_samples(self, samples: Samples) -> None:
        """Keep what is known of a dataset's samples, once per fingerprint."""
        keep_samples(self.datasets, samples)

    def samples(self, fingerprint: str) -> Samples:
        """Return a dataset's samples; raises StoreError if they are missing or damaged."""
        return stored_samples(self.datasets, fingerprint)

    def failure(self, digest: str) -> Failure | None:
        """Return why a job failed, or None if it has not."""
        path = self.failed / digest / FAILURE
        if not path.exists():
            return None
        fix = f"rm -r {shlex.quote(str(path.parent))}, then `bench run` tries this job again"
        try:
            return Failure.from_json(read_json(path, fix))
        except ValueError as error:
            cause = str(error).splitlines()[0]
            raise StoreError("damaged file in the store", place=str(path), cause=cause, fix=fix) from error

    def log_path(self, digest: str) -> Path | None:
        """Return the job's log: of the running attempt, else of the result, else of the failure."""
        present = [*map(work_of, places(self.running, digest)), self.jobs / digest, self.failed / digest]
        return next((folder / files.LOG for folder in present if (folder / files.LOG).exists()), None)

    def stale(self, jobs: Iterable[Job]) -> tuple[Job, ...]:
        """Return sealed jobs in the place of a planned one (same cell, fold and rate) with another digest."""
        planned = list(jobs)
        digests = {job.digest for job in planned}
        cells = {_cell(job) for job in planned}
        found = (self.job(digest) for digest in sorted(set(job_names(self.jobs)) - digests))
        return tuple(job for job in found if _cell(job) in cells)

    def known(self) -> list[str]:
        """Return the digests of all jobs that the store has a folder for, sorted."""
        return sorted({*job_names(self.jobs), *job_names(self.running), *job_names(self.failed)})

    def place(self, digest: str) -> Path | None:
        """Return the folder in which a job is at work or was cut off, or None."""
        found = places(self.running, digest)
        return work_of(found[0]) if found else None

    def prepare(self, job: Job, claim: Claim | None = None) -> Path:
        """Return the folder that a running job writes into, with job.json in it.

        The folder is the claim's own, and holds what earlier owners have left. Raises ClaimLostError.
        """
        if claim is None:
            folder = self.running / job.digest
            make_folder(folder)
        else:
            folder = open_place(self.running, claim)
            aside.bar_ways(self.replaced, claim)
        if kind_of(folder / files.JOB) is None:
            files.write_job(folder, job)
        return folder

    def complete(
        self,
        digest: str,
        result: Result,
        counts: Counts | None = None,
        cases: Sequence[Case] = (),
        predictions: Predictions | None = None,
        extra: Sequence[str] = (),
        claim: Claim | None = None,
    ) -> None:
        """Write a running job's results and, last, the manifest over them and the `extra` files.

        The result then holds the hashes of the files that its numbers stand on.
        """
        folder = place_of(self.running, digest, claim)
        written = []
        if counts is not None:
            files.write_counts(folder, counts)
            files.write_cases(folder, cases)
            written += [files.COUNTS, files.CASES]
        if predictions is not None:
            files.write_predictions(folder, predictions)
            written.append(files.PREDICTIONS)
        names = [*written, *extra, *result.artifacts]
        basis = [*written, *(name for name in (files.BEST, files.TRACE) if name in extra)]
        hashes = {name: sha256_of(folder / name) for name in basis}
        files.write_result(folder, replace(result, files=hashes))
        write_manifest(folder, [files.JOB, files.RESULT, *dict.fromkeys(names)])

    def is_complete(self, digest: str, claim: Claim | None = None) -> bool:
        """Say whether a running job's folder lacks only its seal."""
        folder = place_of(self.running, digest, claim)
        return (folder / files.MANIFEST).exists() and not damaged_files(folder)

    def seal(self, digest: str, claim: Claim | None = None) -> None:
        """Make a complete job done, by one rename; only the manifest's files and the log go along.

        Raises ClaimLostError where the folder is a successor's by now, or the job is sealed already.
        """
        seal(self.running, self.jobs, digest, claim)
        remove_tree(self.failed / digest)

    def write(
        self,
        job: Job,
        result: Result,
        counts: Counts | None = None,
        cases: Sequence[Case] = (),
        predictions: Predictions | None = None,
    ) -> Path:
        """Write and seal a whole job at once and return its folder, for imported results and tests."""
        folder = self.prepare(job)
        extra = [name for name in (files.TRACE, files.BEST) if (folder / name).exists()]
        self.complete(job.digest, result, counts, cases, predictions, extra)
        self.seal(job.digest)
        return self.folder(job.digest)

    def fail(self, job: Job, failure: Failure, claim: Claim | None = None) -> None:
        """Record a failure with a copy of the log; without `resumable` the job's state is dropped.

        With a claim every file comes out of the owner's own folder: who has lost it records nothing, and
        ClaimLostError is raised.
        """
        record(self.running, self.failed, job.digest, job.to_json(), failure, claim)

    def forget(self, claim: Claim) -> None:
        """Remove what an owner that has lost its claim may have left under its own name."""
        place = place_of(self.running, claim.digest, claim)
        with storing(place):
            discard(place)

    def tidy(self) -> None:
        """Remove folders of jobs at work whose job is done: left by owners who lost their claim."""
        with storing(self.running), opened(self.running) as at:
            names = {} if at is None else looking_again(lambda: system().names(at))
        for name in filter(is_discarded, names):
            remove_tree(self.running / name)
        for digest in job_names(self.running):
            if not self.is_done(digest):
                continue
            with claiming(self.claims, digest) as claim:
                # It may have been set aside since, and be at work again.
                if claim is not None and self.seal_of(digest) is not None:
                    with suppress(ClaimLostError):
                        self.drop_left(claim)

    def drop_left(self, claim: Claim) -> None:
        """Remove what earlier owners of a job have left that is done; raises ClaimLostError, DiskError.

        Folders of later owners are not touched.
        """
        aside.drop_left(self.running, self.replaced, claim)

    def seal_of(self, digest: str) -> bytes | None:
        """Return what tells a sealed result from any other of the same job; None where there is none.

        It is asked anew, whatever this machine remembers.
        """
        return aside.seal_of(self.jobs, digest)

    def set_aside(self, claim: Claim, seen: bytes) -> Path | None:
        """Move a sealed folder into replaced/DIGEST-N and return where it is kept; None if it is another one.

        `seen` is what `seal_of` returned under the same claim, before the result was judged; the claim is
        of no use afterwards but to be released. Raises ClaimLostError where another process has taken over.
        """
        return aside.set_aside(self.running, self.jobs, self.replaced, claim, seen)

    def check(self, digest: str) -> None:
        """Raise StoreError naming the file if a sealed job's files are not as they were written."""
        self._check(digest)

    def check_quickly(self, digest: str) -> None:
        """Raise StoreError naming the file if one has another size, or a small one other content."""
        self._check(digest, files.SMALL_BYTES)

    def _check(self, digest: str, most_bytes: int | None = None) -> None:
        folder = self.jobs / digest
        for name in damaged_files(folder, most_bytes, self.left_out.get(digest, ())):
            raise StoreError("damaged file in the store", place=str(folder / name), fix=files.fix_for(folder))

    def cut_off(self, digests: Iterable[str]) -> dict[str, int]:
        """Return, of these, the jobs that were begun and are not done, and how many whole epochs each has."""
        begun = set(job_names(self.running))
        places = {digest: self.place(digest) for digest in digests if digest in begun}
        return {digest: epochs_kept(place) for digest, place in places.items() if place is not None}

    def _known(self, digest: str) -> Path:
        for folder in (self.jobs / digest, *map(work_of, places(self.running, digest)), self.failed / digest):
            if (folder / files.JOB).exists():
                return folder
        if (self.jobs / digest).is_dir():
            return self.jobs / digest
        raise StoreError(f"no job {digest} in the store", place=str(self.path), fix="see `bench status SPEC`")


def _cell(job: Job) -> tuple[Any, ...]:
    return (job.stage, *job.cell, job.fold.index, job.repeat, job.learning_rate)
