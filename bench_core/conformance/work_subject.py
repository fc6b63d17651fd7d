"""Work under test, a step or a procedure of its own, and what its jobs leave in small studies."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import chdir
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from bench_core.conformance.declared import Origin, origin_of
from bench_core.conformance.ground import Study, Wanted, content, write_study
from bench_core.conformance.properties import place_of
from bench_core.conformance.world import DATASET, NETWORK, RULE, with_world
from bench_core.declarations import Architecture, Entry, JobEvent, RunnerDeclaration, Step, resolve_entry
from bench_core.errors import MissingDependencyError, PluginError, UnknownNameError
from bench_core.execute.preflight import runner_problems
from bench_core.options import Option, complete_options
from bench_core.plan.job import Apply, Job
from bench_core.plugins.registry import Registry
from bench_core.store.folder import JOB, LOG, MANIFEST, RESULT

LABEL = "tried"
"""Of the step, or of the model that runs by the procedure."""
_OF_EVERY_RUN = (JOB, LOG, MANIFEST, RESULT, "attempts.json")
"""Files that say when and how a job ran, and differ from run to run."""


@dataclass(frozen=True)
class Left:
    """What one job of the work left."""

    job: Job
    values: Mapping[str, float | str]
    files: Mapping[str, str]
    """Hash by path: label maps, counts, records, artifacts; not what tells when it ran."""

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it; a number by its digits, so that an undefined one equals itself."""
        return {
            "job": self.job.name,
            "values": {name: repr(value) for name, value in self.values.items()},
            "files": dict(self.files),
        }


@dataclass(frozen=True)
class WorkSubject:
    """A step, or a runner with a procedure of its own, with options."""

    declared: Step | RunnerDeclaration
    registry: Registry
    """With what trials stand on."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """As they are given."""
    model: str = RULE
    """Whose jobs a step looks at, or the model of the procedure."""
    origin: Origin | None = None

    @property
    def code(self) -> Entry:
        """Its function."""
        return self.declared.run if isinstance(self.declared, Step) else self.declared.fit

    @property
    def place(self) -> str:
        """Where its function is written."""
        return place_of(self.code)

    @property
    def options_declared(self) -> Mapping[str, Option]:
        """Its options."""
        return self.declared.options

    @property
    def words(self) -> Mapping[str, str]:
        """What people read of it."""
        return {"help": self.declared.help}

    @cached_property
    def _folder(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="bench-test-")

    @cached_property
    def _numbers(self) -> Any:
        return count()

    def study(
        self,
        kind: str = "one",
        *,
        hidden: tuple[str, ...] = (),
        folds: tuple[int, ...] = (0,),
        options: Mapping[str, Any] | None = None,
        store: Path | None = None,
    ) -> Study:
        """Return a study in a new folder that has this work; its store is a copy of another, if given."""
        chosen = dict(self.options if options is None else options)
        entry: dict[str, Any] = {"name": self.model}
        steps: list[dict[str, Any]] = []
        if isinstance(self.declared, Step):
            step: dict[str, Any] = {"name": self.declared.name, "label": LABEL, "options": chosen}
            if self.declared.dataset == "other":
                # Other images than those that the study is about.
                shown = {"kind": kind, "count": 12, "first": 20, "hidden": list(hidden)}
                step["dataset"] = {"name": DATASET, "label": "other", "options": shown}
            steps.append(step)
        else:
            entry |= {"label": LABEL, "options": chosen}
        wanted = Wanted([entry], kind, hidden, steps, folds=folds)
        return write_study(
            wanted, self.registry, Path(self._folder.name) / f"study-{next(self._numbers)}", store=store
        )

    def jobs(self, study: Study) -> list[Job]:
        """Return the jobs of this work."""
        if isinstance(self.declared, Step):
            return [job for job in study.plan.jobs if isinstance(job.work, Apply)]
        return list(study.plan.jobs)

    def prepared(self, kind: str = "one", hidden: tuple[str, ...] = ()) -> Study:
        """Return a study of which all is done but this work; made once for each kind of images."""
        key = (kind, hidden)
        if key not in self._prepared:
            study = self.study(kind, hidden=hidden)
            mine = {job.digest for job in self.jobs(study)}
            study.run(job for job in study.plan.jobs if job.digest not in mine)
            self._prepared[key] = study
        return self._prepared[key]

    @cached_property
    def _prepared(self) -> dict[tuple[str, tuple[str, ...]], Study]:
        return {}

    def fresh(self, kind: str = "one", hidden: tuple[str, ...] = ()) -> Study:
        """Return a copy of such a study."""
        return self.study(kind, hidden=hidden, store=self.prepared(kind, hidden).store.path)

    def run(self, study: Study, hear: Callable[[JobEvent], None] = lambda event: None) -> list[Left]:
        """Run this work in a study, from an empty working folder, and return what it leaves."""
        empty = study.store.path.parent / "working"
        empty.mkdir(exist_ok=True)
        with chdir(empty):
            study.run(self.jobs(study), hear)
        return [self.left(study, job) for job in self.jobs(study)]

    def left(self, study: Study, job: Job) -> Left:
        """Return what a finished job left, without what is declared to vary."""
        files = content(study.store.folder(job.digest))
        told = self.declared.varying if isinstance(self.declared, Step) else ()
        varying = {name for each in told for name in (f"records/{each}.csv", f"artifacts/{each}")}
        kept = {name: hashed for name, hashed in files.items() if name not in {*_OF_EVERY_RUN, *varying}}
        return Left(job, study.store.result(job.digest).values, kept)

    @cached_property
    def usual(self) -> list[Left]:
        """What it leaves of one class on square images."""
        return self.run(self.fresh())

    def instead(self, function: Callable[..., object]) -> Registry:
        """Return a registry in which another function is the work."""
        if isinstance(self.declared, Step):
            step = replace(self.declared, run=function)
            return replace(self.registry, steps={**self.registry.steps, step.name: step})
        runner = replace(self.declared, fit=function)
        return replace(self.registry, runners={**self.registry.runners, runner.name: runner})

    def function(self) -> Callable[..., Any]:
        """Return its function, imported."""
        return resolve_entry(self.code)


def step_subject(registry: Registry, name: str, given: Mapping[str, Any]) -> WorkSubject:
    """Return a step to test; raise UnknownNameError for a name or options that do not exist."""
    declared = registry.step(name)
    _check_options(name, declared.options, given)
    model = NETWORK if declared.needs == "weights" else RULE
    world = with_world(registry)
    if model == NETWORK:
        _expect_installed(world.runner("torch"))
    return WorkSubject(declared, world, dict(given), model, origin_of(registry, "bench_steps", name))


def procedure_subject(registry: Registry, name: str, given: Mapping[str, Any]) -> WorkSubject:
    """Return a runner with a procedure of its own to test; its model is the first that names it.

    Raises UnknownNameError for a name or options that do not exist, PluginError for one that trains under
    the shared protocol.
    """
    declared = registry.runner(name)
    if declared.protocol != "own":
        raise PluginError(f"runner {name} trains under the shared protocol", fix=f"name it so: runner:{name}")
    _check_options(name, declared.options, given)
    _expect_installed(declared)
    world = with_world(registry)
    model = next((each.name for each in registry.models.values() if each.runner == name), None)
    if model is None:
        model = LABEL
        made = Architecture(name=model, family="own", runner=name, version=1)
        world = replace(world, models={**world.models, model: made})
    return WorkSubject(declared, world, dict(given), model, origin_of(registry, "bench_runners", name))


def _expect_installed(runner: RunnerDeclaration) -> None:
    problems = list(runner_problems(runner))
    if problems:
        raise MissingDependencyError("; ".join(map(str, problems)), fix="see `bench doctor`")


def _check_options(name: str, declared: Mapping[str, Option], given: Mapping[str, Any]) -> None:
    try:
        complete_options(declared, given)
        json.dumps(dict(given))
    except (ValueError, TypeError) as error:
        raise UnknownNameError(f"{name} cannot take these options", cause=str(error)) from error
