"""A study whose images have several sizes, classes, a spacing and ignored pixels, to try steps on."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

from bench_core.plan.expand import Plan, make_plan
from bench_core.plan.job import Job
from bench_core.plugins.registry import Registry
from bench_core.spec.load import load_spec
from bench_core.store.store import Store
from tests.helpers.small_study import run

PLUGIN = '''
import numpy as np

from bench_core import IGNORE, Architecture, Dataset, Option, Task, hookimpl
from bench_core.data.samples import Sample

SIZES = ((16, 16), (24, 40), (33, 20))


def build(request):
    from torch import nn

    return nn.Sequential(nn.Conv2d(request.in_channels, 4, 3, padding=1), nn.ReLU(),
                         nn.Conv2d(4, request.num_classes, 1))


class Boxes:
    """A dark and a bright rectangle; of some images the second one is missing."""

    def __init__(self, request):
        self.options = request.options

    def samples(self):
        known = self.options["spacing"]
        return [
            Sample(f"box{i:02d}", f"box{i:02d}", (),
                   attributes={"device": "new" if i % 3 else "old", "age": 20.0 + i} if i else {},
                   spacing=(0.5, 0.25) if known == "all" or (known == "some" and i) else None)
            for i in range(self.options["count"])
        ]

    def read(self, sample):
        number = int(sample.id[3:])
        random = np.random.default_rng(number)
        height, width = SIZES[number % 3]
        mask = np.zeros((height, width), np.uint8)
        for label in (1, 2) if number % 4 else (1,):
            top, left = random.integers(0, height // 2), random.integers(0, width // 2)
            mask[top : top + height // 3, left : left + width // 3] = label
        image = random.integers(60, 100, (height, width, 1), dtype=np.uint8)
        image[mask == 1] -= 50
        image[mask == 2] += 120
        mask[0, :3] = IGNORE
        return image, mask


@hookimpl
def bench_models():
    return [Architecture(name=name, family="SMA", runner="torch", version=1, build=build)
            for name in ("box-net", "box-net-b")]


@hookimpl
def bench_datasets():
    options = {
        "count": Option(type=int, default=12, help="images"),
        "spacing": Option(type=str, default="none", help="known of", choices=("none", "some", "all")),
    }
    task = Task(classes=("dark", "bright"), channels=1, ignore=True)
    return [Dataset(name="boxes", version=1, task=task, open=Boxes, needs_root=False, options=options)]
'''

SPEC = """
version: 1
name: boxes
plugins: [plugin.py]
models: {models}
datasets: {datasets}
protocol:
  image_size: {size}
  resize: {resize}
  channels: native
  batch_size: 4
  pretrained: none
  learning_rate: 0.05
  evaluate: {{folds: 3, epochs: 3}}
steps: {steps}
{more}
"""


def write_boxes(
    folder: Path,
    steps: str,
    *,
    spacing: str = "none",
    datasets: str = "[{name: boxes, options: {spacing: SPACING}}]",
    models: str = "[box-net]",
    size: int = 16,
    resize: str = "pad-square",
    more: str = "",
    plugin: str = "",
) -> Path:
    """Write plugin.py and spec.yaml and return the spec's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plugin.py").write_text(PLUGIN + plugin)
    path = folder / "spec.yaml"
    datasets = datasets.replace("SPACING", spacing)
    path.write_text(
        SPEC.format(models=models, steps=steps, datasets=datasets, size=size, resize=resize, more=more)
    )
    return path


def planned(path: Path) -> tuple[Registry, Plan]:
    """Return a spec's registry and plan."""
    loaded = load_spec(path)
    return loaded.registry, make_plan(loaded.spec, loaded.registry)


def run_all(path: Path, store: Store) -> tuple[Registry, tuple[Job, ...]]:
    """Run every job of a spec in this process, in order; return the registry and the jobs."""
    registry, plan = planned(path)
    for job in plan.jobs:
        run(job, store, registry)
    return registry, plan.jobs


def in_table(name: str, edit: Callable[[list[dict[str, str]]], object]) -> Callable[[Path], object]:
    """Return what edits the rows of a table that a job left in its folder."""

    def change(folder: Path) -> None:
        path = folder / "records" / f"{name}.csv"
        rows = list(csv.DictReader(io.StringIO(path.read_text())))
        edit(rows)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        path.write_text(text.getvalue())

    return change
