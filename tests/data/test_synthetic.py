"""Generated images: the same bytes everywhere, all classes, harder when asked, alike within a patient."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from bench_core import DatasetRequest
from bench_core.data.samples import UInt8Array
from bench_core.options import complete_options
from bench_datasets.plugin import LOOKS, SYNTHETIC
from bench_datasets.synthetic.reader import SyntheticReader, open_synthetic


def pairs(**given: Any) -> list[tuple[UInt8Array, UInt8Array]]:
    options = complete_options(SYNTHETIC.options, {"samples": 10, "size": 64, **given})
    reader = open_synthetic(DatasetRequest(root=None, options=options))
    return [reader.read(sample) for sample in reader.samples()]


def open_look(**given: Any) -> SyntheticReader:
    return open_synthetic(DatasetRequest(root=None, options=complete_options(SYNTHETIC.options, given)))


def digest(arrays: list[tuple[UInt8Array, UInt8Array]]) -> str:
    return hashlib.sha256(b"".join(a.tobytes() + b.tobytes() for a, b in arrays)).hexdigest()[:16]


GOLDEN = {
    "dermoscopy": "b486c78fbe26c936",
    "endoscopy": "d6ee7379824af8a9",
    "ultrasound": "f1647338c181e900",
}
"""Of ten samples each; a change here needs another `version` of the dataset."""


@pytest.mark.parametrize("look", LOOKS)
def test_the_bytes_are_those_of_the_declared_version(look: str) -> None:
    assert SYNTHETIC.version == 1
    assert digest(pairs(look=look)) == GOLDEN[look]


@pytest.mark.parametrize("look", LOOKS)
def test_seeds_draw_other_images(look: str) -> None:
    assert digest(pairs(look=look, seed=1)) != digest(pairs(look=look, seed=2))


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("difficulty", [0.0, 1.0])
def test_five_images_hold_every_class(look: str, difficulty: float) -> None:
    masks = [mask for _, mask in pairs(look=look, difficulty=difficulty)]
    classes = set(range(len(LOOKS[look].classes) + 1))
    for start in (0, 5):
        assert set(np.unique(np.stack(masks[start : start + 5]))) == classes
    assert all(mask.any() for mask in masks)


def edge_contrast(arrays: list[tuple[UInt8Array, UInt8Array]], label: int) -> float:
    """Mean difference in brightness between a class and what is not it, over images with enough of it."""
    differences = []
    for image, mask in arrays:
        gray = image.astype(float).mean(axis=2)
        inside = mask == label
        if inside.sum() > 30:
            differences.append(abs(gray[inside].mean() - gray[(mask == 0) & (gray > 20)].mean()))
    return float(np.mean(differences))


@pytest.mark.parametrize(("look", "label"), [("dermoscopy", 1), ("endoscopy", 2), ("ultrasound", 1)])
def test_difficulty_lowers_contrast(look: str, label: int) -> None:
    easy, hard = (edge_contrast(pairs(look=look, difficulty=value), label) for value in (0.0, 1.0))
    assert easy > 1.5 * hard


def test_a_patient_keeps_the_skin() -> None:
    arrays = pairs(look="dermoscopy", samples=12, groups=3, difficulty=0.0)
    colors = np.array([image[mask == 0].mean(axis=0) for image, mask in arrays])
    within = max(np.ptp(colors[group::3], axis=0).max() for group in range(3))
    between = np.ptp([colors[group::3].mean(axis=0) for group in range(3)], axis=0).max()
    assert within < between
    assert len({image.tobytes() for image, _ in arrays}) == 12


def test_patients_are_groups() -> None:
    options = complete_options(SYNTHETIC.options, {"samples": 7, "groups": 3})
    samples = open_synthetic(DatasetRequest(root=None, options=options)).samples()
    assert [sample.group for sample in samples][:4] == [
        "patient-0000",
        "patient-0001",
        "patient-0002",
        "patient-0000",
    ]
    alone = open_synthetic(
        DatasetRequest(root=None, options=complete_options(SYNTHETIC.options, {"samples": 7}))
    )
    assert len({sample.group for sample in alone.samples()}) == 7


@pytest.mark.parametrize("size", [16, 33, 200])
@pytest.mark.parametrize("look", LOOKS)
def test_any_size_is_drawn(look: str, size: int) -> None:
    for image, mask in pairs(look=look, size=size, samples=5):
        assert max(mask.shape) == size
        assert image.shape == (*mask.shape, LOOKS[look].channels)


def test_an_unknown_look_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'xray'"):
        SYNTHETIC.task_for({"look": "xray"})


@pytest.mark.parametrize(
    ("look", "name", "values"),
    [
        ("dermoscopy", "skin", {"light", "medium", "tan", "brown"}),
        ("endoscopy", "finding", {"neoplastic", "non-neoplastic", "both"}),
        ("ultrasound", "axis", {"tilted left", "upright", "tilted right"}),
    ],
)
def test_every_look_has_subgroups(look: str, name: str, values: set[str]) -> None:
    samples = open_look(look=look, samples=60, groups=30, size=32).samples()
    assert {sample.attributes[name] for sample in samples} == values


def test_the_finding_is_what_the_mask_shows() -> None:
    reader = open_look(look="endoscopy", samples=10, size=64)
    names = {(1,): "non-neoplastic", (2,): "neoplastic", (1, 2): "both"}
    for sample in reader.samples():
        shown = tuple(int(label) for label in np.unique(reader.read(sample)[1]) if label)
        assert sample.attributes["finding"] == names[shown]


def test_skin_is_what_the_image_shows() -> None:
    reader = open_look(look="dermoscopy", samples=30, size=48)
    brightness: dict[str, list[float]] = {}
    for sample in reader.samples():
        image, mask = reader.read(sample)
        brightness.setdefault(str(sample.attributes["skin"]), []).append(float(image[mask == 0].mean()))
    means = {name: np.mean(found) for name, found in brightness.items()}
    assert means["light"] > means["tan"] > means["brown"]
