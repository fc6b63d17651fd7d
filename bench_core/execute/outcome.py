"""From what a runner hands back to what the store keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench_core.execute.attempts import Finished
from bench_core.execute.provenance import RunContext, environment, execution
from bench_core.execute.rate import ChosenRate
from bench_core.plan.job import Job
from bench_core.run_options import RunOptions
from bench_core.store.result import Result

if TYPE_CHECKING:
    from bench_core.protocol.contract import Outcome


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
        history=outcome.history,
        counts_split=outcome.counts_split,
        parameters=parameters,
        model_facts=model_facts,
        data_facts=data_facts,
        provenance=provenance,
        seconds=seconds,
        peak_memory_bytes=peak_memory_bytes,
        attempts=attempts,
    )


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
