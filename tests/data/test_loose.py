"""Images of no dataset are decoded as the readers decode their own, and label maps lie where images lie."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bench_core import DatasetRequest, FakeRequest
from bench_core.data.loose import LooseReader
from bench_core.declarations import LooseRequest, Task, resolve_entry
from bench_core.deploy.inputs import loose_reader
from bench_core.errors import DataError
from bench_core.options import complete_options
from bench_core.plan.job import JobDataset
from bench_core.plugins.wiring import load_registry
from bench_datasets.plugin import FOLDER
from tests.helpers.folders import read_one, save_pair
from tests.helpers.formats import dicom
from tests.helpers.pictures import folder_options

PLANES = ("acquired", "axial", "coronal", "sagittal")
REGISTRY = load_registry()
ORIENTATIONS = [(axes, flips) for axes in permutations(range(3)) for flips in product((1, -1), repeat=3)]


def folder_images(channels: int = 1, **given: Any) -> LooseReader:
    assert FOLDER.loose is not None
    request = LooseRequest(channels=channels, options=folder_options(**given))
    reader: LooseReader = resolve_entry(FOLDER.loose)(request)
    return reader


@settings(max_examples=30)
@given(st.sampled_from(ORIENTATIONS), st.sampled_from(PLANES), st.booleans())
def test_labels_of_slices_lie_where_the_voxels_do(
    tmp_path_factory: pytest.TempPathFactory, way: Any, plane: str, packed: bool
) -> None:
    axes, flips = way
    affine = np.zeros((4, 4))
    for file_axis, (axis, flip, side) in enumerate(zip(axes, flips, (1.0, 1.5, 4.0), strict=True)):
        affine[axis, file_axis] = flip * side
    affine[:, 3] = 5, -3, 2, 1
    voxels = np.random.default_rng(0).integers(0, 256, (5, 6, 7), dtype=np.uint8)
    path = tmp_path_factory.mktemp("volume") / ("a.nii.gz" if packed else "a.nii")
    nibabel.Nifti1Image(voxels, affine).to_filename(path)
    opened = folder_images(slices=plane).open((path,))
    pictures = [opened.picture(number).array[:, :, 0] for number in range(opened.slices)]
    opened.write(pictures, path.with_name(f"b{path.suffixes[0]}"))
    found = nibabel.load(path.with_name(f"b{path.suffixes[0]}"))
    assert np.array_equal(np.asarray(found.dataobj), voxels) and np.array_equal(found.affine, affine)
    mask = (voxels > 99).astype(np.uint8)
    root = save_pair(path.parent / "root", voxels, mask, (".nii", ".nii"))
    for kind, content in (("images", voxels), ("masks", mask)):
        nibabel.Nifti1Image(content, affine).to_filename(root / kind / "a.nii")
    image, _ = read_one(root, slices=plane, channels=1, classes={"lesion": 1})
    assert np.array_equal(image[:, :, 0], pictures[0])


def _turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)).save(path, exif=exif)


def _deep(path: Path) -> None:
    Image.fromarray(np.random.default_rng(2).integers(0, 4000, (20, 30), np.uint16)).save(path)


def _scanned(path: Path) -> None:
    values = np.random.default_rng(3).integers(0, 2000, (20, 30), np.uint16)
    dicom(values, WindowCenter=800, WindowWidth=900).save_as(path, enforce_file_format=True)


def _flat(path: Path) -> None:
    values = np.arange(600, dtype=np.int16).reshape(30, 20)
    nibabel.Nifti1Image(values, np.eye(4)).to_filename(path)


@pytest.mark.parametrize(
    ("suffix", "draw", "channels", "options"),
    [
        (".jpg", _turned, 3, {}),
        (".jpg", _turned, 3, {"orientation": "stored"}),
        (".png", _deep, 1, {"intensity": [0, 4000]}),
        (".tif", _deep, 3, {"intensity": "image"}),
        (".dcm", _scanned, 1, {"intensity": "window"}),
        (".nii.gz", _flat, 1, {"intensity": [0, 599]}),
    ],
)
def test_pictures_are_those_of_the_folder_reader(
    tmp_path: Path, suffix: str, draw: Any, channels: int, options: dict[str, Any]
) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    path = tmp_path / "images" / f"a{suffix}"
    draw(path)
    opened = folder_images(channels, **options).open((path,))
    found = opened.picture(0).array
    Image.fromarray(np.zeros(found.shape[:2], np.uint8)).save(tmp_path / "masks" / "a.png")
    image, _ = read_one(tmp_path, channels=channels, **options)
    assert np.array_equal(found, image) and len(np.unique(found)) > 9 and opened.slices == 1


@pytest.mark.parametrize("name", ["camus", "monai-decathlon", "nnunet", "isic2018", "busi", "kvasir-seg"])
def test_images_are_those_of_published_readers(tmp_path: Path, name: str) -> None:
    declared = REGISTRY.dataset(name)
    assert declared.fake is not None and declared.open is not None
    truth = resolve_entry(declared.fake)(FakeRequest(root=tmp_path, samples=6))
    given = {key: value for key, value in dict(truth.get("options", {})).items() if key in declared.options}
    if "allow_missing" in declared.options:
        given["allow_missing"] = True
    options = complete_options(declared.options, given)
    task = declared.task_for(options)
    reader = resolve_entry(declared.open)(DatasetRequest(root=tmp_path, options=options))
    loose = loose_reader(JobDataset(name, name, 1, task, str(tmp_path), options), REGISTRY)
    for sample in reader.samples()[:8]:
        files = [path for path in sample.files if path.suffix != ".raw"]
        ((image, *_),) = loose.group(files[:1])
        opened = loose.open((image,))
        number = int(sample.id.rpartition("-")[2]) if opened.slices > 1 else 0
        assert np.array_equal(opened.picture(number).array, reader.read(sample)[0])


def test_a_plugin_that_says_nothing_gets_plain_pictures_of_its_channels(tmp_path: Path) -> None:
    dataset = JobDataset("synthetic", "synthetic", 1, Task(classes=("a",), channels=1), None, {})
    reader = loose_reader(dataset, REGISTRY)
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(tmp_path / "gray.png")
    assert reader.open((tmp_path / "gray.png",)).picture(0).shape == (16, 16, 1)


def test_channels_of_a_case_belong_together(tmp_path: Path) -> None:
    volumes = [np.random.default_rng(seed).integers(0, 256, (4, 5, 6), np.uint8) for seed in range(2)]
    for number, volume in enumerate(volumes):
        nibabel.Nifti1Image(volume, np.eye(4)).to_filename(tmp_path / f"case_000{number}.nii.gz")
    declared = REGISTRY.dataset("nnunet")
    options = complete_options(declared.options, {"classes": {"a": 1}, "channels": 2})
    dataset = JobDataset("n", "nnunet", 1, Task(classes=("a",), channels=2), None, options)
    reader = loose_reader(dataset, REGISTRY)
    (files,) = reader.group(sorted(tmp_path.iterdir(), reverse=True))
    found = reader.open(files).picture(2).array
    assert np.array_equal(found, np.stack([volume[:, :, 2].T[::-1] for volume in volumes], axis=2))
    with pytest.raises(DataError, match="has 1 channel"):
        reader.open(files[:1]).picture(0)
