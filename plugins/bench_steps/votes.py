"""Which networks and views vote in the step `ensemble`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from bench_core.protocol import voting as core
from bench_core.protocol.site import ImageBatch
from bench_steps.views import FLIPS


def voting(
    networks: Sequence[nn.Module], flips: Sequence[str], *, binary: bool
) -> Callable[[ImageBatch], Tensor]:
    """Return a function from a batch to logits [B, K, S, S] of the mean probability, as the core's does.

    The mean is over networks and views, the image as it is among them.
    """
    return core.voting(networks, [(), *(FLIPS[name] for name in flips)], binary=binary)
