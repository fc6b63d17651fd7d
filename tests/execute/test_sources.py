"""What a job knows of the finished jobs that it needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench_core.declarations import ModelSource
from bench_core.errors import StoreError
from bench_core.execute.sources import sources_of
from bench_core.plan.job import Job, Need
from bench_core.plugins.registry import Registry
from bench_core.store.store import Store
from tests.helpers.small_study import load, run


def from_a_source(registry: Registry, random: bool) -> Registry:
    """Return the registry with the small network behind a prefix, too."""
    declared = replace(registry.model("dots-net"), random_at_inference=random)
    source = ModelSource(
        prefix="zoo", runner="torch", help="a zoo", resolve=lambda name: replace(declared, name=name)
    )
    return replace(registry, sources={"zoo": source})


@pytest.fixture
def needed(tmp_path: Path) -> tuple[Registry, Job, Store]:
    loaded, plan = load(tmp_path / "spec", epochs=1)
    job = replace(plan.jobs[0], model=replace(plan.jobs[0].model, name="zoo:net"))
    return loaded.registry, job, Store(tmp_path / "results", create=True)


@pytest.mark.parametrize("random", [False, True])
def test_networks_behind_a_prefix_say_whether_they_draw_at_inference(
    needed: tuple[Registry, Job, Store], random: bool
) -> None:
    registry, job, store = needed
    registry = from_a_source(registry, random)
    run(job, store, registry)
    step = replace(job, digest="f" * 32, needs=(Need(job.digest, "weights"),))
    source = sources_of(step, store, registry)["weights"]
    assert source.random_at_inference == random
    assert source.job == job
    assert source.predictions().ids == store.counts(job.digest).ids
    assert source.network().state_dict().keys() == source.weights().keys()


def test_a_needed_job_that_is_not_done_is_named(needed: tuple[Registry, Job, Store]) -> None:
    registry, job, store = needed
    step = replace(job, digest="f" * 32, needs=(Need(job.digest, "weights"),))
    with pytest.raises(StoreError, match=job.digest):
        sources_of(step, store, registry)
