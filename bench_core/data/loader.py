"""Batches from cached arrays: the same ones for every runner, worker count, batch position and resume."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from bench_core.data.arrays import CachedArrays
from bench_core.data.order import batch_sizes, epoch_order
from bench_core.errors import DataError
from bench_core.processes.parentage import die_with_parent
from bench_core.seeds import derive_seed

log = logging.getLogger(__name__)
Augment = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]
"""Image uint8 [C, H, W], mask uint8 [H, W] and a seed to the augmented pair; draws from that seed alone."""

READERS = 2
"""Loader processes that are enough where images are not augmented."""

Key = tuple[int | None, tuple[int, ...]]
"""What a batch is made from: the epoch (None: no augmentation) and positions in the split."""


@dataclass(frozen=True)
class Batch:
    """Samples on the CPU, not yet normalized."""

    ids: tuple[str, ...]
    images: Tensor
    """uint8 [B, C, H, W]"""
    masks: Tensor
    """uint8 [B, H, W] class indices"""

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory, from which copies to a GPU run alongside computation."""
        return Batch(self.ids, self.images.pin_memory(), self.masks.pin_memory())


@dataclass(frozen=True)
class _Piped:
    """A batch on its way through a pipe, where shared memory has no room for it: slower, but of any size."""

    ids: tuple[str, ...]
    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]

    def batch(self) -> Batch:
        """Return the batch."""
        return Batch(self.ids, torch.from_numpy(self.images), torch.from_numpy(self.masks))

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory."""
        return self.batch().pin_memory()


def _shared(batch: Batch) -> Batch | _Piped:
    """Put a batch into shared memory, by which it reaches the main process without a copy, if there is room.

    A DataLoader does so too late: where it fails there, the main process waits for that batch for ever.
    """
    try:
        for tensor in (batch.images, batch.masks):
            tensor.share_memory_()  # type: ignore[no-untyped-call]
        return batch
    except (RuntimeError, OSError) as error:
        _tell(f"{(batch.images.nbytes + batch.masks.nbytes) / 2**20:.1f} MB", str(error).partition("<")[0])
    return _Piped(batch.ids, batch.images.numpy().copy(), batch.masks.numpy().copy())


@cache
def _tell(size: str, error: str) -> None:
    """Say it once in each process."""
    log.warning("no room for %s in shared memory (%s): batches take a slower way", size, error)


class Split:
    """Some of a dataset's samples, with the channels that the protocol asks for.

    Raises DataError if it holds no sample or its channels cannot become RGB.
    """

    def __init__(
        self,
        arrays: CachedArrays,
        indices: Sequence[int] | NDArray[np.int64],
        channels: Literal["rgb", "native"],
    ) -> None:
        self.arrays = arrays
        self.indices = np.asarray(indices, dtype=np.int64)
        self.channels = channels
        self.ids = tuple(arrays.ids[index] for index in self.indices)
        self.groups = tuple(arrays.groups[index] for index in self.indices)
        if not self.ids:
            raise DataError("a split holds no samples", fix="use fewer folds or more data")
        stored = arrays.images.shape[3]
        if channels == "rgb" and stored not in (1, 3):
            raise DataError(
                f"images with {stored} channels cannot become RGB", fix="set `protocol: {channels: native}`"
            )
        self.gray_as_rgb = channels == "rgb" and stored == 1
        """Stored with one channel, which stands for three equal ones."""

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return copies of images uint8 [B, C, H, W] and masks uint8 [B, H, W] at these positions."""
        images, masks = self.read_stored(positions)
        return as_rgb(images) if self.gray_as_rgb else images, masks

    def read_stored(self, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Like `read`, with the channels of the cache: one where `gray_as_rgb`."""
        pixels, labels = self.arrays.read(self.indices[list(positions)])
        return _planes(pixels), torch.from_numpy(np.ascontiguousarray(labels))


def as_rgb(images: Tensor) -> Tensor:
    """Return images [B, 3, H, W] of gray ones [B, 1, H, W]."""
    return images.repeat(1, 3, 1, 1)


def _planes(pixels: NDArray[np.uint8]) -> Tensor:
    """Return [B, C, H, W] of pixels [B, H, W, C]."""
    if pixels.shape[3] != 3:
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    # Ten times faster than a transposed copy.
    import cv2

    planes = np.empty((len(pixels), 3, *pixels.shape[1:3]), dtype=np.uint8)
    for image, channels in zip(pixels, planes, strict=True):
        cv2.split(image, list(channels))
    return torch.from_numpy(planes)


class _Batches(Dataset["Batch | _Piped"]):
    """Makes a batch from its key alone, so that any process makes the same one."""

    def __init__(self, split: Split, seed: int, augment: Augment | None, narrow: bool) -> None:
        self._split = split
        self._seed = seed
        self._augment = augment
        self._narrow = narrow

    def __getitem__(self, key: Key) -> Batch | _Piped:
        """Return a batch as it leaves the process that makes it."""
        batch = self.make(key)
        return batch if get_worker_info() is None else _shared(batch)

    def make(self, key: Key) -> Batch:
        """Return the batch of a key."""
        epoch, positions = key
        ids = tuple(self._split.ids[position] for position in positions)
        augmented = epoch is not None and self._augment is not None
        narrow = not augmented or getattr(self._augment, "narrow", False)
        images, masks = self._split.read_stored(positions) if narrow else self._split.read(positions)
        if epoch is not None and self._augment is not None:
            pairs = [
                self._augment(image, mask, derive_seed("augment", self._seed, epoch, sample))
                for image, mask, sample in zip(images, masks, ids, strict=True)
            ]
            images = torch.stack([image for image, _ in pairs])
            masks = torch.stack([mask for _, mask in pairs])
        if self._split.gray_as_rgb and images.shape[1] == 1 and not self._narrow:
            images = as_rgb(images)
        return Batch(ids, images, masks)


class Loader:
    """Batches of a split.

    The order of an epoch depends on (seed, epoch) alone, a sample's augmentation on (seed, epoch, sample id)
    alone. `workers` processes prepare batches ahead; 0 prepares them in this process. The batches' bits are
    the same either way. `pin_memory` is for copies to a CUDA device. With `narrow`, gray images that stand
    for RGB ones may come as one channel, to be repeated by whoever takes them. An augmentation whose
    attribute `narrow` is true takes such images, too, and treats them as three equal channels.
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
    ) -> None:
        self.split = split
        self.batch_size = batch_size
        self._seed = seed
        self._source = _Batches(split, seed, augment, narrow)
        self._workers = workers
        self._pin_memory = pin_memory
        self._keys: list[Key] = []
        self._pool: DataLoader[Batch | _Piped] | None = None
        self._pool_busy = False

    @property
    def steps(self) -> int:
        """Batches of one `epoch`."""
        return len(batch_sizes(len(self.split), self.batch_size))

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the shuffled, augmented batches of training epoch `number`.

        The last batch may be smaller; a last batch of a single sample is left out.
        """
        if self.steps == 0:
            raise DataError(
                "the training split holds a single sample, too few for one batch",
                fix="use fewer folds or more data, or set `batch_size: 1`",
            )
        order = epoch_order(self.split.ids, self._seed, number)
        chunks = self._chunks(order)[: self.steps]
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
    def _received(pool: DataLoader[Batch | _Piped]) -> Iterator[Batch]:
        try:
            batches = iter(pool)
        except OSError as error:
            raise DataError(
                "loader processes cannot be started",
                cause=error.strerror or str(error),
                fix="set `runtime: {loader_workers: 0}`, or make room in /dev/shm (docker run --shm-size=1g)",
            ) from error
        for batch in batches:
            yield batch.batch() if isinstance(batch, _Piped) else batch

    def _make_pool(self, keys: Sequence[Key], *, persistent: bool) -> DataLoader[Batch | _Piped]:
        _one_core()
        return DataLoader(
            self._source,
            batch_size=None,
            sampler=keys,
            num_workers=self._workers,
            persistent_workers=persistent,
            pin_memory=self._pin_memory,
            # Its own generator: a DataLoader otherwise draws from the global one, and dropout would then
            # depend on the number of workers.
            generator=torch.Generator(),
            worker_init_fn=partial(_begin, os.getpid()),
        )


def _begin(parent: int, worker: int) -> None:
    """Let a loader process end when its job's process does, however that ends."""
    if multiprocessing.get_start_method() == "fork":
        die_with_parent(parent)
    else:
        _one_core()


def _one_core() -> None:
    """Let OpenCV work on one core, in this process and in those that are forked from it.

    A forked process inherits OpenCV's pool without its threads, and waits for ever where it changes its size.
    """
    import cv2

    cv2.setNumThreads(1)
