"""The contract: what a runner receives for one job. The runner owns loop and devices, this owns decisions."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from bench_core.data.describe import label_pixels
from bench_core.data.loader import Split
from bench_core.declarations import JobEvent
from bench_core.errors import TrainingError
from bench_core.labels import count_all
from bench_core.metrics.counts import micro
from bench_core.protocol.augmentation import build_augmentation
from bench_core.protocol.course import Course
from bench_core.protocol.interfaces import DeviceBatch, Predict, RunOptions, StateKeeper
from bench_core.protocol.loss import build_loss
from bench_core.protocol.normalization import Normalize
from bench_core.protocol.outcome import Outcome
from bench_core.protocol.parts import Parts
from bench_core.protocol.precision import autocast
from bench_core.protocol.randomness import seed_everything
from bench_core.protocol.session import Session
from bench_core.protocol.setup import Setup, set_up
from bench_core.protocol.site import Site
from bench_core.protocol.stepping import Stepping
from bench_core.protocol.steps import check_losses, mean_loss
from bench_core.protocol.trace import Trace
from bench_core.protocol.whole_batch import norm_notes
from bench_core.records import EpochRecord
from bench_core.seeds import derive_seed

__all__ = [
    "Contract",
    "DeviceBatch",
    "Outcome",
    "Predict",
    "RunOptions",
    "StateKeeper",
]


class Contract(Session):
    """One job's decisions, in the order in which a runner asks for them.

        contract.prepare(device)
        for epoch in contract.epochs():
            for step, batch in enumerate(contract.train_batches(epoch)):
                contract.begin_step(epoch, step)
                with contract.autocast():
                    logits = network(batch.images)
                loss = contract.loss(logits, batch.masks)
                contract.optimize(loss)
                contract.end_step(batch, loss)
            contract.end_epoch(epoch, predict)
        return contract.finish(predict)

    `model` is the network itself, whose state is saved; a runner that compiles it keeps the wrapper to
    itself. Where a job tests no images, the validation images are predicted at the end. Every method raises
    TrainingError for what cannot continue.

    A job may have several processes (`ranks`), each with a contract and a runner of its own: it then gets its
    share of each batch and of each split, `optimize` sums the gradients of all of them, so that they step
    alike, and the first one decides and keeps what there is to keep. A runner knows nothing of it, as long as
    it asks for a batch only when it is done with the one before.
    """

    def __init__(
        self,
        site: Site,
        *,
        learning_rate: float,
        model: nn.Module,
        keeper: StateKeeper,
        trace: Trace,
        candidates: Mapping[str, float] | None = None,
        random_at_inference: bool = False,
        encoder: Sequence[str] = (),
    ) -> None:
        super().__init__(site)
        job, training = site.job, site.job.training
        self.job_name, self.training, self.model = job.name, training, model
        self._rate, self._candidates = learning_rate, dict(candidates or {})
        self._trace, self._emit = trace, site.emit
        self._random_at_inference = random_at_inference
        self._encoder = tuple(encoder)
        self._workers = site.loader_workers
        channels = 3 if job.pixels.channels == "rgb" else self.task.channels
        self._normalization = Normalize(training.normalization, channels)
        self._augment = build_augmentation(
            training.augmentation, channels, job.pixels.image_size, job.pixels.padding
        )
        self._criterion = build_loss(training.loss, self.task, self._class_pixels)
        self._course = Course(job, keeper, self.fingerprint)
        self.ranks = site.ranks
        self._parts = Parts(training.micro_batch, self.ranks)
        self._started = 0.0
        self._prepared: Stepping | None = None

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The optimizer, for runners that show or wrap it; `optimize` does the steps."""
        return self._setup.optimizer

    @property
    def steps(self) -> int:
        """Batches of one epoch that this process gets, each a step or, with `micro_batch`, a part of one."""
        return self._parts.count(len(self.train), self.training.batch_size)

    @property
    def epochs_done(self) -> int:
        """Epochs that have ended, those of earlier attempts included."""
        return self._course.done

    @property
    def validation_batches(self) -> int:
        """Batches of one validation, in this process."""
        return self._setup.inference.batches(self.validation)

    @property
    def test_batches(self) -> int:
        """Batches that are predicted at the end, in this process."""
        return self._setup.inference.batches(self._tested)

    @property
    def class_weights(self) -> dict[str, dict[str, float]]:
        """Weights that losses computed from the training pixels, by loss and class."""
        return self._criterion.class_weights

    @property
    def parameters(self) -> int:
        """Number of the network's parameters, trainable or not."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers must know of how several devices computed them."""
        return norm_notes(self.model, self.ranks.world, self._synchronized) if self.ranks.several else ()

    def prepare(self, device: torch.device, channels_last: bool = False) -> None:
        """Build optimizer and scaler for the model, which is on `device` now, and restore a saved state.

        Raises WeightsError if the saved state is another job's or does not fit the model, TrainingError if
        the job is for another number of processes.
        """
        wanted = self.training.norm_devices
        if wanted is not None and wanted != self.ranks.world:
            raise TrainingError(
                f"this job is for {wanted} devices, and is trained by {self.ranks.world}",
                place=self.job_name,
                cause="batch norm takes its statistics from the part of a batch that each device has",
                fix=f"set `runtime: {{devices_per_job: {wanted}}}`, or remove `sync_batch_norm: false`",
            )
        self.ranks.copy_first(self.model)
        self.ranks.form(self._parts.active_counts(len(self.train), self.training.batch_size))
        setup = set_up(
            self.model,
            self.job,
            self.train,
            learning_rate=self._rate,
            encoder=self._encoder,
            normalization=self._normalization,
            augment=self._augment,
            random_at_inference=self._random_at_inference,
            device=device,
            channels_last=channels_last,
            workers=self._workers,
            ranks=self.ranks,
            places=self._parts.places if self.ranks.several else None,
        )
        self._prepared = Stepping(
            self.job,
            setup,
            self._criterion,
            self._parts,
            self.ranks,
            rate=self._rate,
            images=len(self.train),
        )
        if self._course.resume(setup):
            self._tell("resumed", epoch=self._course.done - 1, done=self._course.done)
        self._trace.resume(self._course.done)

    def epochs(self) -> Iterator[int]:
        """Yield the epochs that are left, until the last or early stopping.

        Each starts with all global generators seeded from (seed, epoch), so that dropout and the like are
        the same in an unbroken and a resumed job, and with the model in training mode.
        """
        for epoch in range(self._course.done, self.training.epochs):
            if self._course.stopped:
                return
            seed_everything(derive_seed(self.seed, "epoch", epoch))
            self.model.train()
            self._stepping.start()
            self._started = time.perf_counter()
            yield epoch
            if self._course.done != epoch + 1:
                raise TrainingError(f"{self.job_name}: the runner did not end epoch {epoch}")

    def train_batches(self, epoch: int) -> Iterator[DeviceBatch]:
        """Yield this process's images of the epoch's batches (or their parts), shuffled and augmented, on the
        device."""
        yield from self._stepping.batches(epoch)

    def begin_step(self, epoch: int, step: int) -> float:
        """Set the learning rate of the optimizer step that the epoch's batch `step` belongs to; return it.

        Of several processes each computes from now on as on the whole batch: batch norm and random draws.
        """
        return self._stepping.begin(epoch, step)

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which the network computes, after the job's precision."""
        return autocast(self.training.precision, self._setup.device)

    def loss(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Return the scalar loss of logits [B, K, H, W] against masks [B, H, W], computed in float32.

        Of a part of a batch, and of what one of several processes has of it, it is its share in the loss of
        the batch.
        """
        return self._stepping.loss(logits, masks)

    def optimize(self, loss: Tensor) -> None:
        """Do one optimizer step: scaled backward, sum over processes, clipping of the unscaled gradients,
        step, zero gradients.

        Of a part of a batch only the last does more than the backward.

        With fp16 a step whose gradients overflow is left out and the scale reduced, as usual.
        """
        self._stepping.optimize(loss)

    def end_step(self, batch: DeviceBatch, loss: Tensor) -> None:
        """Note the step for the trace; the loss stays on its device until the epoch ends."""
        self._stepping.end(batch, loss)

    def end_epoch(self, epoch: int, predict: Predict) -> EpochRecord:
        """Validate, decide about checkpoint and stopping, write the trace, save the state; return the epoch.

        Raises TrainingError, naming epoch and step, if a loss was not finite.
        """
        steps = self._stepping.close(epoch)
        try:
            check_losses(steps, self.training.precision)
        except TrainingError:
            self._trace.write(epoch, steps, math.nan, None)
            raise
        loss = mean_loss(steps)
        self.ranks.settle_buffers(self.model, self._synchronized)
        trained = time.perf_counter()
        counts = self._setup.inference.count(self.validation, predict)
        metrics: dict[str, float] = self.ranks.tell(None if counts is None else micro(counts))
        seconds = time.perf_counter() - trained
        training = trained - self._started
        waited = min(training, self._setup.waiting.seconds())
        record = EpochRecord(epoch, steps[0].lr, loss, metrics, training, seconds, waited)
        self._setup.waiting.warn(record, self.training.epochs)
        chosen = self._course.add(record)
        # The trace first and the state last: a saved state never knows more than what stands beside it.
        self._trace.write(epoch, steps, loss, metrics)
        if chosen and self._course.tests_best:
            self._course.keep_weights(self.model)
        self._course.save(self._setup)
        self._tell("epoch", epoch=epoch, loss=loss, metrics=metrics)
        return record

    def finish(self, predict: Predict) -> Outcome:
        """Load the chosen epoch's weights into the model and predict the test images.

        Of several processes only the first one's outcome has label maps.
        """
        self._tell("testing", epoch=self._course.done)
        if not self._course.tests_best:
            self._course.keep_weights(self.model)
        elif self.ranks.first:
            self._course.load_chosen(self.model)
        self.ranks.copy_first(self.model)
        return Outcome(
            predictions=self._setup.inference.label(self._tested, predict),
            tested="validation" if self.job.fold.test == () else "test",
            training=self._course.record(self._rate, self._candidates, self.class_weights),
        )

    def score(self, outcome: Outcome) -> dict[str, float]:
        """Return the micro metrics of what `finish` handed back, for a framework's own logs."""
        if outcome.predictions is None:
            return {}
        split = self._tested
        masks = (np.asarray(split.arrays.masks[index]) for index in split.indices)
        return micro(count_all(outcome.predictions, masks, split.groups, self.task.classes).values)

    def close(self) -> None:
        """End the processes that load images, whether training came to its end or not."""
        if self._prepared is not None:
            self._prepared.leave()
            self._setup.loader.close()
            self._setup.inference.close()

    def _tell(self, kind: Literal["resumed", "epoch", "testing"], **facts: Any) -> None:
        self._emit(JobEvent(kind=kind, digest=self.job.digest, epochs=self.training.epochs, **facts))

    def _class_pixels(self) -> list[int]:
        """Return the training pixels of each class, background first, at the protocol's size."""
        pixels = label_pixels(self.train.arrays)[self.train.indices].sum(axis=0)
        counts: list[int] = pixels[: len(self.task.classes) + 1].tolist()
        return counts

    @property
    def _synchronized(self) -> bool:
        """True where batch norm looks at the images of all processes."""
        return self.training.norm_devices is None

    @property
    def _tested(self) -> Split:
        return self.validation if self.job.fold.test == () else self.test

    @property
    def _setup(self) -> Setup:
        return self._stepping.setup

    @property
    def _stepping(self) -> Stepping:
        if self._prepared is None:
            raise TrainingError(f"{self.job_name}: the runner did not call prepare() before training")
        return self._prepared
