"""`bench worker` as schedulers call it: processes of its own over one store."""

from __future__ import annotations

import json
from pathlib import Path

from bench_core.cli.prepared import order_of
from bench_core.execute.batch import Batch, batch_ids, queue_batch
from bench_core.store.store import Store
from tests.helpers.bench import call_bench, run_bench
from tests.helpers.small_study import load, write_spec


def test_a_worker_queues_a_spec_and_leaves_nothing_behind(tmp_path: Path) -> None:
    spec, store = write_spec(tmp_path / "spec", search=True, epochs=1), tmp_path / "results"
    done = run_bench("worker", spec, "--store", store, "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[-1]["counts"] == {"done": 5}
    opened = Store(store)
    assert batch_ids(opened) == [] and list(opened.claims.iterdir()) == []
    environments = {opened.result(digest).provenance["spec"]["name"] for digest in opened.known()}
    assert environments == {"small"}


def queued(tmp_path: Path, **settings: object) -> tuple[Path, Store, str]:
    """Write a spec and queue its jobs; return the plugin file, the store and the batch's ID."""
    loaded, plan = load(tmp_path / "spec", **settings)
    store = Store(tmp_path / "results", create=True)
    batch = Batch("small", plan.jobs, order_of(loaded, 1, 0))
    return tmp_path / "spec" / "plugin.py", store, queue_batch(store, batch).id


def test_code_of_a_store_runs_only_if_it_is_named_or_trusted(tmp_path: Path) -> None:
    plugin, store, batch = queued(tmp_path)
    asked = call_bench("worker", store.path)
    assert asked.returncode == 2 and "code of its own" in asked.stderr and str(plugin) in asked.stderr
    assert f"--batch {batch}" in asked.stderr
    marker = tmp_path / "ran"
    plugin.write_text(f"open({str(marker)!r}, 'w')\n" + plugin.read_text())
    for words in (["--batch", batch], ["--trust-code"]):
        done = call_bench("worker", store.path, *words)
        assert done.returncode == 2 and "has changed since the study was queued" in done.stderr
    plugin.unlink()
    assert "cannot be read" in call_bench("worker", store.path, "--batch", batch).stderr
    assert not marker.exists()


def test_what_is_not_queued_is_said(tmp_path: Path) -> None:
    store = Store(tmp_path / "results", create=True)
    assert "nothing is queued" in call_bench("worker", store.path).stderr
    done = call_bench("worker", store.path, "--batch", "0" * 32)
    assert done.returncode == 2 and "no batch" in done.stderr
    spec = write_spec(tmp_path / "spec")
    assert call_bench("worker", spec, "--batch", "0" * 32).returncode == 2
    assert call_bench("worker", store.path, "--set", "a=b").returncode == 2
