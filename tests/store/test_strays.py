"""What does not belong into a store's folders, or is damaged there, stops no command."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench_core.cli.main import bench
from bench_core.plan.expand import Plan
from bench_core.plugins.registry import Registry
from bench_core.store.sightings import LOOKS_PER_LEASE
from bench_core.store.store import Store
from tests.helpers.silence import Watch
from tests.helpers.small_study import load, run

FOLDERS = ("jobs", "claims", "running", "failed", "queue")


@pytest.fixture
def study(tmp_path: Path) -> tuple[Path, Store, Plan, Registry]:
    """A spec and a store with its first job done."""
    loaded, plan = load(tmp_path / "spec", epochs=1)
    store = Store(tmp_path / "results", create=True)
    (store.path / "queue").mkdir()
    run(plan.jobs[0], store, loaded.registry)
    return tmp_path / "spec" / "spec.yaml", store, plan, loaded.registry


def litter(folder: Path) -> None:
    """Leave what file managers, editors, file servers and people leave."""
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini", "notes~", ".nfs0001", "0123.bak"):
        (folder / name).write_bytes(b"\x00\x01")
    for name in ("@eaDir", "old results", "lost+found", "x" * 32, "A" * 32, "0" * 31):
        (folder / name).mkdir()
    (folder / ("b" * 32)).write_text("a file with the name of a job")
    (folder / ("c" * 32)).symlink_to("nowhere")


def call(*arguments: object) -> Result:
    return CliRunner().invoke(bench, [str(argument) for argument in arguments])


def commands(spec: Path, store: Store, plan: Plan) -> list[tuple[object, ...]]:
    here = ("--store", store.path)
    return [
        ("status", spec, *here),
        ("plan", spec, *here),
        ("show", plan.jobs[0].digest[:12], *here),
        ("logs", plan.jobs[0].name, *here),
        ("report", spec, *here, "--out", store.path.parent / "report"),
    ]


def test_strays_stop_no_command(study: tuple[Path, Store, Plan, Registry]) -> None:
    spec, store, plan, registry = study
    for name in FOLDERS:
        litter(store.path / name)
    for command in commands(spec, store, plan):
        done = call(*command)
        assert done.exit_code == 0, (command, done.output, done.exception)
    states = store.states()
    assert states == {plan.jobs[0].digest: "done"} and store.known() == [plan.jobs[0].digest]
    run(plan.jobs[1], store, registry)
    assert store.state(plan.jobs[1].digest) == "done"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"host": 1}', b"\xff"], ids=repr)
@pytest.mark.parametrize("planned", [True, False], ids=["planned", "of another study"])
def test_an_owner_that_cannot_be_read_stops_no_command(
    study: tuple[Path, Store, Plan, Registry], content: bytes, planned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, store, plan, registry = study
    digest = plan.jobs[1].digest if planned else "d" * 32
    claim = store.claims / digest
    claim.mkdir()
    (claim / "owner.json").write_bytes(content)
    for command in commands(spec, store, plan):
        done = call(*command)
        assert done.exit_code == 0, (command, done.output, done.exception)
    watch = Watch(monkeypatch)
    for _ in range(LOOKS_PER_LEASE + 1):
        run(plan.jobs[1], store, registry)
        watch.wait(60)
    assert store.state(plan.jobs[1].digest) == "done", "once it is silent the job is taken over"


def test_a_failure_without_its_record_is_none(study: tuple[Path, Store, Plan, Registry]) -> None:
    _, store, plan, _ = study
    (store.failed / plan.jobs[1].digest).mkdir()
    assert store.state(plan.jobs[1].digest) == "todo" and plan.jobs[1].digest not in store.states()


def test_folders_of_lost_owners_go_once_the_job_is_done(study: tuple[Path, Store, Plan, Registry]) -> None:
    _, store, plan, _ = study
    left = store.running / f"{plan.jobs[0].digest}.deadbeef"
    left.mkdir()
    (left / "log.txt").write_text("x")
    other = store.running / f"{plan.jobs[1].digest}.deadbeef"
    other.mkdir()
    store.tidy()
    assert list(store.running.iterdir()) == [other]
