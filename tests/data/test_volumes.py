"""Slices of volumes: nibabel's canonical arrays are the oracle, for every orientation."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_core.errors import DataError
from bench_datasets.volumes import NORMAL, VolumeCache, open_volume, other_place, to_bytes

TURNS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))


def save(path: Path, values: Any, turn: Any = ((0, 1, 2), (1, 1, 1)), zooms: Any = (1.0, 2.0, 3.0)) -> Path:
    """Write a volume whose axis i runs along the patient's axis turn[0][i], in the direction turn[1][i]."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (to, sign) in enumerate(zip(*turn, strict=True)):
        affine[to, axis] = sign * zooms[axis]
    affine[:3, 3] = (5, -7, 11)
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


@settings(max_examples=40, deadline=None)
@given(
    turn=st.sampled_from(TURNS),
    sides=st.tuples(*[st.integers(1, 5)] * 3),
    channels=st.sampled_from([1, 2]),
    ending=st.sampled_from([".nii", ".nii.gz"]),
    plane=st.sampled_from(sorted(NORMAL)),
)
def test_slices_are_those_of_the_canonical_array(
    turn: Any, sides: Any, channels: int, ending: str, plane: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shape = sides if channels == 1 else (*sides, channels)
    values = np.random.default_rng(0).integers(-900, 900, shape).astype(np.int16)
    path = save(tmp_path_factory.mktemp("volume") / f"v{ending}", values, turn)
    expected = np.asanyarray(nibabel.as_closest_canonical(nibabel.load(path)).dataobj)
    expected = expected.reshape(*expected.shape[:3], channels)
    volume, cache = open_volume(path), VolumeCache()
    assert volume.shape == expected.shape[:3] and volume.channels == channels
    moved = np.moveaxis(expected, NORMAL[plane], 0)
    assert volume.slices(plane) == len(moved)
    shown = cache.shown(volume, plane)
    for number, part in enumerate(moved):
        wanted = part.swapaxes(0, 1)[::-1]
        found = cache.read(volume, plane, number)
        assert (found.reshape(wanted.shape) == wanted).all()
        assert shown[number] == bool(part.any())


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_values_are_scaled_as_the_header_says(ending: str, tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    image.header.set_slope_inter(2.0, -10.0)
    raw = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    path = tmp_path / f"v{ending}"
    nibabel.save(image, path)
    expected = np.asanyarray(nibabel.load(path).dataobj)
    volume, cache = open_volume(path), VolumeCache()
    assert np.allclose(cache.read(volume, "axial", 1), expected[:, :, 1].T[::-1])
    low, high = cache.range(volume)[0]
    assert expected.min() <= low < high <= expected.max() and raw.max() == 23


def test_spacing_is_that_of_the_slice_in_mm(tmp_path: Path) -> None:
    path = save(tmp_path / "v.nii", np.zeros((4, 5, 6), np.uint8), zooms=(0.5, 2.0, 5.0))
    volume = open_volume(path)
    assert volume.slice_spacing("axial") == (2.0, 0.5)
    assert volume.slice_spacing("coronal") == (5.0, 0.5)
    assert volume.slice_spacing("sagittal") == (5.0, 2.0)
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.uint8), np.diag([500.0, 500.0, 500.0, 1]))
    image.header.set_xyzt_units("micron")
    nibabel.save(image, path)
    assert open_volume(path).slice_spacing("axial") == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize(("zooms", "slices"), [((1, 1, 8), 6), ((9, 1, 1), 4), ((1, 1, 1), 6)])
def test_acquired_slices_lie_across_the_widest_spacing(zooms: Any, slices: int, tmp_path: Path) -> None:
    path = save(tmp_path / "v.nii", np.zeros((4, 5, 6), np.uint8), zooms=zooms)
    assert open_volume(path).slices("acquired") == slices


def test_a_volume_is_decompressed_once_and_an_uncompressed_one_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(1).integers(0, 255, (6, 7, 8)).astype(np.uint8)
    loads: list[str] = []
    whole = nibabel.arrayproxy.ArrayProxy.get_unscaled

    def counted(proxy: Any) -> Any:
        loads.append("whole")
        return whole(proxy)

    monkeypatch.setattr(nibabel.arrayproxy.ArrayProxy, "get_unscaled", counted)
    for ending, expected in ((".nii", 0), (".nii.gz", 1)):
        loads.clear()
        volume, cache = open_volume(save(tmp_path / f"v{ending}", values)), VolumeCache()
        for number in range(8):
            cache.read(volume, "axial", number)
        assert len(loads) == expected


def test_kept_volumes_are_bounded(tmp_path: Path) -> None:
    cache = VolumeCache(kept_bytes=1000)
    for number in range(5):
        path = save(tmp_path / f"{number}.nii.gz", np.full((8, 8, 8), number, np.uint8))
        assert cache.read(open_volume(path), "axial", 3).max() == number
    assert len(cache._kept) == 1


def test_a_label_elsewhere_is_told(tmp_path: Path) -> None:
    image = open_volume(save(tmp_path / "a.nii", np.zeros((4, 5, 6), np.uint8)))
    turned = open_volume(
        save(tmp_path / "b.nii", np.zeros((5, 4, 6), np.uint8), ((1, 0, 2), (1, 1, 1)), (2, 1, 3))
    )
    assert other_place(image, turned) == ""
    smaller = open_volume(save(tmp_path / "c.nii", np.zeros((4, 5, 5), np.uint8)))
    assert "is 4 x 5 x 5 voxels, its image a.nii 4 x 5 x 6" in other_place(image, smaller)
    mirrored = open_volume(save(tmp_path / "d.nii", np.zeros((4, 5, 6), np.uint8), ((0, 1, 2), (-1, 1, 1))))
    assert "mm beside its image a.nii" in other_place(image, mirrored)


def test_sizes_that_a_header_claims_are_bounded_before_anything_is_read(tmp_path: Path) -> None:
    path = save(tmp_path / "v.nii.gz", np.zeros((2, 2, 2), np.uint8))
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[40:56] = np.array([3, 32767, 32767, 32767, 1, 1, 1, 1], dtype="<i2").tobytes()
    path.write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(DataError, match="too many") as caught:
        open_volume(path)
    assert caught.value.place == str(path)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("part", [0, 0.1, 0.6])
def test_a_damaged_volume_is_named(ending: str, part: float, tmp_path: Path) -> None:
    values = np.random.default_rng(2).integers(0, 255, (20, 20, 20)).astype(np.uint8)
    path = save(tmp_path / f"v{ending}", values)
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(DataError) as caught:
        VolumeCache().read(open_volume(path), "axial", 19)
    assert caught.value.place == str(path)


def test_what_is_no_volume_is_named(tmp_path: Path) -> None:
    for shape, word in (((2, 2, 2, 2, 3), "expected a volume"),):
        nibabel.save(nibabel.Nifti1Image(np.zeros(shape, np.uint8), np.eye(4)), tmp_path / "v.nii")
        with pytest.raises(DataError, match=word):
            open_volume(tmp_path / "v.nii")
    colors = np.zeros((2, 2, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colors, np.eye(4)), tmp_path / "v.nii")
    with pytest.raises(DataError, match="store numbers"):
        open_volume(tmp_path / "v.nii")


@given(st.lists(st.integers(-2000, 2000), min_size=4, max_size=4))
def test_a_window_maps_its_ends_to_black_and_white(values: list[int]) -> None:
    found = to_bytes(np.array(values, dtype=np.int16).reshape(2, 2), ((-100.0, 155.0),))
    expected = np.clip(np.array(values) + 100, 0, 255).reshape(2, 2, 1)
    assert found.dtype == np.uint8 and (found == expected).all()
