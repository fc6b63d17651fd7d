"""Batch norm over ranks: PyTorch's own on the whole batch is the oracle."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from bench_core.protocol.ranks import Ranks
from bench_core.protocol.sync_norm import Gather, synchronized_batch_norm
from tests.helpers.linked_ranks import together

KINDS: dict[int, type[nn.Module]] = {
    0: nn.BatchNorm1d,
    1: nn.BatchNorm1d,
    2: nn.BatchNorm2d,
    3: nn.BatchNorm3d,
}
"""Dimensions after the channels to PyTorch's module."""
SPACES = {0: (), 1: (5,), 2: (4, 3), 3: (2, 3, 2)}


class Synchronized(nn.Module):
    """A batch norm's own forward, but for the function that it ends with."""

    def __init__(self, norm: Any, gather: Gather) -> None:
        super().__init__()
        self.norm, self.gather = norm, gather

    def forward(self, images: Tensor) -> Tensor:
        norm = self.norm
        factor = 0.0 if norm.momentum is None else norm.momentum
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
            factor = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else factor
        return synchronized_batch_norm(
            self.gather, images, norm.running_mean, norm.running_var, norm.weight, norm.bias, factor, norm.eps
        )


def made(kind: type[nn.Module], channels: int, dtype: torch.dtype, arguments: dict[str, Any]) -> Any:
    torch.manual_seed(1)
    norm: Any = kind(channels, **arguments).to(dtype)
    if norm.affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return norm


def results(norm: Any, layer: nn.Module, images: Tensor, slopes: Tensor, uses: int) -> dict[str, Tensor]:
    """Normalize `uses` times in a row and take the gradients of a weighted sum."""
    images = images.clone().requires_grad_()
    out = images
    for _ in range(uses):
        out = layer(out) + 0.1 * out
    (out * slopes).sum().backward()
    assert images.grad is not None
    found = {"out": out.detach(), "images": images.grad}
    if norm.affine:
        found |= {"weight": norm.weight.grad, "bias": norm.bias.grad}
    return found


def compared(
    sizes: Sequence[int],
    *,
    dims: int = 2,
    channels: int = 3,
    dtype: torch.dtype = torch.float64,
    uses: int = 1,
    shift: float = 0.0,
    tolerance: float = 1e-9,
    **arguments: Any,
) -> None:
    torch.manual_seed(0)
    images = shift + torch.randn(sum(sizes), channels, *SPACES[dims], dtype=dtype)
    slopes = torch.randn_like(images)
    expected_norm = made(KINDS[dims], channels, dtype, arguments)
    expected = results(expected_norm, expected_norm, images, slopes, uses)

    norms = [made(KINDS[dims], channels, dtype, arguments) for _ in sizes]
    parts, tails = images.split(list(sizes)), slopes.split(list(sizes))

    def work(ranks: Ranks) -> dict[str, Tensor]:
        layer = Synchronized(norms[ranks.rank], ranks.gather_active)
        return results(norms[ranks.rank], layer, parts[ranks.rank], tails[ranks.rank], uses)

    found = together(len(sizes), work)
    for name, whole in expected.items():
        pieces = [part[name] for part in found]
        mine = torch.cat(pieces) if name in ("out", "images") else torch.stack(pieces).sum(dim=0)
        torch.testing.assert_close(mine, whole, rtol=tolerance, atol=tolerance)
    for name, buffer in expected_norm.named_buffers():
        for norm in norms:
            torch.testing.assert_close(norm.get_buffer(name), buffer, rtol=tolerance, atol=tolerance)
            assert torch.equal(norm.get_buffer(name), norms[0].get_buffer(name))


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(lambda sizes: sum(sizes) > 1),
    dims=st.integers(0, 3),
    affine=st.booleans(),
    tracked=st.booleans(),
    momentum=st.sampled_from([None, 0.0, 0.1, 1.0]),
    eps=st.sampled_from([1e-5, 1e-2]),
    uses=st.integers(1, 2),
)
def test_parts_of_any_size_give_what_the_whole_batch_gives(
    sizes: list[int], dims: int, affine: bool, tracked: bool, momentum: float | None, eps: float, uses: int
) -> None:
    compared(
        sizes,
        dims=dims,
        uses=uses,
        affine=affine,
        track_running_stats=tracked,
        momentum=momentum,
        eps=eps,
        # Where the whole batch has two values, they come to +-1 and their gradients cancel to nearly nothing.
        tolerance=1e-7,
    )


@pytest.mark.parametrize("sizes", [(1, 1), (3, 0, 2)])
def test_float32_far_from_zero_keeps_its_digits(sizes: tuple[int, ...]) -> None:
    """Sums of squares would lose all of them at a mean of a thousand deviations."""
    compared(sizes, dtype=torch.float32, shift=1000.0, tolerance=2e-3)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_memory_format_stays(layout: torch.memory_format) -> None:
    images = torch.randn(2, 3, 4, 4).to(memory_format=layout).requires_grad_()
    out = synchronized_batch_norm(lambda vector: vector[None], images, None, None)
    assert out.is_contiguous(memory_format=layout)
    # A gradient may come in another format than the images.
    (out.contiguous() * torch.arange(16.0).view(4, 4)).sum().backward()
    assert images.grad is not None
    expected = images.detach().clone().requires_grad_()
    whole = functional.batch_norm(expected, None, None, training=True)
    (whole.contiguous() * torch.arange(16.0).view(4, 4)).sum().backward()
    torch.testing.assert_close(images.grad, expected.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_gpu_computes_what_a_cpu_does(layout: torch.memory_format, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    images = torch.randn(4, 8, 6, 6).to(dtype)
    slopes = torch.randn_like(images)
    found = []
    for device in ("cpu", "cuda"):
        norm = made(nn.BatchNorm2d, 8, torch.float32, {}).to(device)
        layer = Synchronized(norm, lambda vector: vector[None])
        there = images.to(device).contiguous(memory_format=layout)
        found.append(results(norm, layer, there, slopes.to(device).contiguous(memory_format=layout), 1))
    tolerance = 1e-5 if dtype == torch.float32 else 5e-3
    for name, expected in found[0].items():
        torch.testing.assert_close(found[1][name].cpu(), expected, rtol=tolerance, atol=tolerance)


def test_half_precision_computes_statistics_in_float32() -> None:
    images = (100 + torch.randn(4, 2, 8, 8)).bfloat16()
    mean, var = torch.zeros(2), torch.ones(2)
    weight, bias = torch.ones(2, requires_grad=True), torch.zeros(2, requires_grad=True)
    halves = images.split([3, 1])

    def work(ranks: Ranks) -> tuple[Tensor, Tensor, Tensor]:
        running = mean.clone(), var.clone()
        part = halves[ranks.rank].clone().requires_grad_()
        out = synchronized_batch_norm(ranks.gather_active, part, *running, weight, bias, momentum=1.0)
        gradient, _ = torch.autograd.grad(out.float().square().sum(), [part, weight])
        assert (out.dtype, gradient.dtype) == (torch.bfloat16, torch.bfloat16)
        return out.detach(), *running

    found = together(2, work)
    exact = images.float()
    torch.testing.assert_close(found[0][1], exact.mean((0, 2, 3)), rtol=1e-6, atol=0)
    torch.testing.assert_close(found[1][2], exact.var((0, 2, 3)), rtol=1e-5, atol=0)
    out = torch.cat([part[0] for part in found]).float()
    expected = functional.batch_norm(exact, None, None, training=True)
    torch.testing.assert_close(out, expected, rtol=1e-2, atol=2e-2)


def test_a_single_value_per_channel_is_refused_on_every_rank() -> None:
    """As in PyTorch, whose words are those of batch norm on one device."""
    images = torch.randn(1, 3)

    def work(ranks: Ranks) -> str:
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            synchronized_batch_norm(ranks.gather_active, images[ranks.rank :], None, None)
        return "refused"

    assert together(2, work) == ["refused"] * 2


def test_only_needed_gradients_are_made() -> None:
    images, weight, bias = torch.randn(3, 2, 4), torch.ones(2), torch.zeros(2)
    for needed in itertools.product([False, True], repeat=3):
        inputs = [
            value.clone().requires_grad_(on) for value, on in zip((images, weight, bias), needed, strict=True)
        ]
        out = synchronized_batch_norm(lambda vector: vector[None], inputs[0], None, None, *inputs[1:])
        assert out.requires_grad == any(needed)
        if any(needed):
            out.sum().backward()
        assert [value.grad is not None for value in inputs] == list(needed)
