"""The page on MMSegmentation is true: its plugin trains under both runners, its config file builds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from bench_core import BuildRequest
from bench_core.declarations import resolve_entry
from bench_core.execute.job import run_job
from bench_core.options import complete_options
from bench_core.plan.expand import make_plan
from bench_core.plugins.wiring import load_registry
from bench_core.protocol.interfaces import RunOptions
from bench_core.spec.load import load_spec
from bench_core.store.store import Store
from bench_mmseg.source import resolve

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "mmsegmentation.md").read_text()
SPEC = """
version: 1
name: page
plugins: [mit_upernet.py]
models:
  - {name: mit-upernet, pretrained: none, because: nobody trained it, runner: RUNNER, options: {channels: 8}}
datasets:
  - {name: synthetic, options: {samples: 6, size: 32}}
protocol:
  image_size: 32
  batch_size: 2
  learning_rate: 1e-3
  evaluate: {folds: 3, epochs: 1, only: [0]}
"""


def _python(name: str, folder: Path) -> Path:
    found = re.search(rf"^```python\n(# {name}\n.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    (folder / name).write_text(found[1])
    return folder / name


@pytest.mark.parametrize("runner", ["torch", "mmseg"])
def test_the_pages_plugin_trains(tmp_path: Path, runner: str) -> None:
    _python("mit_upernet.py", tmp_path)
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.replace("RUNNER", runner))
    loaded = load_spec(spec)
    (job,) = make_plan(loaded.spec, loaded.registry).jobs
    store = Store(tmp_path / "store", create=True)
    run_job(job, store, loaded.registry, RunOptions(), lambda event: None)
    assert store.result(job.digest).training.epochs_run == 1


def test_the_pages_plugin_declares_what_it_builds(tmp_path: Path) -> None:
    declared = load_registry([_python("mit_upernet.py", tmp_path)]).model("mit-upernet")
    assert declared.build is not None
    for classes, count in declared.parameters.items():
        request = BuildRequest(
            name=declared.name,
            in_channels=3,
            num_classes=classes,
            image_size=declared.size_minimum,
            pretrained="none",
            options=complete_options(declared.options, {}),
        )
        network = resolve_entry(declared.build)(request)
        assert sum(parameter.numel() for parameter in network.parameters()) == count
        with torch.no_grad():
            side = declared.size_minimum
            assert network.eval()(torch.zeros(1, 3, side, side)).shape == (1, classes, side, side)


def test_the_pages_config_builds(tmp_path: Path) -> None:
    declared = resolve(f"mmseg:{_python('my_net.py', tmp_path)}")
    assert declared.build is not None and declared.content
    request = BuildRequest(name=declared.name, in_channels=3, num_classes=2, image_size=32, pretrained="none")
    network = resolve_entry(declared.build)(request)
    assert network.decode_head.conv_seg.in_channels == 128
