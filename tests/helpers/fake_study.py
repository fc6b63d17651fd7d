"""A study written straight into a store: plausible counts, histories and pictures without any training."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.gather import gather
from bench_core.metrics.counts import micro
from bench_core.plan.expand import Plan, make_plan
from bench_core.plan.job import Job
from bench_core.records import Case, Counts, DataFacts, EpochRecord, NetworkFacts, TrainingRecord
from bench_core.seeds import derive_seed
from bench_core.spec.load import LoadedSpec, load_spec
from bench_core.store.result import Result
from bench_core.store.store import Store
from tests.helpers.sealing import write_sealed

PLUGIN = """
from bench_core import Architecture, Dataset, Deviation, Task, hookimpl


def net(name, family, title, **more):
    return Architecture(name=name, family=family, title=title, runner="torch", version=1, build="no:build",
                        pretrained=("imagenet", "none"), **more)


FP32 = {"precision": Deviation(value="fp32", because="a product overflows in fp16")}


@hookimpl
def bench_models():
    return [
        net("broad", "GP-VM", "BroadFormer"),
        net("wide", "GP-VM", "WideNeXt", deviations=FP32),
        net("ring", "SMA", "RingNet"),
    ]


def data(name, title, modality, classes, channels):
    return Dataset(name=name, version=1, title=title, task=Task(classes=classes, channels=channels),
                   open="nowhere:open", modality=modality, license="CC BY 4.0", needs_root=False)


@hookimpl
def bench_datasets():
    return [
        data("moles", "Moles'26", "dermoscopy", ("lesion",), 3),
        data("polyps", "Polyps & more", "endoscopy", ("non-neoplastic", "neoplastic"), 3),
        data("hearts", "Hearts", "ultrasound", ("ventricle", "wall", "atrium"), 1),
    ]
"""

SPEC = """\
version: 1
name: {name}
description: Do specialized networks beat general-purpose ones under one protocol?
plugins: [study_plugin.py]
models: {models}
datasets: [moles, polyps, hearts]
protocol:
  image_size: 96
  precision: fp16
  batch_size: 8
  augmentation: [RandomHorizontalFlip, {{RandomAffine: {{degrees: 180}}}}]
  search: {{learning_rate: [1e-4, 5e-5, 1e-5], epochs: 20, folds: [0]}}
  evaluate: {{folds: 5, epochs: 30}}
{more}"""

SKILL = {"broad": 0.92, "wide": 0.915, "ring": 0.885}


@dataclass(frozen=True)
class Study:
    """A spec, its plan and its store."""

    loaded: LoadedSpec
    plan: Plan
    store: Store

    def evidence(self) -> Evidence:
        return gather(
            self.loaded.spec, self.plan, self.loaded.registry, self.store, "study.yaml", self.loaded.base
        )


def write_study(
    folder: Path,
    keep: Callable[[Job], bool] = lambda job: True,
    change: Callable[[Job, Result], Result] = lambda job, result: result,
    counts_of: Callable[[Job], Counts] | None = None,
    name: str = "fake-study",
    models: str = "[broad, wide, ring]",
    more: str = "",
    plugin: str = PLUGIN,
) -> Study:
    """Write spec, plugin and results of the jobs to `keep`; `change` edits a result before it is sealed."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study_plugin.py").write_text(plugin)
    path = folder / "study.yaml"
    path.write_text(SPEC.format(name=name, models=models, more=more))
    loaded = load_spec(path)
    plan = make_plan(loaded.spec, loaded.registry)
    store = Store(folder / "results", create=True)
    for job in plan.jobs:
        if keep(job):
            counts = (counts_of or fake_counts)(job)
            data = job.dataset
            cases = fake_cases(data.name, len(data.task.classes), data.task.channels, job.fold.index)
            write_sealed(store, job, change(job, fake_result(job, counts)), counts, cases)
    return Study(loaded, plan, store)


def skill(job: Job) -> float:
    base = SKILL.get(job.model.name, 0.9)
    if job.dataset.name == "polyps":
        base -= 0.02 if base > 0.9 else 0.06
    if job.learning_rate is not None:
        base -= 0.02 * abs(math.log10(job.learning_rate / 5e-5))
    random = np.random.default_rng(derive_seed("fold", job.dataset.name, job.fold.index))
    return base + float(random.normal(0, 0.006))


def fake_counts(job: Job) -> Counts:
    random = np.random.default_rng(derive_seed(job.digest, "counts"))
    classes = job.dataset.task.classes
    samples = 40
    size = random.integers(60, 900, (samples, len(classes)))
    if len(classes) == 2:
        size[:, 0] = np.where(random.random(samples) < 0.7, 0, size[:, 0] // 4)
    ratio = np.clip(skill(job) + random.normal(0, 0.05, size.shape) - 0.2 * (size < 250), 0.02, 1)
    hit = np.round(size * ratio).astype(np.int64)
    extra = np.round(size * np.clip(1 - ratio + random.normal(0, 0.02, size.shape), 0, 1)).astype(np.int64)
    values = np.stack([hit, extra, size - hit], axis=-1).astype(np.int64)
    ids = tuple(f"{job.dataset.name}-{job.fold.index}-{index:03d}" for index in range(samples))
    return Counts(ids, tuple(f"p{index // 2}" for index in range(samples)), classes, values)


def fake_result(job: Job, counts: Counts) -> Result:
    random = np.random.default_rng(derive_seed(job.digest, "history"))
    planned = job.training.epochs
    epochs = planned if job.stage == "search" else planned - int(random.integers(0, 8))
    top = skill(job)
    history = []
    for epoch in range(epochs):
        share = 1 - math.exp(-4 * (epoch + 1) / epochs)
        value = float(np.clip(top * share + random.normal(0, 0.008), 0, 1))
        metrics = {"mdsc": value, "miou": value / (2 - value), "mrecall": value, "mprecision": value}
        history.append(
            EpochRecord(
                epoch, 1e-4, 0.6 * (1 - share) + 0.05 + 0.02 * float(random.random()), metrics, 2.5, 0.5
            )
        )
    best = max(range(epochs), key=lambda epoch: history[epoch].validation["miou"])
    rates = {"1e-04": 0.8, "5e-05": 0.82, "1e-05": 0.79} if job.learning_rate is None else {}
    return Result(
        digest=job.digest,
        training=TrainingRecord(
            learning_rate=job.learning_rate or (1e-4 if job.model.name == "ring" else 5e-5),
            candidates=rates,
            history=tuple(history),
            planned_epochs=planned,
            chosen_epoch=best,
            monitor="miou",
            best_value=history[best].validation["miou"],
        ),
        tested="validation" if job.stage == "search" else "test",
        network=NetworkFacts(
            parameters={"broad": 47_200_000, "wide": 48_900_000}.get(job.model.name, 31_037_633)
            + 65 * len(counts.classes),
            notes=("one weight tensor of the stem is new: four input channels",)
            if job.model.name == "ring"
            else (),
        ),
        data=DataFacts(
            fingerprint=f"{derive_seed(job.dataset.name):064x}",
            fold_hash=f"{derive_seed(job.dataset.name, 'folds'):064x}",
            samples=200,
            groups=100,
            train=120,
            validation=40,
            test=40,
        ),
        provenance=fake_provenance(),
        seconds=3.0 * epochs + 1.25,
        peak_memory_bytes=1_234_000_000,
    )


def fake_provenance(torch: str = "2.14.1", device: str = "cpu") -> dict[str, Any]:
    return {
        "segtrial": "0.1.0",
        "python": "3.11.2",
        "packages": {"torch": torch, "numpy": "2.4.0"},
        "system": "Linux 6.1 x86_64",
        "cpu": "Some CPU @ 2.0 GHz",
        "cpu_cores": 2,
        "gpus": [],
        "host": "0123456789ab",
        "device": device,
        "device_name": "Some CPU @ 2.0 GHz",
        "threads": 1,
        "channels_last": False,
        "compile": False,
        "environments": [{"segtrial": "0.1.0"}],
        "run": {
            "command": "bench run study.yaml",
            "started": f"2026-01-01T00:00:00{torch}",
            "finished": "later",
        },
    }


@cache
def fake_cases(name: str, classes: int, channels: int, fold: int, size: int = 96) -> tuple[Case, ...]:
    random = np.random.default_rng(derive_seed(name, fold))
    rows, columns = np.mgrid[0:size, 0:size] / size
    cases = []
    for rank, shift in (("best", 0.01), ("median", 0.05), ("worst", 0.16)):
        mask = np.zeros((size, size), np.uint8)
        guess = np.zeros((size, size), np.uint8)
        tone = np.full((size, size), 0.62)
        for label in range(classes, 0, -1):
            y, x = 0.5 + random.normal(0, 0.09, 2)
            radius = 0.11 + 0.08 * label
            wave = 1 + 0.1 * np.sin(5 * np.arctan2(rows - y, columns - x) + label)
            distance = np.hypot(rows - y, (columns - x) * 0.85)
            mask[distance < radius * wave] = label
            guess[np.hypot(rows - y - shift, (columns - x - shift / 2) * 0.85) < radius * (wave - shift)] = (
                label
            )
            tone[distance < radius * wave] = 0.25 + 0.1 * label
        noise = random.normal(0, 0.05, (size, size, 1)) + 0.06 * np.sin(9 * rows + 7 * columns)[..., None]
        tint = np.array([1.0, 0.72, 0.62]) if channels == 3 else np.ones(1)
        image = np.clip((tone[..., None] + noise) * tint * 255, 0, 255).astype(np.uint8)
        overlap = 2 * np.sum((mask == guess) & (mask > 0)) / max(np.sum(mask > 0) + np.sum(guess > 0), 1)
        cases.append(Case(f"{name}-{fold}-{rank}", rank, float(overlap), image, mask, guess))
    return tuple(cases)


def with_provenance(job: Job, result: Result, **changes: Any) -> Result:
    """Return the result as another environment would have recorded it."""
    return replace(result, provenance=fake_provenance(**changes))


def oracle_micro(counts: Counts) -> dict[str, float]:
    """Return metrics by loops over Python integers: another way to the same numbers."""
    hit = extra = missed = 0
    for sample in counts.values.tolist():
        for one, two, three in sample:
            hit, extra, missed = hit + one, extra + two, missed + three
    return {
        "mdsc": 2 * hit / (2 * hit + extra + missed),
        "miou": hit / (hit + extra + missed),
        "mrecall": hit / (hit + missed),
        "mprecision": hit / (hit + extra),
    }


__all__ = ["Study", "micro", "oracle_micro", "write_study"]
