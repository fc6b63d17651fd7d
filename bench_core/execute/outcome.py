"""From what a runner hands back to what the store keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench_core.execute.attempts import Finished
from bench_core.execute.provenance import RunContext, environment, execution
from bench_core.execute.rate import ChosenRate
from bench_core.plan.job import Job
from bench_core.store.result import Case, Counts, EpochRecord, Result

if TYPE_CHECKING:
    from bench_core.protocol.contract import Outcome, RunOptions


def to_result(
    job: Job,
    outcome: Outcome,
    rate: ChosenRate,
    *,
    parameters: int,
    model_facts: Mapping[str, Any],
    data_facts: Mapping[str, Any],
    provenance: Mapping[str, Any],
    seconds: float,
    peak_memory_bytes: int,
    attempts: int,
) -> Result:
    """Return the result of a trained and tested job."""
    return Result(
        digest=job.digest,
        learning_rate=rate.value,
        candidates=rate.candidates,
        epochs_run=outcome.epochs_run,
        stopped_early=outcome.stopped_early,
        chosen_epoch=outcome.chosen_epoch,
        monitor=job.training.checkpoint.monitor,
        best_value=outcome.best_value,
        history=[
            EpochRecord(
                epoch=record.epoch,
                learning_rate=record.learning_rate,
                loss=record.loss,
                validation=dict(record.validation),
                train_seconds=record.train_seconds,
                validation_seconds=record.validation_seconds,
            )
            for record in outcome.history
        ],
        counts_split=outcome.counts_split,
        parameters=parameters,
        model_facts=model_facts,
        data_facts=data_facts,
        provenance=provenance,
        seconds=seconds,
        peak_memory_bytes=peak_memory_bytes,
        attempts=attempts,
    )


def to_counts(outcome: Outcome) -> Counts:
    """Return the pixel counts of the tested images."""
    found = outcome.counts
    return Counts(ids=found.ids, groups=found.groups, classes=found.classes, values=found.values)


def to_cases(outcome: Outcome) -> list[Case]:
    """Return the best, median and worst case."""
    return [
        Case(
            id=case.id,
            rank=case.rank,
            dice=case.dice,
            image=case.image,
            mask=case.mask,
            prediction=case.prediction,
        )
        for case in outcome.cases
    ]


def provenance(options: RunOptions, context: RunContext, finished: Finished) -> dict[str, Any]:
    """Return what the result was computed with, on and from."""
    return {
        **environment(),
        **execution(options),
        "environments": finished.environments,
        "spec": {"name": context.spec_name, "sha256": context.spec_sha256},
        "plugins": dict(context.plugins),
        "run": {
            "command": context.command,
            "started": finished.started,
            "finished": finished.finished,
        },
    }
