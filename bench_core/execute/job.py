"""One job, from its description to its sealed folder, resuming where an earlier attempt was cut off."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench_core.declarations import JobEvent
from bench_core.errors import BenchError, StoreError
from bench_core.execute.attempts import Attempts
from bench_core.execute.compute import Computation
from bench_core.execute.death import Tries, died_too_often
from bench_core.execute.failures import DiedTooOftenError, describe, of_infrastructure, summary
from bench_core.execute.logs import JOB_LOGGER, job_log
from bench_core.execute.provenance import RunContext, execution, memory_of
from bench_core.execute.ranks import Team
from bench_core.plan.job import Job
from bench_core.plugins.registry import Registry
from bench_core.store.claim import ClaimLostError
from bench_core.store.files import DiskError, disk_error
from bench_core.store.folder import LOG
from bench_core.store.result import Failure
from bench_core.store.running import epochs_kept, place_of
from bench_core.store.store import Store
from bench_core.store.taking import claiming

if TYPE_CHECKING:
    from bench_core.protocol.contract import RunOptions

log = logging.getLogger(JOB_LOGGER)
Emit = Callable[[JobEvent], None]
Note = Callable[[str], None]


def run_job(
    job: Job,
    store: Store,
    registry: Registry,
    options: RunOptions,
    emit: Emit,
    *,
    context: RunContext | None = None,
    cache: Path | None = None,
    capture: bool = False,
    known_failure: Failure | None = None,
    silent: str | None = None,
    tries: Tries | None = None,
    note: Note = lambda text: None,
    team: Callable[[], Team] = Team,
) -> Literal["done", "elsewhere", "again"]:
    """Run one job and seal its result, unless it is done or another process runs it ("elsewhere").

    `known_failure` is the failure that the caller means to try again; a newer one counts as elsewhere.
    `tries` says the same and how often workers may die of it: "again" if a machine failed and it may be tried
    again, which the store then knows of only by its attempts.
    `silent` is the token of an owner that the caller has seen silent for its lease.
    A job that fails leaves its failure in the store and raises: BenchError with what to do about it, any
    other exception for a bug in a plugin. `capture` sends the process's stdout and stderr to the job's log.
    `note` hears what the job is doing before its first epoch. `team` starts the job's other processes.
    """
    tries = tries or Tries(known_failure)
    known_failure = tries.after
    with claiming(store.claims, job.digest, silent=silent) as claim:
        if claim is None:
            return "elsewhere"
        # The owner before us may have sealed or failed it between the caller's look and our claim.
        if store.is_done(job.digest) or store.failure(job.digest) not in (None, known_failure):
            return "elsewhere"
        emit(JobEvent(kind="started", digest=job.digest, epochs=job.epochs))
        computation = Computation(
            job,
            store,
            registry,
            options,
            context or RunContext(),
            cache or store.cache,
            claim,
            emit,
            note,
        )
        attempt = _Attempt(computation, team, tries)
        try:
            attempt.run(capture=capture)
        except Exception as problem:
            return attempt.failed(problem)
        emit(JobEvent(kind="finished", digest=job.digest, epochs=job.epochs))
    return "done"


@dataclass(frozen=True)
class _Attempt:
    """One attempt at a claimed job."""

    computation: Computation
    team: Callable[[], Team]
    tries: Tries

    def run(self, *, capture: bool) -> None:
        """Compute what the job still lacks, and seal its folder."""
        job, store, claim = self.computation.job, self.computation.store, self.computation.claim
        folder = store.prepare(job, claim)
        attempts, epochs = Attempts(folder), epochs_kept(folder)
        if claim.before is not None:
            attempts.died()
        with job_log(folder / LOG, capture=capture):
            try:
                if store.is_complete(job.digest, claim):
                    log.info("everything was computed before; sealing the folder")
                else:
                    if self.tries.most_deaths is not None and self.tries.spent(attempts, epochs):
                        raise DiedTooOftenError(
                            died_too_often(self.tries.most_deaths),
                            cause=f"with {epochs} epoch(s) kept; the machines' logs may tell more",
                            fix="`bench run` tries it again",
                        )
                    attempts.begin(execution(self.computation.options), epochs, self.tries.after)
                    log.info("%s (%s), attempt %d", job.name, job.digest, attempts.count)
                    if claim.before is not None:
                        log.info("taken over from process %d", claim.before.pid)
                    self._compute(folder, attempts)
                claim.check()
                store.seal(job.digest, claim)
            except BaseException as error:
                if isinstance(error, BenchError):
                    log.error("%s", error)
                elif isinstance(error, Exception):
                    log.exception("the job failed")
                else:
                    log.info("interrupted; the next run resumes from the last whole epoch")
                raise

    def _compute(self, folder: Path, attempts: Attempts) -> None:
        team, failed = self.team(), True
        try:
            self.computation.run(folder, attempts, team)
            failed = False
        except Exception as error:
            why = team.explain(error)
            if why is error:
                raise
            raise why from error
        finally:
            team.end(failed=failed)

    def failed(self, problem: Exception) -> Literal["elsewhere", "again"]:
        """Say who may go on after `problem`; raise it, as the store keeps it, where nobody may."""
        job, store, claim = self.computation.job, self.computation.store, self.computation.claim
        if isinstance(problem, ClaimLostError) or not claim.held():
            # Whatever went wrong here: the job is somebody else's, and so is all that is left of it.
            with suppress(StoreError):
                store.forget(claim)
            return "elsewhere"
        error = disk_error(problem, store.path) or problem
        folder, after = place_of(store.running, job.digest, claim), self.tries.after
        if self.tries.most_deaths is not None and isinstance(error, DiskError):
            # Another worker's disk may do: the job is not failed for it.
            raise error from problem
        if self._may_be_tried_again(error, folder):
            return "again"
        count = Attempts(folder).count
        if after is not None and not after.resumable:
            count += after.attempts
        # Where the disk is full even the failure may not be kept; the caller still hears of it.
        with suppress(StoreError):
            memory = self.tries.memory or memory_of(self.computation.options.device)
            store.fail(job, describe(job, error, attempts=count, memory=memory), claim)
        self.computation.emit(JobEvent(kind="failed", digest=job.digest, message=summary(error)))
        if error is problem:
            raise problem
        raise error from problem

    def _may_be_tried_again(self, error: Exception, folder: Path) -> bool:
        """Note a machine's failure in the job's attempts, and say whether these leave it another one."""
        if self.tries.most_deaths is None or isinstance(error, DiedTooOftenError):
            return False
        if not of_infrastructure(error):
            return False
        with suppress(StoreError):
            attempts = Attempts(folder)
            attempts.died()
            return not self.tries.spent(attempts, epochs_kept(folder))
        return False
