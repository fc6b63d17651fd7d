"""The network as MMEngine's loops call it, and the optimizer as they step it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from bench_core.protocol.contract import Contract, DeviceBatch


class ContractNetwork(nn.Module):
    """Gives a network that maps images to logits the steps that MMEngine's loops take.

    Has no `init_weights`, so that MMEngine leaves the weights alone; nobody saves its state, whose names
    would not be the network's own.
    """

    def __init__(self, contract: Contract) -> None:
        super().__init__()
        self.network = contract.model
        self._contract = contract
        call: Any = self.network.__call__
        self._call: Callable[[Tensor], Tensor] = call

    def compile_network(self) -> None:
        """Compute with the compiled network from now on; `network` stays the plain one."""
        # A bound method, because a module would become a second child with the same weights.
        compiled: Any = torch.compile(self.network)
        self._call = compiled.__call__

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits [B, K, H, W] of images [B, C, H, W]."""
        return self._call(images)

    def train_step(self, data: DeviceBatch, optim_wrapper: ContractOptimWrapper) -> dict[str, Tensor]:
        """Do one optimizer step on a batch and return its loss."""
        with optim_wrapper.optim_context(self):
            logits = self(data.images)
        loss = self._contract.loss(logits, data.masks)
        optim_wrapper.update_params(loss)
        return {"loss": loss}

    def val_step(self, data: Tensor) -> Tensor:
        """Return the logits of images under the job's precision."""
        with self._contract.autocast():
            return self._call(data)

    test_step = val_step


def without_sync_batchnorm(network: nn.Module) -> nn.Module:
    """Return the network with plain batch norm, same weights and names, where it synchronizes over devices.

    On one device the two compute the same, but the synchronizing one runs on GPUs only.
    """
    if any(type(module).__name__ == "SyncBatchNorm" for module in network.modules()):
        reverted: nn.Module = revert_sync_batchnorm(network)
        return reverted
    return network


class ContractOptimWrapper(OptimWrapper):
    """MMEngine's view of the optimizer: precision, scaling, clipping and steps are the contract's."""

    def __init__(self, contract: Contract) -> None:
        super().__init__(contract.optimizer)
        self._contract = contract

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Compute under the job's precision inside."""
        with self._contract.autocast():
            yield

    def update_params(self, loss: Tensor, step_kwargs: Any = None, zero_kwargs: Any = None) -> None:
        """Do the contract's optimizer step."""
        self._contract.optimize(loss)
        self._inner_count += 1
