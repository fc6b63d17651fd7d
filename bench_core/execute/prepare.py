"""What a job is made of, built from its description: data in folds, splits, and the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from functools import cache as cache_result
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench_core.data import opening
from bench_core.data.check import parts_of
from bench_core.data.describe import data_warnings, describe
from bench_core.data.folds import check_leaks, fold_hash
from bench_core.data.grouping import across_folds
from bench_core.data.loader import Split
from bench_core.errors import DataError
from bench_core.execute.datasets import fit_of, folds_name, roles_of, source_of
from bench_core.network import build_network
from bench_core.plan.job import Job, fold_seed, job_seed
from bench_core.plugins.registry import Registry
from bench_core.records import DataFacts, NetworkFacts
from bench_core.samples import Samples
from bench_core.seeds import derive_seed

if TYPE_CHECKING:
    from torch import nn

    from bench_core.data.cache import CachedArrays
    from bench_core.data.samples import Reader, Sample

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class JobData:
    """The images of one job."""

    train: Split | None
    validation: Split | None
    test: Split | None
    facts: DataFacts
    samples: Samples
    """What the store keeps of the dataset, with this job's folds."""
    files: Callable[[str], tuple[Path, ...]]
    """Sample id to the original files."""
    original: Callable[[str], NDArray[np.uint8]]
    """Sample id to the mask [H, W] as the reader decodes it."""

    @property
    def tested(self) -> Split:
        """The images whose label maps the job leaves: the test images, where there are any."""
        split = self.test or self.validation
        if split is None:
            raise DataError("the job has no images to test", fix="test or validate on at least one fold")
        return split


def open_data(job: Job, registry: Registry, cache: Path, progress: Progress | None = None) -> JobData:
    """Return the job's splits; `progress(done, total)` hears of decoded images.

    Raises DataError if data is missing, corrupt, or leaks between folds.
    """
    arrays = open_arrays(job, registry, cache, progress)
    source = source_of(job.dataset, registry)
    folds = opening.deal(source, arrays, job.fold.count, fold_seed(job))
    check_leaks(arrays, folds, copies=source.duplicates.policy != "report")

    def split(roles: tuple[int, ...]) -> Split | None:
        if not roles:
            return None
        return Split(arrays, np.flatnonzero(np.isin(folds, roles)), job.pixels.channels)

    train, validation, test = split(job.fold.train), split(job.fold.validation), split(job.fold.test)

    @cache_result
    def listed() -> tuple[Reader, dict[str, Sample]]:
        reader = opening.open_reader(source)
        return reader, {item.id: item for item in reader.samples()}

    def files(sample: str) -> tuple[Path, ...]:
        found = listed()[1].get(sample)
        return () if found is None else found.files

    def original(sample: str) -> NDArray[np.uint8]:
        reader, samples = listed()
        if sample not in samples:
            raise DataError(f"dataset {job.dataset.label} has no sample {sample} any more")
        return np.asarray(reader.read(samples[sample])[1], dtype=np.uint8)

    return JobData(
        train=train,
        validation=validation,
        test=test,
        samples=describe(arrays, {folds_name(job): folds}),
        facts=DataFacts(
            fingerprint=arrays.fingerprint,
            fold_hash=fold_hash(arrays.ids, folds),
            samples=len(arrays.ids),
            groups=len(set(arrays.groups)),
            train=len(train or ()),
            validation=len(validation or ()),
            test=len(test or ()),
            warnings=(
                *arrays.remarks,
                *across_folds(arrays, folds.tolist()),
                *data_warnings(arrays, job.dataset.task, parts_of(roles_of(job), folds)),
            ),
        ),
        files=files,
        original=original,
    )


def open_arrays(job: Job, registry: Registry, cache: Path, progress: Progress | None = None) -> CachedArrays:
    """Open the job's dataset through the cache, which is built if it is missing."""
    return opening.open_arrays(source_of(job.dataset, registry), fit_of(job), cache, progress)


def build_model(job: Job, registry: Registry) -> nn.Module:
    """Return the job's network, its random weights drawn from the job's seed.

    Raises PluginError if the builder returns something else, WeightsError if pretrained weights do not fit.
    """
    from bench_core.protocol.randomness import seed_torch

    declared = registry.model(job.model.name)
    task = job.dataset.task
    seed_torch(derive_seed(job_seed(job), "init"))
    return build_network(
        declared,
        in_channels=3 if job.pixels.channels == "rgb" else task.channels,
        num_classes=task.logit_channels,
        image_size=job.pixels.image_size,
        pretrained=job.model.pretrained,
        weights=Path(job.model.weights) if job.model.weights else None,
        options=job.model.options,
    )


def network_facts(model: nn.Module, notes: Sequence[str] = ()) -> NetworkFacts:
    """Return what the builder reports about the network and its loaded weights; `notes` follow its own."""
    report = getattr(model, "weights_report", None)
    weights = asdict(report) if is_dataclass(report) and not isinstance(report, type) else {}
    notes = [*weights.pop("notes", ()), *getattr(model, "network_notes", ()), *notes]
    return NetworkFacts(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        weights=weights,
        notes=tuple(str(note) for note in notes),
        elements=sum(value.numel() for value in model.state_dict().values() if hasattr(value, "numel")),
    )
