"""While a rank trains on its part of a batch: batch norm and random draws are those of the whole batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from bench_core.protocol.shared_draws import Rows, shared_draws
from bench_core.protocol.sync_norm import Gather, synchronized_batch_norm

_usual = functional.batch_norm


class WholeBatch:
    """Replaces PyTorch's functions between `enter` and `leave`, for the whole process.

    Whoever normalizes by torch.nn.functional.batch_norm, as PyTorch's modules and their subclasses do, gets
    statistics of the whole batch; modules, their names and their state stay what they are. Layers that do
    not train, frozen ones among them, are left alone.
    """

    def __init__(self, gather: Gather, synchronize: bool = True) -> None:
        self._gather, self._synchronize = gather, synchronize
        self._before: list[tuple[Any, str, Any]] = []

    def enter(self, rows: Rows) -> None:
        """Compute a part of a batch from now on."""
        self.leave()
        # PyTorch's own synchronized module would exchange statistics by itself, and on GPUs only.
        replacements = [*shared_draws(rows), (nn.SyncBatchNorm, "forward", _BatchNorm.forward)]
        if self._synchronize:
            replacements.append((functional, "batch_norm", partial(_batch_norm, self._gather)))
        for owner, name, function in replacements:
            self._before.append((owner, name, vars(owner).get(name)))
            setattr(owner, name, function)

    def leave(self) -> None:
        """Put back what was there; does nothing where nothing was replaced."""
        while self._before:
            owner, name, before = self._before.pop()
            # Methods of tensors are inherited: there is nothing to put back in front of them.
            if before is None:
                delattr(owner, name)
            else:
                setattr(owner, name, before)


def _batch_norm(
    gather: Gather,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    if not training:
        return _usual(input, running_mean, running_var, weight, bias, False, momentum, eps)
    return _synchronized(gather, input, running_mean, running_var, weight, bias, momentum, eps)


# What a compiler makes of a network leaves it here, and comes back with the exchanged statistics.
_synchronized: Callable[..., Tensor] = torch.compiler.disable(  # type: ignore[no-untyped-call]
    synchronized_batch_norm
)
