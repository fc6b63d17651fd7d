"""While a rank trains on its part of a batch: batch norm and random draws are those of the whole batch."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from bench_core.protocol.shared_draws import Rows, shared_draws
from bench_core.protocol.sync_norm import Gather, synchronized_batch_norm

_usual = functional.batch_norm
_lock = threading.Lock()
_entered: dict[int, WholeBatch] = {}
"""Those under way, by the thread that entered."""
_before: list[tuple[Any, str, Any]] = []


class WholeBatch:
    """Between `enter` and `leave` functions of PyTorch are replaced, which changes what networks compute.

    Whoever normalizes by torch.nn.functional.batch_norm, as PyTorch's modules and their subclasses do, gets
    statistics of the whole batch; modules, their names and their state stay what they are. Layers that do
    not train, frozen ones among them, are left alone. Without `gather` statistics are those of the part.
    """

    def __init__(self, gather: Gather | None) -> None:
        self.gather = gather
        self.rows: Rows | None = None

    def enter(self, rows: Rows) -> None:
        """Compute these images of a batch from now on."""
        with _lock:
            self.rows = rows
            _entered[threading.get_ident()] = self
            if not _before:
                _replace()

    def leave(self) -> None:
        """Compute whole batches again; does nothing where no part was entered."""
        with _lock:
            self.rows = None
            _entered.pop(threading.get_ident(), None)
            if not _entered:
                _put_back()


def norm_notes(network: nn.Module, devices: int, synchronized: bool) -> tuple[str, ...]:
    """Return what a reader must know of the batch norm of a network that several devices train; it may be
    none.

    Norms that the network keeps out of training count for nothing.
    """
    norms = [module for module in network.train().modules() if isinstance(module, _BatchNorm)]
    if not any(norm.training for norm in norms):
        return ()
    notes = [
        f"batch norm is synchronized over {devices} devices: its statistics are those of the whole batch"
        if synchronized
        else f"batch norm takes its statistics from the part of a batch that each of {devices} devices has"
    ]
    if any(norm.running_mean is None for norm in norms):
        notes.append(
            "batch norm without running statistics predicts an image by those beside it, which are fewer on "
            f"{devices} devices"
        )
    return tuple(notes)


def whole_mean(part: Tensor) -> Tensor:
    """Return the mean over a whole batch of what is a mean over the images of a part, for networks that keep
    one; the part's own outside of training and where batch norm is not synchronized either.

    Passes no gradient on.
    """
    now = _now()
    rows = None if now is None else now.rows
    if now is None or rows is None or now.gather is None:
        return part
    shares = now.gather(part.detach().double().flatten() * (rows.here / rows.total))
    return shares.sum(dim=0).view_as(part).to(part)


def _now() -> WholeBatch | None:
    found = _entered.get(threading.get_ident())
    # A backward pass that computes parts of a network again does so in a thread of its own.
    return next(iter(_entered.values())) if found is None and len(_entered) == 1 else found


def _rows() -> Rows | None:
    found = _now()
    return None if found is None else found.rows


def _replace() -> None:
    for owner, name, function in (
        *shared_draws(_rows),
        # A compiler leaves a network here and goes on with what comes back: it cannot trace an exchange.
        (functional, "batch_norm", torch.compiler.disable(_batch_norm)),  # type: ignore[no-untyped-call]
        # PyTorch's own synchronized module would exchange statistics by itself, and on GPUs only.
        (nn.SyncBatchNorm, "forward", _BatchNorm.forward),
    ):
        _before.append((owner, name, vars(owner).get(name)))
        setattr(owner, name, function)


def _put_back() -> None:
    while _before:
        owner, name, function = _before.pop()
        # Methods of tensors are inherited: nothing stood in front of them.
        if function is None:
            delattr(owner, name)
        else:
            setattr(owner, name, function)


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    now = _now() if training else None
    if now is None or now.gather is None:
        return _usual(input, running_mean, running_var, weight, bias, training, momentum, eps)
    return synchronized_batch_norm(now.gather, input, running_mean, running_var, weight, bias, momentum, eps)
