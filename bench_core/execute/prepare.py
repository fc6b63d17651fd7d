"""What a job is made of, built from its description: data in folds, splits, and the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench_core.data.cache import open_cache
from bench_core.data.folds import assign_folds, check_leaks, fold_hash
from bench_core.data.loader import Split
from bench_core.declarations import DatasetRequest, resolve_entry
from bench_core.errors import DataError
from bench_core.network import build_network
from bench_core.plan.job import Job, job_seed
from bench_core.plugins import Registry
from bench_core.seeds import derive_seed

if TYPE_CHECKING:
    from torch import nn

    from bench_core.data.cache import CachedArrays

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class JobData:
    """The images of one job."""

    train: Split
    validation: Split
    test: Split | None
    facts: Mapping[str, Any]
    """Dataset fingerprint, fold hash and sizes of the splits, for the result."""


def open_data(job: Job, registry: Registry, cache: Path, progress: Progress | None = None) -> JobData:
    """Return the job's splits; `progress(done, total)` hears of decoded images.

    Raises DataError if data is missing, corrupt, or leaks between folds.
    """
    arrays = open_arrays(job, registry, cache, progress)
    folds = assign_folds(arrays.ids, arrays.groups, job.fold.count, job.seed)
    check_leaks(arrays, folds)

    def split(roles: tuple[int, ...]) -> Split:
        return Split(arrays, np.flatnonzero(np.isin(folds, roles)), job.training.channels)

    train, validation = split(job.fold.train), split(job.fold.validation)
    test = split(job.fold.test) if job.fold.test else None
    return JobData(
        train=train,
        validation=validation,
        test=test,
        facts={
            "fingerprint": arrays.fingerprint,
            "fold_hash": fold_hash(arrays.ids, folds),
            "samples": len(arrays.ids),
            "groups": len(set(arrays.groups)),
            "train": len(train),
            "validation": len(validation),
            "test": len(test) if test else 0,
        },
    )


def open_arrays(job: Job, registry: Registry, cache: Path, progress: Progress | None = None) -> CachedArrays:
    """Open the job's dataset through the cache, which is built if it is not there."""
    data = job.dataset
    declared = registry.dataset(data.name)
    if declared.open is None:
        raise DataError(f"dataset {data.name} cannot be read yet", cause=declared.unavailable)
    root = Path(data.root) if data.root is not None else None
    reader = resolve_entry(declared.open)(DatasetRequest(root=root, options=data.options))
    return open_cache(
        reader,
        dataset=data.name,
        version=data.version,
        options=data.options,
        image_size=job.training.image_size,
        resize=job.training.resize,
        root=cache,
        task=data.task,
        progress=progress,
    )


def build_model(job: Job, registry: Registry) -> nn.Module:
    """Return the job's network, its random weights drawn from the job's seed.

    Raises PluginError if the builder returns something else, WeightsError if pretrained weights do not fit.
    """
    import torch

    declared = registry.model(job.model.name)
    task = job.dataset.task
    torch.manual_seed(derive_seed(job_seed(job), "init"))
    return build_network(
        declared,
        in_channels=3 if job.training.channels == "rgb" else task.channels,
        num_classes=task.logit_channels,
        image_size=job.training.image_size,
        pretrained=job.model.pretrained,
        weights=Path(job.model.weights) if job.model.weights else None,
        options=job.model.options,
    )


def model_facts(model: nn.Module) -> dict[str, Any]:
    """Return what the builder reports about the network and its loaded weights, as JSON data."""
    report = getattr(model, "weights_report", None)
    facts = asdict(report) if is_dataclass(report) and not isinstance(report, type) else {}
    notes = [*facts.get("notes", ()), *getattr(model, "network_notes", ())]
    return facts | ({"notes": notes} if notes else {})
