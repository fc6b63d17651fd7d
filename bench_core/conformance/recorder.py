"""A contract that writes down what a runner does with it, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench_core.conformance.record import (
    AFTER,
    END,
    OUTCOME,
    STOPPED,
    TESTING,
    VALIDATION,
    Log,
    hash_of,
    shape_of,
    tensors_of,
)
from bench_core.conformance.watcher import Interrupt, Watcher
from bench_core.errors import TrainingError
from bench_core.labels import count
from bench_core.protocol.contract import Contract, DeviceBatch, Outcome, Predict
from bench_core.protocol.site import Site
from bench_core.records import EpochRecord, Predictions

_KEPT_PARAMETERS = 10_000_000
"""Weights of larger networks are kept as hashes and norms alone."""


class RecordingContract(Contract):
    """A contract that notes in `log` what it is asked for and what comes back."""

    def __init__(
        self, site: Site, *, log: Log, interrupt: Interrupt = lambda epoch, step: None, **settings: Any
    ) -> None:
        super().__init__(site, **settings)
        self.log = log
        self.watcher = Watcher(log, self.model, interrupt)
        self.names_of_weights: dict[str, int] = {}
        """Hash of the weights at an epoch's end to the epoch."""
        self.tested: str | None = None
        """Hash of the weights that are tested."""

    def prepare(self, device: torch.device, channels_last: bool = False) -> None:
        """Prepare, then listen to the network and to the optimizer."""
        super().prepare(device, channels_last)
        self.watcher.attach(self.optimizer, device, self.epochs_done)

    def loss(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Compute the loss and note it with what it was computed from."""
        loss = super().loss(logits, masks)
        if self.watcher.training:
            seen = {"logits": shape_of(logits), "masks": hash_of(masks), "loss": loss.item()}
            self.log.note("loss", seen)
        return loss

    def end_step(self, batch: DeviceBatch, loss: Tensor) -> None:
        """Note the samples that the step is said to be of, and the loss that is reported of it."""
        self.watcher.enter_training()
        self.log.note("sample order", list(batch.ids))
        self.log.note("trace", {"loss": loss.item()})
        super().end_step(batch, loss)

    def end_epoch(self, epoch: int, predict: Predict) -> EpochRecord:
        """Note the weights, each prediction and the metrics."""
        done = self.epochs_done
        self.watcher.enter_training()
        self.log.enter((done, END))
        weights = tensors_of(self.model.state_dict(), keep=self.parameters <= _KEPT_PARAMETERS)
        self.names_of_weights[weights.hash] = done
        self.log.note("weights", weights)
        self.log.enter((done, VALIDATION))
        with self.watcher.evaluation():
            record = super().end_epoch(epoch, self.watcher.watched(predict, "validation predictions"))
        metrics = {name: float(value) for name, value in record.validation.items()}
        self.log.note("validation metrics", {"loss": record.loss} | metrics)
        self.watcher.leave_epoch()
        return record

    def finish(self, predict: Predict) -> Outcome:
        """Note where training ended, which weights are tested, and each prediction."""
        self.log.enter((AFTER, STOPPED))
        self.log.note("stopping epoch", f"{self.epochs_done} of {self.training.epochs} epochs trained")
        self.log.enter((AFTER, TESTING))

        def tested(images: Tensor) -> Tensor:
            logits = predict(images)
            if self.tested is None:
                self.tested = tensors_of(self.model.state_dict(), keep=False).hash
                self.log.note("chosen checkpoint", {"tested weights": self.tested})
            return logits

        with self.watcher.evaluation():
            outcome = super().finish(self.watcher.watched(tested, "test predictions"))
        self.log.leave()
        return outcome

    def note_outcome(self, outcome: Outcome, trace: Path) -> None:
        """Note what the runner hands back, and the job's trace."""
        self.log.enter((AFTER, OUTCOME))
        training, predictions = outcome.training, outcome.predictions
        if training is None or predictions is None:
            raise TrainingError("the runner handed back no training or no label maps")
        early = "stopped early" if training.stopped_early else "not stopped early"
        self.log.note("stopping epoch", f"{training.epochs_run} epochs reported, {early}")
        tested = self.names_of_weights.get(self.tested or "")
        chosen = {"epoch": training.chosen_epoch + 1, "value": float(training.best_value)}
        # A resumed job may test an epoch that ended before it was interrupted, which is not in this record.
        self.log.note("chosen checkpoint", chosen | {"tested": tested in (None, training.chosen_epoch)})
        found: dict[str, Any] = {f"images of {outcome.tested}": len(predictions.ids)}
        names = self.task.classes
        for (sample, truth), labels in zip(self._truths(predictions), predictions.labels, strict=False):
            for name, value in zip(names, count(labels, truth, len(names)).tolist(), strict=True):
                found[f"{sample} {name}"] = dict(zip(("TP", "FP", "FN"), value, strict=True))
        self.log.note("test counts", found)
        for line in trace.read_text(encoding="utf-8").splitlines():
            self.log.note("trace", json.loads(line))
        self.log.leave()

    def _truths(self, predictions: Predictions) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        masks: dict[str, NDArray[np.uint8]] = {}
        for split in (self.validation, self.test):
            masks.update(zip(split.ids, split.arrays.masks[split.indices], strict=True))
        for sample in predictions.ids:
            yield sample, masks.get(sample, np.zeros_like(predictions.labels[0]))
