"""A study small enough to be run for real in a test: a two-layer network, drawn images of 16 pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from textwrap import dedent

from bench_core.declarations import JobEvent
from bench_core.execute.job import run_job
from bench_core.plan.expand import Plan, make_plan
from bench_core.plan.job import Job
from bench_core.plugins.registry import Registry
from bench_core.protocol.contract import RunOptions
from bench_core.spec.load import LoadedSpec, load_spec
from bench_core.store.store import Store

PLUGIN = '''
"""Networks and data for tests."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from bench_core import Architecture, Dataset, Option, Task, hookimpl
from bench_core.data.samples import Sample
from bench_core.errors import DataError


def build_dots(request):
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(request.in_channels, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Conv2d(4, request.num_classes, 1),
    )


def build_broken(request):
    raise ValueError("the builder has a bug")


def build_fatal(request):
    os.kill(os.getpid(), signal.SIGKILL)


def build_slow(request):
    from torch import nn

    class Slow(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = build_dots(request)

        def forward(self, images):
            time.sleep(0.05)
            return self.net(images)

    return Slow()


def build_stuck(request):
    """A network that holds the interpreter's lock for hours, as a careless compiled library does."""
    import ctypes

    from torch import nn

    class Stuck(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = build_dots(request)

        def forward(self, images):
            Path(__file__).with_name("stuck").touch()
            ctypes.PyDLL(None).sleep(10_000)
            return self.net(images)

    return Stuck()


def build_diverging(request):
    """A network that overflows once a step is larger than 0.008: at a learning rate of 0.01, not of 0.001."""
    from torch import nn, zeros

    class Diverging(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.drift = build_dots(request), nn.Parameter(zeros(()))

        def forward(self, images):
            logits = self.net(images) + self.drift
            return logits * float("nan") if self.drift.abs() > 0.008 else logits

    return Diverging()


class Dots:
    """Bright squares on noise; one group an image."""

    def __init__(self, request):
        self.count, self.root = request.options["count"], request.root

    def samples(self):
        files = () if self.root is None else (Path(self.root) / "content.txt",)
        return [Sample(f"dot{i:03d}", f"dot{i:03d}", files) for i in range(self.count)]

    def read(self, sample):
        number = int(sample.id[3:])
        if self.root is not None and "corrupt" in (Path(self.root) / "content.txt").read_text():
            raise DataError("image is corrupt", place=str(Path(self.root) / "content.txt"))
        random = np.random.default_rng(number)
        image = random.integers(0, 100, (16, 16, 1), dtype=np.uint8)
        mask = np.zeros((16, 16), np.uint8)
        y, x = random.integers(0, 10, 2)
        mask[y : y + 6, x : x + 6] = 1
        image[mask == 1] += 120
        return image, mask


def model(name, build, **more):
    return Architecture(name=name, family="SMA", runner="torch", version=1, build=build, **more)


@hookimpl
def bench_models():
    return [
        model("dots-net", build_dots),
        model("broken-net", build_broken),
        model("fatal-net", build_fatal),
        model("slow-net", build_slow),
        model("diverging-net", build_diverging),
        model("stuck-net", build_stuck),
        model("needy-net", build_dots, requires=("no_such_package",)),
        model("future-net", None, unavailable="its builder is not written yet"),
    ]


@hookimpl
def bench_datasets():
    count = Option(type=int, default=15, help="images")
    task = Task(classes=("dot",), channels=1)
    common = {"version": 1, "task": task, "open": Dots, "options": {"count": count}}
    return [
        Dataset(name="dots", needs_root=False, **common),
        Dataset(name="dots-on-disk", how_to_get="draw them yourself", **common),
    ]
'''

SPEC = """
version: 1
name: small
plugins: [plugin.py]
models: {models}
datasets: {datasets}
protocol:
  image_size: 16
  channels: native
  batch_size: 4
  pretrained: none
  augmentation: [{{RandomHorizontalFlip: {{p: 0.5}}}}]
  {rates}
  evaluate: {{folds: 3, epochs: {epochs}}}
"""


def write_spec(
    folder: Path,
    *,
    models: str = "[dots-net]",
    datasets: str = "[dots]",
    epochs: int = 3,
    search: bool = False,
) -> Path:
    """Write plugin.py and spec.yaml and return the spec's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plugin.py").write_text(dedent(PLUGIN))
    rates = (
        "search: {learning_rate: [0.01, 0.001], epochs: 2, folds: [0]}" if search else "learning_rate: 0.01"
    )
    path = folder / "spec.yaml"
    path.write_text(SPEC.format(models=models, datasets=datasets, rates=rates, epochs=epochs))
    return path


def load(folder: Path, **settings: object) -> tuple[LoadedSpec, Plan]:
    """Write a spec and return it loaded, with its plan."""
    loaded = load_spec(write_spec(folder, **settings))  # type: ignore[arg-type]
    return loaded, make_plan(loaded.spec, loaded.registry)


def run(job: Job, store: Store, registry: Registry, **settings: object) -> list[JobEvent]:
    """Run one job in this process and return its events."""
    events: list[JobEvent] = []
    run_job(job, store, registry, RunOptions(), events.append, **settings)  # type: ignore[arg-type]
    return events


def with_digest(job: Job, digest: str) -> Job:
    """Return the job under another digest."""
    return replace(job, digest=digest)
