"""A network that is trained anew is another one: what was predicted with the old one goes with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench_core.cli.fresh import ground_of
from bench_core.execute.fresh import freshness, set_aside
from bench_core.plan.expand import make_plan
from bench_core.spec.load import load_spec
from bench_core.store.store import Store
from tests.helpers.small_study import run, write_spec

pytestmark = pytest.mark.usefixtures("one_thread")


def test_steps_on_other_data_follow_the_data_that_networks_were_trained_on(tmp_path: Path) -> None:
    data = tmp_path / "data" / "content.txt"
    data.parent.mkdir()
    data.write_text("first")
    entry = f"{{name: dots-on-disk, label: mine, root: '{data.parent}'}}"
    spec = write_spec(tmp_path / "spec", datasets=f"[{entry}]", epochs=1)
    spec.write_text(
        spec.read_text() + "steps: [{name: transfer, dataset: {name: dots, options: {count: 6}}}]\n"
    )
    plugin = spec.with_name("plugin.py")
    other = "default_rng(number + (100 if self.root is None else 0))"
    plugin.write_text(plugin.read_text().replace("default_rng(number)", other))
    loaded = load_spec(spec)
    jobs, store = make_plan(loaded.spec, loaded.registry).jobs, Store(tmp_path / "results", create=True)

    def stale() -> dict[str, set[str]]:
        """Stages of stale jobs with what has changed."""
        found = freshness(jobs, store, ground_of(loaded.registry, store)).stale
        return {
            job.stage: {change.what for change in found[job.digest]} for job in jobs if job.digest in found
        }

    def run_anew(stage: str) -> None:
        mine, ground = [job for job in jobs if job.stage == stage], ground_of(loaded.registry, store)
        set_aside(mine, store, ground, freshness(jobs, store, ground))
        for job in mine:
            if not store.is_done(job.digest):
                run(job, store, loaded.registry)

    run_anew("evaluate")
    run_anew("transfer")
    assert stale() == {}
    data.write_text("second")
    assert stale() == {"evaluate": {"data"}, "transfer": {"data"}}
    # Only the networks are trained anew; what the old ones predicted stays stale.
    run_anew("evaluate")
    assert stale() == {"transfer": {"needed data"}}
    run_anew("transfer")
    assert stale() == {}
