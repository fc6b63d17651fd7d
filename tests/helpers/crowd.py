"""A study with executors beside it, whose workers do what tests need of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench_core.scaffold.files import plugin_text
from tests.helpers.bench import call_bench
from tests.helpers.small_study import write_spec

CODE = '''
import json
from dataclasses import asdict
from pathlib import Path

from bench_core import ExecutorDeclaration, Option, hookimpl
from bench_core.errors import BenchError


class Crowd:
    label = "a crowd\\x1b[31m of\\nnobody"

    def alive(self):
        return 0

    def stop(self, *, kill=False):
        pass


class Heard(Crowd):
    def stop(self, *, kill=False):
        (Path(__file__).parent / "stopped").touch()

    def alive(self):
        return 2 - 2 * (Path(__file__).parent / "stopped").exists()


def inline(request, options):
    """Run every job before returning, as quick workers would have."""
    from bench_core.execute.batch import read_batch
    from bench_core.execute.job import run_job
    from bench_core.plugins.wiring import load_registry
    from bench_core.store.store import Store

    store = Store(request.store)
    batch = read_batch(store, request.command[request.command.index("--batch") + 1])
    registry = load_registry(batch.order.plugins)
    for job in batch.jobs:
        if not store.is_done(job.digest):
            run_job(job, store, registry, batch.order.options, lambda event: None)
    return nobody(request, options)


def nobody(request, options):
    assert request.folder.is_dir() and not list(request.folder.iterdir())
    (request.folder / "crowd.log").write_text("no crowd \\x1b[2Jtoday\\n")
    (Path(__file__).parent / "request.json").write_text(json.dumps([asdict(request), options], default=str))
    return Crowd()


def refuses(request, options):
    raise BenchError("the queue is closed", fix="wait until Monday")


def buggy(request, options):
    raise RuntimeError("queue[0]")


@hookimpl
def bench_executors():
    minutes = {"minutes": Option(type=int, default=60, minimum=1, help="time limit")}
    starts = {"inline": inline, "nobody": nobody, "refuses": refuses, "buggy": buggy, "three": lambda *_: 3}
    starts["heard"] = lambda *_: Heard()
    more = {"help": "in tests", "options": minutes}
    lacking = ExecutorDeclaration(name="lacking", start=nobody, lacking=lambda: "no sbatch here", **more)
    return [lacking, *(ExecutorDeclaration(name=name, start=start, **more) for name, start in starts.items())]
'''


def write(folder: Path, models: str, epochs: int) -> Path:
    """Write a spec with these executors and one made by `bench new`."""
    path = write_spec(folder / "spec", models=models, epochs=epochs)
    (path.parent / "crowd.py").write_text(CODE)
    (path.parent / "processes.py").write_text(plugin_text("executor", "processes"))
    path.write_text(path.read_text().replace("[plugin.py]", "[plugin.py, crowd.py, processes.py]"))
    return path


def start(spec: Path, *words: str, store: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a study in `results` beside its folder, or in another store."""
    place = store or spec.parent.parent / "results"
    return call_bench("run", spec, "--store", place, "--device", "cpu", *words)
