"""A finished study of three models under search and evaluation, to be verified as it is and changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from bench_core.analysis.verify.audit import Audit, open_audit
from bench_core.plan.expand import make_plan
from bench_core.plan.job import Job
from bench_core.spec.load import LoadedSpec, load_spec
from bench_core.store.store import Store
from tests.helpers.small_study import run, write_spec

MODELS = """[dots-net,
 {name: dots-net, label: heavy, deviations: {optimizer: {weight_decay: 0.2}, because: its authors do}},
 {name: dots-net, label: pairs, deviations: {batch_size: 2, because: memory}}]"""
DATA = "[{name: dots, options: {count: 36}}]"
STOPPING = "protocol.early_stopping={monitor: miou, patience: 2, min_delta: 0.01}"


@dataclass(frozen=True)
class Finished:
    """A spec and a store with all its results."""

    loaded: LoadedSpec
    path: Path
    store: Path

    def audit(self, store: Path | None = None) -> Audit:
        plan = make_plan(self.loaded.spec, self.loaded.registry)
        return open_audit(self.loaded.spec, plan, self.loaded.registry, Store(store or self.store))

    def job(self, name: str) -> Job:
        return next(subject.job for subject in self.audit().subjects if subject.job.name == name)


def finish(base: Path) -> Finished:
    """Run the study below a folder: 15 jobs."""
    path = write_spec(base / "spec", models=MODELS, datasets=DATA, search=True, epochs=6)
    loaded = load_spec(path, [STOPPING])
    store = Store(base / "results", create=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for job in make_plan(loaded.spec, loaded.registry).jobs:
        run(job, store, loaded.registry)
    torch.set_num_threads(threads)
    return Finished(loaded, path, store.path)
