"""A batch in parts that fit a small device: one optimizer step whose gradients are added up part by part.

Where a job has several processes each has its share of every part."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise

from torch import Tensor

from bench_core.data.order import batch_sizes, share
from bench_core.errors import TrainingError
from bench_core.protocol.interfaces import DeviceBatch
from bench_core.protocol.ranks import ALONE, Ranks


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
    """A part that is under way."""

    images: int
    """Of this process and of all others."""
    own: range
    """The places in the part of this process's images."""
    masks: Tensor | None
    """Of this process's images of the whole batch; None where it has none."""
    share: float
    """Of the whole batch's images."""
    last: bool
    """The step ends with it."""


class Parts:
    """Parts batches, and remembers those that have been handed out until their step is noted."""

    def __init__(self, most: int | None, ranks: Ranks = ALONE) -> None:
        self.most = most
        self._ranks = ranks
        self._open: deque[Part] = deque()

    def sizes(self, images: int) -> list[int]:
        """Return how many images of each part of a batch this process has."""
        sizes = part_sizes(images, self.most)
        return [len(share(size, self._ranks.rank, self._ranks.world)) for size in sizes]

    def places(self, images: int) -> list[int]:
        """Return the places in a batch of this process's images, part by part."""
        starts = accumulate(part_sizes(images, self.most), initial=0)
        return [
            start + place
            for start, stop in pairwise(starts)
            for place in share(stop - start, self._ranks.rank, self._ranks.world)
        ]

    def of(self, batch: DeviceBatch | None, images: int | None = None) -> Iterator[DeviceBatch | None]:
        """Yield this process's images of each part of a batch of `images` in all; None where it has none."""
        images = len(batch.ids) if images is None and batch is not None else images or 0
        if self.most is None and not self._ranks.several:
            yield batch
            return
        masks = None if batch is None else batch.masks
        wholes, done, start = part_sizes(images, self.most), 0, 0
        for whole in wholes:
            own = share(whole, self._ranks.rank, self._ranks.world)
            done += whole
            self._open.append(Part(whole, own, masks, whole / images, last=done == images))
            size = len(own)
            stop = start + size
            if batch is None or start == stop:
                yield None
            elif len(batch.ids) == size:
                yield batch
            else:
                yield DeviceBatch(batch.ids[start:stop], batch.images[start:stop], batch.masks[start:stop])
            start = stop

    def count(self, samples: int, batch_size: int) -> int:
        """Return how many batches or parts with images of this process an epoch has."""
        return sum(self._filled(size) for size in batch_sizes(samples, batch_size))

    def step_of(self, number: int, samples: int, batch_size: int) -> int:
        """Return the optimizer step, from 0, of the epoch's part of this number, of those with images of this
        process."""
        last = len(batch_sizes(samples, batch_size)) - 1
        # Only an epoch's last batch can have another number of parts than a full one, and even more of them
        # with images of this process.
        filled = self._filled(batch_size)
        return min(number // filled, last) if filled else last

    def active_counts(self, samples: int, batch_size: int) -> set[int]:
        """Return how many of the processes have images of a part, for all sizes of an epoch's parts."""
        return {
            min(self._ranks.world, part)
            for size in set(batch_sizes(samples, batch_size))
            for part in part_sizes(size, self.most)
        }

    @property
    def now(self) -> Part | None:
        """The part that is under way; None where batches are whole. TrainingError where there is none."""
        if self.most is None and not self._ranks.several:
            return None
        if not self._open:
            raise TrainingError("the runner computes a loss or a step of a batch that it was not given")
        return self._open[0]

    @property
    def newest(self) -> Part:
        """The part that was handed out last; raises TrainingError where there is none."""
        if not self._open:
            raise TrainingError("no part of a batch was handed out")
        return self._open[-1]

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

    def _filled(self, images: int) -> int:
        return sum(size > 0 for size in self.sizes(images))
