"""A session: what a job works with, whether it trains, has a procedure of its own or reads another job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench_core.data.loader import READERS, Loader, Split
from bench_core.data.overlap import Seen, seen_in
from bench_core.declarations import JobEvent, Metric, Task
from bench_core.errors import PluginError, TrainingError
from bench_core.plan.job import Apply, Role, Train, job_seed
from bench_core.protocol.evaluator import defined, label_maps
from bench_core.protocol.leaves import ARTIFACTS, Leaves, is_plain
from bench_core.protocol.made_elsewhere import accepted
from bench_core.protocol.normalization import Normalize
from bench_core.protocol.precision import autocast
from bench_core.protocol.randomness import seeded
from bench_core.protocol.site import ImageBatch, Site, Source
from bench_core.records import Predictions
from bench_core.seeds import derive_seed

_OWN_BATCH = 8


class Session:
    """A job's data, the finished job that it needs, and a place for what it leaves.

    Predictions are made one way for every job: in the order of the split, in evaluation mode without
    gradients, under the scoring of the job, in the classes of the needed job's network where there is one.
    Every method raises TrainingError or PluginError for what cannot go on.
    """

    def __init__(self, site: Site) -> None:
        self.job, self.task = site.job, site.job.dataset.task
        self.seed = job_seed(site.job)
        self.device = torch.device(site.device)
        self._site = site
        self._leaves = Leaves(site.folder, site.job.name)

    @property
    def train(self) -> Split:
        """The training images."""
        return self._split("train", self._site.train)

    @property
    def validation(self) -> Split:
        """The images that choose epochs and stop training."""
        return self._split("validation", self._site.validation)

    @property
    def test(self) -> Split:
        """The images that are tested; a step looks at these."""
        return self._split("test", self._site.test)

    @property
    def drawn(self) -> Split | None:
        """The images that a step which is asked again predicts anew; None where it has no network."""
        return self._site.drawn

    @property
    def fingerprint(self) -> str:
        """Of the dataset's content."""
        found = next(split for split in (self._site.test, self._site.train) if split is not None)
        return found.arrays.fingerprint

    @property
    def predicted(self) -> Task:
        """The task that the needed job's network was trained for; the job's own where it needs none."""
        source = self._site.sources.get("weights")
        return self.task if source is None else source.job.dataset.task

    def files(self, split: Split) -> Iterator[tuple[str, tuple[Path, ...]]]:
        """Yield each image's id and original files, for procedures that read these themselves."""
        for sample in split.ids:
            yield sample, self._site.files(sample)

    def images(self, split: Split, batch_size: int | None = None) -> Iterator[ImageBatch]:
        """Yield the images of a split in its order, without masks.

        They are normalized as the needed job's network takes them; where there is none, in [0, 1].
        """
        normalize = self._normalize()
        with closing(self._loader(split, batch_size)) as loader:
            for batch in loader.sequential():
                yield ImageBatch(batch.ids, normalize(batch.images.to(self.device)))

    def truth(self, split: Split) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        """Yield each image's id and mask uint8 [S, S] (class index, 255 = ignored).

        A procedure that predicts does not see the masks of its test images: raises TrainingError.
        """
        self._refuse_test_masks(split)
        for position, sample in enumerate(split.ids):
            yield sample, np.asarray(split.arrays.masks[split.indices[position]])

    def originals(self, split: Split) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        """Yield each image's id and mask uint8 [H, W] at its original size, decoded anew from the files.

        Raises TrainingError as `truth` does, DataError for a file that cannot be read.
        """
        self._refuse_test_masks(split)
        if self._site.original is None:
            raise TrainingError(f"{self.job.name} has no reader of original masks")
        for sample in split.ids:
            yield sample, self._site.original(sample)

    def metric(self, name: str) -> Metric:
        """Return a declared metric; raises PluginError if there is none of this name."""
        if name not in self._site.metrics:
            raise PluginError(f"no plugin declares the metric {name!r}", place=self.job.name)
        return self._site.metrics[name]

    def logits(
        self, split: Split, predict: Callable[[ImageBatch], Tensor]
    ) -> Iterator[tuple[tuple[str, ...], Tensor]]:
        """Yield ids and logits [B, K, S, S] of `predict` for a split, batch by batch in its order.

        Raises DivergedError at the end where a logit was NaN.
        """
        return defined(self._logits(split, predict), len(split))

    def _logits(
        self, split: Split, predict: Callable[[ImageBatch], Tensor]
    ) -> Iterator[tuple[tuple[str, ...], Tensor]]:
        source = self._site.sources.get("weights")
        one_by_one = source is not None and source.random_at_inference
        size = split.arrays.masks.shape[1:]
        for batch in self.images(split, 1 if one_by_one else None):
            with torch.no_grad(), self._autocast(), self.drawing(batch.ids[0]):
                logits = predict(batch)
            expected = (len(batch.ids), self.predicted.logit_channels, *size)
            if not isinstance(logits, Tensor) or tuple(logits.shape) != expected:
                shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
                raise PluginError(f"predictions are {shape}, logits {expected} were expected")
            yield batch.ids, logits

    def drawing(self, sample: str) -> AbstractContextManager[object]:
        """Return a context in which the needed job's network draws for an image what it drew when it was
        tested; for one that draws nothing, a context that does nothing."""
        source = self._site.sources.get("weights")
        if source is None or not source.random_at_inference:
            return nullcontext()
        return seeded(derive_seed(self.seed, "inference", sample))

    def predict(self, split: Split, predict: Callable[[ImageBatch], Tensor]) -> Predictions:
        """Return the label maps that logits [B, K, H, W] of `predict` give for a split, in the classes of
        `predicted`.

        Raises DivergedError where a logit is NaN.
        """
        return label_maps(
            self.logits(split, predict),
            split,
            self.predicted,
            self.job.scoring,
            lambda done: self.progress(done, len(split)),
        )

    def accept(self, split: Split, labels: Iterable[tuple[str, NDArray[Any]]]) -> Predictions:
        """Take label maps [S, S] made elsewhere, by image id in any order.

        Raises PluginError unless every image of the split has exactly one, of the right shape, with classes
        of the task.
        """
        return accepted(split, labels, len(self.task.classes))

    def source(self, role: Role | None = None) -> Source:
        """Return the needed job of a role, of several the first; without one, the only one's."""
        sources = self._site.sources
        if role is None and len(sources) == 1:
            return next(iter(sources.values()))
        if role is None or role not in sources:
            needed = ", ".join(sources) or "none"
            raise PluginError(
                f"{self.job.name} needs no job for its {role or 'source'}", cause=f"needs: {needed}"
            )
        return sources[role]

    @property
    def members(self) -> tuple[Source, ...]:
        """All jobs that a step over folds needs, in the order of the folds."""
        return self._site.members or tuple(self._site.sources.values())

    @property
    def peers(self) -> tuple[Source, ...]:
        """The finished jobs of all models (of the pool that the step names) that tested the same images, that
        of the session's own model among them where it is in the pool; their label maps are at hand."""
        return self._site.peers

    @property
    def siblings(self) -> tuple[Source, ...]:
        """The jobs of the model's other folds, for their networks, where the step needs them."""
        return self._site.siblings

    def networks(self) -> list[nn.Module]:
        """Return the networks of all needed jobs, each as `network` does."""
        return [member.network().to(self.device).eval() for member in self.members]

    def seen(self) -> Mapping[str, Seen]:
        """Return which tested images are copies of images of the dataset that the needed job is of, by id."""
        return seen_in(self.source().tested().arrays, self.test.arrays)

    def network(self) -> nn.Module:
        """Return the needed job's network with its weights, in evaluation mode on the session's device."""
        return self.source("weights").network().to(self.device).eval()

    def artifact(self, name: str) -> Path:
        """Return the path of a file to write, which is sealed with the job; `name` is a plain file name."""
        return self._leaves.artifact(name)

    def records(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Leave a table, sealed with the job as records/NAME.csv; every row has the keys of the first.

        Raises PluginError for other keys, and for text that is not Unicode.
        """
        self._leaves.table(name, rows)

    def kept(self, name: str) -> Path:
        """Return the path of an artifact that the sealed job left, where its step is asked again.

        Raises ValueError where it left none of this name.
        """
        if self._site.sealed is None or not is_plain(name):
            raise ValueError(f"there is no sealed artifact {name!r}")
        path = self._site.sealed / ARTIFACTS / name
        if path.is_symlink() or not path.is_file():
            raise ValueError(f"the job left no artifact {name!r}")
        return path

    def kept_records(self, name: str) -> list[dict[str, str]]:
        """Return a table that the sealed job left, where its step is asked again.

        Raises ValueError where it left none of this name, StoreError for one that is missing or damaged.
        """
        if self._site.tables is None or not is_plain(name):
            raise ValueError(f"there is no sealed table {name!r}")
        return self._site.tables(name)

    def kept_values(self) -> Mapping[str, float | str]:
        """Return the values of the sealed job, where its step is asked again; empty where there is none."""
        return self._site.values

    def kept_maps(self) -> Predictions:
        """Return the label maps that the sealed job left, where its step is asked again.

        Raises ValueError where it left none.
        """
        if self._site.maps is None:
            raise ValueError("there are no sealed label maps")
        return self._site.maps()

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Say how far the job is, for live views."""
        self._site.emit(
            JobEvent(kind="progress", digest=self.job.digest, done=done, total=total, message=note)
        )

    @property
    def left(self) -> tuple[str, ...]:
        """Artifacts and records so far, as paths in the job's folder."""
        return self._leaves.paths

    def _refuse_test_masks(self, split: Split) -> None:
        if split is self._site.test and not isinstance(self.job.work, Apply):
            raise TrainingError(
                f"{self.job.name} asks for the masks of its test images",
                fix="train on `session.train` and choose on `session.validation`",
            )

    def _split(self, name: str, split: Split | None) -> Split:
        if split is None:
            raise TrainingError(f"{self.job.name} has no {name} images")
        return split

    def _training(self) -> Train | None:
        source = self._site.sources.get("weights")
        work = source.job.work if source is not None else None
        return work if isinstance(work, Train) else None

    def _normalize(self) -> Callable[[Tensor], Tensor]:
        work = self._training()
        if work is None:
            return lambda images: images.to(torch.float32) / 255.0
        channels = 3 if self.job.pixels.channels == "rgb" else self.predicted.channels
        return Normalize(work.training.normalization, channels)

    def _autocast(self) -> AbstractContextManager[object]:
        work = self._training()
        return autocast(work.training.precision if work is not None else "fp32", self.device)

    def _loader(self, split: Split, batch_size: int | None) -> Loader:
        work = self._training()
        size = batch_size or (work.training.batch_size if work is not None else _OWN_BATCH)
        workers = self._site.loader_workers
        if split.change is None:
            workers = min(workers, READERS)
        return Loader(split, size, seed=self.seed, augment=None, workers=workers)
