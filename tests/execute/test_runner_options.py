"""Options of a runner's own: from the spec to the runner, and what it writes into the job's folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench_core.cli.main import bench
from bench_core.plan.expand import make_plan
from bench_core.spec.load import load_spec
from bench_core.store.store import Store
from tests.helpers.small_study import PLUGIN, write_spec

RUNNER = """

from bench_core import RunnerDeclaration


def fit(contract, options):
    from bench_torch.fit import fit as native

    given = options.runners["noting"]
    if given["note"]:
        options.folder.mkdir(parents=True, exist_ok=True)
        (options.folder / "note.txt").write_text(f"{given['note']} x {given['times']}")
    return native(contract, options)


@hookimpl
def bench_runners():
    options = {
        "note": Option(type=str, default="", help="what to write"),
        "times": Option(type=int, default=2, help="how often"),
    }
    return [RunnerDeclaration(name="noting", fit=fit, help="writes a note", options=options)]
"""


def _spec(folder: Path, runtime: str) -> Path:
    path = write_spec(folder, models="[{name: dots-net, runner: noting}]", epochs=1)
    (folder / "plugin.py").write_text(PLUGIN + RUNNER)
    path.write_text(path.read_text() + f"runtime: {{workers: 1, runners: {{{runtime}}}}}\n")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runtime", "recorded", "note"),
    [
        ("noting: {note: hello}", {"note": "hello", "times": 2}, "hello x 2"),
        ("noting: {}", {"note": "", "times": 2}, None),
    ],
)
def test_what_the_spec_gives_reaches_the_runner_and_the_result(
    tmp_path: Path, runtime: str, recorded: dict[str, object], note: str | None
) -> None:
    path, results = _spec(tmp_path, runtime), tmp_path / "results"
    done = CliRunner().invoke(bench, ["run", str(path), "--store", str(results), "--device", "cpu"])
    assert done.exit_code == 0, done.output
    loaded = load_spec(path)
    store = Store(results)
    for job in make_plan(loaded.spec, loaded.registry).jobs:
        assert store.result(job.digest).provenance["runners"] == {"noting": recorded}
        folder = store.folder(job.digest)
        listed = json.loads((folder / "manifest.json").read_text())["files"]
        if note is None:
            assert not (folder / "runner").exists()
        else:
            assert (folder / "runner/note.txt").read_text() == note
            assert "runner/note.txt" in listed
        store.check(job.digest)


def test_a_runners_options_are_no_part_of_a_jobs_identity(tmp_path: Path) -> None:
    digests = []
    for name, runtime in (("a", "noting: {note: hello}"), ("b", "noting: {note: bye, times: 3}")):
        loaded = load_spec(_spec(tmp_path / name, runtime))
        digests.append([job.digest for job in make_plan(loaded.spec, loaded.registry).jobs])
    assert digests[0] == digests[1]
