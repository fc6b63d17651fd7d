"""Batches from cached arrays: the same ones for every runner, worker count, batch position and resume."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from bench_core.data.batches import Batch, Piped, blank, blank_shared
from bench_core.data.order import batch_sizes, epoch_order
from bench_core.data.splits import Split
from bench_core.errors import DataError
from bench_core.processes.parentage import die_with_parent
from bench_core.seeds import derive_seed

__all__ = ["READERS", "Augment", "Batch", "Loader", "Split"]
Augment = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]
"""Image uint8 [C, H, W], mask uint8 [H, W] and a seed to the augmented pair; draws from that seed alone.

One with a method `into(image, mask, seed, to_image, to_mask)` writes the pair where it belongs in a batch."""

Places = Callable[[int], Sequence[int]]
"""The number of a batch's images to the places of those that a loader makes."""

READERS = 2
"""Loader processes that are enough where images are not augmented."""

_START = "fork" if sys.platform == "linux" else None
"""How loader processes start. A job's process was spawned, and theirs would be, too: each would import
PyTorch, which takes seconds for every pass over a split. They use the CPU alone, as forked ones may."""

Key = tuple[int | None, tuple[int, ...]]
"""What a batch is made from: the epoch (None: no augmentation) and positions in the split."""


class _Batches(Dataset["Batch | Piped"]):
    """Makes a batch from its key alone, so that any process makes the same one."""

    def __init__(self, split: Split, seed: int, augment: Augment | None, narrow: bool) -> None:
        self._split = split
        self._seed = seed
        self._augment = augment
        self._stored_will_do = augment is None or bool(getattr(augment, "narrow", False))
        self._narrow = narrow

    def __getitem__(self, key: Key) -> Batch | Piped:
        """Return a batch as it leaves the process that makes it."""
        if get_worker_info() is None:
            return self.make(key)
        batch = blank_shared(*self._form(key))
        if batch is not None:
            self._fill(batch, key)
            return batch
        batch = self.make(key)
        return Piped(batch.ids, batch.images.numpy(), batch.masks.numpy())

    def make(self, key: Key) -> Batch:
        """Return the batch of a key."""
        batch = blank(*self._form(key))
        self._fill(batch, key)
        return batch

    def _form(self, key: Key) -> tuple[tuple[str, ...], int, int, int]:
        """Return the ids of a batch, and channels, height and width of its images."""
        epoch, positions = key
        height, width, channels = self._split.arrays.images.shape[1:]
        if self._split.gray_as_rgb and not (self._narrow and (epoch is None or self._stored_will_do)):
            channels = 3
        return tuple(self._split.ids[position] for position in positions), channels, height, width

    def _fill(self, batch: Batch, key: Key) -> None:
        epoch, positions = key
        if epoch is None or self._augment is None:
            images, masks = self._split.read_stored(positions)
            batch.images.copy_(images)  # One gray channel may stand for three.
            batch.masks.copy_(masks)
            return
        read = self._split.read_stored if self._stored_will_do else self._split.read
        # One after the other: each stays in the processor's cache meanwhile.
        for place, (position, sample) in enumerate(zip(positions, batch.ids, strict=True)):
            images, masks = read([position])
            seed = derive_seed("augment", self._seed, epoch, sample)
            to_image = batch.images[place, : images.shape[1]]
            _augmented(self._augment, images[0], masks[0], seed, to_image, batch.masks[place])
            batch.images[place, len(to_image) :] = to_image[:1]


def _augmented(
    augment: Augment, image: Tensor, mask: Tensor, seed: int, to_image: Tensor, to_mask: Tensor
) -> None:
    into = getattr(augment, "into", None)
    if into is not None:
        into(image, mask, seed, to_image, to_mask)
        return
    image, mask = augment(image, mask, seed)
    to_image.copy_(image)
    to_mask.copy_(mask)


class Loader:
    """Batches of a split.

    The order of an epoch depends on (seed, epoch) alone, a sample's augmentation on (seed, epoch, sample id)
    alone. `workers` processes prepare batches ahead; 0 prepares them in this process. The batches' bits are
    the same either way. `pin_memory` is for copies to a CUDA device. With `narrow`, gray images that stand
    for RGB ones may come as one channel, to be repeated by whoever takes them. An augmentation whose
    attribute `narrow` is true takes such images, too, and treats them as three equal channels. With `places`
    only those images of each training batch are made, which are the same as in the whole batch.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        *,
        seed: int,
        augment: Augment | None,
        workers: int = 0,
        pin_memory: bool = False,
        narrow: bool = False,
        places: Places | None = None,
    ) -> None:
        self.split = split
        self.batch_size = batch_size
        self._places = places
        self._seed = seed
        self._source = _Batches(split, seed, augment, narrow)
        self._workers = workers
        self._pin_memory = pin_memory
        self._keys: list[Key] = []
        self._pool: DataLoader[Batch | Piped] | None = None
        self._pool_busy = False

    @property
    def steps(self) -> int:
        """Batches of one `epoch`."""
        return len(batch_sizes(len(self.split), self.batch_size))

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the shuffled, augmented batches of training epoch `number`.

        The last batch may be smaller; a last batch of a single sample is left out. So is one of which
        `places` leave nothing.
        """
        if self.steps == 0:
            raise DataError(
                "the training split holds a single sample, too few for one batch",
                fix="use fewer folds or more data, or set `batch_size: 1`",
            )
        order = epoch_order(self.split.ids, self._seed, number)
        chunks = self._chunks(order)[: self.steps]
        if self._places is not None:
            parts = [tuple(chunk[place] for place in self._places(len(chunk))) for chunk in chunks]
            chunks = [part for part in parts if part]
        return self._fetch([(number, chunk) for chunk in chunks])

    def sequential(self) -> Iterator[Batch]:
        """Yield all samples in the split's order, without augmentation."""
        return self._fetch([(None, chunk) for chunk in self._chunks(range(len(self.split)))])

    def close(self) -> None:
        """End the loader's processes now; the next iteration would start new ones.

        A pool that is left to the garbage collector is taken apart in any order: its processes may then not
        hear of their end, and each is waited for in vain for seconds.
        """
        self._pool = None

    def _chunks(self, order: Sequence[int]) -> list[tuple[int, ...]]:
        size = self.batch_size
        return [tuple(order[start : start + size]) for start in range(0, len(order), size)]

    def _fetch(self, keys: Sequence[Key]) -> Iterator[Batch]:
        if self._workers == 0:
            for key in keys:
                batch = self._source.make(key)
                yield batch.pin_memory() if self._pin_memory else batch
            return
        if self._pool_busy:
            # Two iterations at once cannot share one pool of processes.
            yield from self._received(self._make_pool(keys, persistent=False))
            return
        self._keys[:] = keys
        if self._pool is None:
            self._pool = self._make_pool(self._keys, persistent=True)
        self._pool_busy = True
        try:
            yield from self._received(self._pool)
        finally:
            self._pool_busy = False

    @staticmethod
    def _received(pool: DataLoader[Batch | Piped]) -> Iterator[Batch]:
        try:
            batches = iter(pool)
        except OSError as error:
            raise DataError(
                "loader processes cannot be started",
                cause=error.strerror or str(error),
                fix="set `runtime: {loader_workers: 0}`, or make room in /dev/shm (docker run --shm-size=1g)",
            ) from error
        for batch in batches:
            yield batch.batch() if isinstance(batch, Piped) else batch

    def _make_pool(self, keys: Sequence[Key], *, persistent: bool) -> DataLoader[Batch | Piped]:
        _one_core()
        return DataLoader(
            self._source,
            batch_size=None,
            sampler=keys,
            num_workers=self._workers,
            multiprocessing_context=_START,
            persistent_workers=persistent,
            pin_memory=self._pin_memory,
            # Its own generator: a DataLoader otherwise draws from the global one, and dropout would then
            # depend on the number of workers.
            generator=torch.Generator(),
            worker_init_fn=partial(_begin, os.getpid()),
        )


def _begin(parent: int, worker: int) -> None:
    """Let a loader process end when its job's process does, however that ends."""
    if _forked():
        die_with_parent(parent)
    else:
        _one_core()


def _forked() -> bool:
    return (_START or multiprocessing.get_start_method()) == "fork"


def _one_core() -> None:
    """Let OpenCV work on one core, in this process and in those that are forked from it.

    A forked process inherits OpenCV's pool without its threads, and waits for ever where it changes its size.
    """
    cv2.setNumThreads(1)
