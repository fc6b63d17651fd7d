"""Puts every check to every finished job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench_core.analysis.verify import images, label_maps, planned, settings, stored, training, whole
from bench_core.analysis.verify.checks import Check, Kind, Outcome, Verification
from bench_core.analysis.verify.findings import Finding
from bench_core.analysis.verify.subjects import Study, Subject
from bench_core.errors import BenchError

TRAINED: tuple[Kind, ...] = ("train",)
TESTED: tuple[Kind, ...] = ("train", "own")
CHECKS = (
    Check("files", "every file is there, readable, and as it was sealed", stored.files),
    Check("identity", "each folder holds the planned job, word for word", planned.identity),
    Check("coverage", "no model lacks folds that others have", planned.coverage, TESTED),
    Check("network", "networks have the declared size, and one size in each cell", planned.network, TRAINED),
    Check("protocol", "settings differ from the protocol only where declared", settings.protocol, TRAINED),
    Check("data", "all jobs saw the same samples in the same folds", images.data),
    Check("order", "all models saw the samples in the same order, the seed's", training.order, TRAINED),
    Check("schedule", "every step's learning rate is the schedule's", training.schedule, TRAINED),
    Check("history", "the result's history is the trace's", training.history, TRAINED),
    Check("stopping", "the stopping rule ended it and chose the tested epoch", training.stopping, TRAINED),
    Check("checkpoint", "the kept weights are the chosen epoch's", stored.checkpoint, TRAINED),
    Check("rate", "the learning rate is the one that the search chose", training.rate, TRAINED),
    Check("images", "counts are of the fold's images, none of them trained on", images.images, TESTED),
    Check("metrics", "counts fit the ground truth, the history and the pictures", images.metrics, TESTED),
    Check("label maps", "counts and pictures follow from the label maps", label_maps.predictions, TESTED),
    Check("origin", "each result says how it was made, and is no other network's", whole.origin),
    Check("basis", "data, plugins and weights are those of now, and one in each cell", whole.basis),
    Check("environment", "all jobs ran under the same versions and on like hardware", settings.environment),
)


def recounting(cache: Path) -> Check:
    """Return the check that opens the data through this cache and counts every job again."""
    proves = "every count is the one that label maps and masks give"
    return Check("recount", proves, label_maps.recount(cache), TESTED)


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
    study: Study, checks: tuple[Check, ...] = CHECKS, progress: Callable[[int, int], None] = lambda *_: None
) -> Verification:
    """Return what the checks find; `progress(done, total)` hears of each job that a check has seen.

    A file whose content is not of the form in which segtrial writes it is a finding, never an exception.
    """
    outcomes = []
    total = len(checks) * len(study.subjects)
    for number, check in enumerate(checks):
        findings: list[Finding] = []
        seen = left_out = 0
        for position, subject in enumerate(study.subjects):
            asked = subject.job.work.kind in check.kinds
            found = _examined(check, subject, study) if asked else None
            seen += found is not None
            left_out += not asked
            findings += found or ()
            progress(number * len(study.subjects) + position + 1, total)
        outcomes.append(Outcome(check, seen, tuple(findings), left_out))
    return Verification(len(study.plan.jobs), len(study.subjects), tuple(outcomes))


def _examined(check: Check, subject: Subject, study: Study) -> list[Finding] | None:
    try:
        found = check.examine(subject, study)
        return None if found is None else list(found)
    except _UNUSABLE as error:
        cause = error.message if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
        return [subject.finding(f"its content is not what segtrial writes ({cause})")]
