"""A batch in parts that fit a small device: one optimizer step whose gradients are added up part by part."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise

from torch import Tensor

from bench_core.data.order import batch_sizes
from bench_core.errors import TrainingError
from bench_core.protocol.interfaces import DeviceBatch


def part_sizes(images: int, most: int | None) -> list[int]:
    """Return the sizes of the fewest parts of at most `most` images; they differ by 1, larger ones first.

    None leaves the batch whole.
    """
    if most is None:
        return [images]
    count = -(-images // most)
    size, larger = divmod(images, count)
    return [size + 1] * larger + [size] * (count - larger)


@dataclass(frozen=True)
class Part:
    """A part that is under way: the masks of its whole batch, and whether the step ends with it."""

    masks: Tensor
    last: bool


class Parts:
    """Parts batches, and remembers those that have been handed out until their step is noted."""

    def __init__(self, most: int | None) -> None:
        self.most = most
        self._open: deque[Part] = deque()

    def of(self, batch: DeviceBatch) -> Iterator[DeviceBatch]:
        """Yield a batch whole, or its parts in its order."""
        if self.most is None:
            yield batch
            return
        sizes = part_sizes(len(batch.ids), self.most)
        for start, end in pairwise((0, *accumulate(sizes))):
            self._open.append(Part(batch.masks, last=end == len(batch.ids)))
            yield DeviceBatch(batch.ids[start:end], batch.images[start:end], batch.masks[start:end])

    def count(self, samples: int, batch_size: int) -> int:
        """Return how many batches or parts an epoch has."""
        return sum(len(part_sizes(size, self.most)) for size in batch_sizes(samples, batch_size))

    def step_of(self, number: int, batch_size: int) -> int:
        """Return the optimizer step, from 0, of the epoch's part of this number."""
        # Only an epoch's last batch can have fewer parts than a full one.
        return number // len(part_sizes(batch_size, self.most))

    @property
    def now(self) -> Part | None:
        """The part that is under way; None where batches are whole. TrainingError where there is none."""
        if self.most is None:
            return None
        if not self._open:
            raise TrainingError("the runner computes a loss or a step of a batch that it was not given")
        return self._open[0]

    def done(self) -> bool:
        """Note that the part under way has been trained on; return whether it ends its optimizer step."""
        part = self.now
        if part is None:
            return True
        self._open.popleft()
        return part.last

    def forget(self) -> None:
        """Forget parts of an epoch that was left."""
        self._open.clear()
