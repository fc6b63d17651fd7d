"""Where a job works and on what: the pieces that a session is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from bench_core.data.loader import Split
from bench_core.declarations import JobEvent, Layers, Metric
from bench_core.errors import TrainingError
from bench_core.plan.job import Job, Role
from bench_core.protocol.ranks import ALONE, Ranks
from bench_core.records import Predictions


@dataclass(frozen=True)
class ImageBatch:
    """What a prediction may see: images float32 [B, C, H, W] on the session's device, and no masks."""

    ids: tuple[str, ...]
    images: Tensor


def _nothing() -> Split:
    raise TrainingError("the data of the needed job are not at hand")


@dataclass(frozen=True)
class Source:
    """A finished job that this one needs."""

    job: Job
    predictions: Callable[[], Predictions]
    """Its label maps."""
    weights: Callable[[], Mapping[str, Tensor]]
    """The state of its network, of the tested epoch."""
    network: Callable[[], nn.Module]
    """Its network as its own job built it, with these weights, on the CPU."""
    random_at_inference: bool = False
    explained: Layers = field(default_factory=Layers)
    """The layers that its architecture declares for maps."""
    tested: Callable[[], Split] = _nothing
    """The images that it tested; the split's `arrays` hold all images of its dataset."""
    trained: Callable[[], frozenset[str]] = frozenset
    """Ids of the images that its network was trained on."""


@dataclass(frozen=True)
class Site:
    """Where a job works and on what; made by whoever runs it."""

    job: Job
    train: Split | None
    validation: Split | None
    test: Split | None
    folder: Path | None = None
    """The job's folder; None: nothing can be left in it."""
    emit: Callable[[JobEvent], None] = lambda event: None
    files: Callable[[str], tuple[Path, ...]] = lambda sample: ()
    """Sample id to the original files."""
    original: Callable[[str], NDArray[np.uint8]] | None = None
    """Sample id to the mask [H, W] as the dataset's reader decodes it; None where there is no reader."""
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    """All that are declared, by name."""
    sources: Mapping[Role, Source] = field(default_factory=dict)
    members: tuple[Source, ...] = ()
    """All needed jobs but those of rates, peers and siblings, in the plan's order; `sources` has the first of
    each role."""
    peers: tuple[Source, ...] = ()
    """The jobs of all models that tested the same images, in the order of their digests."""
    siblings: tuple[Source, ...] = ()
    """The jobs of the model's other folds, in the plan's order, where a step needs them."""
    device: str = "cpu"
    ranks: Ranks = ALONE
    """The processes that train the job together."""
    loader_workers: int = 0
    sealed: Path | None = None
    """The job's sealed folder, where a step is asked again."""
    maps: Callable[[], Predictions] | None = None
    """The label maps that the sealed job left, where a step is asked again."""
    tables: Callable[[str], list[dict[str, str]]] | None = None
    """Name to a table that the sealed job left, where a step is asked again."""
    values: Mapping[str, float | str] = field(default_factory=dict)
    """The values of the sealed job, where a step is asked again."""
    drawn: Split | None = None
    """Images that it may predict, where it is asked again with a network."""
