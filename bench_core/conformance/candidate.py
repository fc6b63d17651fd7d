"""An architecture under test: built small enough to afford, fed with images that it must be able to take."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from bench_core.conformance.properties import place_of
from bench_core.declarations import Architecture
from bench_core.network import build_network
from bench_core.options import complete_options

SMALLEST = 32
"""Pixels: no medical network is asked for less, whatever it declares."""
AMPLE = 64
"""Pixels at which attention over reduced tokens still sees several of them."""


@dataclass(frozen=True)
class Candidate:
    """An architecture with the options that it is checked under."""

    architecture: Architecture
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where its builder is written."""
        return place_of(self.architecture.build)

    def build(
        self,
        channels: int = 3,
        classes: int = 2,
        *,
        seed: int = 0,
        pretrained: str = "none",
        weights: Path | None = None,
    ) -> nn.Module:
        """Build the network under a seed; raise PluginError if the builder is absent or returns no module."""
        torch.manual_seed(seed)
        return build_network(
            self.architecture,
            in_channels=channels,
            num_classes=classes,
            image_size=self.sizes[-1],
            pretrained=pretrained,
            weights=weights,
            options=self.complete_options,
        )

    def outline(self, classes: int = 2) -> nn.Module:
        """Build the network for 3 channels, without values unless its builder computes with them."""
        try:
            with torch.device("meta"), _NothingDrawn():
                return self.build(3, classes)
        except Exception:  # whatever a builder that needs values runs into
            return self.build(3, classes)

    def each_choice(self) -> Iterator[Candidate]:
        """Yield the architecture at its default options, then with each single choice other than those."""
        yield replace(self, options={})
        for name, option in self.architecture.options.items():
            for choice in option.choices if option.type is not list else ():
                if choice != option.default:
                    yield replace(self, options={name: choice})

    @property
    def complete_options(self) -> dict[str, Any]:
        """The options that it is checked under, those not given at their defaults."""
        return complete_options(self.architecture.options, self.options)

    @cached_property
    def _built(self) -> nn.Module:
        return self.build()

    @cached_property
    def another(self) -> nn.Module:
        """The network under another seed, whose values nobody changes."""
        return self.build(seed=1)

    @property
    def unchanged(self) -> Mapping[str, Tensor]:
        """The state of every fresh copy of the network."""
        return self._built.state_dict()

    @property
    def network(self) -> nn.Module:
        """A fresh copy of the network for 3 channels and 2 classes, which may take seconds to initialize."""
        return copy.deepcopy(self._built)

    @property
    def sizes(self) -> tuple[int, int]:
        """The smallest size of at least 32 pixels within the declared limits, and another, odd if allowed."""
        step = self.architecture.size_multiple
        smallest = step * math.ceil(max(self.architecture.size_minimum, SMALLEST) / step)
        return smallest, smallest + (step if step > 1 else 13)

    @property
    def ample_size(self) -> int:
        """A size within the limits that leaves the deepest features several positions."""
        return self.sizes[0] * math.ceil(AMPLE / self.sizes[0])

    def is_dead(self, parameter: str) -> bool:
        """Return whether the declaration says that this parameter never receives a gradient."""
        return any(parameter.startswith(prefix) for prefix in self.architecture.dead_parameters)

    def logits(self, network: nn.Module, images: Tensor) -> Tensor:
        """Return the logits [B, K, H, W] in evaluation, as the contract computes them.

        Of a network that draws at inference each image is computed alone, freshly seeded.
        """
        network.eval()
        with torch.no_grad():
            if not self.architecture.random_at_inference:
                together: Tensor = network(images)
                return together
            alone = []
            for image in images[:, None]:
                torch.manual_seed(0)
                alone.append(network(image))
            return torch.cat(alone)


_ARITHMETIC = ("uniform_", "erfinv_", "mul_", "add_", "clamp_", "normal_", "fill_", "zero_")
"""Of drawing in place, from a normal law that is cut off, too."""
_FILLING = {
    *(getattr(nn.init, name) for name in vars(nn.init) if name.endswith("_") and not name.startswith("_")),
    *(getattr(Tensor, name) for name in _ARITHMETIC),
}
"""Whatever initializes a tensor."""


class _NothingDrawn(TorchFunctionMode):
    """Fills no tensor that has no values: PyTorch would take many a draw apart in Python, slowly."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func in _FILLING:
            tensor = args[0] if args else given.get("tensor")
            if isinstance(tensor, Tensor) and tensor.is_meta:
                return tensor
        return func(*args, **given)


def noise(batch: int, channels: int, size: int, seed: int = 0) -> Tensor:
    """Return images [B, C, S, S] of normal noise."""
    return torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(seed))


def disks(count: int, size: int) -> tuple[Tensor, Tensor]:
    """Return noisy images [B, 3, S, S] with one bright disk each, and its masks [B, S, S]."""
    images = 0.3 * noise(count, 3, size)
    axis = torch.arange(size)
    for index in range(count):
        center = size * (0.35 + 0.1 * index)
        disk = (axis[:, None] - center) ** 2 + (axis[None] - size / 2) ** 2 < (size / 4) ** 2
        images[index, :, disk] += 1.5
    masks = images.mean(dim=1) > 0.75
    masks = functional.avg_pool2d(masks.float()[:, None], 5, stride=1, padding=2)[:, 0] > 0.5
    return images, masks.long()
