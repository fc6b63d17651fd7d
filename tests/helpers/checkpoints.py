"""Networks of published size and the files that fill them, without the time that random numbers take."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

_SPREAD = 0.1


def numbered(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Return tensors of these shapes, no two of them alike; those without dimensions are counts.

    All but variances are parts of one row of random numbers: a file of them is little larger than the row.
    """
    longest = max(math.prod(shape) for shape in shapes.values())
    with torch.device("cpu"):
        row = _SPREAD * torch.randn(longest + len(shapes), generator=torch.Generator().manual_seed(0))
        tensors = {
            name: row[first : first + math.prod(shape)].view(tuple(shape)) if shape else torch.tensor(first)
            for first, (name, shape) in enumerate(shapes.items())
        }
    return {name: t.abs() if name.endswith("running_var") else t for name, t in tensors.items()}


def numbered_like(network: nn.Module) -> dict[str, Tensor]:
    """Return other numbers for every tensor of a network, which may lie on the device `meta`."""
    return numbered({name: tensor.shape for name, tensor in network.state_dict().items()})


def randomized(network: nn.Module, seed: int = 0) -> nn.Module:
    """Fill all tensors with numbers, so that no bias, gain or statistic is at a value that hides it."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("running_var"):
            tensor.copy_(1 + 0.2 * noise.abs())
        elif tensor.ndim == 1:
            tensor.copy_((1.0 if name.endswith("weight") else 0.0) + 0.1 * noise)
        else:
            tensor.copy_(noise / tensor[0].numel() ** 0.5)
    return network


@contextmanager
def nothing_drawn() -> Iterator[None]:
    """Build networks whose beginnings are no numbers, since files replace them: what none fills is NaN."""

    def draw(tensor: Tensor, *arguments: Any, **more: Any) -> Tensor:
        return tensor.fill_(math.nan)

    with mock.patch.multiple(torch.Tensor, uniform_=draw, normal_=draw, erfinv_=lambda tensor: tensor):
        yield


@contextmanager
def shapes_alone() -> Iterator[None]:
    """Build networks on the device `meta`, without a call for each number that would be drawn."""
    with nothing_drawn(), torch.device("meta"):
        yield
