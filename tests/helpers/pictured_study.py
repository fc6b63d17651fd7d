"""A study whose label maps, counts, cases and samples agree with each other, written without any training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench_core.data.samples import Sample
from bench_core.execute.datasets import arrays_of
from bench_core.labels import choose_cases, count_all
from bench_core.plan.expand import make_plan
from bench_core.plan.job import Job
from bench_core.records import Case, Predictions
from bench_core.samples import Samples
from bench_core.seeds import derive_seed
from bench_core.spec.load import load_spec
from bench_core.store.store import Store
from tests.helpers.fake_study import PLUGIN, SPEC, Study, fake_result
from tests.helpers.sealing import write_sealed

UInt8 = NDArray[np.uint8]
READERS = PLUGIN.replace('"nowhere:open"', "partial(Drawn, name, len(classes), channels)").replace(
    "\nfrom bench_core import",
    """
from functools import partial

from tests.helpers.pictured_study import Drawn
from bench_core import""",
    1,
)
"""The plugin with datasets that can be read: with IMAGES images of SIZE pixels."""
SIZE = 40
IMAGES = {"moles": 15, "polyps": 20, "hearts": 10}
SHIFTS = {"broad": 0, "wide": 1, "ring": 3}
"""Pixels by which a model's usual prediction is off."""


class Drawn:
    """Reads what `drawn` draws."""

    def __init__(self, name: str, classes: int, channels: int, request: object) -> None:
        self.name, self.shape = name, (classes, channels, SIZE)

    def samples(self) -> list[Sample]:
        names = [f"{self.name}-{number:04d}" for number in range(IMAGES[self.name])]
        return [Sample(name, name) for name in names]

    def read(self, sample: Sample) -> tuple[UInt8, UInt8]:
        return drawn(self.name, int(sample.id[-4:]), *self.shape)


def write_pictured(
    folder: Path,
    images: Mapping[str, int] = IMAGES,
    size: int = SIZE,
    plugin: str = PLUGIN,
    models: str = "[broad, wide, ring]",
    shifts: Mapping[str, int] = SHIFTS,
    more: str = "",
    searches: bool = True,
    pictured: Callable[[Job], bool] = lambda job: True,
    cache: Path | None = None,
) -> Study:
    """Write spec, plugin and finished jobs; `images` says how many each dataset has.

    Jobs that are not `pictured` leave counts alone. With a `cache`, results are of the data that the plugin's
    readers read through it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study_plugin.py").write_text(plugin)
    path = folder / "study.yaml"
    text = SPEC.format(name="pictured", models=models, more=more)
    path.write_text(text.replace("image_size: 96", f"image_size: {size}"))
    loaded = load_spec(path)
    plan = make_plan(loaded.spec, loaded.registry)
    store = Store(folder / "results", create=True)
    prints = {
        job.dataset.name: arrays_of(job, loaded.registry, cache).fingerprint
        for job in plan.jobs
        if cache is not None
    }
    for job in plan.jobs:
        if searches or job.stage == "evaluate":
            shift = shifts.get(job.model.label, 2)
            _write(store, job, images[job.dataset.name], size, shift, pictured(job), prints)
    return Study(loaded, plan, store)


def drawn(dataset: str, number: int, classes: int, channels: int, size: int) -> tuple[UInt8, UInt8]:
    """Return an image [S, S, C] and its mask [S, S]; the first of each dataset is a thin line."""
    random = np.random.default_rng(derive_seed("drawn", dataset, number))
    rows, columns = np.mgrid[0:size, 0:size] / size
    mask = np.zeros((size, size), np.uint8)
    for label in range(classes, 0, -1):
        y, x = 0.5 + random.normal(0, 0.07, 2)
        mask[np.hypot(rows - y, columns - x) < 0.06 + 0.07 * label + random.random() * 0.05] = label
    if number == 0:
        mask[:] = 0
        mask[size // 2, 2:-2] = 1
    tone = 150 - 35.0 * mask[..., None] + random.normal(0, 9, (size, size, 1))
    tint = np.array([1.0, 0.72, 0.62]) if channels == 3 else np.ones(1)
    return np.clip(tone * tint, 0, 255).astype(np.uint8), mask


def predicted(mask: UInt8, model: str, dataset: str, number: int, shift: int) -> UInt8:
    """Return a model's label map: the truth moved by some pixels, sometimes empty."""
    random = np.random.default_rng(derive_seed("predicted", model, dataset, number))
    found = np.roll(mask, (shift + int(random.integers(0, 2)), int(random.integers(-1, 2))), axis=(0, 1))
    return np.zeros_like(mask) if random.random() < 0.04 else found


@cache
def _all(dataset: str, count: int, classes: int, channels: int, size: int) -> tuple[UInt8, UInt8]:
    pairs = [drawn(dataset, number, classes, channels, size) for number in range(count)]
    return np.stack([image for image, _ in pairs]), np.stack([mask for _, mask in pairs])


def _write(
    store: Store, job: Job, count: int, size: int, shift: int, pictured: bool, prints: Mapping[str, str]
) -> None:
    name, task = job.dataset.name, job.dataset.task
    images, masks = _all(name, count, len(task.classes), task.channels, size)
    tested = [number for number in range(count) if number % job.fold.count in (job.fold.test or (0,))]
    ids = tuple(f"{name}-{number:04d}" for number in tested)
    maps = np.stack([predicted(masks[n], job.model.label, name, n, shift) for n in tested])
    predictions = Predictions(ids, maps)
    counts = count_all(predictions, (masks[n] for n in tested), ids, task.classes)
    cases = tuple(
        Case(sample, rank, dice, images[tested[row]], masks[tested[row]], maps[row])
        for sample, rank, dice in choose_cases(ids, counts.values)
        for row in (ids.index(sample),)
    )
    result = fake_result(job, counts)
    facts = replace(result.data, samples=count, groups=count, test=len(tested))
    facts = replace(facts, fingerprint=prints.get(name, facts.fingerprint))
    store.keep_samples(
        Samples(
            facts.fingerprint,
            tuple(f"{name}-{number:04d}" for number in range(count)),
            tuple(f"{name}-{number:04d}" for number in range(count)),
            np.full((count, 2), size),
            None,
            {
                "age": tuple(float(20 + number % 60) for number in range(count)),
                "site": tuple("arm" if number % 3 else "leg" for number in range(count)),
            },
        )
    )
    kept = (cases, predictions) if pictured else ()
    write_sealed(store, job, replace(result, data=facts), counts, *kept)


__all__ = ["IMAGES", "READERS", "SHIFTS", "drawn", "predicted", "write_pictured"]
