"""What is computed otherwise than torchvision does it: the same draws, and pixels at most one level apart."""

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

from bench_core.protocol import sampling
from bench_core.protocol.affine import OnePassAffine
from bench_core.protocol.augmentation import NARROW, Augmentation, build_augmentation
from bench_core.protocol.blur import SeparableGaussianBlur
from bench_core.protocol.color import QuickDistort, QuickJitter, adjust
from bench_core.protocol.flips import QuickHorizontalFlip, QuickVerticalFlip
from bench_core.protocol.planes import OnPlanes, Planes

pytestmark = pytest.mark.usefixtures("one_thread")
Pair = tuple[Tensor, Tensor]


def picture(seed: int, channels: int, height: int, width: int, levels: int = 256) -> Pair:
    """An image of few or many colors, and a mask that uses every value of a byte."""
    draws = np.random.default_rng(seed)
    colors = draws.integers(0, 256, (levels, channels), dtype=np.uint8)
    image = colors[draws.integers(0, levels, (height, width))].transpose(2, 0, 1)
    mask = draws.integers(0, 256, (1, height, width), dtype=np.uint8)
    return torch.from_numpy(np.ascontiguousarray(image)), torch.from_numpy(mask)


def lesion(seed: int, height: int, width: int) -> Tensor:
    """A mask that is background but for a part of it."""
    draws = np.random.default_rng(seed)
    mask = torch.zeros(1, height, width, dtype=torch.uint8)
    (top, bottom), (left, right) = (sorted(draws.integers(0, side + 1, 2)) for side in (height, width))
    mask[:, top:bottom, left:right] = 3
    return mask


def apart(transform: Any, pair: Pair, seed: int, followed_by: tuple[Any, ...] = ()) -> Tensor:
    """Draw and transform in both ways; return how many gray levels the images are apart.

    Shows that masks are equal and that as many numbers are drawn.
    """
    image, mask = pair
    kept = image.clone(), mask.clone()
    torch.manual_seed(seed)
    assert isinstance(transform, OnPlanes)
    planes, labels = transform.on_planes(list(image.numpy()), mask[0].numpy())
    drawn = torch.rand(1)
    assert torch.equal(image, kept[0]) and torch.equal(mask, kept[1])
    torch.manual_seed(seed)
    expected = v2.Compose([transform, *followed_by])(tv_tensors.Image(image), tv_tensors.Mask(mask))
    assert torch.equal(drawn, torch.rand(1))
    assert np.array_equal(labels, expected[1][0].numpy())
    return (torch.from_numpy(np.stack(planes)).int() - expected[0].as_subclass(Tensor).int()).abs()


sizes = st.tuples(st.integers(1, 7), st.integers(5, 90), st.integers(5, 90))
seeds = st.integers(0, 2**40)
AFFINE: dict[str, Any] = {"degrees": 180.0, "translate": [0.25, 0.25], "scale": [0.6, 1.4]}


@settings(max_examples=40, deadline=None)
@given(
    sizes,
    seeds,
    st.sampled_from(["nearest", "bilinear"]),
    st.sampled_from([0, 255]),
    st.sampled_from([None, 17.5, [-10.0, 20.0, -5.0, 15.0]]),
    st.sampled_from([None, [3.0, 11.5]]),
    st.sampled_from([0.0, 90.0, 180.0]),
    st.lists(st.sampled_from([QuickHorizontalFlip, QuickVerticalFlip]), max_size=3),
)
def test_affine(
    size: tuple[int, int, int],
    seed: int,
    interpolation: str,
    outside: int,
    shear: Any,
    center: Any,
    degrees: float,
    flips: list[Any],
) -> None:
    transform = OnePassAffine(
        **{**AFFINE, "degrees": degrees},
        shear=shear,
        center=center,
        interpolation=InterpolationMode(interpolation),
        fill={tv_tensors.Image: 0, tv_tensors.Mask: outside},
    )
    followed_by = tuple(kind() for kind in flips)
    transform.flips = followed_by
    image, mask = picture(seed, *size)
    for labels in (mask, lesion(seed, *size[1:])):
        found = apart(transform, (image, labels), seed, followed_by)
        assert found.max() <= (1 if interpolation == "bilinear" else 0)
        # On the border; elsewhere next to none.
        assert (found > 0).sum() <= 2 * sum(size[1:]) * size[0]


def test_affine_where_all_or_next_to_nothing_comes_from_inside() -> None:
    image, mask = picture(5, 3, 40, 56)
    for scale in ([0.01, 0.05], [1.0, 1.0], [8.0, 20.0]):
        for degrees in ([0.0, 0.0], [90.0, 90.0], [-180.0, 180.0]):
            transform = OnePassAffine(degrees, [0.9, 0.9], scale, interpolation=InterpolationMode.BILINEAR)
            for seed in range(5):
                assert apart(transform, (image, mask), seed).max() <= 1


def test_affine_where_opencv_cuts_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its version 5; PyTorch then samples instead."""
    transform = OnePassAffine(**AFFINE, shear=17.5, interpolation=InterpolationMode.BILINEAR)
    pair = picture(3, 3, 70, 90)
    monkeypatch.setattr(sampling, "exact_places", lambda: False)
    for seed in range(5):
        found = apart(transform, pair, seed)
        assert found.max() <= 1 and (found > 0).float().mean() < 0.01


@pytest.mark.parametrize("kind", [QuickHorizontalFlip, QuickVerticalFlip])
def test_flips(kind: Any) -> None:
    assert not any(apart(kind(), picture(seed, 3, 21, 34), seed).any() for seed in range(6))


fours = st.integers(1, 40).map(lambda number: 4 * number)
colors = st.tuples(st.sampled_from([1, 3]), fours, fours)
DISTORT: dict[str, Any] = {"hue": (-0.5, 0.5), "saturation": (0.0, 3.0)}
JITTER: dict[str, Any] = {"brightness": 0.9, "contrast": [0.0, 2.5], "saturation": 1.0, "hue": 0.5}


def adjusted(image: Tensor, name: str, factor: float) -> tuple[Tensor, Tensor]:
    """Return an image changed in both ways."""
    ours: Planes = adjust(list(image.numpy()), name, factor)
    return torch.from_numpy(np.stack(ours)).int(), getattr(v2.functional, f"adjust_{name}")(
        image, factor
    ).int()


@settings(max_examples=60, deadline=None)
@given(
    colors, seeds, st.sampled_from(["brightness", "contrast", "saturation", "hue"]), st.sampled_from([3, 256])
)
def test_each_change_of_color(size: tuple[int, int, int], seed: int, name: str, levels: int) -> None:
    draws = np.random.default_rng(seed)
    image, _ = picture(seed, *size, levels)
    ours, theirs = adjusted(
        image, name, float(draws.uniform(-0.5, 0.5) if name == "hue" else draws.uniform(0, 3))
    )
    if name in ("brightness", "contrast") or size[0] == 1:
        assert torch.equal(ours, theirs)
    assert (ours - theirs).abs().max() <= 1


@settings(max_examples=25, deadline=None)
@given(colors, seeds, st.sampled_from([0.5, 1.0]))
def test_whole_distortions_draw_as_torchvision_does(
    size: tuple[int, int, int], seed: int, probability: float
) -> None:
    """Changes one after the other: what is one level apart may be as much as the next ones make of it."""
    for transform in (
        QuickDistort(p=probability),
        QuickDistort(**DISTORT, p=probability),
        QuickJitter(**JITTER),
    ):
        found = apart(transform, picture(seed, *size), seed)
        assert found.float().mean() <= 1
        assert size[0] == 3 or not found.any()


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([1, 3]), st.integers(1, 90), st.integers(1, 90), seeds)
def test_in_other_sizes_a_few_pixels_may_be_rounded_otherwise(
    channels: int, height: int, width: int, seed: int
) -> None:
    image, _ = picture(seed, channels, height, width)
    draws = np.random.default_rng(seed)
    for name in ("brightness", "contrast", "saturation", "hue"):
        factor = float(draws.uniform(-0.5, 0.5) if name == "hue" else draws.uniform(0, 3))
        ours, theirs = adjusted(image, name, factor)
        assert (ours - theirs).abs().max() <= 1


HUES = [-0.5, -0.34, -1 / 6, -0.049, 1e-9, -1e-9, 0.0, 0.05, 0.2, 0.25, 1 / 3, 0.5]


@pytest.mark.parametrize("factor", HUES)
def test_hue_of_every_color_at_its_borders(factor: float) -> None:
    edge = torch.tensor([0, 1, 2, 63, 127, 128, 129, 200, 253, 254, 255], dtype=torch.uint8)
    colors = torch.cartesian_prod(edge, edge, edge).T.reshape(3, len(edge), -1)
    ours, theirs = adjusted(colors, "hue", factor)
    differ = (ours - theirs).abs()
    assert differ.max() <= 1 and (differ > 0).float().mean() < 0.01


@settings(max_examples=40, deadline=None)
@given(st.floats(-0.5, 0.5), seeds)
def test_a_turn_of_hues_keeps_the_largest_and_the_smallest_channel(factor: float, seed: int) -> None:
    image, _ = picture(seed, 3, 16, 16)
    turned = torch.from_numpy(np.stack(adjust(list(image.numpy()), "hue", factor)))
    for end in (torch.amax, torch.amin):
        assert torch.equal(end(turned, 0), end(image, 0))


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
        assert torch.equal(labels, expected[1][0])
        differ = (moved.int() - expected[0].int()).abs()
        # Each transform is at most one level apart; contrast and saturation stretch that.
        assert differ.max() <= 4 and differ.float().mean() < 0.1


def test_images_of_other_channels_have_no_color() -> None:
    with pytest.raises(TypeError, match="2 channels"):
        adjust([np.zeros((4, 4), dtype=np.uint8)] * 2, "hue", 0.1)


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


@settings(max_examples=60, deadline=None)
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
def test_blurring_with_few_weights_is_blurring_with_all(
    channels: int, sigma: float, size: int, seed: int
) -> None:
    image, _ = picture(seed, channels, 37, 64)
    distance = np.arange(size, dtype=np.float64) - (size - 1) / 2
    with np.errstate(over="ignore"):
        weights = np.exp(-0.5 * (distance / sigma) ** 2)
    kernel = (weights / weights.sum()).astype(np.float32)
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    blurred = cv2.sepFilter2D(pixels, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT_101)
    exact = blurred.reshape(pixels.shape).transpose(2, 0, 1)
    blur = SeparableGaussianBlur(size, (sigma, sigma))
    found, _ = blur.on_planes(list(image.numpy()), np.zeros((37, 64), dtype=np.uint8))
    assert np.abs(np.stack(found) - exact).max() <= 0.5 + 1 / 32 + 1e-3
