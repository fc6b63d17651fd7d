"""One job, from its description to its sealed folder, going on where an earlier attempt was cut off."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bench_core.declarations import JobEvent, resolve_entry
from bench_core.errors import BenchError, DataError, StoreError
from bench_core.execute.attempts import Attempts
from bench_core.execute.logs import job_log
from bench_core.execute.provenance import MemoryMeter, RunContext, environment, execution
from bench_core.execute.rate import ChosenRate, choose_rate
from bench_core.plan.job import Job, job_seed
from bench_core.plugins import Registry
from bench_core.store.claim import Claim, ClaimLostError, claiming
from bench_core.store.files import disk_error
from bench_core.store.folder import LOG, TRACE
from bench_core.store.result import Failure
from bench_core.store.store import Store

if TYPE_CHECKING:
    from torch import nn

    from bench_core.execute.keeper import FolderKeeper
    from bench_core.execute.prepare import JobData
    from bench_core.protocol.contract import Contract, RunOptions

log = logging.getLogger(__name__)
Emit = Callable[[JobEvent], None]


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
) -> Literal["done", "elsewhere"]:
    """Run one job and seal its result, unless it is done or another process runs it ("elsewhere").

    `known_failure` is the failure that the caller means to try again; a newer one counts as elsewhere.
    A job that fails leaves its failure in the store and raises: BenchError with what to do about it, any
    other exception for a bug in a plugin. `capture` sends the process's stdout and stderr to the job's log.
    """
    with claiming(store.claims, job.digest) as claim:
        if claim is None:
            return "elsewhere"
        # The owner before us may have sealed or failed it between the caller's look and our claim.
        if store.is_done(job.digest) or store.failure(job.digest) not in (None, known_failure):
            return "elsewhere"
        emit(JobEvent(kind="started", digest=job.digest, epochs=job.training.epochs))
        try:
            _attempt(job, store, registry, options, emit, claim, context or RunContext(), cache, capture)
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
        resumable=isinstance(error, StoreError),
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


def _attempt(
    job: Job,
    store: Store,
    registry: Registry,
    options: RunOptions,
    emit: Emit,
    claim: Claim,
    context: RunContext,
    cache: Path | None,
    capture: bool,
) -> None:
    folder = store.prepare(job)
    attempts = Attempts(folder)
    with job_log(folder / LOG, capture=capture):
        try:
            if store.is_complete(job.digest):
                log.info("everything was computed before; sealing the folder")
                claim.check()
                store.seal(job.digest)
                return
            attempts.begin(execution(options))
            log.info("%s (%s), attempt %d", job.name, job.digest, attempts.count)
            if claim.before is not None:
                log.info("taken over from process %d on %s", claim.before.pid, claim.before.host)
            _train(job, store, registry, options, emit, claim, context, cache or store.cache, attempts)
        except BaseException as error:
            if isinstance(error, BenchError):
                log.error("%s", error)
            elif isinstance(error, Exception):
                log.exception("the job failed")
            else:
                log.info("interrupted; the next run goes on from the last whole epoch")
            raise


def _train(
    job: Job,
    store: Store,
    registry: Registry,
    options: RunOptions,
    emit: Emit,
    claim: Claim,
    context: RunContext,
    cache: Path,
    attempts: Attempts,
) -> None:
    from bench_core.execute import outcome as outcomes
    from bench_core.execute.keeper import FolderKeeper
    from bench_core.execute.prepare import build_model, model_facts, open_data

    started = time.monotonic()
    folder = store.running / job.digest
    rate = choose_rate(job, store)
    if rate.candidates:
        log.info("learning rate %g of %s", rate.value, dict(rate.candidates))
    data = open_data(job, registry, cache)
    check_fingerprint(job, data, rate)
    log.info("data: %s", dict(data.facts))
    memory = MemoryMeter(options.device)
    _use_threads(options.threads)
    model = build_model(job, registry)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    log.info("%s: %s parameters, weights: %s", job.model.name, f"{parameters:,}", job.model.pretrained)
    keeper = FolderKeeper(folder, claim.check)

    def tell(event: JobEvent) -> None:
        if event.kind == "epoch":
            values = ", ".join(f"{name} {value:.4f}" for name, value in event.metrics.items())
            log.info("epoch %d/%d: loss %.5g, %s", event.epoch + 1, event.epochs, event.loss or 0.0, values)
        emit(event)

    contract = _contract(job, data, model, rate.value, keeper, tell, registry, options)
    log.info("runner %s with %s", job.model.runner, execution(options))
    reached = resolve_entry(registry.runner(job.model.runner).fit)(contract, options)
    finished = attempts.finish(time.monotonic() - started)
    best = keeper.finish()
    result = outcomes.to_result(
        job,
        reached,
        rate,
        parameters=parameters,
        model_facts=model_facts(model),
        data_facts=data.facts,
        provenance=outcomes.provenance(options, context, finished),
        seconds=finished.seconds,
        peak_memory_bytes=memory.peak_bytes(),
        attempts=attempts.count,
    )
    claim.check()
    extra = [attempts.name, *(name for name in (TRACE, best) if name and (folder / name).exists())]
    store.complete(job.digest, result, outcomes.to_counts(reached), outcomes.to_cases(reached), extra)
    log.info("done in %.1f s: %s %.4f at epoch %d", result.seconds, result.monitor, result.best_value,
             result.chosen_epoch + 1)  # fmt: skip
    claim.check()
    store.seal(job.digest)


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


def _contract(
    job: Job,
    data: JobData,
    model: nn.Module,
    rate: float,
    keeper: FolderKeeper,
    emit: Emit,
    registry: Registry,
    options: RunOptions,
) -> Contract:
    from bench_core.protocol.contract import Contract
    from bench_core.protocol.trace import Trace

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
        emit=emit,
        digest=job.digest,
        random_at_inference=registry.model(job.model.name).random_at_inference,
        loader_workers=options.loader_workers,
    )
