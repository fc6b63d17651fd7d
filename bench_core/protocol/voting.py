"""Soft votes: the mean of what several networks, or one on mirrored images, hold for likely."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from bench_core.protocol.site import ImageBatch


def voting(
    networks: Sequence[nn.Module], views: Sequence[tuple[int, ...]] = ((),), *, binary: bool
) -> Callable[[ImageBatch], Tensor]:
    """Return a function from a batch to logits [B, K, S, S] of the mean probability.

    The mean is over networks and views, which are the directions in which images [..., H, W] are mirrored;
    what a mirrored image gives is mirrored back. Probabilities are the sigmoid of one logit, else the softmax
    over classes.
    """

    def vote(batch: ImageBatch) -> Tensor:
        total: Tensor | None = None
        for network in networks:
            for directions in views:
                logits = network(batch.images.flip(directions)).float().flip(directions)
                shares = logits.sigmoid() if binary else logits.softmax(dim=1)
                total = shares if total is None else total + shares
        assert total is not None
        # A sum of shares may exceed their number by rounding.
        mean = (total / (len(networks) * len(views))).clamp(0.0, 1.0)
        return mean.logit() if binary else mean.log()

    return vote
