"""Batch norm over the parts that several ranks have of one batch, with the numbers of the whole batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Gather = Callable[[Tensor], Tensor]
"""A vector [n], as long on every rank, to those of all ranks [ranks, n], in their order."""


def synchronized_batch_norm(
    gather: Gather,
    images: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize a rank's part [B, C, ...] of a batch by mean and variance of the whole batch, per channel.

    B may differ between ranks and be 0. All ranks call it in the same order, forward and backward. The
    result, the gradients and the running statistics, which move by `momentum`, are those of
    torch.nn.functional.batch_norm on the whole batch up to rounding; statistics are equal on all ranks bit
    for bit. The gradients of weight and bias are the part's shares, which add up to those of the batch.
    Raises ValueError where the whole batch has a single value per channel. Chan, Golub and LeVeque,
    "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979.
    """
    normalized: Tensor = _Synchronized.apply(
        images, weight, bias, running_mean, running_var, momentum, eps, gather
    )
    return normalized


class _Synchronized(torch.autograd.Function):
    # One path for all devices and backends: torch's own SyncBatchNorm runs on GPUs alone, and adds in an
    # order that its collective chooses.

    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        momentum: float,
        eps: float,
        gather: Gather,
    ) -> Tensor:
        mean, var, total = _statistics(images, gather)
        if running_mean is not None:
            running_mean.lerp_(mean.to(running_mean), momentum)
        if running_var is not None:
            unbiased = var * (total / (total - 1.0))
            running_var.lerp_(unbiased.to(running_var), momentum)
        precise = torch.promote_types(images.dtype, torch.float32)
        mean, var = mean.to(precise), var.to(precise)
        ctx.save_for_backward(images, weight, mean, var, total)
        ctx.eps, ctx.gather = eps, gather
        return torch.batch_norm(images, weight, bias, mean, var, False, 0.0, eps, False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, weight, mean, var, total = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=_format(images))
        if images.numel():
            # As if the statistics were constants: the gradient of the images is then complete but for what
            # flows through mean and variance.
            # Given as saved, too: of images with channels last CUDA takes no others.
            saved = mean, (var + ctx.eps).rsqrt()
            direct, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
                gradient, images, weight, mean, var, *saved, False, ctx.eps, [True, True, True]
            )
        else:
            direct, of_weight, of_bias = torch.zeros_like(images), mean.new_zeros(mean.shape), mean * 0.0
        sums = ctx.gather(torch.cat([of_weight, of_bias]).double()).sum(dim=0)
        along, across = (sums / total).to(mean).chunk(2)
        scale = (var + ctx.eps).rsqrt()
        outer = scale if weight is None else scale * weight.to(mean)
        through = (images - _wide(mean, images)) * _wide(outer * scale * along, images)
        through += _wide(outer * across, images)
        given = (direct - through).to(images.dtype)
        needed = ctx.needs_input_grad
        return (
            given if needed[0] else None,
            of_weight.to(weight) if weight is not None and needed[1] else None,
            of_bias.to(mean if weight is None else weight) if needed[2] else None,
            *(None,) * 5,
        )


def _statistics(images: Tensor, gather: Gather) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and biased variance [C] of the whole batch, and its number of values per channel [1].

    All are float64, since counts and sums of squares of large batches pass what float32 holds exactly.
    """
    channels = images.shape[1]
    count = images.numel() // channels
    if count:
        dims = [dim for dim in range(images.dim()) if dim != 1]
        exact = images.to(torch.promote_types(images.dtype, torch.float32))
        var, mean = torch.var_mean(exact, dims, correction=0)
    else:
        var = mean = images.new_zeros(channels)
    own = torch.cat([mean.double(), var.double(), images.new_full((1,), count, dtype=torch.float64)])
    parts = gather(own)
    means, variances, counts = parts[:, :channels], parts[:, channels:-1], parts[:, -1:]
    total = counts.sum(dim=0)
    # Where this part has several values the batch has, too: asking the device would make the host wait.
    if count <= 1 and total.item() <= 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {list(images.shape)}"
        )
    shares = counts / total
    mean = (shares * means).sum(dim=0)
    return mean, (shares * (variances + (means - mean).square())).sum(dim=0), total


def _wide(vector: Tensor, images: Tensor) -> Tensor:
    return vector.view(1, -1, *(1,) * (images.dim() - 2))


def _format(images: Tensor) -> torch.memory_format:
    if images.dim() == 4 and images.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format
