"""MMEngine's loops over the contract's batches, epochs, validation and test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, TestLoop, ValLoop
from torch import Tensor, nn

from bench_core.declarations import Task
from bench_core.protocol.contract import Contract, DeviceBatch


class TrainBatches:
    """The contract's training batches in the shape of a data loader."""

    def __init__(self, contract: Contract) -> None:
        self.dataset = _dataset(contract.task)
        self._contract = contract
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches come next."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._contract.steps

    def __iter__(self) -> Iterator[DeviceBatch]:
        return self._contract.train_batches(self._epoch)


class EvaluationBatches:
    """What MMEngine's logs ask of a data loader; the contract hands its images to the loop's `predict`."""

    def __init__(self, task: Task, count: Callable[[], int]) -> None:
        self.dataset = _dataset(task)
        self._count = count

    def __len__(self) -> int:
        return self._count()


def _dataset(task: Task) -> SimpleNamespace:
    return SimpleNamespace(metainfo={"classes": ("background", *task.classes)})


@LOOPS.register_module()
class ContractTrainLoop(EpochBasedTrainLoop):
    """Trains the epochs that the contract hands out, with a validation after each."""

    def __init__(self, runner: Any, dataloader: TrainBatches, max_epochs: int) -> None:
        super().__init__(runner, dataloader, max_epochs)
        self._epoch = runner.contract.epochs_done
        self._iter = self._epoch * len(dataloader)

    def run(self) -> nn.Module:
        """Train until the contract has no more epochs."""
        self.runner.call_hook("before_train")
        for epoch in self.runner.contract.epochs():
            self._epoch = epoch
            self.dataloader.set_epoch(epoch)
            self.run_epoch()
            self.runner.val_loop.run()
        self.runner.call_hook("after_train")
        network: nn.Module = self.runner.model
        return network


class _Steps:
    """Predicts batch by batch as the contract asks, with the hooks of one kind of loop around each."""

    def __init__(self, runner: Any, kind: str, step: Callable[[Tensor], Tensor]) -> None:
        self._runner, self._step = runner, step
        self._before, self._after = f"before_{kind}_iter", f"after_{kind}_iter"
        self._done = 0

    def __call__(self, images: Tensor) -> Tensor:
        self._runner.call_hook(self._before, batch_idx=self._done, data_batch=images)
        logits = self._step(images)
        outputs: Sequence[Tensor] = [logits]
        self._runner.call_hook(self._after, batch_idx=self._done, data_batch=images, outputs=outputs)
        self._done += 1
        return logits


@LOOPS.register_module()
class ContractValLoop(ValLoop):
    """Ends the epoch that the training loop has just run: the contract validates and decides."""

    def run(self) -> Mapping[str, float]:
        """Return the epoch's metrics."""
        runner = self.runner
        runner.call_hook("before_val")
        runner.call_hook("before_val_epoch")
        predict = _Steps(runner, "val", runner.model.val_step)
        record = runner.contract.end_epoch(runner.epoch - 1, predict)
        metrics: dict[str, float] = dict(record.validation)
        runner.call_hook("after_val_epoch", metrics=metrics)
        runner.call_hook("after_val")
        return metrics


@LOOPS.register_module()
class ContractTestLoop(TestLoop):
    """Finishes the job: the contract loads the chosen weights and counts the test images."""

    def run(self) -> Mapping[str, float]:
        """Return the test metrics; the runner keeps the outcome."""
        runner = self.runner
        runner.call_hook("before_test")
        runner.call_hook("before_test_epoch")
        predict = _Steps(runner, "test", runner.model.test_step)
        runner.outcome = runner.contract.finish(predict)
        metrics: dict[str, float] = runner.contract.score(runner.outcome)
        runner.call_hook("after_test_epoch", metrics=metrics)
        runner.call_hook("after_test")
        return metrics
