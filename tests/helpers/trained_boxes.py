"""A trained study of boxes with the step `native`, and its test images as files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bench_core.data.opening import open_reader
from bench_core.data.samples import UInt8Array
from bench_core.execute.datasets import source_of
from bench_core.plan.job import Apply, Job
from bench_core.plugins.registry import Registry
from bench_core.store.store import Store
from tests.helpers.step_study import run_all, write_boxes


@dataclass(frozen=True)
class TrainedBoxes:
    spec: Path
    store: Store
    registry: Registry
    jobs: tuple[Job, ...]

    def evaluate(self, fold: int) -> Job:
        """Return the job of a fold."""
        return next(job for job in self.jobs if job.stage == "evaluate" and job.fold.index == fold)

    def native(self, fold: int) -> Job:
        """Return the step's job on a fold."""
        jobs = (job for job in self.jobs if isinstance(job.work, Apply))
        return next(job for job in jobs if job.needs[0].digest == self.evaluate(fold).digest)

    def images(self) -> dict[str, UInt8Array]:
        """Return all images [H, W] of the dataset by id."""
        reader = open_reader(source_of(self.jobs[0].dataset, self.registry))
        return {sample.id: reader.read(sample)[0][:, :, 0] for sample in reader.samples()}

    def write(self, folder: Path) -> Path:
        """Write all images as gray PNGs and return the folder."""
        folder.mkdir(parents=True)
        for name, image in self.images().items():
            Image.fromarray(image).save(folder / f"{name}.png")
        return folder


def train_boxes(folder: Path) -> TrainedBoxes:
    """Train a model on three folds, with its label maps at original size."""
    store = Store(folder / "results", create=True)
    spec = write_boxes(folder / "spec", "[native]", models="[box-net]")
    registry, jobs = run_all(spec, store)
    return TrainedBoxes(spec, store, registry, jobs)


def read_labels(path: Path) -> UInt8Array:
    """Return the values of a palette PNG."""
    with Image.open(path) as image:
        assert image.mode == "P"
        return np.array(image)
