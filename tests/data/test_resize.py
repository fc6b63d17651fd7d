"""Pad-square keeps everything that is in the picture; masks gain no class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms.v2 import functional

from bench_core import IGNORE
from bench_core.data.looks import look_of, study_hash_of
from bench_core.data.picture import Picture
from bench_core.data.resize import Fit, fit_image, fit_mask, fit_square
from bench_core.errors import DataError
from tests.helpers.pictures import blob, picture


@given(st.integers(1, 40), st.integers(1, 40))
def test_padding_centers_the_picture_in_zeros(height: int, width: int) -> None:
    image = picture(0, height, width) | 1
    side = max(height, width)
    padded, labels = fit_square(image, image[:, :, 0], Fit(side))
    top, left = (side - height) // 2, (side - width) // 2
    assert padded.shape == (side, side, 3) and (labels == padded[:, :, 0]).all()
    assert (padded[top : top + height, left : left + width] == image).all()
    assert np.count_nonzero(padded) == image.size


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 40), st.sampled_from(["pad-square", "stretch"]))
def test_masks_keep_to_their_classes(height: int, width: int, size: int, resize: str) -> None:
    mask = np.random.default_rng(height * 51 + width).choice(np.array([0, 3, 7], np.uint8), (height, width))
    image, small = fit_square(picture(1, height, width), mask, Fit(size, resize))
    assert image.shape == (size, size, 3) and small.shape == (size, size)
    assert set(np.unique(small)) <= set(np.unique(mask)) | {0}


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_shrinking_is_bilinear_with_antialiasing(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (96, 96, channels), dtype=np.uint8)
    small, _ = fit_square(image, blob(0, 96, 96), Fit(24, "stretch"))
    tensor = torch.from_numpy(image).permute(2, 0, 1).float()
    expected = functional.resize(tensor, [24, 24], antialias=True).permute(1, 2, 0).numpy()
    assert np.abs(small - expected).max() <= 1


def test_stretching_and_padding_differ_only_off_square() -> None:
    square = picture(3, 20, 20), blob(3, 20, 20)
    for padded, stretched in zip(
        fit_square(*square, Fit(16, "pad-square")), fit_square(*square, Fit(16, "stretch")), strict=True
    ):
        assert (padded == stretched).all()
    tall = picture(3, 30, 10), blob(3, 30, 10)
    assert (fit_square(*tall, Fit(15, "pad-square"))[0][:, 0] == 0).all()
    assert (fit_square(*tall, Fit(15, "stretch"))[0][:, 0] != 0).any()


def test_a_picture_too_thin_to_pad_is_refused_before_memory_is_taken() -> None:
    with pytest.raises(DataError, match="100000 x 1 pixels: too elongated"):
        fit_square(np.zeros((1, 100_000, 3), np.uint8), np.zeros((1, 100_000), np.uint8), Fit(8))


@pytest.mark.parametrize(("padding", "label"), [("background", 0), ("ignore", IGNORE)])
def test_padding_is_background_or_counts_nowhere(padding: str, label: int) -> None:
    image, mask = picture(0, 8, 16), np.ones((8, 16), dtype=np.uint8)
    small, labels = fit_square(image, mask, Fit(16, "pad-square", padding))
    assert (small[:4] == 0).all() and (small[12:] == 0).all()
    assert (labels[4:12] == 1).all() and (labels[:4] == label).all() and (labels[12:] == label).all()
    assert (fit_square(image, mask, Fit(16, "stretch", padding))[1] == 1).all()


@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.one_of(st.integers(1, 90), st.sampled_from([1, 2, 4, 8, 16, 32, 64, 128, 256])),
    st.sampled_from([1, 3, 4]),
    st.integers(0, 2**31),
)
def test_a_padded_picture_is_what_pillow_makes_of_the_square(
    height: int, width: int, size: int, channels: int, seed: int
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    square = padded(image)
    expected = np.stack(
        [
            np.asarray(Image.fromarray(square[:, :, plane]).resize((size, size), Image.Resampling.BILINEAR))
            for plane in range(channels)
        ],
        axis=2,
    )
    found, _ = fit_square(image, np.zeros((height, width), dtype=np.uint8), Fit(size))
    assert (found == expected).all()


def padded(image: np.ndarray, value: int = 0) -> np.ndarray:
    """Return [H, W, ...] in the middle of a square."""
    height, width = image.shape[:2]
    side = max(height, width)
    square = np.full((side, side, *image.shape[2:]), value, dtype=np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = image
    return square


@given(
    st.integers(1, 700),
    st.integers(1, 700),
    st.integers(1, 600),
    st.sampled_from([Fit(1), Fit(1, "stretch"), Fit(1, "pad-square", "ignore")]),
)
def test_masks_take_the_pixels_that_pillow_takes(height: int, width: int, size: int, fit: Fit) -> None:
    mask = np.random.default_rng(height * 701 + width).integers(0, 5, (height, width), dtype=np.uint8)
    square = mask if fit.resize == "stretch" else padded(mask, IGNORE if fit.padding == "ignore" else 0)
    expected = np.asarray(Image.fromarray(square).resize((size, size), Image.Resampling.NEAREST))
    assert (fit_mask(mask, replace(fit, size=size)) == expected).all()


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("resize", ["pad-square", "stretch"])
def test_a_decoded_picture_becomes_what_its_array_becomes(mode: str, resize: str) -> None:
    for width, height, size in ((90, 60, 32), (60, 90, 32), (40, 40, 40), (64, 21, 64), (20, 31, 64)):
        image = Image.fromarray(picture(width, height, width)).convert(mode)
        whole, fit = Picture(image), Fit(size, resize)
        array = np.atleast_3d(np.asarray(image))
        assert whole.shape == array.shape and (whole.array == array).all()
        assert (fit_image(whole, fit) == fit_image(Picture(array), fit)).all()
        assert (look_of(whole) == look_of(Picture(array))).all()
        assert study_hash_of(whole) == study_hash_of(Picture(array))
