"""What is computed otherwise than torchvision does it has torchvision's numbers, bit for bit."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2

from bench_core.protocol.affine import OnePassAffine
from bench_core.protocol.augmentation import NARROW, Augmentation, build_augmentation
from bench_core.protocol.blur import SeparableGaussianBlur
from bench_core.protocol.color import QuickDistort, QuickJitter, adjust

pytestmark = pytest.mark.usefixtures("one_thread")
Pair = tuple[Tensor, Tensor]


def picture(seed: int, channels: int, height: int, width: int, levels: int = 256) -> Pair:
    """An image of few or many colors, and a mask that uses every value of a byte."""
    draws = np.random.default_rng(seed)
    colors = draws.integers(0, 256, (levels, channels), dtype=np.uint8)
    image = colors[draws.integers(0, levels, (height, width))].transpose(2, 0, 1)
    mask = draws.integers(0, 256, (1, height, width), dtype=np.uint8)
    return torch.from_numpy(np.ascontiguousarray(image)), torch.from_numpy(mask)


def same(ours: v2.Transform, theirs: v2.Transform, pair: Pair, seed: int) -> None:
    found = []
    for transform in (ours, theirs):
        torch.manual_seed(seed)
        found.append(transform(tv_tensors.Image(pair[0]), tv_tensors.Mask(pair[1])))
        found[-1] += (torch.rand(1),)  # The next draw shows that as many were made.
    for one, other in zip(*found, strict=True):
        assert type(one) is type(other) and torch.equal(one, other)


sizes = st.tuples(st.integers(1, 3), st.integers(5, 90), st.integers(5, 90))
seeds = st.integers(0, 2**40)


@settings(max_examples=80, deadline=None)
@given(
    sizes,
    seeds,
    st.sampled_from(["nearest", "bilinear"]),
    st.sampled_from([0, 255]),
    st.sampled_from([None, 17.5, [-10.0, 20.0, -5.0, 15.0]]),
    st.sampled_from([None, [3.0, 11.5]]),
)
def test_affine(
    size: tuple[int, int, int], seed: int, interpolation: str, outside: int, shear: Any, center: Any
) -> None:
    arguments = {
        "degrees": 180.0,
        "translate": [0.25, 0.25],
        "scale": [0.6, 1.4],
        "shear": shear,
        "center": center,
        "interpolation": InterpolationMode(interpolation),
        "fill": {tv_tensors.Image: 0, tv_tensors.Mask: outside},
    }
    same(OnePassAffine(**arguments), v2.RandomAffine(**arguments), picture(seed, *size), seed)


fours = st.integers(1, 40).map(lambda number: 4 * number)
colors = st.tuples(st.sampled_from([1, 3]), fours, fours)
DISTORT: dict[str, Any] = {"hue": (-0.5, 0.5), "saturation": (0.0, 3.0)}
JITTER: dict[str, Any] = {"brightness": 0.9, "contrast": [0.0, 2.5], "saturation": 1.0, "hue": 0.5}


@settings(max_examples=60, deadline=None)
@given(colors, seeds, st.sampled_from([1, 3, 256]), st.sampled_from([0.5, 1.0]))
def test_photometric_distortion(
    size: tuple[int, int, int], seed: int, levels: int, probability: float
) -> None:
    ours, theirs = (kind(**DISTORT, p=probability) for kind in (QuickDistort, v2.RandomPhotometricDistort))
    same(ours, theirs, picture(seed, *size, levels), seed)


@settings(max_examples=40, deadline=None)
@given(colors, seeds)
def test_color_jitter(size: tuple[int, int, int], seed: int) -> None:
    same(QuickJitter(**JITTER), v2.ColorJitter(**JITTER), picture(seed, *size), seed)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([1, 3]), st.integers(1, 90), st.integers(1, 90), seeds)
def test_in_other_sizes_a_few_pixels_may_be_rounded_otherwise(
    channels: int, height: int, width: int, seed: int
) -> None:
    image, _ = picture(seed, channels, height, width)
    draws = np.random.default_rng(seed)
    for name in ("brightness", "contrast", "saturation", "hue"):
        factor = float(draws.uniform(-0.5, 0.5) if name == "hue" else draws.uniform(0, 3))
        expected = getattr(v2.functional, f"adjust_{name}")(image, factor)
        apart = (adjust(image, name, factor).int() - expected.int()).abs()
        assert apart.max() <= 1 and (apart > 0).sum() <= 64


@pytest.mark.parametrize("factor", [-0.5, -0.049, 1e-9, -1e-9, 0.0, 0.2, 0.5])
def test_hue_of_every_color_at_its_borders(factor: float) -> None:
    edge = torch.tensor([0, 1, 2, 63, 127, 128, 129, 200, 253, 254, 255], dtype=torch.uint8)
    colors = torch.cartesian_prod(edge, edge, edge).T.reshape(3, len(edge), -1)
    assert torch.equal(adjust(colors, "hue", factor), v2.functional.adjust_hue(colors, factor))


@pytest.mark.parametrize("size", [64, 512])
def test_a_whole_list_on_a_smooth_image(size: int) -> None:
    """All but the blur, whose sums torchvision adds up in another order."""
    rows, columns = np.mgrid[:size, :size] * (250 / size)
    planes = [rows, columns, 250 - (rows + columns) / 2]
    image = torch.from_numpy(np.stack(planes).astype(np.uint8))
    mask = (image[0] > 100).to(torch.uint8)
    affine = {"degrees": 180.0, "translate": [0.25, 0.25], "scale": [0.75, 1.25], "shear": 17.5}
    settings = [
        ("RandomAffine", {**affine, "interpolation": "bilinear"}),
        ("RandomHorizontalFlip", {}),
        ("RandomVerticalFlip", {}),
        ("RandomPhotometricDistort", {}),
    ]
    theirs = v2.Compose(
        [
            v2.RandomAffine(**affine, interpolation=InterpolationMode.BILINEAR),
            *(v2.RandomHorizontalFlip(), v2.RandomVerticalFlip(), v2.RandomPhotometricDistort()),
        ]
    )
    ours = Augmentation(settings)
    for seed in range(8):
        torch.manual_seed(seed)
        expected = theirs(tv_tensors.Image(image), tv_tensors.Mask(mask[None]))
        moved, labels = ours(image, mask, seed)
        assert torch.equal(moved, expected[0]) and torch.equal(labels, expected[1][0])


def test_images_of_other_channels_have_no_color() -> None:
    with pytest.raises(TypeError, match="2 channels"):
        adjust(torch.zeros(2, 4, 4, dtype=torch.uint8), "hue", 0.1)


NARROW_ARGUMENTS: dict[str, dict[str, Any]] = {
    "ColorJitter": {"brightness": 0.4, "contrast": 0.9, "saturation": 1.0, "hue": 0.5},
    "RandomPhotometricDistort": {"p": 0.8},
    "RandomRotation": {"degrees": 90, "interpolation": "bilinear"},
    "RandomAffine": {"degrees": 90, "shear": 20, "interpolation": "bilinear"},
    "RandomPerspective": {"p": 0.9, "interpolation": "bilinear"},
    "ElasticTransform": {"alpha": 30.0, "interpolation": "bilinear"},
    "RandomCrop": {"size": 40, "padding": 5},
    "GaussianBlur": {"kernel_size": 9, "sigma": [0.1, 2.0]},
    "RandomPosterize": {"bits": 3},
    "RandomSolarize": {"threshold": 100},
}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(sorted(NARROW)), min_size=1, max_size=5), seeds, st.integers(2, 256))
def test_one_gray_channel_becomes_what_three_equal_ones_become(
    names: list[str], seed: int, levels: int
) -> None:
    image, mask = picture(seed, 1, 40, 40, levels)
    listed = [(name, NARROW_ARGUMENTS.get(name, {})) for name in names]
    augment = build_augmentation(listed, 3, 40)
    assert augment is not None and augment.narrow
    wide, wide_mask = augment(image.repeat(3, 1, 1), mask[0], seed)
    narrow, narrow_mask = augment(image, mask[0], seed)
    assert torch.equal(narrow.expand(3, -1, -1), wide) and torch.equal(narrow_mask, wide_mask)


@pytest.mark.parametrize("name", ["GaussianNoise", "RandomChannelPermutation", "JPEG", "RandomGrayscale"])
def test_what_treats_channels_differently_gets_all_three(name: str) -> None:
    augment = build_augmentation([(name, {"quality": 50} if name == "JPEG" else {})], 3, 16)
    assert augment is not None and not augment.narrow


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([1, 3]), st.floats(0.001, 3.0), st.sampled_from([1, 3, 5, 25]), seeds)
def test_blurring_planes_with_few_weights_is_blurring_whole_images_with_all(
    channels: int, sigma: float, size: int, seed: int
) -> None:
    """In images whose width fills OpenCV's vectors, which it adds up otherwise than what is left over."""
    image, _ = picture(seed, channels, 37, 64)
    distance = np.arange(size, dtype=np.float64) - (size - 1) / 2
    with np.errstate(over="ignore"):
        weights = np.exp(-0.5 * (distance / sigma) ** 2)
    kernel = (weights / weights.sum()).astype(np.float32)
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    blurred = cv2.sepFilter2D(pixels, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT_101)
    expected = np.rint(blurred).astype(np.uint8).reshape(pixels.shape)
    blur = SeparableGaussianBlur(size, (sigma, sigma))
    found = blur.transform(tv_tensors.Image(image), {"sigma": [sigma, sigma]})
    assert np.array_equal(found.permute(1, 2, 0).numpy(), expected)
