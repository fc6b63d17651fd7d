"""A study of seconds for tests of plugins: drawn images, and a rule instead of a network."""

from __future__ import annotations

import json
from pathlib import Path

from bench_core import open_study
from bench_core.scaffold.files import plugin_text
from bench_core.study import StudyResults

DATASET, MODEL = "trial-squares", "trial-level"
"""What a trial works on where its caller names nothing else; plugins that are written leave them free."""
_SPEC = """version: 1
name: trial
plugins: {plugins}
models: [{model}]
datasets: [{dataset}]
protocol:
  image_size: 32
  channels: native
  batch_size: 4
  pretrained: none
  learning_rate: 0.01
  evaluate: {{folds: 3, epochs: 1}}
{more}
"""


def write_trial(
    folder: Path, plugin: Path, *, dataset: str = DATASET, model: str = MODEL, more: str = ""
) -> Path:
    """Write a spec that uses a plugin file, and return its path; `more` are further sections as YAML."""
    world = {"dataset": DATASET, "runner": MODEL}
    for kind, name in world.items():
        (folder / f"trial_{kind}.py").write_text(plugin_text(kind, name), encoding="utf-8")
    # JSON is YAML, and quotes whatever a path may hold.
    plugins = json.dumps([str(plugin), *(f"trial_{kind}.py" for kind in world)])
    path = folder / "trial.yaml"
    text = _SPEC.format(plugins=plugins, model=model, dataset=dataset, more=more)
    path.write_text(text, encoding="utf-8")
    return path


def run_trial(
    folder: Path, plugin: Path, *, dataset: str = DATASET, model: str = MODEL, more: str = ""
) -> StudyResults:
    """Run every job of such a spec in this process, on the CPU, and return what is there.

    Raises whatever a job raises, with its traceback: that is what an author wants to see.
    """
    from bench_core.execute.job import run_job
    from bench_core.plan.load import load_plan
    from bench_core.protocol.contract import RunOptions
    from bench_core.store.store import Store

    spec = write_trial(folder, plugin, dataset=dataset, model=model, more=more)
    loaded, plan = load_plan(spec)
    store = Store(folder / "results", create=True)
    for job in plan.jobs:
        run_job(job, store, loaded.registry, RunOptions(), lambda event: None)
    return open_study(spec, folder / "results")
