"""One job, from its description to its sealed folder, going on where an earlier attempt was cut off."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench_core.declarations import JobEvent, resolve_entry
from bench_core.errors import BenchError, DataError, StoreError
from bench_core.execute.attempts import Attempts
from bench_core.execute.keeper import FolderKeeper
from bench_core.execute.logs import job_log
from bench_core.execute.provenance import MemoryMeter, RunContext, environment, execution
from bench_core.execute.rate import ChosenRate, choose_rate
from bench_core.plan.job import Job, job_seed
from bench_core.plugins import Registry
from bench_core.store.claim import Claim, ClaimLostError, claiming
from bench_core.store.files import DiskError, disk_error
from bench_core.store.folder import ENGINE, LOG, TRACE
from bench_core.store.result import Failure
from bench_core.store.store import Store

if TYPE_CHECKING:
    from torch import nn

    from bench_core.execute.prepare import JobData
    from bench_core.protocol.contract import Contract, Outcome, RunOptions

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
    note: Note = lambda text: None,
) -> Literal["done", "elsewhere"]:
    """Run one job and seal its result, unless it is done or another process runs it ("elsewhere").

    `known_failure` is the failure that the caller means to try again; a newer one counts as elsewhere.
    A job that fails leaves its failure in the store and raises: BenchError with what to do about it, any
    other exception for a bug in a plugin. `capture` sends the process's stdout and stderr to the job's log.
    `note` hears what the job is doing before its first epoch.
    """
    with claiming(store.claims, job.digest) as claim:
        if claim is None:
            return "elsewhere"
        # The owner before us may have sealed or failed it between the caller's look and our claim.
        if store.is_done(job.digest) or store.failure(job.digest) not in (None, known_failure):
            return "elsewhere"
        emit(JobEvent(kind="started", digest=job.digest, epochs=job.training.epochs))
        run = _Run(
            job, store, registry, options, emit, note, context or RunContext(), cache or store.cache, claim
        )
        try:
            run.start(capture=capture)
        except (KeyboardInterrupt, SystemExit, ClaimLostError):
            raise
        except Exception as problem:
            error = disk_error(problem, store.path) or problem
            count = Attempts(store.running / job.digest).count
            if known_failure is not None and not known_failure.resumable:
                count += known_failure.attempts
            # Where the disk is full even the failure may not be kept; the caller still hears of it.
            with suppress(StoreError):
                store.fail(job, describe(job, error, attempts=count))
            emit(JobEvent(kind="failed", digest=job.digest, message=summary(error)))
            if error is problem:
                raise
            raise error from problem
        emit(JobEvent(kind="finished", digest=job.digest, epochs=job.training.epochs))
    return "done"


def describe(job: Job, error: BaseException, *, attempts: int) -> Failure:
    """Return the failure that an exception means for a job."""
    known = error if isinstance(error, BenchError) else None
    return Failure(
        digest=job.digest,
        name=job.name,
        kind=type(error).__name__,
        message=known.message if known else summary(error),
        place=known.place if known else _raised_at(error),
        cause=known.cause if known else None,
        fix=known.fix if known else "see the log for the traceback; this looks like a bug in a plugin",
        time=datetime.now(UTC).isoformat(timespec="milliseconds"),
        host=str(environment()["host"]),
        attempts=attempts,
        # A full disk is no fault of the training so far. After anything else code or data will have been
        # mended, and epochs from before must not be mixed with those after.
        resumable=isinstance(error, DiskError),
    )


def summary(error: BaseException) -> str:
    """Return an error's message in one line."""
    if isinstance(error, BenchError):
        return error.message
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _raised_at(error: BaseException) -> str | None:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None


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

    def start(self, *, capture: bool) -> None:
        job, store = self.job, self.store
        folder = store.prepare(job)
        attempts = Attempts(folder)
        with job_log(folder / LOG, capture=capture):
            try:
                if store.is_complete(job.digest):
                    log.info("everything was computed before; sealing the folder")
                else:
                    attempts.begin(execution(self.options))
                    log.info("%s (%s), attempt %d", job.name, job.digest, attempts.count)
                    if self.claim.before is not None:
                        log.info("taken over from process %d", self.claim.before.pid)
                    self._train(folder, attempts)
                self.claim.check()
                store.seal(job.digest)
            except BaseException as error:
                if isinstance(error, BenchError):
                    log.error("%s", error)
                elif isinstance(error, Exception):
                    log.exception("the job failed")
                else:
                    log.info("interrupted; the next run goes on from the last whole epoch")
                raise

    def _train(self, folder: Path, attempts: Attempts) -> None:
        from bench_core.execute import outcome as outcomes
        from bench_core.execute.prepare import build_model, model_facts

        job, started = self.job, time.monotonic()
        rate = choose_rate(job, self.store)
        if rate.candidates:
            log.info("learning rate %g of %s", rate.value, dict(rate.candidates))
        data = self._data(rate)
        memory = MemoryMeter(self.options.device)
        _use_threads(self.options.threads)
        self.note("building network")
        model = build_model(job, self.registry)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        log.info("%s: %s parameters, weights: %s", job.model.name, f"{parameters:,}", job.model.pretrained)
        keeper = FolderKeeper(folder, self.claim.check)
        contract = self._contract(data, model, rate.value, keeper)
        log.info("runner %s: %s", job.model.runner, execution(self.options))
        fit = resolve_entry(self.registry.runner(job.model.runner).fit)
        reached: Outcome = fit(contract, replace(self.options, folder=folder / ENGINE))
        finished = attempts.finish(time.monotonic() - started)
        result = outcomes.to_result(
            job,
            reached,
            rate,
            parameters=parameters,
            model_facts=model_facts(model),
            data_facts=data.facts,
            provenance=outcomes.provenance(self.options, self.context, finished),
            seconds=finished.seconds,
            peak_memory_bytes=memory.peak_bytes(),
            attempts=attempts.count,
        )
        self.claim.check()
        extra = [
            name for name in (attempts.name, TRACE, keeper.finish()) if name and (folder / name).exists()
        ]
        own = sorted(path for path in (folder / ENGINE).rglob("*") if path.is_file())
        extra += [path.relative_to(folder).as_posix() for path in own]
        self.store.complete(job.digest, result, reached.counts, reached.cases, extra)
        log.info("done in %.1f s: %s %.4f in epoch %d", result.seconds, result.monitor, result.best_value,
                 result.chosen_epoch + 1)  # fmt: skip

    def _data(self, rate: ChosenRate) -> JobData:
        from bench_core.execute.prepare import open_data

        self.note("opening data")

        def progress(done: int, total: int) -> None:
            self.note(f"images {done}/{total}")

        data = open_data(self.job, self.registry, self.cache, progress)
        log.info("data: %s", dict(data.facts))
        check_fingerprint(self.job, data, rate)
        return data

    def _contract(self, data: JobData, model: nn.Module, rate: float, keeper: FolderKeeper) -> Contract:
        from bench_core.protocol.contract import Contract
        from bench_core.protocol.trace import Trace

        job = self.job
        return Contract(
            job_name=job.name,
            seed=job_seed(job),
            training=job.training,
            task=job.dataset.task,
            learning_rate=rate,
            model=model,
            train=data.train,
            validation=data.validation,
            test=data.test,
            keeper=keeper,
            trace=Trace(keeper.folder / TRACE),
            emit=self._tell,
            digest=job.digest,
            random_at_inference=self.registry.model(job.model.name).random_at_inference,
            encoder=self.registry.model(job.model.name).encoder,
            loader_workers=self.options.loader_workers,
        )

    def _tell(self, event: JobEvent) -> None:
        if event.kind == "epoch":
            values = ", ".join(f"{name} {value:.4f}" for name, value in event.metrics.items())
            loss = "-" if event.loss is None else f"{event.loss:.5g}"
            log.info("epoch %d/%d: loss %s, %s", event.epoch + 1, event.epochs, loss, values)
        self.emit(event)


def check_fingerprint(job: Job, data: JobData, rate: ChosenRate) -> None:
    """Raise DataError if the learning rate was chosen on other data than the job's."""
    strange = rate.fingerprints - {str(data.facts["fingerprint"])}
    if strange:
        raise DataError(
            f"dataset {job.dataset.label} has changed since its learning rate was searched",
            place=job.dataset.root,
            cause=f"its content is {str(data.facts['fingerprint'])[:12]}, the search saw {min(strange)[:12]}",
            fix="put the files back, or use a new --store so that everything is run on the new data",
        )


def _use_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)
