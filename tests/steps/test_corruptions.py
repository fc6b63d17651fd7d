"""Corruptions: images stay images, nothing moves, and what is drawn depends on the image's id alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_core.declarations import Side, Task
from bench_core.errors import PluginError
from bench_steps.corruption import blur
from bench_steps.corruption.apply import corrupted
from bench_steps.corruption.beams import beams_of
from bench_steps.corruption.declared import KINDS, SEVERITIES, Corruption
from bench_steps.corruption.exact import blurred, field
from bench_steps.corruption.options import adapt, conditions_of, resolve

WHOLE = (slice(None), slice(None))
BY_NAME = {kind.name: kind for kind in KINDS}
USUAL = {"kinds": "auto", "severities": [1, 3, 5], "modality": ""}


def scene(number: int, height: int = 72, width: int = 96, channels: int = 3) -> np.ndarray:
    """A lit, textured scene with a dark disk, as tissue with a structure is."""
    random = np.random.default_rng(number)
    rows, columns = np.indices((height, width))
    light = 150 + 60 * field(random, (height, width), 30.0)
    disk = np.hypot(rows - height / 2, columns - width / 2) < height / 5
    gray = np.where(disk, light * 0.5, light) + 6 * random.standard_normal((height, width))
    tint = np.array([1.0, 0.8, 0.7, 0.9])[:channels]
    return np.clip(gray[:, :, None] * tint, 0, 255).astype(np.uint8)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(((one.astype(float) - other) ** 2).mean())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_higher_severity_is_further_from_the_clean_image(kind: Corruption) -> None:
    apart = []
    for severity in SEVERITIES:
        pairs = ((scene(number), f"image-{number}") for number in range(6))
        found = [distance(image, corrupted(image, WHOLE, kind, severity, name)) for image, name in pairs]
        apart.append(np.mean(found))
    assert apart == sorted(apart) and apart[0] > 0 and apart[-1] > 1.3 * apart[0]


@settings(max_examples=12, deadline=None)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    corner=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    channels=st.sampled_from([1, 3, 4]),
    severity=st.sampled_from(SEVERITIES),
    seed=st.integers(0, 2**32),
    level=st.sampled_from([0, 255, None]),
)
def test_images_stay_images_and_padding_stays_as_it_is(
    size: tuple[int, int], corner: tuple[int, int], channels: int, severity: int, seed: int, level: int | None
) -> None:
    side = max(size[0] + corner[0], size[1] + corner[1])
    image = np.random.default_rng(seed).integers(0, 256, (side, side, channels), dtype=np.uint8)
    box = slice(corner[0], corner[0] + size[0]), slice(corner[1], corner[1] + size[1])
    if level is not None:
        image[box] = level
    before, outside = image.copy(), np.ones((side, side), dtype=bool)
    outside[box] = False
    for kind in KINDS:
        if kind.misfit("x", "", channels):
            continue
        with np.errstate(all="raise", under="ignore"):
            found = corrupted(image, box, kind, severity, f"id {seed}")
        assert found.dtype == np.uint8 and found.shape == image.shape
        assert (found[outside] == image[outside]).all()
        assert (image == before).all()
        # Again, after others, and from a view that is not contiguous: the same.
        again = corrupted(np.asfortranarray(image), box, kind, severity, f"id {seed}")
        assert (again == found).all()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_is_drawn_depends_on_the_image_s_id(kind: Corruption) -> None:
    image = scene(3)
    one, other = (corrupted(image, WHOLE, kind, 3, name) for name in ("a", "b"))
    drawn = kind.name not in (
        "gaussian-blur", "defocus", "jpeg", "down-sampling", "brightness-up", "brightness-down", "contrast"
    )  # fmt: skip
    assert (one != other).any() == drawn


@pytest.mark.parametrize("name", ["hair", "bubbles"])
def test_a_higher_severity_has_what_a_lower_one_has(name: str) -> None:
    image = np.full((120, 120, 3), 180, np.uint8)
    touched = [(corrupted(image, WHOLE, BY_NAME[name], s, "x") != image).any(axis=2) for s in SEVERITIES]
    for less, more in pairwise(touched):
        assert (more[less]).mean() > 0.99 and more.sum() > less.sum()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), severity=st.sampled_from(SEVERITIES), side=st.integers(32, 96))
def test_blur_moves_nothing(seed: int, severity: int, side: int) -> None:
    """The center of mass of a point stays where it is, in every direction that motion may have."""
    size = 8 * (side // 8) * 2 + 1
    point = np.zeros((size, size, 1), np.uint8)
    middle = size // 2
    point[middle - 3 : middle + 4, middle - 3 : middle + 4] = 255
    rows, columns = np.indices((size, size))
    for function in (blur.gaussian_blur, blur.defocus, blur.motion_blur):
        found = function(point, severity, np.random.default_rng(seed), side)[:, :, 0].astype(float)
        assert (found == found[::-1, ::-1]).all()
        assert abs((rows * found).sum() / found.sum() - middle) < 1e-9
        assert abs((columns * found).sum() / found.sum() - middle) < 1e-9


@pytest.mark.parametrize("name", ["down-sampling", "jpeg"])
def test_coding_moves_nothing(name: str) -> None:
    image = np.full((96, 96, 1), 40, np.uint8)
    image[30:60, 24:72] = 220
    found = corrupted(image, WHOLE, BY_NAME[name], 3, "x")[:, :, 0].astype(float)
    shifts = {
        (down, across): distance(np.roll(found, (down, across), (0, 1))[8:-8, 8:-8], image[8:-8, 8:-8, 0])
        for down in (-2, -1, 0, 1, 2)
        for across in (-2, -1, 0, 1, 2)
    }
    assert min(shifts, key=lambda shift: shifts[shift]) == (0, 0)


def test_a_blur_is_the_convolution_that_its_kernel_says() -> None:
    random = np.random.default_rng(0)
    image, kernel = random.integers(0, 256, (9, 11, 2), dtype=np.uint8), random.random((3, 5))
    even = (kernel + kernel[::-1, ::-1]) / (2 * kernel.sum())
    padded = np.pad(image.astype(float), ((1, 1), (2, 2), (0, 0)), mode="symmetric")
    expected = sum(even[r, c] * padded[r : r + 9, c : c + 11] for r in range(3) for c in range(5))
    assert np.abs(blurred(image, kernel).astype(float) - expected).max() < 0.51


def test_noise_has_the_moments_that_are_published() -> None:
    gray = np.full((200, 200, 1), 128, np.uint8)
    noise = corrupted(gray, WHOLE, BY_NAME["gaussian-noise"], 1, "x").astype(float) - 128
    assert abs(noise.mean()) < 0.5 and noise.std() == pytest.approx(255 * 0.08, rel=0.02)
    shot = corrupted(gray, WHOLE, BY_NAME["shot-noise"], 1, "x").astype(float)
    assert shot.mean() == pytest.approx(128, abs=0.7)
    assert shot.std() == pytest.approx(255 / 60 * np.sqrt(60 * 128 / 255), rel=0.03)


def sector(side: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """A sector whose tip is at the top, and the angle of each pixel seen from there."""
    rows, columns = np.indices((side, side)) + 0.5
    angle = np.arctan2(columns - side / 2, rows)
    inside = (np.abs(angle) < 0.6) & (np.hypot(rows, columns - side / 2) < 0.95 * side)
    return np.where(inside, 140, 0).astype(np.uint8), angle


def test_beams_run_from_the_tip_of_a_sector_and_down_from_a_linear_probe() -> None:
    image, angle = sector()
    beam, depth = beams_of(image.astype(float))
    inside = (image > 0) & (depth > 0.2)
    assert np.abs(beam - (angle + 0.6) / 1.2)[inside].max() < 0.05
    straight, _ = beams_of(np.full((40, 50), 100.0))
    assert (straight == straight[0]).all() and (np.diff(straight[0]) > 0).all()


def test_an_acoustic_shadow_is_dark_behind_and_leaves_other_beams_alone() -> None:
    image, angle = sector()
    found = corrupted(image[:, :, None], WHOLE, BY_NAME["acoustic-shadow"], 2, "case")[:, :, 0]
    lost = (image.astype(float) - found) / np.maximum(image, 1)
    assert (lost >= -0.01).all()
    deep = (image > 0) & (np.indices(image.shape)[0] > 70)
    bins = np.digitize(angle, np.linspace(-0.6, 0.6, 25))
    beams = [deep & (bins == number) for number in range(1, 25)]
    by_beam = np.array([lost[beam].mean() for beam in beams if beam.any()])
    assert by_beam.max() > 0.5 and (by_beam < 0.02).mean() > 0.5
    near = (image > 0) & (np.indices(image.shape)[0] < 6)
    assert lost[near].max(initial=0) < 0.05


def test_black_around_a_view_stays_black() -> None:
    image = np.zeros((80, 80, 3), np.uint8)
    rows, columns = np.indices((80, 80))
    view = np.hypot(rows - 40, columns - 40) < 36
    image[view] = scene(1, 80, 80)[view]
    outside = np.hypot(rows - 40, columns - 40) > 40
    for name in ("smoke", "bubbles", "contrast", "brightness-up"):
        assert not corrupted(image, WHOLE, BY_NAME[name], 5, "x")[outside].any(), name


def side_of(modality: str, channels: int = 3) -> Side:
    return Side(title="Data", task=Task(classes=("a",), channels=channels), modality=modality)


def names(found: dict[str, object]) -> list[str]:
    return [kind["name"] for kind in found["kinds"]]  # type: ignore[attr-defined]


def test_auto_takes_what_goes_with_modality_and_channels() -> None:
    general = [kind.name for kind in KINDS if not kind.modalities]
    assert names(adapt(USUAL, side_of(""), KINDS)) == general
    assert names(adapt(USUAL, side_of("brain MRI", 1), KINDS)) == general
    assert names(adapt(USUAL, side_of("", 4), KINDS)) == [name for name in general if name != "jpeg"]
    assert {"hair", "bubbles"} < set(names(adapt(USUAL, side_of("dermoscopy"), KINDS)))
    assert {"smoke", "specular-light"} < set(names(adapt(USUAL, side_of("colonoscopy"), KINDS)))
    assert {"speckle", "acoustic-shadow"} < set(names(adapt(USUAL, side_of("cardiac ultrasound", 1), KINDS)))
    told = adapt({**USUAL, "modality": "dermoscopy"}, side_of(""), KINDS)
    assert "hair" in names(told) and "modality" not in told


@pytest.mark.parametrize(
    ("options", "side", "said"),
    [
        ({"kinds": ["hair"]}, side_of("cardiac ultrasound", 1), "hair is a corruption of dermoscopy"),
        ({"kinds": ["jpeg"]}, side_of("", 4), "jpeg is for images of 1 or 3 channels, and Data has 4"),
        ({"modality": "ultrasound"}, side_of("dermoscopy"), "`modality` is ultrasound, and Data"),
    ],
)
def test_what_does_not_go_with_a_dataset_is_refused(
    options: dict[str, object], side: Side, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        adapt({**USUAL, **options}, side, KINDS)


def test_a_list_that_says_nothing_or_something_twice_is_refused() -> None:
    kinds = [{"kinds": each} for each in ([], ["hair", "hair"], ["auto", "hair"])]
    for options in (*kinds, {"severities": []}, {"severities": [2, 2]}, {"severities": [True]}):
        with pytest.raises(ValueError, match=r"lists|or auto, not both"):
            resolve({**USUAL, **options}, KINDS)
    found = resolve({**USUAL, "kinds": ["hair", "jpeg"], "severities": [5, 1]}, KINDS)
    assert found == {"kinds": ["jpeg", "hair"], "severities": [1, 5], "modality": ""}


def test_another_version_of_a_corruption_is_not_mistaken_for_this_one() -> None:
    with pytest.raises(PluginError, match="version 7"):
        conditions_of({"kinds": [{"name": "hair", "version": 7}], "severities": [1]}, KINDS)


def test_a_corruption_that_gives_back_no_image_is_named() -> None:
    broken = Corruption(name="odd", title="Odd", function=lambda image, *rest: image.astype(float))
    with pytest.raises(PluginError, match="corruption 'odd' gave back float64"):
        corrupted(scene(0), WHOLE, broken, 1, "x")
    with pytest.raises(ValueError, match="lower-case"):
        Corruption(name="clean", title="x", function="x:y")
