"""Predictions for a whole split under the contract's rules: label maps, or counts without them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench_core.data.loader import Loader, Split
from bench_core.declarations import Task
from bench_core.errors import TrainingError
from bench_core.protocol.evaluator import Evaluator, defined, label_maps, noting, refuse_undefined
from bench_core.protocol.interfaces import DeviceBatch, Predict
from bench_core.protocol.loss import check_logits
from bench_core.protocol.normalization import Transfer
from bench_core.protocol.precision import autocast
from bench_core.protocol.randomness import seeded
from bench_core.protocol.ranks import ALONE, Ranks
from bench_core.records import Predictions
from bench_core.seeds import derive_seed
from bench_core.spec.training import Scoring, Training


class Inference:
    """Predicts in evaluation mode, without gradients, under the job's precision; then restores the mode.

    A model that draws random numbers at inference gets one image at a time, with all generators seeded from
    (job seed, sample id): its prediction of an image depends on nothing else.

    Several processes share a split's images, none of which is padded or predicted twice. The first one gets
    what all of them found.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        training: Training,
        scoring: Scoring,
        transfer: Transfer,
        device: torch.device,
        *,
        seed: int,
        random_at_inference: bool,
        workers: int,
        ranks: Ranks = ALONE,
    ) -> None:
        self._model, self._task, self._training, self._scoring = model, task, training, scoring
        self._transfer, self._device, self._seed = transfer, device, seed
        self._random = random_at_inference
        self._ranks = ranks
        # A device that holds its share of a training batch holds as many images here.
        self._batch_size = 1 if random_at_inference else math.ceil(training.batch_size / ranks.world)
        self._workers = workers
        self._shares: dict[Split, Split | None] = {}
        self._loaders: dict[Split, Loader] = {}

    def count(self, split: Split, predict: Predict) -> NDArray[np.int64] | None:
        """Return true positives, false positives, false negatives [N, K, 3] in the split's order.

        Counted on the device; nothing but the counts leaves it. None in all processes but the first. Raises
        DivergedError, in all of them, where a logit is NaN.
        """
        evaluator = Evaluator(self._task, self._scoring)
        for batch, logits in self._predictions(split, predict):
            evaluator.add(batch.ids, logits, batch.masks)
        if not self._ranks.several:
            return evaluator.values(split.ids)
        refuse_undefined(self._everywhere(evaluator.undefined), len(split))
        share = self._share(split)
        ids: tuple[str, ...] = () if share is None else share.ids
        own = evaluator.values(ids) if ids else np.empty((0, len(self._task.classes), 3), dtype=np.int64)
        found = self._gathered(ids, own)
        return None if found is None else _ordered(found, split)

    def label(self, split: Split, predict: Predict) -> Predictions | None:
        """Return the label maps of a split, in its order; raises DivergedError where a logit is NaN.

        None in all processes but the first.
        """
        batches = ((batch.ids, logits) for batch, logits in self._predictions(split, predict))
        if not self._ranks.several:
            return label_maps(defined(batches, len(split)), split, self._task, self._scoring)
        undefined: list[str] = []
        share = self._share(split)
        labels = np.empty((0, *split.arrays.masks.shape[1:]), dtype=np.uint8)
        ids: tuple[str, ...] = ()
        if share is not None:
            found = label_maps(noting(batches, undefined), share, self._task, self._scoring)
            ids, labels = found.ids, found.labels
        refuse_undefined(self._everywhere(undefined), len(split))
        everything = self._gathered(ids, labels)
        return None if everything is None else Predictions(split.ids, _ordered(everything, split))

    def batches(self, split: Split) -> int:
        """Return in how many batches this process predicts its images of a split."""
        share = self._share(split)
        return 0 if share is None else math.ceil(len(share) / self._batch_size)

    def close(self) -> None:
        """End the processes that load images."""
        for loader in self._loaders.values():
            loader.close()

    def _predictions(self, split: Split, predict: Predict) -> Iterator[tuple[DeviceBatch, Tensor]]:
        training = self._model.training
        self._model.eval()
        try:
            share = self._share(split)
            for source in () if share is None else self._loader(share).sequential():
                batch = self._transfer(source)
                logits = self._logits(batch, predict)
                check_logits(logits, batch.masks, self._task)
                yield batch, logits
        finally:
            self._model.train(training)

    def _logits(self, batch: DeviceBatch, predict: Predict) -> Tensor:
        # Not inference_mode: a table that a network computes here and keeps could not be used in training.
        with torch.no_grad(), autocast(self._training.precision, self._device):
            if not self._random:
                return predict(batch.images)
            with seeded(derive_seed(self._seed, "inference", batch.ids[0])):
                return predict(batch.images)

    def _loader(self, split: Split) -> Loader:
        if split not in self._loaders:
            self._loaders[split] = Loader(
                split,
                self._batch_size,
                seed=self._seed,
                augment=None,
                workers=self._workers,
                pin_memory=self._device.type == "cuda",
                narrow=True,
            )
        return self._loaders[split]

    def _share(self, split: Split) -> Split | None:
        """Return this process's images of a split; None where it has none."""
        if not self._ranks.several:
            return split
        if split not in self._shares:
            some = self._ranks.rank < len(split)
            self._shares[split] = split.strided(self._ranks.rank, self._ranks.world) if some else None
        return self._shares[split]

    def _everywhere(self, ids: Sequence[str]) -> list[str]:
        """Return what all processes give, in all of them."""
        found = self._ranks.tell(self._ranks.collect_values(list(ids)))
        return [sample for part in found for sample in part]

    def _gathered(self, ids: Sequence[str], own: NDArray[Any]) -> dict[str, NDArray[Any]] | None:
        """Return each image's numbers by its id in the first process, None in the others.

        Raises TrainingError if an image comes twice.
        """
        names = self._ranks.collect_values(list(ids))
        contents = self._ranks.collect(own.tobytes())
        if names is None or contents is None:
            return None
        found: dict[str, NDArray[Any]] = {}
        for part, content in zip(names, contents, strict=True):
            for sample, row in zip(
                part, np.frombuffer(content, own.dtype).reshape(len(part), *own.shape[1:]), strict=True
            ):
                if sample in found:
                    raise TrainingError(f"two predictions for {sample}")
                found[sample] = row
        return found


def _ordered(found: Mapping[str, NDArray[Any]], split: Split) -> NDArray[Any]:
    """Return the rows of a split's images in its order; raise TrainingError unless they are all there."""
    if found.keys() != set(split.ids):
        raise TrainingError(
            f"{len(found)} predictions for {len(split)} images",
            cause="every image of a split is predicted exactly once",
        )
    return np.stack([found[sample] for sample in split.ids])
