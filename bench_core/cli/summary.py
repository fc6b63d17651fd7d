"""The end of a run in words: scores, failures and what is next."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_core.cli.common import print_json_line, say
from bench_core.cli.views import duration

if TYPE_CHECKING:
    from bench_core.cli.doubts import Doubts
    from bench_core.errors import StoreError
    from bench_core.execute.progress import RunProgress
    from bench_core.plan.job import Job
    from bench_core.store.result import Failure

SHOWN = ("mdsc", "miou")
MOST_SCORES = 20
"""Cells of the matrix whose scores are printed."""


def summarize(
    run: RunProgress, spec: Path, store: Path, damaged: Sequence[StoreError], *, as_json: bool
) -> None:
    """Print how a run ended: scores, failures, what was not run, damaged results, and what is next."""
    from bench_core.cli.doubts import doubts_json, tell_doubts
    from bench_core.store.result import finite

    counts = run.counts()
    ran = sum(progress.ran_here and progress.status == "done" for progress in run.jobs.values())
    failed, blocked = run.with_status("failed"), run.with_status("blocked", "waiting")
    left = len(run.with_status("todo", "running"))
    if as_json:
        data: dict[str, Any] = {
            "event": "summary",
            "jobs": len(run.jobs),
            "counts": dict(sorted(counts.items())),
            "failed": [asdict(progress.failure) for progress in failed if progress.failure],
            "damaged": [
                {"place": error.place, "message": error.message, "cause": error.cause, "fix": error.fix}
                for error in damaged
            ],
            "not_run": {progress.job.name: progress.because for progress in blocked},
            "left": {item.job.name: item.barred for item in run.with_status("todo") if item.barred},
            "done_now": ran,
            "late": run.late,
            "scores": [
                {"stage": stage, "model": model, "dataset": dataset, "jobs": len(found), "means": means}
                for (stage, model, dataset), found, means in _means(run)
            ],
            "warnings": doubts_json(_doubts(run, store)),
        }
        print_json_line(finite(data))
        return
    before = counts["done"] - ran
    parts = [f"{ran} done now" if before else f"{ran} done"]
    parts += [f"{before} before or elsewhere"] if before else []
    parts += [f"{len(failed)} failed"] if failed else []
    parts += [f"{len(blocked)} not run"] if blocked else []
    parts += [f"{left} left to other workers"] if left else []
    say(f"{', '.join(parts)}, in {duration(time.monotonic() - run.begun)}")
    if run.late and left:
        say("the time of --until is over, or too short for another epoch; the same command resumes")
    _scores(run)
    found = _doubts(run, store)
    if found:
        say("")
        tell_doubts(found)
    for reason, jobs in _grouped((_reason(progress.failure), progress.job) for progress in failed):
        say(f"\nfailed: {_names(jobs)}{reason}")
        say(f"  log: bench logs {jobs[0].digest[:12]} --store {shlex.quote(str(store))}")
    for because, jobs in _grouped((progress.because, progress.job) for progress in blocked):
        say(f"\nnot run: {_names(jobs)}\n  why: {because}")
    barred = [item for item in run.with_status("todo") if item.barred]
    for because, jobs in _grouped((item.barred, item.job) for item in barred):
        say(f"\nleft to other workers: {_names(jobs)}\n  why: {because}")
    for error in damaged:
        say(f"\ndamaged: {error.place}\n  fix: {error.fix}")
    if counts["done"]:
        say(f"\nnext: bench report {shlex.quote(str(spec))} --store {shlex.quote(str(store))}")


def _doubts(run: RunProgress, store: Path) -> Doubts:
    """Return the signs of the networks that were trained here."""
    from bench_core.cli.doubts import doubts
    from bench_core.store.store import Store

    here = [item.job for item in run.jobs.values() if item.ran_here and item.status == "done"]
    return doubts(here, Store(store)) if here else []


def _reason(failure: Failure | None) -> str:
    if failure is None:
        return ""
    lines = [f"{failure.place}: {failure.message}" if failure.place else failure.message]
    lines += ["fault: of the infrastructure, not of the method"] if failure.fault != "method" else []
    lines += [f"{label}: {text}" for label, text in (("why", failure.cause), ("fix", failure.fix)) if text]
    return "".join(f"\n  {line}" for line in lines)


def _grouped(items: Iterable[tuple[str, Job]]) -> Iterable[tuple[str, list[Job]]]:
    """Bring jobs with the same reason together: a damaged dataset is one mistake, not one a job."""
    groups: dict[str, list[Job]] = {}
    for reason, job in items:
        groups.setdefault(reason, []).append(job)
    return groups.items()


def _names(jobs: list[Job]) -> str:
    return jobs[0].name + (f" and {len(jobs) - 1} more" if len(jobs) > 1 else "")


def _mean(values: Sequence[float]) -> float:
    """Return the mean of what is defined, as the report's tables have it; NaN of nothing."""
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan


def _said(values: Sequence[float]) -> str:
    mean, undefined = _mean(values), sum(map(math.isnan, values))
    if math.isnan(mean):
        return "undefined"
    return f"{mean:.4f}" + (f" (undefined in {undefined})" if undefined else "")


Cell = tuple[str, str, str]


def _means(run: RunProgress) -> Iterable[tuple[Cell, list[Mapping[str, float]], dict[str, float]]]:
    """Yield stage, model and dataset, what each job that this run tested scored there, and the means."""
    cells: dict[Cell, list[Mapping[str, float]]] = {}
    for progress in run.jobs.values():
        if progress.tested and progress.status == "done" and progress.job.fold.test:
            cells.setdefault((progress.job.stage, *progress.job.cell), []).append(progress.tested)
    for cell, found in cells.items():
        names = [name for name in found[0] if all(name in tested for tested in found)]
        yield cell, found, {name: _mean([tested[name] for tested in found]) for name in names}


def _scores(run: RunProgress) -> None:
    """Print the mean over the jobs that this run tested, for each model and dataset; the report has all."""
    cells = list(_means(run))
    for (stage, model, dataset), found, means in cells[:MOST_SCORES]:
        texts = [f"{name} {_said([tested[name] for tested in found])}" for name in SHOWN if name in means]
        of = f"mean of {len(found)} jobs" if len(found) > 1 else "1 job"
        said = "" if stage == "evaluate" else f"{stage}: "
        say(f"  {said}{model} on {dataset}: {', '.join(texts)} ({of})")
    if len(cells) > MOST_SCORES:
        say(f"  and {len(cells) - MOST_SCORES} more cells")
