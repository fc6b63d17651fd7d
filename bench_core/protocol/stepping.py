"""The optimizer steps of training: the parts of batches that a process gets, rate, loss and gradients."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from bench_core.data.order import batch_sizes
from bench_core.errors import TrainingError
from bench_core.plan.job import Job
from bench_core.protocol.interfaces import DeviceBatch
from bench_core.protocol.loss import Criterion, check_logits
from bench_core.protocol.parts import Parts
from bench_core.protocol.randomness import draw_from, drawing_from
from bench_core.protocol.ranks import Ranks
from bench_core.protocol.schedule import learning_rate as scheduled_rate
from bench_core.protocol.setup import Setup
from bench_core.protocol.shared_draws import Rows
from bench_core.protocol.steps import StepLog
from bench_core.protocol.trace import TraceStep
from bench_core.protocol.whole_batch import WholeBatch


class Stepping:
    """What a process does of each step, of a part of one with `micro_batch`, and of its share with `ranks`.

    Of several processes each computes its images, and takes part in what the others exchange where it has
    none. `rate` is the learning rate before any schedule, `images` the training images of all processes.
    """

    def __init__(
        self,
        job: Job,
        setup: Setup,
        criterion: Criterion,
        parts: Parts,
        ranks: Ranks,
        *,
        rate: float,
        images: int,
    ) -> None:
        self.setup = setup
        self._job, self._training, self._task = job, job.training, job.dataset.task
        self._criterion, self._parts, self._ranks = criterion, parts, ranks
        self._rate, self._images = rate, images
        self._synchronized = job.training.norm_devices is None
        self._whole = WholeBatch(ranks.gather_active if self._synchronized else None)
        self._log = StepLog(ranks)
        self._rate_now = rate

    def start(self) -> None:
        """Forget what is left of an epoch before."""
        self._log = StepLog(self._ranks)
        self._parts.forget()

    def batches(self, epoch: int) -> Iterator[DeviceBatch]:
        """Yield this process's images of the epoch's batches (or their parts) on the device."""
        made = self.setup.waiting.watch(self.setup.loader.epoch(epoch))
        for step, images in enumerate(batch_sizes(self._images, self._training.batch_size)):
            there = sum(self._parts.sizes(images)) > 0
            batch = self.setup.transfer(next(made)) if there else None
            for part in self._parts.of(batch, images):
                if self._ranks.several:
                    self._ranks.active = min(self._ranks.world, self._parts.newest.images)
                if part is None:
                    self._take_part(epoch, step)
                else:
                    yield part
        # What is behind it ends only once it is asked for more.
        next(made, None)

    def begin(self, epoch: int, step: int) -> float:
        """Set and return the learning rate of the epoch's batch or part `step`; compute as on the whole batch
        from now on."""
        part = self._parts.now
        if part is not None and self._ranks.several:
            self._whole.enter(Rows(part.own.start, len(part.own), part.images))
        return self._set_rate(epoch, self._parts.step_of(step, self._images, self._training.batch_size))

    def loss(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Return the loss of logits [B, K, H, W] against masks [B, H, W] in float32: this process's share in
        that of the batch."""
        check_logits(logits, masks, self._task)
        part = self._parts.now
        with torch.autocast(logits.device.type, enabled=False):
            if part is None:
                return self._criterion(logits.float(), masks)
            return self._criterion(logits.float(), masks, part.masks, share=part.share, ranks=self._ranks)

    def optimize(self, loss: Tensor) -> None:
        """Add up the gradients of a scaled loss, and do the optimizer step where its last part is done."""
        self.setup.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        part = self._parts.now
        if part is None or part.last:
            self._step()

    def end(self, batch: DeviceBatch, loss: Tensor) -> None:
        """Note what was computed; the loss stays on its device."""
        self._whole.leave()
        self._log.add(batch.ids, self._rate_now, loss, last=self._parts.done())
        self._draw_alike()

    def close(self, epoch: int) -> list[TraceStep]:
        """Return the epoch's steps of all processes; raises TrainingError where there are not all of them."""
        return self._log.close(epoch, self.setup.loader.steps)

    def leave(self) -> None:
        """Compute whole batches again, whether a step came to its end or not."""
        self._whole.leave()

    def _step(self) -> None:
        optimizer, scaler = self.setup.optimizer, self.setup.scaler
        self._ranks.sum_gradients(self.setup.model.parameters())
        if self._training.gradient_clipping is not None:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(self.setup.model.parameters(), self._training.gradient_clipping)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)

    def _set_rate(self, epoch: int, step: int) -> float:
        self._rate_now = scheduled_rate(
            self._training.schedule, self._rate, epoch, step, self._training.epochs, self.setup.loader.steps
        )
        for group in self.setup.optimizer.param_groups:
            group["lr"] = self._rate_now * group.get("factor", 1.0)
        return self._rate_now

    def _take_part(self, epoch: int, step: int) -> None:
        """Do for a part of which this process has no image what the others expect of it."""
        part = self._parts.now
        if part is None or part is not self._parts.newest:
            raise TrainingError(
                f"{self._job.name}: the runner asks for a batch before it is done with the last"
            )
        side, device = self._job.pixels.image_size, self.setup.device
        masks = (
            torch.zeros(0, side, side, dtype=torch.int64, device=device) if part.masks is None else part.masks
        )
        self._criterion.take_part(self._task.logit_channels, masks, self._ranks)
        self._set_rate(epoch, step)
        if part.last:
            self._step()
        self._log.add((), self._rate_now, torch.zeros((), device=device), last=self._parts.done())
        self._draw_alike()

    def _draw_alike(self) -> None:
        """Let processes that had no image of a part, for which nothing was drawn or kept, resume from where
        the others are."""
        if self._ranks.active < self._ranks.world:
            device = self.setup.device
            draw_from(self._ranks.tell(drawing_from(device) if self._ranks.first else None), device)
            if self._synchronized:
                self._ranks.settle_buffers(self.setup.model, True)
