"""Batches depend on seed, epoch and sample alone: not on workers, batch position or what ran before."""

from __future__ import annotations

import multiprocessing
import pickle
import resource
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench_core.data.loader import Batch, Loader, Split
from bench_core.errors import DataError
from tests.helpers.pictures import cache_folder, in_memory, write_folder


def shift(image: Tensor, mask: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """An augmentation that shows its seed in every pixel."""
    return image + seed % 251, torch.roll(mask, seed % 5, 0)


def equal(one: list[Batch], other: list[Batch]) -> bool:
    return [batch.ids for batch in one] == [batch.ids for batch in other] and all(
        torch.equal(a.images, b.images) and torch.equal(a.masks, b.masks)
        for a, b in zip(one, other, strict=True)
    )


@given(st.integers(1, 30), st.integers(1, 9), st.integers(0, 5))
@settings(max_examples=60)
def test_an_epoch_shows_each_sample_once(count: int, batch_size: int, epoch: int) -> None:
    loader = Loader(Split(in_memory(count, 2), range(count), "rgb"), batch_size, seed=7, augment=None)
    if count == 1 and batch_size > 1:
        with pytest.raises(DataError, match="single sample"):
            loader.epoch(epoch)
        return
    sizes = [len(batch.ids) for batch in loader.epoch(epoch)]
    ids = [name for batch in loader.epoch(epoch) for name in batch.ids]
    dropped = batch_size > 1 and count % batch_size == 1
    assert len(sizes) == loader.steps
    assert len(ids) == len(set(ids)) == count - dropped
    assert all(size == batch_size for size in sizes[:-1])
    assert batch_size == 1 or min(sizes) > 1


def test_order_depends_on_seed_and_epoch_alone() -> None:
    split = Split(in_memory(20), range(20), "rgb")
    orders = {
        (seed, epoch): [
            name for batch in Loader(split, 4, seed=seed, augment=None).epoch(epoch) for name in batch.ids
        ]
        for seed in (1, 2)
        for epoch in (0, 1)
    }
    assert len({tuple(order) for order in orders.values()}) == 4
    torch.manual_seed(99)
    loader = Loader(split, 4, seed=2, augment=shift)
    list(loader.epoch(0))
    assert [name for batch in loader.epoch(1) for name in batch.ids] == orders[2, 1]


def test_augmentation_depends_on_seed_epoch_and_sample_alone() -> None:
    arrays = in_memory(12)
    by_size = []
    for batch_size, indices in ((4, range(12)), (3, range(11, -1, -1))):
        loader = Loader(Split(arrays, indices, "rgb"), batch_size, seed=5, augment=shift)
        by_size.append(
            {
                name: image
                for batch in loader.epoch(3)
                for name, image in zip(batch.ids, batch.images, strict=True)
            }
        )
    assert by_size[0].keys() == by_size[1].keys()
    assert all(torch.equal(by_size[0][name], by_size[1][name]) for name in by_size[0])
    other = {
        name: image for batch in loader.epoch(4) for name, image in zip(batch.ids, batch.images, strict=True)
    }
    assert not any(torch.equal(by_size[0][name], other[name]) for name in other)


def test_workers_change_no_bit_and_draw_nothing_from_the_global_generator(tmp_path: Path) -> None:
    arrays = cache_folder(write_folder(tmp_path / "data", 11), tmp_path / "cache")
    split = Split(arrays, range(11), "rgb")
    alone = Loader(split, 3, seed=1, augment=shift)
    pool = Loader(split, 3, seed=1, augment=shift, workers=2)
    before = torch.random.get_rng_state()
    for epoch in (0, 1):
        assert equal(list(alone.epoch(epoch)), list(pool.epoch(epoch)))
    assert equal(list(alone.sequential()), list(pool.sequential()))
    assert torch.equal(before, torch.random.get_rng_state())


def looked_up(image: Tensor, mask: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """An augmentation whose work OpenCV gives to its threads."""
    table = np.roll(np.arange(256, dtype=np.uint8), seed % 251)
    return torch.from_numpy(cv2.LUT(image.numpy().reshape(-1, 512), table).reshape(image.shape)), mask


@pytest.mark.timeout(120)
def test_loader_processes_work_after_opencv_has_started_its_threads() -> None:
    split = Split(in_memory(4, size=512), range(4), "rgb")
    before = cv2.getNumThreads()
    cv2.setNumThreads(4)
    try:
        alone = list(Loader(split, 2, seed=1, augment=looked_up).epoch(0))
        pool = Loader(split, 2, seed=1, augment=looked_up, workers=2)
        assert equal(alone, list(pool.epoch(0)))
        pool.close()
    finally:
        cv2.setNumThreads(before)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems start processes their own way")
def test_loader_processes_are_forked_though_their_parent_was_spawned() -> None:
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("spawn", force=True)
    try:
        # What is defined in here cannot be sent to a process that is started anew.
        split = Split(in_memory(4), range(4), "rgb")
        loader = Loader(split, 2, seed=0, augment=lambda image, mask, seed: (image, mask), workers=1)
        assert len(list(loader.epoch(0))) == 2
        loader.close()
    finally:
        multiprocessing.set_start_method(before, force=True)


def test_an_epoch_left_early_or_read_twice_at_once_disturbs_nothing() -> None:
    split = Split(in_memory(10), range(10), "rgb")
    alone = Loader(split, 2, seed=1, augment=shift)
    pool = Loader(split, 2, seed=1, augment=shift, workers=1)
    left = pool.epoch(0)
    first = next(left)
    assert equal(list(alone.sequential()), list(pool.sequential()))
    assert equal(list(alone.epoch(0)), [first, *left])
    next(pool.epoch(0))
    assert equal(list(alone.epoch(1)), list(pool.epoch(1)))


def test_sequential_shows_all_samples_in_order_and_unchanged() -> None:
    arrays = in_memory(9)
    batches = list(Loader(Split(arrays, range(9), "rgb"), 4, seed=1, augment=shift).sequential())
    assert [len(batch.ids) for batch in batches] == [4, 4, 1]
    images = torch.cat([batch.images for batch in batches])
    assert images.dtype == torch.uint8
    assert (images.permute(0, 2, 3, 1).numpy() == arrays.images).all()
    assert (torch.cat([batch.masks for batch in batches]).numpy() == arrays.masks).all()


@pytest.mark.parametrize(
    ("channels", "stored", "expected"), [("rgb", 1, 3), ("native", 1, 1), ("native", 4, 4)]
)
def test_gray_becomes_rgb_only_where_asked(channels: str, stored: int, expected: int) -> None:
    arrays = in_memory(3, channels=stored)
    images, _ = Split(arrays, [2, 0], channels).read([0, 1])  # type: ignore[arg-type]
    assert images.shape == (2, expected, 8, 8) and images.is_contiguous()
    assert all(
        (images[0, plane % expected].numpy() == arrays.images[2, :, :, plane % stored]).all()
        for plane in range(3)
    )


class Treated:
    """An augmentation that takes gray images as they are stored, if it says so."""

    def __init__(self, narrow: bool) -> None:
        self.narrow = narrow
        self.seen: set[int] = set()

    def __call__(self, image: Tensor, mask: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        self.seen.add(len(image))
        return shift(image, mask, seed)


@pytest.mark.parametrize("treats", [False, True])
def test_gray_images_travel_as_one_channel_where_both_ends_allow_it(treats: bool) -> None:
    split = Split(in_memory(6, channels=1), range(6), "rgb")
    augment = Treated(treats)
    wide, narrow = (Loader(split, 3, seed=1, augment=augment, narrow=taken) for taken in (False, True))
    for kind in ("epoch", "sequential"):
        batches = [
            list(loader.epoch(2) if kind == "epoch" else loader.sequential()) for loader in (wide, narrow)
        ]
        for one, other in zip(*batches, strict=True):
            assert one.images.shape[1] == 3
            assert other.images.shape[1] == (1 if treats or kind == "sequential" else 3)
            assert torch.equal(one.images, other.images.expand_as(one.images))
            assert torch.equal(one.masks, other.masks)
    assert augment.seen == {1 if treats else 3}


def test_impossible_splits_are_refused() -> None:
    with pytest.raises(DataError, match="no samples"):
        Split(in_memory(3), [], "rgb")
    with pytest.raises(DataError, match="4 channels cannot become RGB"):
        Split(in_memory(3, channels=4), [0], "rgb")


def test_batches_are_copies_of_the_cache(tmp_path: Path) -> None:
    arrays = cache_folder(write_folder(tmp_path / "data", 6), tmp_path / "cache")
    kept = np.array(arrays.images)
    for batch in Loader(Split(arrays, range(6), "native"), 2, seed=0, augment=None).sequential():
        batch.images.zero_()
    assert (arrays.images == kept).all()


def test_arrays_travel_to_other_processes_as_a_path(tmp_path: Path) -> None:
    arrays = cache_folder(write_folder(tmp_path / "data", 40), tmp_path / "cache", image_size=64)
    packed = pickle.dumps(Split(arrays, range(6), "rgb"))
    assert len(packed) < arrays.images.nbytes / 10
    assert (pickle.loads(packed).arrays.images == arrays.images).all()
    memory = in_memory(3)
    assert (pickle.loads(pickle.dumps(memory)).masks == memory.masks).all()


def test_batches_that_find_no_room_in_shared_memory_come_another_way() -> None:
    """A limit on the size of files holds for shared memory, too, and stands here for a small /dev/shm."""
    split = Split(in_memory(12, size=64), range(12), "rgb")
    expected = list(Loader(split, 4, seed=1, augment=shift).epoch(0))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    loader = Loader(split, 4, seed=1, augment=shift, workers=2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        found = list(loader.epoch(0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert equal(found, expected)


def test_a_closed_loader_leaves_no_process_and_can_start_again() -> None:
    split = Split(in_memory(6), range(6), "rgb")
    before = set(multiprocessing.active_children())
    pool = Loader(split, 2, seed=1, augment=shift, workers=2)
    first = list(pool.epoch(0))
    assert len(set(multiprocessing.active_children()) - before) == 2
    pool.close()
    assert set(multiprocessing.active_children()) <= before
    assert equal(first, list(pool.epoch(0)))
    pool.close()


def test_changed_images_are_the_same_in_every_process_and_leave_masks_alone() -> None:
    arrays = in_memory(5, channels=1)
    plain = Split(arrays, range(5), "rgb")
    split = plain.changed(_Darkened(3))
    usual, inside, outside = (
        list(Loader(each, 2, seed=1, augment=None, workers=workers).sequential())
        for each, workers in ((plain, 0), (split, 0), (split, 2))
    )
    for batch, one, other in zip(usual, inside, outside, strict=True):
        places = [arrays.ids.index(sample) for sample in batch.ids]
        shift = torch.tensor([3 + place for place in places], dtype=torch.uint8)[:, None, None, None]
        assert torch.equal(one.images, batch.images // 2 + shift)
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.masks, batch.masks) and torch.equal(other.masks, batch.masks)


class _Darkened:
    def __init__(self, shift: int) -> None:
        self.shift = shift

    def __call__(self, image: np.ndarray, place: int) -> np.ndarray:
        return (image // 2 + self.shift + place).astype(np.uint8)
