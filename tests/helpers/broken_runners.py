"""A correct loop in overridable pieces, and runners that each break one piece of it: a plugin file."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from bench_core import Architecture, BuildRequest, RunnerDeclaration, hookimpl
from bench_core.protocol.contract import Contract, DeviceBatch, Outcome, RunOptions
from bench_core.protocol.devices import deterministic, open_device


class Loop:
    """Trains as the contract asks."""

    def __init__(self, contract: Contract, options: RunOptions) -> None:
        self.contract, self.options, self.model = contract, options, contract.model
        self.device = open_device(options.device)

    def fit(self) -> Outcome:
        torch.set_num_threads(self.options.threads)
        with deterministic(self.device):
            self.model.to(self.device)
            self.prepare()
            for epoch in self.epochs():
                self.train_epoch(epoch)
                self.contract.end_epoch(epoch, self.predict)
                self.after_epoch(epoch)
            return self.finish()

    def prepare(self) -> None:
        self.contract.prepare(self.device)

    def epochs(self) -> Iterator[int]:
        return self.contract.epochs()

    def train_epoch(self, epoch: int) -> None:
        for step, batch in enumerate(self.batches(epoch)):
            self.begin_step(epoch, step)
            self.step(batch)

    def step(self, batch: DeviceBatch) -> None:
        loss = self.loss(self.forward(batch.images), batch.masks)
        self.optimize(loss)
        self.contract.end_step(batch, loss)

    def batches(self, epoch: int) -> Iterator[DeviceBatch]:
        return self.contract.train_batches(epoch)

    def begin_step(self, epoch: int, step: int) -> None:
        self.contract.begin_step(epoch, step)

    def autocast(self) -> AbstractContextManager[object]:
        return self.contract.autocast()

    def forward(self, images: Tensor) -> Tensor:
        with self.autocast():
            logits: Tensor = self.model(images)
        return logits

    def predict(self, images: Tensor) -> Tensor:
        return self.forward(images)

    def loss(self, logits: Tensor, masks: Tensor) -> Tensor:
        return self.contract.loss(logits, masks)

    def optimize(self, loss: Tensor) -> None:
        self.contract.optimize(loss)

    def after_epoch(self, epoch: int) -> None:
        """Do nothing: all is done in the contract's end_epoch."""

    def finish(self) -> Outcome:
        return self.contract.finish(self.predict)


class ScheduleAhead(Loop):
    def begin_step(self, epoch: int, step: int) -> None:
        self.contract.begin_step(epoch + 1, step)


class OwnRate(Loop):
    def begin_step(self, epoch: int, step: int) -> None:
        rate = self.contract.begin_step(epoch, step)
        for group in self.contract.optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 3)


class DroppedBatch(Loop):
    def batches(self, epoch: int) -> Iterator[DeviceBatch]:
        yield from list(self.contract.train_batches(epoch))[:-1]


class RepeatedBatch(Loop):
    def batches(self, epoch: int) -> Iterator[DeviceBatch]:
        batches = list(self.contract.train_batches(epoch))
        yield from [*batches[:2], *batches[1:]]


class PaddedBatch(Loop):
    """Fills the smaller last batch up with images of its own, as a distributed sampler does."""

    def batches(self, epoch: int) -> Iterator[DeviceBatch]:
        for batch in self.contract.train_batches(epoch):
            if len(batch.ids) == 2:
                twice = [torch.cat([part, part]) for part in (batch.images, batch.masks)]
                batch = DeviceBatch(batch.ids, *twice)
            yield batch


class OwnOrder(Loop):
    def batches(self, epoch: int) -> Iterator[DeviceBatch]:
        yield from reversed(list(self.contract.train_batches(epoch)))


class SameOrder(Loop):
    """Forgets to tell the sampler the epoch."""

    def batches(self, epoch: int) -> Iterator[DeviceBatch]:
        return self.contract.train_batches(0)


class OneEpochLess(Loop):
    def epochs(self) -> Iterator[int]:
        for epoch in self.contract.epochs():
            yield epoch
            if epoch == 2:
                return


class OwnStopping(Loop):
    """Stops as soon as the validation metric falls."""

    def epochs(self) -> Iterator[int]:
        self.values = [-1.0]
        for epoch in self.contract.epochs():
            yield epoch
            if self.values[-1] < max(self.values):
                return

    def train_epoch(self, epoch: int) -> None:
        super().train_epoch(epoch)
        end = self.contract.end_epoch

        def ended(*arguments: Any) -> Any:
            record = end(*arguments)
            self.values.append(record.validation["miou"])
            return record

        self.contract.end_epoch = ended  # type: ignore[method-assign]


class NeverStops(Loop):
    def epochs(self) -> Iterator[int]:
        yield from self.contract.epochs()
        self.contract.model.train()
        yield from range(self.contract.epochs_done, self.contract.training.epochs)


class UnseededEpochs(Loop):
    def epochs(self) -> Iterator[int]:
        for epoch in self.contract.epochs():
            torch.manual_seed(epoch)
            yield epoch


class ShuffledValidation(Loop):
    def predict(self, images: Tensor) -> Tensor:
        return self.forward(images.flip(0))


class InferenceInTraining(Loop):
    def predict(self, images: Tensor) -> Tensor:
        self.model.train()
        return self.forward(images)


class AveragedCopy(Loop):
    """Predicts with a moving average of the weights."""

    def prepare(self) -> None:
        super().prepare()
        self.average = torch.optim.swa_utils.AveragedModel(self.model)

    def optimize(self, loss: Tensor) -> None:
        super().optimize(loss)
        self.average.update_parameters(self.model)

    def predict(self, images: Tensor) -> Tensor:
        logits: Tensor = self.average.eval()(images)
        return logits


class TrainingInEvaluation(Loop):
    """Forgets to switch back after the first validation."""

    def train_epoch(self, epoch: int) -> None:
        self.model.train(epoch == 0)
        super().train_epoch(epoch)


class FrozenNorms(Loop):
    def train_epoch(self, epoch: int) -> None:
        for module in self.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        super().train_epoch(epoch)


class LowResolutionLoss(Loop):
    def loss(self, logits: Tensor, masks: Tensor) -> Tensor:
        small = nn.functional.interpolate(logits.float(), scale_factor=0.25, mode="bilinear")
        return self.contract.loss(small, masks[:, ::4, ::4])


class ScaledLoss(Loop):
    def optimize(self, loss: Tensor) -> None:
        self.contract.optimize(0.4 * loss)


class OtherReport(Loop):
    """Reports the loss of the step before."""

    def step(self, batch: DeviceBatch) -> None:
        loss = self.loss(self.forward(batch.images), batch.masks)
        self.optimize(loss)
        self.contract.end_step(batch, getattr(self, "before", loss))
        self.before = loss.detach()


class ExtraFlip(Loop):
    def step(self, batch: DeviceBatch) -> None:
        super().step(DeviceBatch(batch.ids, batch.images.flip(3), batch.masks.flip(2)))


class FlippedMasks(Loop):
    def loss(self, logits: Tensor, masks: Tensor) -> Tensor:
        return self.contract.loss(logits, masks.flip(2))


class OwnNormalization(Loop):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward((images - images.mean()) / images.std())


class ExtraClipping(Loop):
    def optimize(self, loss: Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 0.05)
        self.contract.optimizer.step()
        self.contract.optimizer.zero_grad()


class NoZeroGrad(Loop):
    def optimize(self, loss: Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]
        self.contract.optimizer.step()


class Accumulation(Loop):
    """One optimizer step for two batches."""

    def optimize(self, loss: Tensor) -> None:
        self.waiting = [*getattr(self, "waiting", []), loss]
        if len(self.waiting) == 2:
            self.contract.optimize(sum(self.waiting) / 2)  # type: ignore[arg-type]
            self.waiting = []


class OwnOptimizer(Loop):
    def prepare(self) -> None:
        super().prepare()
        self.own = torch.optim.AdamW(self.model.parameters(), lr=0.008)

    def optimize(self, loss: Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]
        self.own.step()
        self.own.zero_grad()


class OtherDecay(Loop):
    def prepare(self) -> None:
        super().prepare()
        for group in self.contract.optimizer.param_groups:
            group["weight_decay"] = 0.0


class OwnInitialization(Loop):
    def prepare(self) -> None:
        super().prepare()
        if self.contract.epochs_done == 0:
            nn.init.normal_(next(self.model.parameters()), std=0.1)


class ChangedWeights(Loop):
    def after_epoch(self, epoch: int) -> None:
        with torch.no_grad():
            next(self.model.parameters()).mul_(0.99)


class TestsLastWeights(Loop):
    def after_epoch(self, epoch: int) -> None:
        self.last = copy.deepcopy(self.model.state_dict())

    def finish(self) -> Outcome:
        def predict(images: Tensor) -> Tensor:
            self.model.load_state_dict(self.last)
            return self.forward(images)

        return self.contract.finish(predict)


class TestTimeAugmentation(Loop):
    def finish(self) -> Outcome:
        return self.contract.finish(
            lambda images: (self.forward(images) + self.forward(images.flip(3)).flip(3)) / 2
        )


class NoAutocast(Loop):
    def autocast(self) -> AbstractContextManager[object]:
        return torch.autocast("cpu", enabled=False)


class OwnPrecision(Loop):
    def autocast(self) -> AbstractContextManager[object]:
        return torch.autocast("cpu", dtype=torch.bfloat16)


class UnscaledClipping(Loop):
    """Steps without the scaler, and forgets the contract's clipping with it."""

    def optimize(self, loss: Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]
        self.contract.optimizer.step()
        self.contract.optimizer.zero_grad()


class DrawsNumbers(Loop):
    def begin_step(self, epoch: int, step: int) -> None:
        super().begin_step(epoch, step)
        torch.rand(1)


class ForgetsOptimizer(Loop):
    """Starts the optimizer anew after an interruption."""

    def prepare(self) -> None:
        super().prepare()
        self.contract.optimizer.state.clear()


class ResumesTooLate(Loop):
    def epochs(self) -> Iterator[int]:
        late = int(self.contract.epochs_done > 0)
        for epoch in self.contract.epochs():
            self.shift = late
            yield epoch

    def batches(self, epoch: int) -> Iterator[DeviceBatch]:
        return self.contract.train_batches(epoch + self.shift)


class ForgetsHistory(Loop):
    """Keeps what it needs in memory alone: half the loss from its own second epoch on."""

    def train_epoch(self, epoch: int) -> None:
        self.warm = getattr(self, "warm", 0) + 1
        super().train_epoch(epoch)

    def begin_step(self, epoch: int, step: int) -> None:
        super().begin_step(epoch, step)
        if self.warm != epoch + 1:
            torch.rand(1)


class ReportsOtherEpoch(Loop):
    def finish(self) -> Outcome:
        outcome = super().finish()
        training = outcome.training
        return replace(outcome, training=replace(training, chosen_epoch=training.epochs_run - 1))


class ReportsMoreEpochs(Loop):
    def finish(self) -> Outcome:
        outcome = super().finish()
        training = outcome.training
        last = training.history[-1]
        more = (last,) * (training.planned_epochs - training.epochs_run)
        return replace(outcome, training=replace(training, history=(*training.history, *more)))


class ReportsOtherCounts(Loop):
    def finish(self) -> Outcome:
        outcome = super().finish()
        labels = outcome.predictions.labels.copy()
        labels[1, :5, :10] = 1 - labels[1, :5, :10].clip(max=1)
        return replace(outcome, predictions=replace(outcome.predictions, labels=labels))


class Fails(Loop):
    def after_epoch(self, epoch: int) -> None:
        if epoch == 2:
            raise ValueError("the log is full")


class LateBegin(Loop):
    """Sets the rate just before it is needed."""

    def train_epoch(self, epoch: int) -> None:
        for step, batch in enumerate(self.batches(epoch)):
            logits = self.forward(batch.images)
            self.begin_step(epoch, step)
            loss = self.loss(logits, batch.masks)
            self.optimize(loss)
            self.contract.end_step(batch, loss)


class OwnShare(Loop):
    """Shares each batch among the processes once more, as with a distributed sampler of its own."""

    def step(self, batch: DeviceBatch) -> None:
        own = slice(None, None, self.contract.ranks.world)
        super().step(DeviceBatch(batch.ids, batch.images[own], batch.masks[own]))


class OwnSeeds(Loop):
    """Lets every process but the first draw other numbers, as is usual elsewhere."""

    def epochs(self) -> Iterator[int]:
        for epoch in self.contract.epochs():
            if not self.contract.ranks.first:
                torch.manual_seed(self.contract.ranks.rank)
            yield epoch


class OwnWeights(Loop):
    """Starts every process but the first from other weights."""

    def prepare(self) -> None:
        super().prepare()
        if not self.contract.ranks.first:
            with torch.no_grad():
                next(self.model.parameters()).mul_(1.01)


@dataclass(frozen=True)
class Broken:
    """A broken runner and the item that must name its fault."""

    name: str
    loop: type[Loop]
    item: str


BROKEN = (
    Broken("dropped-batch", DroppedBatch, "sample order"),
    Broken("repeated-batch", RepeatedBatch, "sample order"),
    Broken("padded-batch", PaddedBatch, "augmented batches"),
    Broken("own-order", OwnOrder, "sample order"),
    Broken("same-order", SameOrder, "sample order"),
    Broken("extra-flip", ExtraFlip, "augmented batches"),
    Broken("own-normalization", OwnNormalization, "augmented batches"),
    Broken("training-in-evaluation", TrainingInEvaluation, "training mode"),
    Broken("frozen-norms", FrozenNorms, "training mode"),
    Broken("draws-numbers", DrawsNumbers, "random numbers"),
    Broken("unseeded-epochs", UnseededEpochs, "random numbers"),
    Broken("own-precision", OwnPrecision, "precision"),
    Broken("no-autocast", NoAutocast, "bf16 job"),
    Broken("unscaled-clipping", UnscaledClipping, "bf16 job"),
    Broken("own-optimizer", OwnOptimizer, "optimizer"),
    Broken("other-decay", OtherDecay, "optimizer"),
    Broken("schedule-ahead", ScheduleAhead, "learning rate"),
    Broken("own-rate", OwnRate, "learning rate"),
    Broken("low-resolution-loss", LowResolutionLoss, "loss"),
    Broken("flipped-masks", FlippedMasks, "loss"),
    Broken("scaled-loss", ScaledLoss, "gradient norm"),
    Broken("extra-clipping", ExtraClipping, "gradient norm"),
    Broken("no-zero-grad", NoZeroGrad, "gradient norm"),
    Broken("accumulation", Accumulation, "gradient norm"),
    Broken("own-initialization", OwnInitialization, "weights"),
    Broken("changed-weights", ChangedWeights, "weights"),
    Broken("inference-in-training", InferenceInTraining, "evaluation mode"),
    Broken("averaged-copy", AveragedCopy, "evaluation mode"),
    Broken("shuffled-validation", ShuffledValidation, "validation predictions"),
    Broken("one-epoch-less", OneEpochLess, "stopping epoch"),
    Broken("own-stopping", OwnStopping, "stopping epoch"),
    Broken("never-stops", NeverStops, "stopping epoch"),
    Broken("reports-more-epochs", ReportsMoreEpochs, "stopping epoch"),
    Broken("tests-last-weights", TestsLastWeights, "chosen checkpoint"),
    Broken("reports-other-epoch", ReportsOtherEpoch, "chosen checkpoint"),
    Broken("test-time-augmentation", TestTimeAugmentation, "test predictions"),
    Broken("reports-other-counts", ReportsOtherCounts, "test counts"),
    Broken("other-report", OtherReport, "trace"),
    Broken("fails", Fails, "end"),
    Broken("forgets-optimizer", ForgetsOptimizer, "resume after a kill"),
    Broken("resumes-too-late", ResumesTooLate, "resume after a kill"),
    Broken("forgets-history", ForgetsHistory, "resume after a kill"),
)

BROKEN_TOGETHER = (
    Broken("late-begin", LateBegin, "epoch 1 step 1: loss"),
    Broken("own-share", OwnShare, "epoch 1 step 1: loss"),
    Broken("own-seeds", OwnSeeds, "epoch 1 step 1: loss"),
    Broken("own-weights", OwnWeights, "epoch 1 step 1: loss"),
)
"""They train as the contract asks in one process but not in several; the item is where that begins."""


def _fit(loop: type[Loop]) -> Callable[[Contract, RunOptions], Outcome]:
    return lambda contract, options: loop(contract, options).fit()


def build_small(request: BuildRequest) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(request.in_channels, 8, 5, padding=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout2d(0.2),
        nn.Conv2d(8, request.num_classes, 5, padding=2),
    )


@hookimpl
def bench_models() -> list[Architecture]:
    return [Architecture(name="small-net", family="own", runner="torch", version=1, build=build_small)]


@hookimpl
def bench_runners() -> list[RunnerDeclaration]:
    correct = RunnerDeclaration(name="correct", fit=_fit(Loop), help="a loop that breaks nothing")
    return [
        correct,
        *(
            RunnerDeclaration(name=one.name, fit=_fit(one.loop), help=one.item)
            for one in (*BROKEN, *BROKEN_TOGETHER)
        ),
    ]
