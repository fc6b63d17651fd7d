"""Predictions for a whole split under the contract's rules: label maps, or counts without them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench_core.data.loader import Loader, Split
from bench_core.declarations import Task
from bench_core.protocol.evaluator import Evaluator, defined, label_maps
from bench_core.protocol.interfaces import DeviceBatch, Predict
from bench_core.protocol.loss import check_logits
from bench_core.protocol.normalization import Transfer
from bench_core.protocol.precision import autocast
from bench_core.protocol.randomness import seeded
from bench_core.records import Predictions
from bench_core.seeds import derive_seed
from bench_core.spec.training import Scoring, Training


class Inference:
    """Predicts in evaluation mode, without gradients, under the job's precision; then restores the mode.

    A model that draws random numbers at inference gets one image at a time, with all generators seeded from
    (job seed, sample id): its prediction of an image depends on nothing else.
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
    ) -> None:
        self._model, self._task, self._training, self._scoring = model, task, training, scoring
        self._transfer, self._device, self._seed = transfer, device, seed
        self._random = random_at_inference
        self._batch_size = 1 if random_at_inference else training.batch_size
        self._workers = workers
        self._loaders: dict[Split, Loader] = {}

    def count(self, split: Split, predict: Predict) -> NDArray[np.int64]:
        """Return true positives, false positives, false negatives [N, K, 3] in the split's order.

        Counted on the device; nothing but the counts leaves it.
        """
        evaluator = Evaluator(self._task, self._scoring)
        for batch, logits in self._predictions(split, predict):
            evaluator.add(batch.ids, logits, batch.masks)
        return evaluator.values(split.ids)

    def label(self, split: Split, predict: Predict) -> Predictions:
        """Return the label maps of a split, in its order; raises DivergedError where a logit is NaN."""
        batches = ((batch.ids, logits) for batch, logits in self._predictions(split, predict))
        return label_maps(defined(batches, len(split)), split, self._task, self._scoring)

    def batches(self, split: Split) -> int:
        """Return in how many batches a split is predicted."""
        return math.ceil(len(split) / self._batch_size)

    def close(self) -> None:
        """End the processes that load images."""
        for loader in self._loaders.values():
            loader.close()

    def _predictions(self, split: Split, predict: Predict) -> Iterator[tuple[DeviceBatch, Tensor]]:
        training = self._model.training
        self._model.eval()
        try:
            for source in self._loader(split).sequential():
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
