"""status, logs, show, and what a run says."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench_core.cli.main import bench
from bench_core.declarations import JobEvent
from bench_core.errors import DataError
from bench_core.execute.job import run_job
from bench_core.execute.select import SelectionError
from bench_core.metrics.counts import micro
from bench_core.plan.expand import Plan
from bench_core.protocol.run_options import RunOptions
from bench_core.store.result import Failure
from bench_core.store.store import Store
from bench_core.store.taking import take_claim
from tests.helpers.small_study import load, run, write_spec


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Plan]:
    """A spec and a store with one job done, one failed, one claimed, of three."""
    base = tmp_path_factory.mktemp("study")
    loaded, plan = load(base / "spec", epochs=2)
    store = Store(base / "results", create=True)
    run(plan.jobs[0], store, loaded.registry)
    failed = plan.jobs[1]
    store.prepare(failed)
    store.fail(
        failed, Failure(failed.digest, failed.name, "TrainingError", "loss is NaN", fix="a lower rate")
    )
    take_claim(store.claims, plan.jobs[2].digest)
    return base / "spec" / "spec.yaml", base / "results", plan


def call(*arguments: object) -> Result:
    return CliRunner().invoke(bench, [str(argument) for argument in arguments], catch_exceptions=False)


def test_status_tells_every_state(study: tuple[Path, Path, Plan]) -> None:
    spec, store, plan = study
    done = call("status", spec, "--store", store)
    assert done.exit_code == 0
    assert "1 of 3 jobs done" in done.output
    assert f"failed: {plan.jobs[1].name}: loss is NaN" in done.output
    assert f"bench logs {plan.jobs[1].digest[:12]}" in done.output
    assert f"running: {plan.jobs[2].name}" in done.output
    assert "bench run" in done.output and "\x1b" not in done.output


def test_status_as_json(study: tuple[Path, Path, Plan]) -> None:
    spec, store, plan = study
    data = json.loads(call("status", spec, "--store", store, "--json").output)
    assert data["counts"] == {"done": 1, "failed": 1, "running": 1}
    assert [job["digest"] for job in data["jobs"]] == [job.digest for job in plan.jobs]
    assert data["failures"][0]["message"] == "loss is NaN" and data["stale"] == []


def test_status_tells_stale_results(study: tuple[Path, Path, Plan]) -> None:
    spec, store, plan = study
    changed = call("status", spec, "--store", store, "--set", "protocol.batch_size=2", "--json")
    data = json.loads(changed.output)
    assert data["counts"] == {"todo": 3} and len(data["stale"]) == 1
    text = call("status", spec, "--store", store, "--set", "protocol.batch_size=2").output
    (stale,) = data["stale"]
    assert stale["digest"] in {job.digest for job in plan.jobs}
    assert f"{stale['name']}: {stale['digest'][:12]}" in text
    assert call("show", stale["digest"][:12], "--store", store).exit_code == 0


def test_logs_by_name_and_by_digest(study: tuple[Path, Path, Plan]) -> None:
    _, store, plan = study
    by_name = call("logs", plan.jobs[0].name, "--store", store)
    by_digest = call("logs", plan.jobs[0].digest[:8], "--store", store, "--follow")
    assert by_name.exit_code == 0 and "epoch 2/2" in by_name.output
    assert by_name.output == by_digest.output


def test_show_prints_settings_metrics_and_provenance(study: tuple[Path, Path, Plan]) -> None:
    _, store, plan = study
    shown = call("show", plan.jobs[0].name, "--store", store).output
    for part in (
        "batch_size",
        "metrics of 5 test images",
        "percent, higher is better; pooled over images and classes:  all classes ",
        "fingerprint",
        "learning_rate",
        "torch: ",
    ):
        assert part in shown
    data = json.loads(call("show", plan.jobs[0].digest[:10], "--store", store, "--json").output)
    assert data["state"] == "done" and data["result"]["network"]["parameters"] == 53
    assert set(data["metrics"]["all"]) == {"mdsc", "miou", "mrecall", "mprecision"}
    failed = json.loads(call("show", plan.jobs[1].digest[:10], "--store", store, "--json").output)
    assert failed["failure"]["fix"] == "a lower rate" and "result" not in failed


def test_run_with_nothing_to_do_says_so_and_what_is_next(study: tuple[Path, Path, Plan]) -> None:
    spec, store, _ = study
    done = call("run", spec, "--store", store, "--only", "fold=0", "--device", "cpu")
    assert done.exit_code == 0
    assert "0 done now, 1 before or elsewhere" in done.output and "next: bench report" in done.output


def test_run_refuses_up_front_and_creates_no_store(tmp_path: Path) -> None:
    load(tmp_path, models="[future-net]")
    from bench_core.execute.preflight import PreflightError

    with pytest.raises(PreflightError, match="not written yet"):
        call("run", tmp_path / "spec.yaml", "--store", tmp_path / "results", "--device", "cpu")
    assert not (tmp_path / "results").exists()


def test_jobs_whose_search_is_left_out_wait(tmp_path: Path) -> None:
    load(tmp_path, search=True)
    command = ("run", tmp_path / "spec.yaml", "--store", tmp_path / "results", "--only", "stage=evaluate")
    done = call(*command, "--device", "cpu")
    assert done.exit_code == 0 and "3 not run" in done.output
    assert "waiting for 2 search job(s) that are not part of this run" in done.output
    assert Store(tmp_path / "results").states() == {}


def test_one_only_takes_several_keys(tmp_path: Path) -> None:
    load(tmp_path, search=True)
    command = ("run", tmp_path / "spec.yaml", "--store", tmp_path / "results", "--device", "cpu")
    one = call(*command, "--only", "stage=evaluate", "fold=1")
    repeated = call(*command, "--only", "stage=evaluate", "--only", "fold=1")
    assert one.exit_code == 0 and "1 not run" in one.output
    assert one.output == repeated.output
    stray = call(*command, "fold=1")
    assert stray.exit_code == 2 and "--only fold=1" in stray.output


def test_corrupt_data_are_told_once_and_no_job_is_begun(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / "content.txt").write_text("corrupt")
    load(tmp_path, datasets=f"[{{name: dots-on-disk, label: dots, root: {root}}}]")
    with pytest.raises(DataError, match="image is corrupt"):
        call("run", tmp_path / "spec.yaml", "--store", tmp_path / "results", "--device", "cpu")
    assert set(Store(tmp_path / "results").states().values()) == set()


def test_one_mistake_of_many_jobs_is_told_once(tmp_path: Path) -> None:
    load(tmp_path, models="[broken-net]")
    done = call(
        "run", tmp_path / "spec.yaml", "--store", tmp_path / "results", "--device", "cpu", "--workers", "1"
    )
    assert done.exit_code == 1 and "3 failed" in done.output
    summary = done.output[done.output.index("3 failed") :]
    assert summary.count("failed: evaluate/") == 1 and " and 2 more" in summary
    assert summary.count("log: bench logs") == 1


@pytest.mark.slow
def test_networks_that_learned_nothing_are_told_at_the_end(tmp_path: Path) -> None:
    """Logits far below zero are background in every pixel."""
    path = write_spec(tmp_path, epochs=1)
    plugin = tmp_path / "plugin.py"
    head = "        nn.Conv2d(4, request.num_classes, 1),"
    code = plugin.read_text().replace(head, f"{head}\n        Shifted(),", 1)
    shifted = (
        "from torch import nn\nclass Shifted(nn.Module):\n    def forward(self, x):\n        return x - 99\n"
    )
    plugin.write_text(code + "\n\n" + shifted)
    done = call("run", path, "--store", tmp_path / "results")
    assert done.exit_code == 0
    assert "warning: evaluate/dots-net/dots/fold-0 and 2 more: it predicts background alone on" in done.output


@pytest.mark.parametrize("only", ["model=", "model= ", "model=,", "model=dots-net,", "fold="])
def test_an_empty_selection_is_refused(study: tuple[Path, Path, Plan], only: str) -> None:
    spec, store, _ = study
    done = CliRunner().invoke(bench, ["run", str(spec), "--store", str(store), "--only", only])
    assert isinstance(done.exception, SelectionError) and "names no" in str(done.exception)
    assert "variable" in str(done.exception.cause)


@pytest.mark.slow
def test_a_damaged_result_is_named_with_what_to_do(tmp_path: Path) -> None:
    loaded, plan = load(tmp_path / "spec", epochs=1)
    store = Store(tmp_path / "results", create=True)
    for job in plan.jobs:
        run(job, store, loaded.registry)
    arguments = ("run", tmp_path / "spec" / "spec.yaml", "--store", store.path, "--device", "cpu")
    assert call(*arguments).exit_code == 0
    damaged = store.folder(plan.jobs[1].digest) / "counts.csv"
    damaged.write_bytes(damaged.read_bytes() + b"garbage")
    done = call(*arguments)
    assert done.exit_code == 1 and f"damaged: {damaged}" in done.output
    (fix,) = (line.split("fix: ")[1] for line in done.output.splitlines() if "fix: rm -r" in line)
    assert fix.startswith(f"rm -r {shlex.quote(str(damaged.parent))}")
    data = json.loads(call(*arguments, "--json").output.splitlines()[-1])
    assert data["damaged"][0]["place"] == str(damaged)
    shutil.rmtree(damaged.parent)
    again = call(*arguments)
    assert again.exit_code == 0 and "1 done now, 2 before" in again.output


def test_an_interrupted_job_is_shown_with_its_epoch(tmp_path: Path) -> None:
    loaded, plan = load(tmp_path / "spec", epochs=5)
    store = Store(tmp_path / "results", create=True)
    job = plan.jobs[0]

    def stop(event: JobEvent) -> None:
        if event.kind == "epoch" and event.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(job, store, loaded.registry, RunOptions(), stop)
    arguments = ("status", tmp_path / "spec" / "spec.yaml", "--store", store.path)
    shown = " ".join(call(*arguments).output.split())
    assert f"interrupted: {job.name} after epoch 3 of 5; `bench run` resumes it there" in shown
    data = json.loads(call(*arguments, "--json").output)
    assert [item["epochs_kept"] for item in data["jobs"]] == [3, None, None]
    trace = next(store.running.glob("*/trace.jsonl"))
    trace.write_bytes(b"\xff garbage {")
    assert "after epoch 0 of 5" in " ".join(call(*arguments).output.split())


@pytest.mark.slow
@pytest.mark.parametrize("edited", [False, True])
def test_a_run_says_whether_an_interrupted_job_is_taken_up_or_starts_anew(
    tmp_path: Path, edited: bool
) -> None:
    loaded, plan = load(tmp_path / "spec", epochs=5)
    store = Store(tmp_path / "results", create=True)

    def stop(event: JobEvent) -> None:
        if event.kind == "epoch" and event.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(plan.jobs[0], store, loaded.registry, RunOptions(), stop)
    if edited:
        plugin = tmp_path / "spec" / "plugin.py"
        plugin.write_text(plugin.read_text() + "# edited\n")
    arguments = ("run", tmp_path / "spec" / "spec.yaml", "--store", store.path, "--device", "cpu", "--json")
    lines = call(*arguments, "--only", "fold=0").output.splitlines()
    told = [json.loads(line) for line in lines if '"event"' in line]
    assert [event["event"] for event in told[:2]] == ["started", "anew" if edited else "resumed"]
    if edited:
        assert "since it was interrupted plugin plugin changed (" in told[1]["because"]
    else:
        assert (told[1]["epochs_kept"], told[1]["epochs"]) == (3, 5)
    assert sum(event["event"] == "epoch" for event in told) == (5 if edited else 2)


@pytest.mark.slow
def test_scores_stay_on_the_screen_and_equal_failures_are_one(tmp_path: Path) -> None:
    load(tmp_path, models="[dots-net, broken-net]", epochs=1)
    arguments = ("--store", tmp_path / "results")
    done = call("run", tmp_path / "spec.yaml", *arguments, "--device", "cpu", "--workers", "1")
    assert done.exit_code == 1
    (line,) = (line for line in done.output.splitlines() if line.startswith("  dots-net on dots: "))
    assert "mdsc 0." in line and "miou 0." in line and "(mean of 3 jobs)" in line
    assert done.output.count("failed: ValueError: the builder has a bug") == 1
    assert done.output.count("failed for the same reason as evaluate/broken-net/dots/fold-0") == 2
    status = " ".join(call("status", tmp_path / "spec.yaml", *arguments).output.split())
    assert status.count("the builder has a bug") == 1 and "and 2 more" in status


LISTENER = """

@hookimpl
def bench_event(event):
    import json
    from dataclasses import asdict
    from pathlib import Path

    with (Path(__file__).parent / "events.jsonl").open("a") as file:
        file.write(json.dumps(asdict(event)) + "\\n")
    raise RuntimeError("no network")
"""


@pytest.mark.slow
def test_a_tracker_hears_all_and_may_fail(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, epochs=2)
    plugin = tmp_path / "plugin.py"
    plugin.write_text(plugin.read_text() + LISTENER)
    store = tmp_path / "results"
    done = call("run", spec, "--store", store, "--device", "cpu", "--only", "fold=1")
    assert done.exit_code == 0
    assert done.stderr.count("listener failed") == 1 and "plugin: RuntimeError: no network" in done.stderr
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [event["kind"] for event in events] == ["started", "epoch", "epoch", "testing", "finished"]
    for event in events:
        assert event["job"] == "evaluate/dots-net/dots/fold-1" and event["stage"] == "evaluate"
        assert (event["model"], event["dataset"], event["fold"], event["repeat"]) == (
            "dots-net",
            "dots",
            1,
            0,
        )
        assert event["store"] == str(store.resolve())
    assert [(event["done"], event["total"]) for event in events[1:3]] == [(1, 2), (2, 2)]
    tested = micro(Store(store).counts(events[-1]["digest"]).values)
    assert events[-1]["metrics"] == tested and set(tested) >= {"mdsc", "miou"}
