"""Asked once before the first job: can steps work on the networks, where only these can tell?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench_core.declarations import Architecture, Step, resolve_entry
from bench_core.declarations.code import call
from bench_core.errors import BenchError
from bench_core.network import build_network
from bench_core.plan.job import Apply, Job
from bench_core.plugins.registry import Registry


@dataclass(frozen=True)
class Untried:
    """A step (by its stage's label) that cannot work on a model's network, and why."""

    stage: str
    model: str
    error: BenchError


def try_networks(jobs: Iterable[Job], registry: Registry) -> Iterator[Untried]:
    """Yield each step and model of the jobs that cannot go together, by an untrained network.

    A network is built once for each model, task and set of options, and only where a step's declaration
    leaves open whether it can work on it. Raises PluginError where a plugin's code is broken.
    """
    known: set[str] = set()
    for job in jobs:
        work = job.work
        if not isinstance(work, Apply):
            continue
        step, model = registry.step(work.step), registry.model(job.model.name)
        if step.tries is None:
            continue
        plain = job.to_json()
        parts = [plain[name] for name in ("model", "pixels")]
        key = json.dumps([work.step, dict(work.options), parts, job.dataset.task.channels], sort_keys=True)
        if key in known:
            continue
        known.add(key)
        unsuited, left_open = step.unsuited(work.options, model)
        if unsuited or not left_open:
            continue
        error = _tried(job, work, step, model)
        if error is not None:
            yield Untried(job.stage, job.model.label, error)


def _tried(job: Job, work: Apply, step: Step, model: Architecture) -> BenchError | None:
    """Return why a step cannot work on the network of a job's model; None where it can."""
    import torch

    task, size = job.dataset.task, job.pixels.image_size
    channels = 3 if job.pixels.channels == "rgb" else task.channels
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            network = build_network(
                model,
                in_channels=channels,
                # Of a job on another dataset the network has other classes; no layer depends on them.
                num_classes=task.logit_channels,
                image_size=size,
                pretrained="none" if "none" in model.pretrained else job.model.pretrained,
                options=job.model.options,
            ).eval()
            image = torch.randn(1, channels, size, size)
            entry = resolve_entry(step.tries) if step.tries is not None else None
            if entry is not None:
                what = f"`tries` of step {step.name}"
                call(what, lambda: entry(network, image, model, dict(work.options)))
        except BenchError as error:
            return error
    return None
