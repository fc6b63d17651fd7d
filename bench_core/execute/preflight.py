"""Refuses up front, all at once, what could not run: found in a second instead of after a night."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from bench_core.declarations import (
    Architecture,
    Dataset,
    Entry,
    RunnerDeclaration,
    Step,
    without_network,
)
from bench_core.errors import BenchError, PluginError, WeightsError
from bench_core.install import install_command, install_modules
from bench_core.plan.job import Apply, Job
from bench_core.plugins.registry import Registry
from bench_core.weights.files import find_files


class PreflightError(BenchError):
    """Jobs that cannot run in this environment; `problems` lists them all."""

    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Problem:
    """One thing that is missing, and what to do about it."""

    subject: str
    """What is concerned, for example "model u-kan"."""
    message: str
    fix: str | None = None

    def __str__(self) -> str:
        return f"{self.subject}: {self.message}" + (f" ({self.fix})" if self.fix else "")


def preflight(jobs: Iterable[Job], registry: Registry) -> None:
    """Check models, datasets, runners, packages, files and folders that the jobs need.

    Raises PreflightError naming everything that is missing. Opens no data and imports no framework.
    """
    found: dict[tuple[str | None, ...], tuple[Problem, ...]] = {}
    total = affected = 0
    for job in jobs:
        model, dataset = job.model, job.dataset
        options = json.dumps(dict(model.options), sort_keys=True)
        files = (model.pretrained, model.weights, dataset.root)
        step = job.work.step if isinstance(job.work, Apply) else None
        key = (model.name, options, model.runner, dataset.label, step, *files)
        if key not in found:
            found[key] = tuple(_of_job(job, registry))
        total += 1
        affected += bool(found[key])
    problems = tuple(dict.fromkeys(problem for group in found.values() for problem in group))
    if not problems:
        return
    lines = "".join(f"\n  - {problem}" for problem in problems)
    error = PreflightError(
        f"{affected} of {total} jobs cannot run here:{lines}",
        fix="install or add what is missing, or select jobs that can run with --only or --runner",
    )
    error.problems = problems
    raise error


def _of_job(job: Job, registry: Registry) -> Iterator[Problem]:
    model, runner = registry.model(job.model.name), registry.runner(job.model.runner)
    yield from _of_dataset(job, registry.dataset(job.dataset.name))
    if isinstance(job.work, Apply):
        step = registry.step(job.work.step)
        yield from step_problems(step)
        if step.needs == "predictions":
            return
    else:
        yield from runner_problems(runner)
    if not without_network(model, runner):
        yield from model_problems(job, model)


def model_problems(job: Job, model: Architecture) -> Iterator[Problem]:
    """Yield what a job's network lacks here: a builder, packages, its weights file."""
    subject = f"model {job.model.name}"
    if model.unavailable or model.build is None:
        yield Problem(subject, model.unavailable or "its plugin has no builder")
        return
    yield from _packages(subject, model.requires, model.install)
    yield from _module(subject, model.build)
    given = Path(job.model.weights) if job.model.weights else None
    if given is not None and not given.is_file():
        yield Problem(subject, f"weights file {given} does not exist", "correct `weights:`")
        return
    try:
        find_files(model, job.model.pretrained, job.model.options, given)
    except (PluginError, WeightsError) as error:
        cause = f": {error.cause}" if error.cause else ""
        yield Problem(subject, f"{error.message}{cause}", error.fix)


def _of_dataset(job: Job, dataset: Dataset) -> Iterator[Problem]:
    subject = f"dataset {job.dataset.label}"
    if dataset.unavailable or dataset.open is None:
        yield Problem(subject, dataset.unavailable or "its plugin has no reader")
        return
    yield from _packages(subject, dataset.requires, dataset.install)
    yield from _module(subject, dataset.open)
    if not dataset.needs_root:
        return
    how = dataset.how_to_get or None
    if job.dataset.root is None:
        yield Problem(subject, "it has no root folder", "give `root:` in the spec")
    elif not Path(job.dataset.root).is_dir():
        yield Problem(subject, f"root folder {job.dataset.root} does not exist", how)


def runner_problems(runner: RunnerDeclaration) -> Iterator[Problem]:
    """Yield what a runner lacks here."""
    subject = f"runner {runner.name}"
    if runner.unavailable:
        yield Problem(subject, runner.unavailable)
        return
    yield from _packages(subject, runner.requires, runner.install)
    yield from _module(subject, runner.fit)


def step_problems(step: Step) -> Iterator[Problem]:
    """Yield what a step lacks here."""
    subject = f"step {step.name}"
    yield from _packages(subject, step.requires, step.install)
    yield from _module(subject, step.run)


def _packages(subject: str, modules: Iterable[str], install: str = "") -> Iterator[Problem]:
    missing = [module for module in modules if not _is_there(module)]
    if missing:
        fix = install_command(install) if install else install_modules(missing)
        yield Problem(subject, f"needs {', '.join(missing)}, not installed here", fix)


def _module(subject: str, entry: Entry) -> Iterator[Problem]:
    if isinstance(entry, str):
        name = entry.partition(":")[0]
        if not _is_there(name):
            yield Problem(subject, f"its code {entry} does not exist", "correct the plugin's declaration")


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
