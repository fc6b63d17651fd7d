"""Every command that reads a store, over stores in which any file holds anything: one error, no traceback."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench_core import open_study
from bench_core.errors import BenchError
from bench_core.execute import local
from bench_core.execute.executor import Assignment, Message
from bench_core.store import folder as files
from bench_core.store.manifest import write_manifest
from bench_core.store.store import Store
from tests.cli.test_damaged_store import DEEP, ODD, mangled, places
from tests.helpers.bench import assert_it_ends_in_words
from tests.helpers.fake_executor import FakeExecutor
from tests.helpers.small_study import run
from tests.helpers.step_study import planned, write_boxes

COMMANDS: dict[str, list[str]] = {
    "show": ["JOB"],
    "show a step": ["STEP"],
    "logs": ["JOB"],
    "status": ["SPEC"],
    "plan": ["SPEC"],
    "plan --diff": ["SPEC", "--set", "protocol.batch_size=2", "--diff", "SPEC"],
    "run": ["SPEC", "--device", "cpu", "--workers", "1"],
    "verify": ["SPEC"],
    "verify --data": ["SPEC", "--data"],
    "verify --predict": ["SPEC", "--predict"],
    "report": ["SPEC", "--out", "OUT"],
    "export table": ["SPEC", "--out", "OUT"],
    "export counts": ["SPEC", "--out", "OUT"],
    "export counts of a step": ["SPEC", "--stage", "native", "--out", "OUT"],
    "export predictions": ["SPEC", "--size", "original", "--out", "OUT"],
    "export --archive": ["OUT.zip", "SPEC"],
    "merge": ["STORE", "--out", "OUT"],
    "compare stores": ["STORE", "WHOLE"],
    "accept": ["SPEC", "--because", "it makes no difference"],
    "data": ["SPEC"],
}
QUICK = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)


@dataclass(frozen=True)
class Held:
    """A store with a job, two steps on it, a failure and an acceptance."""

    spec: Path
    store: Path
    job: str
    step: str
    files: tuple[str, ...]
    """All that a command may read, as paths in the store."""

    def call(self, name: str, store: Path) -> None:
        out = store.with_name("out")
        shutil.rmtree(out, ignore_errors=True)
        archive = out.with_suffix(".zip")
        archive.unlink(missing_ok=True)
        known = {"SPEC": str(self.spec), "JOB": self.job, "STEP": self.step, "OUT": str(out)}
        known |= {"STORE": str(store), "WHOLE": str(self.store), "OUT.zip": str(archive)}
        command, *more = name.split(" a step")[0].split(" of ")[0].split()
        words = [word for word in more if word in ("table", "counts", "predictions", "--archive")]
        words += [known.get(word, word) for word in COMMANDS[name]]
        words += [] if "STORE" in COMMANDS[name] else ["--store", str(store)]
        assert_it_ends_in_words(command, *words)


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Held:
    base = tmp_path_factory.mktemp("hostile")
    spec = write_boxes(base / "spec", "[{name: measure, options: {metrics: [nsd]}}, native]")
    store = Store(base / "results", create=True)
    registry, plan = planned(spec)
    jobs = {job.name: job for job in plan.jobs if job.fold.index == 0}
    for job in jobs.values():
        run(job, store, registry)
    failed = store.failed / next(job.digest for job in plan.jobs if job.fold.index == 1)
    failed.mkdir()
    first = next(job for job in jobs.values() if job.stage == "evaluate")
    shutil.copy(store.folder(first.digest) / files.JOB, failed / files.JOB)
    failure = {"digest": failed.name, "name": "x", "kind": "TrainingError", "message": "it broke"}
    (failed / "failure.json").write_text(json.dumps(failure))
    accepted = {"time": "2026-01-01T00:00:00+00:00", "by": "me", "because": "x", "results": {}}
    accepted["results"] = {first.digest: {"data": ["a" * 64, "b" * 64]}}
    (store.path / "accepted.json").write_text(json.dumps({"accepted": [accepted]}))
    shutil.move(store.cache, base / "cache")
    names = sorted(str(path.relative_to(store.path)) for path in store.path.rglob("*") if path.is_file())
    step = next(job.digest for job in jobs.values() if job.stage == "native")
    return Held(spec, store.path, first.digest, step, tuple(names))


@pytest.fixture(autouse=True)
def no_processes(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let jobs that a damaged store makes stale fail at once, in no process; keep one cache for all."""

    def executor(store: Path, devices: Sequence[str]) -> FakeExecutor:
        return Refusing(lambda digest: (), len(devices))

    monkeypatch.setattr(local, "LocalExecutor", executor)
    monkeypatch.setenv("SEGTRIAL_CACHE", str(held.store.with_name("cache")))


class Refusing(FakeExecutor):
    """Starts nothing."""

    def start(self, assignment: Assignment) -> str | None:
        return None

    def hear(self, timeout: float) -> Sequence[Message]:
        raise BenchError("no job is run here")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_whole_store_is_read(held: Held, tmp_path: Path, name: str) -> None:
    shutil.copytree(held.store, tmp_path / "results")
    held.call(name, tmp_path / "results")


def changed_store(
    held: Held, base: Path, name: str, change: Callable[[Path], object], resealed: bool
) -> Path:
    """Copy the store, change one of its files, and make the manifest fit where a job's file was changed."""
    store = base / "results"
    shutil.rmtree(store, ignore_errors=True)
    shutil.copytree(held.store, store)
    change(store / name)
    folder = store / Path(*Path(name).parts[:2])
    if resealed and name.startswith("jobs/") and not name.endswith(files.MANIFEST):
        listed = json.loads((folder / files.MANIFEST).read_text())["files"]
        write_manifest(folder, list(listed))
    return store


@QUICK
@given(command=st.sampled_from(list(COMMANDS)), seed=st.integers(0, 2**32), value=ODD, resealed=st.booleans())
def test_no_value_in_any_file_ends_in_a_traceback(
    held: Held, tmp_path: Path, command: str, seed: int, value: Any, resealed: bool
) -> None:
    draw = random.Random(seed)
    name = draw.choice([name for name in held.files if name.endswith(".json")])

    def change(path: Path) -> None:
        data = json.loads(path.read_text())
        holder, key = draw.choice(places(data))
        if draw.random() < 0.3:
            del holder[key]
        else:
            holder[key] = value
        path.write_text(json.dumps(data))

    held.call(command, changed_store(held, tmp_path, name, change, resealed))


@QUICK
@given(
    command=st.sampled_from(list(COMMANDS)),
    seed=st.integers(0, 2**32),
    share=st.floats(0, 1),
    length=st.sampled_from([0, 1, 4, 100, 10**9]),
    filling=st.one_of(st.binary(max_size=8), st.sampled_from([b"\n", b",", b"-1", b"\0" * 64, DEEP])),
    resealed=st.booleans(),
)
def test_no_bytes_in_any_file_end_in_a_traceback(
    held: Held,
    tmp_path: Path,
    command: str,
    seed: int,
    share: float,
    length: int,
    filling: bytes,
    resealed: bool,
) -> None:
    name = random.Random(seed).choice(held.files)
    store = changed_store(
        held,
        tmp_path,
        name,
        lambda path: path.write_bytes(mangled(path.read_bytes(), share, length, filling)),
        resealed,
    )
    held.call(command, store)


@pytest.mark.parametrize(
    "kind", ["gone", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("folder", "link"))]
)
def test_no_file_that_is_missing_or_something_else_ends_in_a_traceback(
    held: Held, tmp_path: Path, kind: str
) -> None:
    def change(path: Path) -> None:
        path.unlink()
        if kind == "folder":
            path.mkdir()
        elif kind == "link":
            path.symlink_to("/dev/zero")

    for number, name in enumerate(held.files):
        command = list(COMMANDS)[(number * 7 + len(kind)) % len(COMMANDS)]
        held.call(command, changed_store(held, tmp_path, name, change, resealed=False))


def test_the_python_interface_ends_in_one_error_too(held: Held, tmp_path: Path) -> None:
    for name in (files.RESULT, files.COUNTS, files.PREDICTIONS):
        inside = f"jobs/{held.job}/{name}"
        store = changed_store(held, tmp_path, inside, lambda path: path.write_text("{}"), resealed=True)
        try:
            study = open_study(held.spec, store)
            study.counts("box-net", "boxes")
            study.predictions("box-net", "boxes")
        except BenchError as error:
            assert name in str(error) or "is not finished" in str(error)
