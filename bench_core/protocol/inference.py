"""Predictions for a whole split under the contract's rules: counts of all images, pictures of a few."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench_core.data.loader import Batch, Loader, Split
from bench_core.declarations import Task
from bench_core.protocol.evaluator import Evaluator, predict_labels
from bench_core.protocol.interfaces import DeviceBatch, Predict
from bench_core.protocol.loss import check_logits
from bench_core.protocol.normalization import Transfer
from bench_core.protocol.precision import autocast
from bench_core.protocol.randomness import seeded
from bench_core.records import Case, Rank
from bench_core.seeds import derive_seed
from bench_core.spec.training import Training


class Inference:
    """Predicts in evaluation mode, without gradients, under the job's precision; afterwards training goes on.

    A model that draws random numbers at inference gets one image at a time, with all generators seeded from
    (job seed, sample id): its prediction of an image depends on nothing else.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        training: Training,
        transfer: Transfer,
        device: torch.device,
        *,
        seed: int,
        random_at_inference: bool,
        workers: int,
    ) -> None:
        self._model, self._task, self._training = model, task, training
        self._transfer, self._device, self._seed = transfer, device, seed
        self._random = random_at_inference
        self._batch_size = 1 if random_at_inference else training.batch_size
        self._workers = workers
        self._loaders: dict[Split, Loader] = {}

    def count(self, split: Split, predict: Predict) -> NDArray[np.int64]:
        """Return true positives, false positives, false negatives [N, K, 3] in the split's order."""
        evaluator = Evaluator(self._task, self._training.metrics)
        for _, batch, logits in self._predictions(split, predict):
            evaluator.add(batch.ids, logits, batch.masks)
        return evaluator.values(split.ids)

    def cases(
        self, split: Split, chosen: Sequence[tuple[str, Rank, float]], predict: Predict
    ) -> tuple[Case, ...]:
        """Predict the chosen images once more, in the batches in which they were counted."""
        wanted = {sample: (rank, dice) for sample, rank, dice in chosen}
        found = {}
        for source, batch, logits in self._predictions(split, predict, only=set(wanted)):
            labels = predict_labels(logits, self._task, self._training.metrics).to(torch.uint8).cpu().numpy()
            for row, sample in enumerate(batch.ids):
                if sample in wanted:
                    rank, dice = wanted[sample]
                    image = source.images[row].permute(1, 2, 0).contiguous().numpy()
                    mask = source.masks[row].numpy()
                    found[sample] = Case(sample, rank, dice, image, mask, labels[row].copy())
        return tuple(found[sample] for sample, _, _ in chosen)

    def batches(self, split: Split) -> int:
        """Return in how many batches `count` predicts the split."""
        return math.ceil(len(split) / self._batch_size)

    def _predictions(
        self, split: Split, predict: Predict, only: set[str] | None = None
    ) -> Iterator[tuple[Batch, DeviceBatch, Tensor]]:
        training = self._model.training
        self._model.eval()
        try:
            for source in self._loader(split).sequential():
                if only is None or only.intersection(source.ids):
                    batch = self._transfer(source)
                    logits = self._logits(batch, predict)
                    check_logits(logits, batch.masks, self._task)
                    yield source, batch, logits
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
            )
        return self._loaders[split]
