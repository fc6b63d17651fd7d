"""Why one reference's stored gradient is compared in the reference's own memory layout."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def gradient(batch: int, like_tokens: bool) -> Tensor:
    """Return the gradient of normalized maps [B, 8, 6, 5], whose incoming one lies in either layout."""
    generator = torch.Generator().manual_seed(0)
    norm = nn.BatchNorm2d(8).double().eval()
    maps, arriving = (torch.randn(1, 8, 6, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    maps, arriving = maps.repeat(batch, 1, 1, 1).requires_grad_(), arriving.repeat(batch, 1, 1, 1)
    if like_tokens:
        arriving = arriving.flatten(2).transpose(1, 2).contiguous().transpose(1, 2).view(batch, 8, 6, 5)
    (found,) = torch.autograd.grad(norm(maps), maps, arriving)
    return found[:1]


def test_only_for_a_single_image_and_only_where_gradients_lie_like_tokens_torch_s_is_wrong() -> None:
    """Where this fails, PyTorch's kernel is right, and tests.golden.layouts has nothing to answer for."""
    right = gradient(2, like_tokens=False)
    torch.testing.assert_close(gradient(1, like_tokens=False), right)
    torch.testing.assert_close(gradient(2, like_tokens=True), right)
    wrong = gradient(1, like_tokens=True)
    assert (wrong - right).abs().max() > 0.5 * right.abs().max()
