"""Puts every check to every finished job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from bench_core.analysis.verify import (
    dealt,
    images,
    label_maps,
    planned,
    predicted,
    recount,
    settings,
    steps,
    stored,
    times,
    training,
    whole,
)
from bench_core.analysis.verify.audit import Audit, Subject
from bench_core.analysis.verify.checks import Check, Kind, Outcome, Verification
from bench_core.analysis.verify.findings import Finding
from bench_core.analysis.verify.predicted import Sampling
from bench_core.errors import BenchError, DataError, MissingDependencyError

TRAINED: tuple[Kind, ...] = ("train",)
TESTED: tuple[Kind, ...] = ("train", "own")
STEPS: tuple[Kind, ...] = ("apply",)
CHECKS = (
    Check("files", "every file is there, readable, and as it was sealed", stored.files),
    Check("identity", "each folder holds the planned job, word for word", planned.identity),
    Check("coverage", "no model lacks folds that others have", planned.coverage, TESTED),
    Check("network", "networks have the declared size, and one size in each cell", planned.network, TRAINED),
    Check("protocol", "settings differ from the protocol only where declared", settings.protocol, TRAINED),
    Check("data", "all jobs saw the same samples in the same folds", images.data),
    Check("samples", "ids, groups, folds and label sizes are those of the kept datasets", dealt.samples),
    Check("order", "all models saw the samples in the same order, the seed's", training.order, TRAINED),
    Check("schedule", "every step's learning rate is the schedule's", training.schedule, TRAINED),
    Check("history", "the result's history is the trace's", training.history, TRAINED),
    Check("stopping", "the stopping rule ended it and chose the tested epoch", training.stopping, TRAINED),
    Check("checkpoint", "the kept weights are the chosen epoch's", stored.checkpoint, TRAINED),
    Check("rate", "the learning rate is the one that the search chose", training.rate, TRAINED),
    Check("images", "counts are of the fold's images, none of them trained on", images.images),
    Check("metrics", "counts fit the ground truth, the history and the pictures", images.metrics),
    Check("label maps", "counts and pictures follow from the label maps", label_maps.predictions),
    Check("steps", "values of steps follow from what they left", steps.follows, STEPS),
    Check("origin", "each result says how it was made, and is no other network's", whole.origin),
    Check("times", "seconds, memory, attempts and log agree with each other", times.times),
    Check("basis", "data, plugins and weights are those of now, and one in each cell", whole.basis),
    Check("environment", "all jobs ran under the same versions and on like hardware", settings.environment),
)


def recounting(cache: Path, sampling: Sampling | None = None) -> tuple[Check, ...]:
    """Return the checks that open the data through this cache and count every job again.

    With `sampling` they load the weights, too, and predict some images of each job again.
    """
    proves = "every number comes out again from label maps and masks"
    counted = Check("recount", proves, recount.recount(cache, sampling))
    if sampling is None:
        return (counted,)
    proves = "the kept weights give the kept label maps"
    return counted, Check("weights", proves, predicted.predicting(cache, sampling), TRAINED)


_UNUSABLE = (
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    OSError,
    BenchError,
)


def verify(
    audit: Audit, checks: tuple[Check, ...] = CHECKS, progress: Callable[[int, int], None] = lambda *_: None
) -> Verification:
    """Return what the checks find; `progress(done, total)` hears of each job that a check has seen.

    A file whose content is not of the form in which segtrial writes it is a finding, never an exception.
    Raises DataError where data that are asked cannot be opened, MissingDependencyError where a package lacks.
    """
    findings: dict[str, list[Finding]] = {check.name: [] for check in checks}
    seen, left_out = Counter[str](), Counter[str]()
    total = len(checks) * len(audit.subjects)
    # Job by job: what a job's checks share is read once, and not kept for the next.
    for position, subject in enumerate(audit.subjects):
        for number, check in enumerate(checks):
            asked = subject.job.work.kind in check.kinds
            found = _examined(check, subject, audit) if asked else None
            seen[check.name] += found is not None
            left_out[check.name] += not asked
            findings[check.name] += found or ()
            progress(position * len(checks) + number + 1, total)
        subject.forget()
    outcomes = tuple(
        Outcome(check, seen[check.name], tuple(findings[check.name]), left_out[check.name])
        for check in checks
    )
    return Verification(len(audit.plan.jobs), len(audit.subjects), outcomes)


def _examined(check: Check, subject: Subject, audit: Audit) -> list[Finding] | None:
    try:
        found = check.examine(subject, audit)
        return None if found is None else list(found)
    except (MissingDependencyError, DataError):
        raise  # Of this machine, and no fault of the store.
    except _UNUSABLE as error:
        cause = error.message if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
        return [subject.finding(f"its content is not what segtrial writes ({cause})")]
