from __future__ import annotations

import pytest
import torch

from bench_core import IGNORE
from bench_core.data.loader import Batch
from bench_core.errors import DataError, TrainingError
from bench_core.protocol.normalization import Normalize, Transfer
from bench_core.spec.protocol import Normalization
from tests.helpers.tiny_jobs import BINARY, THREE


def test_bytes_become_normalized_floats() -> None:
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1)
    found = Normalize(Normalization(), 1)(images)
    assert found.dtype == torch.float32
    assert found.flatten().tolist() == pytest.approx([-1.0, -0.6, 1.0])


def test_each_channel_has_its_own_mean_and_std() -> None:
    images = torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)
    settings = Normalization(mean=[0.0, 0.5, 1.0], std=[1.0, 0.5, 2.0])
    assert Normalize(settings, 3)(images).flatten().tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize("mean", [0.5, [0.1, 0.2, 0.3]])
def test_a_gray_image_stands_for_equal_channels(mean: float | list[float]) -> None:
    gray = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    normalize = Normalize(Normalization(mean=mean), 3)
    found = normalize(gray)
    assert torch.equal(found, normalize(gray.repeat(1, 3, 1, 1)))
    assert found.shape == (1, 3, 16, 16) and found.is_contiguous()


def test_a_list_of_another_length_is_refused() -> None:
    with pytest.raises(TrainingError, match="mean has 3 values for images with 1 channel"):
        Normalize(Normalization(mean=[0.5, 0.5, 0.5]), 1)


def transfer(memory_format: torch.memory_format) -> Transfer:
    return Transfer(Normalize(Normalization(), 3), BINARY, torch.device("cpu"), memory_format)


def test_channels_last_changes_the_layout_and_no_number() -> None:
    batch = Batch(
        ("a",), torch.arange(48, dtype=torch.uint8).view(1, 3, 4, 4), torch.ones(1, 4, 4, dtype=torch.uint8)
    )
    plain, last = (transfer(form)(batch) for form in (torch.contiguous_format, torch.channels_last))
    assert last.images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(plain.images, last.images)
    assert plain.masks.dtype == torch.int64


def test_a_mask_with_a_class_that_the_task_lacks_is_refused_with_its_samples() -> None:
    batch = Batch(("case-7",), torch.zeros(1, 3, 2, 2, dtype=torch.uint8), torch.full((1, 2, 2), 2).byte())
    with pytest.raises(DataError, match="class 2") as caught:
        transfer(torch.contiguous_format)(batch)
    assert "case-7" in str(caught.value.place)
    three = Transfer(Normalize(Normalization(), 3), THREE, torch.device("cpu"), torch.contiguous_format)
    assert int(three(batch).masks.max()) == 2


def test_pixels_that_count_nowhere_are_no_class() -> None:
    images = torch.zeros((1, 3, 4, 4), dtype=torch.uint8)
    masks = torch.full((1, 4, 4), IGNORE, dtype=torch.uint8)
    bring = transfer(torch.contiguous_format)
    assert (bring(Batch(("void",), images, masks)).masks == IGNORE).all()
    masks[0, 0, 0] = 1
    assert bring(Batch(("half",), images, masks)).masks[0, 0, 0] == 1
    masks[0, 0, 0] = 254
    with pytest.raises(DataError, match="a mask holds class 254"):
        bring(Batch(("wrong",), images, masks))
