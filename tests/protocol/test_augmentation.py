from __future__ import annotations

import pickle
import random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from bench_core.data.loader import Loader, Split
from bench_core.errors import TrainingError
from bench_core.protocol.augmentation import BORDERED, Augmentation, build_augmentation
from bench_core.protocol.randomness import seeded_cpu
from bench_core.spec.transforms import TRANSFORMS
from tests.helpers.tiny_jobs import BINARY, tiny_arrays

pytestmark = pytest.mark.usefixtures("one_thread")
SIZE = 24
GEOMETRY = {
    "RandomHorizontalFlip": {"p": 0.5},
    "RandomVerticalFlip": {"p": 0.5},
    "RandomRotation": {"degrees": 90.0},
    "RandomAffine": {"degrees": 180.0, "translate": [0.25, 0.25], "scale": [0.75, 1.25], "shear": 17.5},
    "RandomPerspective": {"distortion_scale": 0.5, "p": 0.9, "interpolation": "nearest"},
    "ElasticTransform": {"alpha": 30.0, "sigma": 3.0, "interpolation": "nearest"},
    "RandomResizedCrop": {"size": SIZE, "interpolation": "nearest", "antialias": False},
    "RandomCrop": {"size": SIZE, "padding": 6},
}
APPEARANCE = {
    "ColorJitter": {"brightness": 0.4, "contrast": [0.5, 1.5], "saturation": 0.5, "hue": 0.05},
    "RandomPhotometricDistort": {"p": 1.0},
    "RandomGrayscale": {"p": 1.0},
    "Grayscale": {"num_output_channels": 1},
    "RandomAutocontrast": {"p": 1.0},
    "RandomEqualize": {"p": 1.0},
    "RandomInvert": {"p": 1.0},
    "RandomPosterize": {"bits": 3, "p": 1.0},
    "RandomSolarize": {"threshold": 128, "p": 1.0},
    "RandomAdjustSharpness": {"sharpness_factor": 2.0, "p": 1.0},
    "RandomChannelPermutation": {},
    "GaussianBlur": {"kernel_size": 5, "sigma": [0.1, 2.0]},
    "GaussianNoise": {"sigma": 0.1},
    "JPEG": {"quality": [20, 60]},
}
STUDY = (
    ("GaussianBlur", {"kernel_size": 25, "sigma": [0.001, 2.0]}),
    ("RandomAffine", {"degrees": 180.0, "translate": [0.25, 0.25], "scale": [0.75, 1.25], "shear": 17.5}),
    ("RandomPhotometricDistort", {}),
    ("RandomHorizontalFlip", {}),
    ("RandomVerticalFlip", {}),
)


def blob(seed: int, channels: int) -> tuple[Tensor, Tensor]:
    """An image in which the mask's classes are drawn as gray levels, and that mask."""
    draws = np.random.default_rng(seed)
    mask = torch.zeros(SIZE, SIZE, dtype=torch.uint8)
    for label in (1, 2, 3):
        top, left = draws.integers(0, SIZE - 9, 2)
        mask[top : top + 9, left : left + 9] = label
    return (mask * 80)[None].repeat(channels, 1, 1), mask


def test_every_transform_that_a_spec_can_name_is_tried_here() -> None:
    assert set(GEOMETRY) | set(APPEARANCE) == set(TRANSFORMS)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(GEOMETRY)), min_size=1, max_size=4),
    st.integers(0, 2**63 - 1),
    st.integers(0, 1000),
    st.sampled_from([1, 3]),
)
def test_image_and_mask_move_together(names: list[str], seed: int, content: int, channels: int) -> None:
    image, mask = blob(content, channels)
    moved, moved_mask = Augmentation([(name, GEOMETRY[name]) for name in names])(image, mask, seed)
    assert torch.equal(moved, (moved_mask * 80)[None].expand_as(moved))


@pytest.mark.parametrize("name", sorted(GEOMETRY))
def test_every_geometric_transform_moves_something(name: str) -> None:
    image, mask = blob(1, 3)
    augmentation = Augmentation([(name, GEOMETRY[name])])
    assert any(not torch.equal(augmentation(image, mask, seed)[1], mask) for seed in range(10))


MEANINGLESS_ON_GRAY = {"RandomGrayscale", "Grayscale", "RandomChannelPermutation"}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", sorted(APPEARANCE))
def test_appearance_changes_gray_and_color_images_and_never_masks(name: str, channels: int) -> None:
    noise = np.random.default_rng(0).integers(30, 200, (channels, SIZE, SIZE), dtype=np.uint8)
    image, (_, mask) = torch.from_numpy(noise), blob(1, channels)
    arguments = {"num_output_channels": channels} if name == "Grayscale" else APPEARANCE[name]
    augmentation = Augmentation([(name, arguments)])
    results = [augmentation(image, mask, seed) for seed in range(10)]
    assert all(torch.equal(same, mask) for _, same in results)
    assert all(changed.shape == image.shape and changed.dtype == torch.uint8 for changed, _ in results)
    changes = any(not torch.equal(changed, image) for changed, _ in results)
    assert changes == (channels == 3 or name not in MEANINGLESS_ON_GRAY)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([1, 3, 25, [5, 9]]),
    st.floats(0.001, 4.0),
    st.integers(0, 2**32),
    st.sampled_from([1, 2, 3]),
)
def test_blur_is_torchvisions_up_to_the_last_gray_level(
    kernel: int | list[int], sigma: float, seed: int, channels: int
) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (channels, SIZE, SIZE + 8), dtype=np.uint8)
    image, mask = torch.from_numpy(noise), torch.zeros(SIZE, SIZE + 8, dtype=torch.uint8)
    arguments = {"kernel_size": kernel, "sigma": [sigma, 1.5 * sigma]}
    ours, _ = Augmentation([("GaussianBlur", arguments)])(image, mask, seed)
    with seeded_cpu(seed):
        theirs = v2.GaussianBlur(**arguments)(tv_tensors.Image(image))
    difference = (ours.int() - theirs.int()).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < 0.01


@pytest.mark.parametrize("name", ["ColorJitter", "RandomPhotometricDistort"])
def test_brightness_and_contrast_still_act_on_gray_images(name: str) -> None:
    image, mask = blob(1, 1)
    augmentation = Augmentation([(name, APPEARANCE[name])])
    assert any(not torch.equal(augmentation(image, mask, seed)[0], image) for seed in range(5))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**63 - 1), st.integers(0, 2**32 - 1))
def test_a_draw_depends_on_its_seed_alone_and_leaves_the_global_generators(seed: int, noise: int) -> None:
    image, mask = blob(2, 3)
    augmentation = Augmentation(STUDY)
    torch.manual_seed(noise)
    random.seed(noise)
    np.random.seed(noise)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    first = augmentation(image, mask, seed)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert before[2] == np.random.get_state()[1].tolist()
    torch.rand(noise % 7)
    second = pickle.loads(pickle.dumps(augmentation))(image, mask, seed)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_different_seeds_draw_differently() -> None:
    image, mask = blob(2, 3)
    augmentation = Augmentation(STUDY)
    assert len({augmentation(image, mask, seed)[0].numpy().tobytes() for seed in range(8)}) == 8


def test_inputs_are_not_changed_and_outputs_are_plain_tensors() -> None:
    image, mask = blob(2, 3)
    copies = image.clone(), mask.clone()
    for result in Augmentation(STUDY)(image, mask, 1):
        assert type(result) is Tensor
    assert torch.equal(image, copies[0])
    assert torch.equal(mask, copies[1])


def by_id(loader: Loader, epoch: int) -> dict[str, bytes]:
    return {
        sample: image.numpy().tobytes() + mask.numpy().tobytes()
        for batch in loader.epoch(epoch)
        for sample, image, mask in zip(batch.ids, batch.images, batch.masks, strict=True)
    }


def test_a_samples_augmentation_depends_on_job_seed_epoch_and_id_alone() -> None:
    arrays = tiny_arrays(BINARY)
    augment = Augmentation(STUDY)
    everything = by_id(Loader(Split(arrays, range(20), "rgb"), 4, seed=1, augment=augment), 3)
    some = by_id(Loader(Split(arrays, [17, 3, 8, 11], "rgb"), 2, seed=1, augment=augment), 3)
    workers = by_id(Loader(Split(arrays, range(20), "rgb"), 4, seed=1, augment=augment, workers=2), 3)
    assert everything == workers
    assert some == {sample: everything[sample] for sample in some}
    for seed, epoch in ((1, 4), (2, 3)):
        other = by_id(Loader(Split(arrays, range(20), "rgb"), 4, seed=seed, augment=augment), epoch)
        assert sum(other[sample] == everything[sample] for sample in other) == 0


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        (("RandomHorizontalFlop", {}), "RandomHorizontalFlop"),
        (("RandAugment", {}), "cannot move a mask"),
        (("RandomZoomOut", {}), "size"),
        (("GaussianBlur", {}), "kernel_size"),
        (("GaussianBlur", {"kernel_size": 4}), "odd"),
        (("RandomAffine", {"degrees": 10.0, "fill": 3}), "paint a class"),
        (("RandomAffine", {"degrees": 10.0, "angle": 3}), "angle"),
        (("RandomCrop", {"size": SIZE // 2}), "RandomCrop"),
        (("RandomCrop", {"size": SIZE * 2}), "RandomCrop"),
        (("Grayscale", {}), "Grayscale"),
    ],
)
def test_what_cannot_work_is_refused_before_training(setting: tuple[str, dict], named: str) -> None:
    with pytest.raises(TrainingError) as caught:
        build_augmentation([setting], 3, SIZE)
    assert named in str(caught.value)
    assert caught.value.place == "protocol.augmentation"
    assert caught.value.fix


def test_an_empty_list_means_no_augmentation() -> None:
    assert build_augmentation([], 3, SIZE) is None


CENTERED: dict[str, dict[str, Any]] = {
    "RandomResizedCrop": {"size": 96, "scale": [0.6, 1.0]},
    "RandomAffine": {"degrees": 180, "scale": [0.75, 1.25], "interpolation": "bilinear"},
    "RandomRotation": {"degrees": 180, "interpolation": "bilinear"},
    "RandomPerspective": {"p": 1.0, "interpolation": "bilinear"},
    "ElasticTransform": {"interpolation": "bilinear"},
}


def _centroid(plane: np.ndarray) -> np.ndarray:
    weights = plane.astype(float)
    rows, columns = np.mgrid[: plane.shape[0], : plane.shape[1]]
    return np.array([(weights * rows).sum(), (weights * columns).sum()]) / weights.sum()


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("name", CENTERED)
def test_masks_stay_where_their_image_is(name: str, interpolation: str) -> None:
    rows, columns = np.mgrid[:96, :96]
    disc = ((rows - 52) ** 2 + (columns - 45) ** 2 < 150).astype(np.uint8)
    image, mask = torch.from_numpy(np.stack([disc * 255] * 3)), torch.from_numpy(disc)
    augment = build_augmentation([(name, {**CENTERED[name], "interpolation": interpolation})], 3, 96)
    assert augment is not None
    apart = []
    for seed in range(60):
        moved, labels = augment(image, mask, seed)
        # A disc that the border cuts has edges of other gray levels in the image.
        border = torch.cat([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        if not border.any() and labels.sum() > 100:
            apart.append(_centroid(moved[0].numpy()) - _centroid(labels.numpy()))
    assert len(apart) > 20
    assert np.abs(np.mean(apart, axis=0)).max() < 0.05 and np.abs(apart).max() < 0.4


def test_a_crop_takes_each_mask_pixel_at_its_center() -> None:
    mask = torch.randint(0, 9, (64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    augment = build_augmentation([("RandomResizedCrop", {"size": 64, "interpolation": "nearest"})], 3, 64)
    assert augment is not None
    for seed in range(20):
        moved, labels = augment(mask.repeat(3, 1, 1), mask, seed)
        assert (moved[0] == labels).all(), "an image of labels must move as its mask does"


@pytest.mark.parametrize("name", BORDERED)
def test_what_comes_from_outside_is_background_or_counts_nowhere(name: str) -> None:
    arguments = {
        "RandomRotation": {"degrees": [45, 45]},
        "RandomAffine": {"degrees": 0, "translate": [0.5, 0.5]},
        "RandomPerspective": {"p": 1.0, "distortion_scale": 0.9},
        "ElasticTransform": {"alpha": 400.0},
        "RandomCrop": {"size": 32, "padding": 16},
    }[name]
    image, mask = torch.full((3, 32, 32), 200, dtype=torch.uint8), torch.ones((32, 32), dtype=torch.uint8)
    for padding, outside in (("background", 0), ("ignore", 255)):
        augment = build_augmentation([(name, arguments)], 3, 32, padding)
        assert augment is not None
        seen = torch.zeros(256, dtype=torch.long)
        for seed in range(8):
            moved, labels = augment(image, mask, seed)
            seen += torch.bincount(labels.flatten().long(), minlength=256)
            assert not moved[0][labels == outside].float().mean() > 150
        assert seen[outside] > 0 and seen[1] + seen[outside] == seen.sum()


@pytest.mark.parametrize("name", [*CENTERED, "RandomHorizontalFlip", "RandomCrop"])
def test_ignored_pixels_move_with_the_mask(name: str) -> None:
    arguments = {**CENTERED.get(name, {}), **({"size": 96} if name == "RandomCrop" else {})}
    image = torch.zeros((1, 96, 96), dtype=torch.uint8)
    mask = torch.zeros((96, 96), dtype=torch.uint8)
    mask[30:60, 30:60] = 255
    mask[40:50, 40:50] = 2
    augment = build_augmentation([(name, arguments)], 1, 96)
    assert augment is not None
    for seed in range(10):
        assert set(augment(image, mask, seed)[1].unique().tolist()) <= {0, 2, 255}
