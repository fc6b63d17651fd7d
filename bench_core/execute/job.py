"""One job, from its description to its sealed folder, resuming where an earlier attempt was cut off."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench_core.data.automatic import with_automatic
from bench_core.data.cache import HASHES
from bench_core.data.hashing import FileHashes
from bench_core.declarations import JobEvent, resolve_entry
from bench_core.errors import BenchError, DataError, StoreError, WeightsError
from bench_core.execute.attempts import Attempts
from bench_core.execute.death import Tries, died_too_often
from bench_core.execute.failures import DiedTooOftenError, describe, of_infrastructure, summary
from bench_core.execute.follow import build_contract
from bench_core.execute.ground import (
    DATA,
    changes_between,
    needed_basis,
    plugin_basis,
    weights_basis,
)
from bench_core.execute.keeper import FolderKeeper
from bench_core.execute.logs import job_log
from bench_core.execute.outcome import checked, counted, plain_values, provenance
from bench_core.execute.prepare import network_facts, open_data
from bench_core.execute.provenance import MemoryMeter, RunContext, execution, memory_of
from bench_core.execute.ranks import Team
from bench_core.execute.rate import ChosenRate, choose_rate
from bench_core.execute.sources import by_role, members_of, peers_of, siblings_of
from bench_core.plan.job import Apply, Job, Own, Train
from bench_core.plugins.registry import Registry
from bench_core.protocol.leaves import ARTIFACTS, RECORDS
from bench_core.protocol.session import Session
from bench_core.protocol.site import Site
from bench_core.records import NetworkFacts
from bench_core.store.accepted import read_accepted
from bench_core.store.claim import Claim, ClaimLostError
from bench_core.store.files import DiskError, disk_error, remove_tree, storing
from bench_core.store.folder import LOG, RUNNER, TRACE
from bench_core.store.result import Failure, Result
from bench_core.store.running import epochs_kept, place_of
from bench_core.store.store import Store
from bench_core.store.taking import claiming

if TYPE_CHECKING:
    from bench_core.data.loader import Split
    from bench_core.execute.prepare import JobData
    from bench_core.protocol.contract import Contract, RunOptions

log = logging.getLogger(__name__)
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
        run = _Run(
            job,
            store,
            registry,
            options,
            emit,
            note,
            context or RunContext(),
            cache or store.cache,
            claim,
            team,
            tries,
        )
        try:
            run.start(capture=capture)
        except (KeyboardInterrupt, SystemExit):
            raise
        except Exception as problem:
            if isinstance(problem, ClaimLostError) or not claim.held():
                # Whatever went wrong here: the job is somebody else's, and so is all that is left of it.
                with suppress(StoreError):
                    store.forget(claim)
                return "elsewhere"
            error = disk_error(problem, store.path) or problem
            folder = place_of(store.running, job.digest, claim)
            if tries.most_deaths is not None and isinstance(error, DiskError):
                # Another worker's disk may do: the job is not failed for it.
                raise error from problem
            if _may_be_tried_again(error, tries, folder):
                return "again"
            count = Attempts(folder).count
            if known_failure is not None and not known_failure.resumable:
                count += known_failure.attempts
            # Where the disk is full even the failure may not be kept; the caller still hears of it.
            with suppress(StoreError):
                memory = tries.memory or memory_of(options.device)
                store.fail(job, describe(job, error, attempts=count, memory=memory), claim)
            emit(JobEvent(kind="failed", digest=job.digest, message=summary(error)))
            if error is problem:
                raise
            raise error from problem
        emit(JobEvent(kind="finished", digest=job.digest, epochs=job.epochs))
    return "done"


def _may_be_tried_again(error: Exception, tries: Tries, folder: Path) -> bool:
    """Note a machine's failure in the job's attempts, and say whether these leave it another one."""
    if tries.most_deaths is None or isinstance(error, DiedTooOftenError) or not of_infrastructure(error):
        return False
    with suppress(StoreError):
        attempts = Attempts(folder)
        attempts.died()
        return not tries.spent(attempts, epochs_kept(folder))
    return False


@dataclass(frozen=True)
class _Run:
    """One attempt at a job, under its claim."""

    job: Job
    store: Store
    registry: Registry
    options: RunOptions
    emit: Emit
    note: Note
    context: RunContext
    cache: Path
    claim: Claim
    team: Callable[[], Team]
    tries: Tries

    def start(self, *, capture: bool) -> None:
        job, store = self.job, self.store
        folder = store.prepare(job, self.claim)
        attempts, epochs = Attempts(folder), epochs_kept(folder)
        if self.claim.before is not None:
            attempts.died()
        with job_log(folder / LOG, capture=capture):
            try:
                if store.is_complete(job.digest, self.claim):
                    log.info("everything was computed before; sealing the folder")
                else:
                    if self.tries.most_deaths is not None and self.tries.spent(attempts, epochs):
                        raise DiedTooOftenError(
                            died_too_often(self.tries.most_deaths),
                            cause=f"with {epochs} epoch(s) kept; the machines' logs may tell more",
                            fix="`bench run` tries it again",
                        )
                    attempts.begin(execution(self.options), epochs, self.tries.after)
                    log.info("%s (%s), attempt %d", job.name, job.digest, attempts.count)
                    if self.claim.before is not None:
                        log.info("taken over from process %d", self.claim.before.pid)
                    self._work_together(folder, attempts)
                self.claim.check()
                store.seal(job.digest, self.claim)
            except BaseException as error:
                if isinstance(error, BenchError):
                    log.error("%s", error)
                elif isinstance(error, Exception):
                    log.exception("the job failed")
                else:
                    log.info("interrupted; the next run resumes from the last whole epoch")
                raise

    def _work_together(self, folder: Path, attempts: Attempts) -> None:
        team, failed = self.team(), True
        try:
            self._work(folder, attempts, team)
            failed = False
        except Exception as error:
            why = team.explain(error)
            if why is error:
                raise
            raise why from error
        finally:
            team.end(failed=failed)

    def _work(self, folder: Path, attempts: Attempts, team: Team) -> None:
        job, started = self.job, time.monotonic()
        rate = choose_rate(job, self.store) if isinstance(job.work, Train) else None
        if rate is not None and rate.candidates:
            log.info("learning rate %g of %s", rate.value, dict(rate.candidates))
        data = self._data(rate)
        basis = self._basis(data)
        before = attempts.stand_on(basis)
        if before is not None and before != basis:
            changed = ", ".join(map(str, changes_between(before, basis))) or "what it stands on changed"
            message = f"starts anew: since it was interrupted {changed}"
            log.warning("%s", message)
            self.emit(JobEvent(kind="anew", digest=job.digest, epochs=job.epochs, message=message))
            drop_state(folder)
        memory = MemoryMeter(self.options.device)
        _use_threads(self.options.threads)
        keeper = FolderKeeper(folder, self.claim.check)
        site = self._site(folder, data)
        log.info("runner %s: %s", job.model.runner, execution(self.options))
        left: tuple[str, ...] = ()
        network: NetworkFacts | None = None
        if rate is not None:
            briefing = {
                "learning_rate": rate.value,
                "candidates": dict(rate.candidates),
                "fingerprint": data.facts.fingerprint,
                "plugins": self.registry.contents,
            }
            contract = self._contract(replace(site, ranks=team.join(briefing)), rate, keeper)
            network = network_facts(contract.model, contract.notes)
            log.info("%s: %s parameters, weights: %s", job.model.name, f"{network.parameters:,}",
                     job.model.pretrained)  # fmt: skip
            with closing(contract):
                made = self._fit(contract, replace(self.options, folder=folder / RUNNER))
            team.end(failed=False)
            left = contract.left
        else:
            session = Session(site)
            made = self._apply(session)
            left = session.left
        outcome = checked(made, job, data.tested, folder, left)
        finished = attempts.finish(time.monotonic() - started)
        found = counted(outcome, data.tested, job.dataset.task.classes)
        if found.counts is not None and data.test is not None:
            self._describe(data, data.test)
        result = Result(
            digest=job.digest,
            data=data.facts,
            training=outcome.training,
            tested=outcome.tested,
            values=plain_values(outcome.values, job),
            artifacts=left,
            network=network,
            basis=basis,
            provenance=provenance(self.options, self.context, finished),
            seconds=finished.seconds,
            peak_memory_bytes=memory.peak_bytes(),
            attempts=attempts.count,
        )
        self.claim.check()
        extra = [
            name for name in (attempts.name, TRACE, keeper.finish()) if name and (folder / name).exists()
        ]
        own = sorted(path for path in (folder / RUNNER).rglob("*") if path.is_file())
        extra += [path.relative_to(folder).as_posix() for path in own]
        self.store.complete(
            job.digest, result, found.counts, found.cases, outcome.predictions, extra, self.claim
        )
        if outcome.training is not None:
            log.info("done in %.1f s: %s %.4f in epoch %d", result.seconds, outcome.training.monitor,
                     outcome.training.best_value, outcome.training.chosen_epoch + 1)  # fmt: skip

    def _fit(self, contract: Contract, options: RunOptions) -> object:
        fit = resolve_entry(self.registry.runner(self.job.model.runner).fit)
        return fit(contract, options)

    def _apply(self, session: Session) -> object:
        work = self.job.work
        if isinstance(work, Own):
            self.note("running its own procedure")
            fit = resolve_entry(self.registry.runner(self.job.model.runner).fit)
            return fit(session, dict(work.settings))
        if not isinstance(work, Apply):
            raise TypeError(f"{self.job.name} trains under the shared protocol")
        run = resolve_entry(self.registry.step(work.step).run)
        return run(session, dict(work.options))

    def _data(self, rate: ChosenRate | None) -> JobData:
        self.note("opening data")

        def progress(done: int, total: int) -> None:
            self.note(f"images {done}/{total}")

        data = open_data(self.job, self.registry, self.cache, progress)
        log.info("data: %s", data.facts)
        self.store.keep_samples(data.samples)
        if rate is not None:
            check_fingerprint(self.job, data, rate)
        return data

    def _describe(self, data: JobData, tested: Split) -> None:
        """Keep the automatic attributes of the tested images, as far as no job before did."""
        pixels, held = self.job.pixels, data.samples
        with suppress(StoreError):
            held = replace(held, automatic=self.store.samples(held.fingerprint).automatic)
        found = with_automatic(held, tested.arrays, tested.indices, pixels.resize, pixels.padding)
        self.store.keep_samples(found)

    def _basis(self, data: JobData) -> dict[str, str]:
        basis = {DATA: data.facts.fingerprint} | plugin_basis(self.job, self.registry)
        # Weights that are not declared are known by what the network reports of them.
        with suppress(WeightsError):
            basis |= weights_basis(self.job, self.registry, FileHashes(self.cache / HASHES))
        # A needed job that is not done, or is damaged, is refused where it is used.
        with suppress(StoreError):
            basis |= needed_basis(self.job, self.store.result, read_accepted(self.store.path))
        return basis

    def _site(self, folder: Path, data: JobData) -> Site:
        members = members_of(self.job, self.store, self.registry, self.cache)
        return Site(
            job=self.job,
            train=data.train,
            validation=data.validation,
            test=data.test,
            folder=folder,
            emit=self._tell,
            files=data.files,
            original=data.original,
            metrics=self.registry.metrics,
            sources=by_role(self.job, members),
            members=members,
            peers=peers_of(self.job, self.store, self.registry, self.cache),
            siblings=siblings_of(self.job, self.store, self.registry, self.cache),
            device=self.options.device,
            loader_workers=self.options.loader_workers,
        )

    def _contract(self, site: Site, rate: ChosenRate, keeper: FolderKeeper) -> Contract:
        from bench_core.protocol.trace import Trace

        self.note("building network")
        return build_contract(
            site,
            self.registry,
            learning_rate=rate.value,
            candidates=rate.candidates,
            keeper=keeper,
            trace=Trace(keeper.folder / TRACE),
        )

    def _tell(self, event: JobEvent) -> None:
        if event.kind == "epoch":
            values = ", ".join(f"{name} {value:.4f}" for name, value in event.metrics.items())
            loss = "-" if event.loss is None else f"{event.loss:.5g}"
            log.info("epoch %d/%d: loss %s, %s", event.epoch + 1, event.epochs, loss, values)
        self.emit(event)


def check_fingerprint(job: Job, data: JobData, rate: ChosenRate) -> None:
    """Raise DataError if the learning rate was chosen on other data than the job's."""
    strange = rate.fingerprints - {data.facts.fingerprint}
    if strange:
        raise DataError(
            f"dataset {job.dataset.label} has changed since its learning rate was searched",
            place=job.dataset.root,
            cause=f"its content is {data.facts.fingerprint[:12]}, the search saw {min(strange)[:12]}",
            fix="run its search again, too (`bench run SPEC` without --only), or put the files back",
        )


def drop_state(folder: Path) -> None:
    """Remove what an earlier attempt left of its training; log and attempts stay."""
    with storing(folder):
        for path in folder.iterdir():
            if path.name == TRACE or path.suffix == ".pt":
                path.unlink()
    for part in (ARTIFACTS, RECORDS, RUNNER):
        remove_tree(folder / part)


def _use_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)
    with suppress(ImportError):
        import cv2

        # By itself it would use every core, whatever else runs there.
        cv2.setNumThreads(1)
