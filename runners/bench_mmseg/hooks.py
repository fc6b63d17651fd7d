"""Where MMEngine's loop tells the contract that a step begins and ends."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import Tensor

from bench_core.protocol.contract import Contract, DeviceBatch


@HOOKS.register_module()
class ContractHook(Hook):
    """Sets the learning rate before each step and notes the step afterwards, ahead of all other hooks."""

    priority = "HIGHEST"

    def __init__(self, contract: Contract) -> None:
        self._contract = contract

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: DeviceBatch) -> None:
        """Set the step's learning rate."""
        self._contract.begin_step(runner.epoch, batch_idx)

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: DeviceBatch, outputs: dict[str, Tensor]
    ) -> None:
        """Note the step for the trace."""
        self._contract.end_step(data_batch, outputs["loss"])
