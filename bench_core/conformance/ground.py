"""Studies of seconds in folders of their own: what a plugin under test stands on."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.gather import gather
from bench_core.conformance.world import DATASET, SIDE
from bench_core.declarations import JobEvent
from bench_core.plan.expand import Plan, make_plan
from bench_core.plan.job import Job
from bench_core.plugins.registry import Registry
from bench_core.protocol.run_options import RunOptions
from bench_core.spec.load import LoadedSpec, load_spec
from bench_core.store.store import Store

SPEC, STORE = "trial.yaml", "results"
"""In the folder of a study."""
Hear = Callable[[JobEvent], None]


@dataclass(frozen=True)
class Wanted:
    """What a study of a trial has."""

    models: Sequence[dict[str, Any]]
    kind: str = "one"
    """Of the drawn images: one, two or hostile."""
    hidden: tuple[str, ...] = ()
    """Images whose masks are empty."""
    steps: Sequence[dict[str, Any]] = ()
    analyses: Sequence[dict[str, Any]] | None = None
    exclude: Sequence[dict[str, Any]] = ()
    datasets: int = 1
    folds: tuple[int, ...] = (0, 1)
    """Of three."""
    description: str = ""

    def spec(self) -> dict[str, Any]:
        """Return the spec as data."""
        options = {"kind": self.kind, "hidden": list(self.hidden)}
        labels = ["ground", "second"][: self.datasets]
        return {
            "version": 1,
            "name": "trial",
            "description": self.description,
            "models": list(self.models),
            "datasets": [
                {"name": DATASET, "label": label, "options": {**options, "count": 9 + 3 * number}}
                for number, label in enumerate(labels)
            ],
            "protocol": {
                "image_size": SIDE,
                "channels": "native",
                "batch_size": 4,
                "pretrained": "none",
                "learning_rate": 0.05,
                "evaluate": {"folds": 3, "epochs": 1, "only": list(self.folds)},
            },
            "exclude": list(self.exclude),
            "steps": list(self.steps),
            **({} if self.analyses is None else {"analyses": list(self.analyses)}),
        }


@dataclass(frozen=True)
class Study:
    """A spec, its plan, and a store of its own."""

    loaded: LoadedSpec
    plan: Plan
    registry: Registry
    store: Store

    def run(self, jobs: Iterable[Job] | None = None, hear: Hear = lambda event: None) -> None:
        """Run jobs that are not done, in this process; raises whatever a job raises."""
        # It brings a framework along, which results are read without.
        from bench_core.execute.job import run_job

        for job in self.plan.jobs if jobs is None else jobs:
            if not self.store.is_done(job.digest):
                run_job(job, self.store, self.registry, RunOptions(), hear)

    def under(self, registry: Registry) -> Study:
        """Return the same study with other code."""
        return replace(self, registry=registry)

    def evidence(self) -> Evidence:
        """Return what the parts of a report read."""
        return gather(self.loaded.spec, self.plan, self.registry, self.store, SPEC)


def write_study(wanted: Wanted, registry: Registry, folder: Path, *, store: Path | None = None) -> Study:
    """Write a spec into a new folder and plan it; its store is a copy of another, if given.

    Raises SpecError for a spec that is not valid.
    """
    folder.mkdir(parents=True)
    (folder / SPEC).write_text(json.dumps(wanted.spec()), encoding="utf-8")
    if store is not None:
        shutil.copytree(store, folder / STORE)
    return read_study(folder, registry)


def read_study(folder: Path, registry: Registry) -> Study:
    """Return the study that lies in a folder; its store is made if there is none."""
    loaded = load_spec(folder / SPEC, registry=registry)
    store = Store(folder / STORE, create=not (folder / STORE).exists())
    return Study(loaded, make_plan(loaded.spec, registry), registry, store)


def content(folder: Path) -> dict[str, str]:
    """Return the hash of every file below a folder, by its path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
