"""The page on new architectures is true: its plugin trains, and its commands succeed."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench_core.cli.main import bench
from bench_core.execute.job import run_job
from bench_core.plan.expand import make_plan
from bench_core.protocol.interfaces import RunOptions
from bench_core.spec.load import load_spec
from bench_core.store.store import Store

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "new-architecture.md").read_text()
REST = """
version: 1
name: page
datasets:
  - {name: synthetic, options: {samples: 6, size: 32}}
protocol:
  image_size: 32
  batch_size: 2
  learning_rate: 1e-3
  evaluate: {folds: 3, epochs: 1, only: [0]}
"""


def _block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "pyramid.py"
    path.write_text(_block("python"))
    return path


def test_the_pages_plugin_trains_beside_others(tmp_path: Path, plugin: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(_block("yaml") + REST)
    loaded = load_spec(spec)
    jobs = make_plan(loaded.spec, loaded.registry).jobs
    assert [job.model.label for job in jobs] == ["u-net", "pyramid"]
    store = Store(tmp_path / "store", create=True)
    run_job(jobs[1], store, loaded.registry, RunOptions(), lambda event: None)
    result = store.result(jobs[1].digest)
    assert result.training.epochs_run == 1
    assert result.network.parameters == 3 * 32 * 9 + 2 * 32 + 32 * 64 * 9 + 2 * 64 + 64 * 9 + 1


def test_the_pages_commands_succeed_in_their_order(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(plugin.parent)
    blocks = re.findall(r"^```bash\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) == 4
    for line in lines:
        command, *arguments = shlex.split(line, comments=True)
        assert command == "bench"
        found = CliRunner().invoke(bench, arguments)
        assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["passed"]
    assert (plugin.parent / "test_my_net.py").is_file()
