"""The order of training samples and their batches, from seeds and counts alone: needs no framework."""

from __future__ import annotations

from collections.abc import Sequence

from bench_core.seeds import derive_seed


def epoch_order(ids: Sequence[str], seed: int, epoch: int) -> list[int]:
    """Return the positions of `ids` in the order in which `epoch` shows them.

    A sample's place depends on (seed, epoch, id) and on which other samples there are, not on their order.
    """
    return sorted(range(len(ids)), key=lambda position: derive_seed("order", seed, epoch, ids[position]))


def batch_sizes(samples: int, batch_size: int) -> list[int]:
    """Return the sizes of one epoch's batches; a last batch of a single sample is left out."""
    full, rest = divmod(samples, batch_size)
    # Batch normalization over a single sample can meet one value per channel, whose variance is undefined.
    return [batch_size] * full + ([rest] if rest > 1 else [])


def share(images: int, rank: int, world: int) -> range:
    """Return which of a batch's images, by their places in it, process `rank` of `world` has.

    The shares follow one another, differ by at most 1 and are larger first: of fewer images than processes
    the last ones have none.
    """
    size, larger = divmod(images, world)
    start = rank * size + min(rank, larger)
    return range(start, start + size + (rank < larger))
