"""Data, plugin files and weights files that a result stands on: a change is told and never mixed in."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench_core.cli.main import bench
from bench_core.errors import BenchError, DataError
from bench_core.execute.fresh import freshness
from bench_core.execute.ground import Ground
from bench_core.plan.expand import Plan, make_plan
from bench_core.spec.load import LoadedSpec, load_spec
from bench_core.store.store import Store
from tests.helpers.bench import run_bench
from tests.helpers.small_study import run, write_spec


class Place:
    """A study on data that lie in a folder, with its store; everything is below one folder."""

    def __init__(self, base: Path, search: bool = False) -> None:
        self.base, self.data = base, base / "data" / "content.txt"
        self.data.parent.mkdir(parents=True)
        self.data.write_text("first")
        self.spec = write_spec(
            base / "spec",
            datasets=f"[{{name: dots-on-disk, label: mine, root: '{self.data.parent}'}}]",
            epochs=1,
            search=search,
        )
        self.plugin = base / "spec" / "plugin.py"
        self.store = base / "results"

    def load(self) -> tuple[LoadedSpec, Plan]:
        loaded = load_spec(self.spec)
        return loaded, make_plan(loaded.spec, loaded.registry)

    def run_all(self) -> None:
        loaded, plan = self.load()
        for job in plan.jobs:
            run(job, Store(self.store, create=True), loaded.registry)

    def call(self, command: str, *more: str) -> Result:
        arguments = [command, str(self.spec), "--store", str(self.store), *more]
        return CliRunner().invoke(bench, arguments)

    def status(self) -> dict[str, object]:
        data: dict[str, object] = json.loads(self.call("status", "--json").stdout)
        return data


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("fresh"))
    place.run_all()
    return place


@pytest.fixture
def place(finished: Place) -> Iterator[Place]:
    """The finished study; what a test changes is put back."""
    kept = finished.base.with_name(f"{finished.base.name}-kept")
    shutil.copytree(finished.base, kept)
    yield finished
    shutil.rmtree(finished.base)
    kept.rename(finished.base)


def test_nothing_is_stale_where_nothing_changed(place: Place) -> None:
    data = place.status()
    assert data["counts"] == {"done": 3}
    assert data["changed"] == data["damaged"] == data["not_compared"] == []


@pytest.mark.parametrize("what", ["data", "plugin plugin"])
def test_a_change_makes_results_stale(place: Place, what: str) -> None:
    file = place.data if what == "data" else place.plugin
    file.write_text(file.read_text() + "\n# more\n")
    told = place.call("status")
    assert "0 of 3 jobs done" in told.stdout
    assert f"stale: evaluate/dots-net/mine/fold-0 and 2 more: {what} changed (" in told.stderr
    assert "bench accept" in told.stderr
    data = place.status()
    assert data["counts"] == {"stale": 3}
    assert {item["changes"][0]["what"] for item in data["changed"]} == {what}  # type: ignore[attr-defined]


def test_a_file_that_is_touched_but_equal_changes_nothing(place: Place) -> None:
    text = place.data.read_text()
    place.data.unlink()
    place.data.write_text(text)
    place.plugin.touch()
    assert place.status()["counts"] == {"done": 3}


def test_data_that_are_not_at_hand_cannot_be_compared(place: Place) -> None:
    shutil.rmtree(place.data.parent)
    data = place.status()
    assert data["counts"] == {"done": 3}
    (text,) = data["not_compared"]  # type: ignore[misc]
    assert text.startswith("data of mine could not be compared: ")


def test_a_module_beside_a_plugin_counts_where_it_is_imported(tmp_path: Path) -> None:
    from bench_core.plugins.files import plugin_contents

    (tmp_path / "plugin.py").write_text("from parts.net import Net\nimport json\nENTRY = 'reader:open'\n")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").write_text("")
    (tmp_path / "parts" / "net.py").write_text("from . import block\n")
    for name in ("parts/block.py", "parts/unused.py", "reader.py", "other.py"):
        (tmp_path / name).write_text("")
    found = set(plugin_contents(tmp_path / "plugin.py"))
    assert found == {"plugin.py", "parts/__init__.py", "parts/net.py", "parts/block.py", "reader.py"}


def test_only_plugins_that_a_job_needs_count(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (place.spec.parent / "listener.py").write_text(
        "from bench_core import hookimpl\n\n\n@hookimpl\ndef bench_event(event):\n    pass\n"
    )
    text = place.spec.read_text().replace("[plugin.py]", "[plugin.py, listener.py]")
    place.spec.write_text(text)
    loaded, plan = place.load()
    job = plan.jobs[0]
    store = Store(place.store, create=True)
    run(job, store, loaded.registry)
    assert [name for name in store.result(job.digest).basis if name != "data"] == ["plugin plugin"]


def test_accepted_results_are_fresh_until_the_next_change(place: Place) -> None:
    place.data.write_text("second")
    refused = place.call("accept", "--because", "  ")
    assert isinstance(refused.exception, BenchError) and not (place.store / "accepted.json").exists()
    done = place.call("accept", "--because", "a typing error in one file name")
    assert done.exit_code == 0 and "accepted: evaluate/dots-net/mine/fold-0 and 2 more: data" in done.stdout
    assert place.status()["counts"] == {"done": 3}
    (entry,) = json.loads((place.store / "accepted.json").read_text())["accepted"]
    assert entry["because"] == "a typing error in one file name" and len(entry["results"]) == 3
    assert "nothing to accept" in place.call("accept", "--because", "again").stdout
    place.data.write_text("third")
    assert place.status()["counts"] == {"stale": 3}
    place.call("accept", "--because", "still no difference")
    assert place.status()["counts"] == {"done": 3}


def test_a_damaged_list_of_acceptances_is_named(place: Place) -> None:
    (place.store / "accepted.json").write_text('{"accepted": [{"time": 1}]}')
    done = place.call("status")
    assert done.exit_code != 0 and isinstance(done.exception, BenchError)
    assert "accepted.json" in str(done.exception) and "fix:" in str(done.exception)


@pytest.mark.slow
def test_run_computes_stale_results_anew_and_keeps_the_old(place: Place) -> None:
    _, plan = place.load()
    first = plan.jobs[0].digest
    before = json.loads((place.store / "jobs" / first / "result.json").read_text())
    place.data.write_text("second")
    done = run_bench("run", place.spec, "--store", place.store, "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert "3 done" in done.stdout and "before" not in done.stdout
    assert "stale: evaluate/dots-net/mine/fold-0 and 2 more: data changed (" in done.stderr
    assert {path.name for path in (place.store / "replaced").iterdir()} == {
        f"{job.digest}-1" for job in plan.jobs
    }
    kept = json.loads((place.store / "replaced" / f"{first}-1" / "result.json").read_text())
    after = json.loads((place.store / "jobs" / first / "result.json").read_text())
    assert kept == before and kept["data"]["fingerprint"] != after["data"]["fingerprint"]
    assert place.status()["counts"] == {"done": 3}


def test_a_job_is_not_built_on_a_stale_search(tmp_path: Path) -> None:
    place = Place(tmp_path, search=True)
    loaded, plan = place.load()
    searches = [job for job in plan.jobs if job.stage == "search"]
    store = Store(place.store, create=True)
    for job in searches:
        run(job, store, loaded.registry)
    place.data.write_text("second")
    done = place.call("run", "--only", "stage=evaluate")
    assert isinstance(done.exception, BenchError) and "which is stale" in str(done.exception)
    with pytest.raises(DataError, match="changed since its learning rate was searched"):
        run(plan.jobs[-1], store, loaded.registry)
    ground = Ground(loaded.registry, store.cache)
    assert set(freshness(plan.jobs, store, ground).stale) == {job.digest for job in searches}
    place.call("accept", "--because", "no difference")
    run(plan.jobs[-2], store, loaded.registry)
    assert store.is_done(plan.jobs[-2].digest)


def report(place: Place) -> tuple[str, dict[str, object]]:
    out = str(place.base / "report")
    data: dict[str, object] = json.loads(place.call("report", "--out", out, "--force", "--json").stdout)
    return (place.base / "report" / "report.html").read_text(), data


def test_a_report_says_at_its_top_that_its_data_have_changed(place: Place) -> None:
    place.data.write_text("second")
    page, data = report(place)
    text, *_ = data["warnings"]  # type: ignore[misc]
    assert text.startswith("data changed (") and text in page
    assert data["jobs"] == {"done": 3, "planned": 3}
    place.call("accept", "--because", "a typing error in one file name")
    page, data = report(place)
    (text,) = [item for item in data["warnings"] if "a typing error in one file name" in item]  # type: ignore[attr-defined]
    assert text in page


@pytest.mark.parametrize("at_hand", [True, False])
def test_results_on_different_data_are_not_compared(tmp_path: Path, at_hand: bool) -> None:
    """Two folds on the data of before, one on those of now: used are those of now, else those of most."""
    place = Place(tmp_path)
    loaded, plan = place.load()
    store = Store(place.store, create=True)
    for number, job in enumerate(plan.jobs):
        if number == 2:
            place.data.write_text("second")
        run(job, store, loaded.registry)
    if not at_hand:
        shutil.rmtree(place.data.parent)
    _, data = report(place)
    assert data["jobs"] == {"done": 1 if at_hand else 2, "planned": 3}
    left_out = list(data["missing"])  # type: ignore[attr-defined]
    assert {item["state"] for item in left_out} == {"stale"} and len(left_out) == (2 if at_hand else 1)
    assert all("it stands on other data (" in item["reason"] for item in left_out)
    assert any("not compared with them here" in text for text in data["warnings"])  # type: ignore[attr-defined]


def test_folds_of_one_model_under_different_code_are_not_mixed(tmp_path: Path) -> None:
    place = Place(tmp_path)
    store = Store(place.store, create=True)
    for number in range(3):
        if number == 1:
            place.plugin.write_text(place.plugin.read_text() + "\n\n# edited\n")
        loaded, plan = place.load()
        run(plan.jobs[number], store, loaded.registry)
    _, data = report(place)
    (missing,) = data["missing"]  # type: ignore[misc]
    assert missing["job"] == plan.jobs[0].name and "other plugin plugin (" in missing["reason"]


def test_a_damaged_result_is_named_with_its_fix_by_report_and_status(place: Place) -> None:
    _, plan = place.load()
    path = place.store / "jobs" / plan.jobs[0].digest / "counts.csv"
    path.write_text(path.read_text() + "garbage\n")
    _, data = report(place)
    told = place.call("report", "--out", str(place.base / "report"), "--force").stdout
    looked = place.call("status")
    assert "2 of 3 jobs done" in looked.stdout and f"{path}: damaged file in the store" in looked.stderr
    assert f"fix: rm -r {shlex.quote(str(path.parent))}" in looked.stderr
    assert f"{path}: damaged file in the store" in data["missing"][0]["reason"]  # type: ignore[index]
    assert f"rm -r {shlex.quote(str(path.parent))}" in told and "bench logs" not in told
