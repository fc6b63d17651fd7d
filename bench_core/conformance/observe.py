"""Trains one job under one runner and returns what was seen of it."""

from __future__ import annotations

import logging
import traceback
from contextlib import closing
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path

import torch

from bench_core.conformance.job import make_arrays, split_sizes
from bench_core.conformance.record import Log, Record
from bench_core.conformance.recorder import RecordingContract
from bench_core.conformance.watcher import Interrupt
from bench_core.data.loader import Split
from bench_core.declarations import resolve_entry
from bench_core.errors import BenchError, TrainingError
from bench_core.execute.keeper import FolderKeeper
from bench_core.execute.prepare import build_model
from bench_core.options import complete_options
from bench_core.plan.job import Job
from bench_core.plugins.registry import Registry
from bench_core.protocol.contract import RunOptions
from bench_core.protocol.devices import open_device
from bench_core.protocol.precision import check_precision
from bench_core.protocol.ranks import ALONE, Ranks
from bench_core.protocol.site import Site
from bench_core.protocol.trace import Trace
from bench_core.store.folder import RUNNER, TRACE

log = logging.getLogger(__name__)


def observe(
    job: Job,
    registry: Registry,
    folder: Path,
    options: RunOptions,
    interrupt: Interrupt = lambda epoch, step: None,
    ranks: Ranks = ALONE,
) -> Record:
    """Train the job in `folder`, resuming from a state that is there, and return the record.

    Of several processes each has a folder of its own, and the first one's record has the outcome. A failure
    of the runner ends the record and is named in it, with its traceback in the log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seen = Log()
    try:
        _train(job, registry, folder, options, seen, interrupt, ranks)
    except (Exception, SystemExit) as error:
        log.error("%s", traceback.format_exc())
        seen.record.error = _in_a_line(error)
    return seen.record


def lacks(precision: str, options: RunOptions) -> str | None:
    """Return why a device cannot compute in this precision; None if it can."""
    try:
        check_precision(precision, open_device(options.device))  # type: ignore[arg-type]
    except TrainingError as error:
        return error.message
    return None


def _train(
    job: Job,
    registry: Registry,
    folder: Path,
    options: RunOptions,
    seen: Log,
    interrupt: Interrupt,
    ranks: Ranks,
) -> None:
    torch.set_num_threads(options.threads)
    arrays, channels = make_arrays(job), job.pixels.channels
    ends = (0, *accumulate(split_sizes(job)))
    train, validation, test = (Split(arrays, range(*span), channels) for span in pairwise(ends))
    keeper = FolderKeeper(folder)
    contract = RecordingContract(
        Site(
            job,
            train,
            validation,
            test,
            folder=folder,
            ranks=ranks,
            loader_workers=options.loader_workers,
        ),
        log=seen,
        interrupt=interrupt,
        learning_rate=job.learning_rate,
        model=build_model(job, registry),
        keeper=keeper,
        trace=Trace(folder / TRACE),
        random_at_inference=registry.model(job.model.name).random_at_inference,
        encoder=registry.model(job.model.name).encoder,
    )
    runner = registry.runner(job.model.runner)
    own = complete_options(runner.options, {})
    fit = resolve_entry(runner.fit)
    with closing(contract):
        outcome = fit(contract, replace(options, runners={runner.name: own}, folder=folder / RUNNER))
    if ranks.first:
        contract.note_outcome(outcome, folder / TRACE)


def _in_a_line(error: BaseException) -> str:
    if isinstance(error, BenchError):
        return error.message
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {first} ({Path(frame.filename).name}:{frame.lineno})"
