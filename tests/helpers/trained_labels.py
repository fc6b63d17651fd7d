"""A study that is really trained on labels of which a few were spoiled, to see whether suspects finds them.

`python -m tests.helpers.trained_labels [RUNS]` prints the figures of docs/report.md.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import torch

from bench_core.analysis.gather import gather
from bench_core.analysis.suspects import Suspects, suspects
from bench_core.execute.job import run_job
from bench_core.plan.load import load_plan
from bench_core.protocol.run_options import RunOptions
from bench_core.store.store import Store

PLUGIN = '''
"""Drawn lesions of 32 pixels, in which every 20th label is wrong, and three small networks."""

import numpy as np

from bench_core import Architecture, Dataset, Option, Task, hookimpl
from bench_core.data.samples import Sample

SIDE = 32
KINDS = ("shifted", "missing", "swapped")


def drawn(seed, number):
    """Return image and true mask: an ellipse on a slope and grain, with little contrast in one of ten."""
    random = np.random.default_rng((seed, number))
    y, x = np.mgrid[:SIDE, :SIDE]
    (cy, cx), (a, b), turn = random.uniform(11, 21, 2), random.uniform(4, 9, 2), random.uniform(0, np.pi)
    u = (y - cy) * np.cos(turn) + (x - cx) * np.sin(turn)
    v = (x - cx) * np.cos(turn) - (y - cy) * np.sin(turn)
    mask = ((u / a) ** 2 + (v / b) ** 2 < 1).astype(np.uint8)
    contrast = 14 if number % 10 == 0 else random.uniform(30, 60)
    slope = random.uniform(-0.8, 0.8) * (x - SIDE / 2) + random.uniform(-0.8, 0.8) * (y - SIDE / 2)
    image = 110 + slope + random.normal(0, 18, (SIDE, SIDE)) + contrast * mask
    return np.clip(image, 0, 255).astype(np.uint8)[..., None], mask


def spoiled(seed, count, every):
    """Return number to how its label is wrong."""
    chosen = np.random.default_rng((seed, 10**6)).permutation(count)[: count // every]
    return {int(number): KINDS[place % len(KINDS)] for place, number in enumerate(chosen)}


class Lesions:
    def __init__(self, request):
        self.count, self.seed, self.every = (request.options[name] for name in ("count", "seed", "every"))
        self.wrong = spoiled(self.seed, self.count, self.every)

    def samples(self):
        names = {number: f"i{number:03d}" for number in range(self.count)}
        return [
            Sample(name, name, (), {"wrong": self.wrong[number]} if number in self.wrong else {})
            for number, name in names.items()
        ]

    def read(self, sample):
        number = int(sample.id[1:])
        image, mask = drawn(self.seed, number)
        kind = self.wrong.get(number)
        if kind == "shifted":
            mask = np.roll(mask, (5, 5), axis=(0, 1))
        elif kind == "missing":
            mask = np.zeros_like(mask)
        elif kind == "swapped":
            mask = drawn(self.seed, (number + 7) % self.count)[1]
        return image, mask


def steps(channels, out, dilations):
    from torch import nn

    parts, width = [], channels
    for dilation in dilations:
        parts += [nn.Conv2d(width, 12, 3, padding=dilation, dilation=dilation), nn.BatchNorm2d(12), nn.ReLU()]
        width = 12
    return nn.Sequential(*parts, nn.Conv2d(width, out, 1))


def plain(request):
    return steps(request.in_channels, request.num_classes, (1, 1, 2, 2))


def wide(request):
    return steps(request.in_channels, request.num_classes, (1, 2, 4))


def pooled(request):
    """A network with one step down and up."""
    from torch import cat, nn

    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = steps(request.in_channels, 12, (1,))
            self.below = nn.Sequential(nn.MaxPool2d(2), steps(12, 12, (1, 1)), nn.Upsample(scale_factor=2))
            self.last = steps(24, request.num_classes, (1,))

        def forward(self, images):
            first = self.first(images)
            return self.last(cat([first, self.below(first)], dim=1))

    return Pooled()


@hookimpl
def bench_models():
    builders = {"plain-net": plain, "wide-net": wide, "pooled-net": pooled}
    return [
        Architecture(name=name, family=name, runner="torch", version=1, build=build)
        for name, build in builders.items()
    ]


@hookimpl
def bench_datasets():
    numbers = {"count": 240, "seed": 0, "every": 20}
    options = {name: Option(type=int, default=value, help=name) for name, value in numbers.items()}
    task = Task(classes=("lesion",), channels=1)
    return [Dataset(name="lesions", version=1, task=task, open=Lesions, options=options, needs_root=False)]
'''

SPEC = """
version: 1
name: trained-labels
plugins: [plugin.py]
models: [plain-net, wide-net, pooled-net]
datasets: [{{name: lesions, options: {{seed: {seed}}}}}]
protocol:
  image_size: 32
  channels: native
  batch_size: 12
  pretrained: none
  augmentation: [{{RandomHorizontalFlip: {{p: 0.5}}}}]
  learning_rate: 0.01
  evaluate: {{folds: 3, epochs: {epochs}}}
"""


@dataclass(frozen=True)
class Trained:
    """What the ranking of a trained study found, and what was spoiled."""

    found: Suspects
    spoiled: dict[str, str]
    """Id to how its label was spoiled."""

    @property
    def first(self) -> list[str]:
        """As many ids as were spoiled, the most suspicious first."""
        return [row.id for row in self.found.ranked[: len(self.spoiled)]]

    @property
    def by_dice(self) -> list[str]:
        """As many ids, those with the lowest Dice first."""
        worst = sorted(self.found.ranked, key=lambda row: row.with_label)
        return [row.id for row in worst[: len(self.spoiled)]]

    def precision(self, ids: list[str]) -> float:
        """Return the share of ids that were spoiled."""
        return sum(sample in self.spoiled for sample in ids) / len(ids)


def trained(folder: Path, seed: int = 0, epochs: int = 12) -> Trained:
    """Train nine networks below a folder, on one thread, and rank the labels."""
    (folder / "plugin.py").write_text(dedent(PLUGIN))
    (folder / "spec.yaml").write_text(SPEC.format(seed=seed, epochs=epochs))
    loaded, plan = load_plan(folder / "spec.yaml")
    store = Store(folder / "results", create=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for job in plan.jobs:
            run_job(job, store, loaded.registry, RunOptions(), lambda _: None)
    finally:
        torch.set_num_threads(threads)
    evidence = gather(loaded.spec, plan, loaded.registry, store)
    found = suspects(evidence, "lesions")
    assert found is not None
    wrong = zip(evidence.samples("lesions").ids, evidence.attributes("lesions")["wrong"], strict=True)
    return Trained(found, {sample: str(kind) for sample, kind in wrong if kind})


def main(runs: int) -> None:
    hits: Counter[str] = Counter()
    of: Counter[str] = Counter()
    by_score = by_dice = 0.0
    unusual = right = 0
    for seed in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            one = trained(Path(folder), seed)
        by_score += one.precision(one.first) / runs
        by_dice += one.precision(one.by_dice) / runs
        of.update(one.spoiled.values())
        hits.update(one.spoiled[sample] for sample in one.first if sample in one.spoiled)
        unusual += len(one.found.standing_out)
        right += sum(row.id in one.spoiled for row in one.found.standing_out)
        print(seed, one.precision(one.first), one.precision(one.by_dice), flush=True)
    print("by score", by_score, "by Dice", by_dice, "unusual", unusual / runs, right / max(1, unusual))
    print({kind: hits[kind] / of[kind] for kind in of})


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
