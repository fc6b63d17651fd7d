"""Automatic attributes: against scipy, by symmetry, without padding, kept by jobs and compared by verify."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from bench_core import IGNORE
from bench_core.analysis.gather import gather
from bench_core.cli.main import bench
from bench_core.data.automatic import automatic, components, image_box, with_automatic
from bench_core.data.resize import Fit, fit_square
from bench_core.files.bounded import BoundError
from bench_core.plan.expand import make_plan
from bench_core.samples import AUTOMATIC, Samples, automatic_name
from bench_core.spec.load import load_spec
from bench_core.store.store import Store
from bench_core.study import opened
from tests.helpers.step_study import run_all, write_boxes

ALL = (slice(0, 64), slice(0, 64))
GRID = automatic_name(16, "pad-square")


def square(side: int = 64, top: int = 20, size: int = 16, label: int = 1) -> NDArray[np.uint8]:
    mask = np.zeros((side, side), np.uint8)
    mask[top : top + size, 24 : 24 + size] = label
    return mask


def drawn(seed: int, side: int = 24) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    random = np.random.default_rng(seed)
    mask = np.where(random.random((side, side)) < random.random(), random.integers(1, 4, (side, side)), 0)
    mask[random.random((side, side)) < 0.02] = IGNORE
    return random.integers(0, 256, (side, side, int(random.integers(1, 5))), dtype=np.uint8), mask.astype(
        np.uint8
    )


def test_a_square_has_the_numbers_that_one_counts_by_hand() -> None:
    mask = square()
    image = np.full((64, 64, 3), 100, np.uint8)
    image[mask == 1] = (130, 100, 60)
    image[:15] = 7  # Further away than the ring reaches.
    found = automatic(image, mask, ALL)
    assert found["size"] == pytest.approx(256 / 4096)
    assert found["contrast"] == pytest.approx(np.sqrt((30**2 + 40**2) / 3) / 255, rel=1e-5)
    assert (found["border"], found["components"]) == (0, 1)
    mask = square(top=0) + square(top=40, label=2)
    assert automatic(image, mask, ALL)["border"] == pytest.approx(16 / 252, rel=1e-5)
    assert automatic(image, mask, ALL)["components"] == 2


def test_what_is_not_there_is_undefined_and_not_zero() -> None:
    image = np.full((64, 64, 1), 9, np.uint8)
    nothing = automatic(image, np.zeros((64, 64), np.uint8), ALL)
    assert nothing == {"size": 0, "contrast": None, "border": 0, "components": 0, "sharpness": 0}
    everything = automatic(image, np.ones((64, 64), np.uint8), ALL)
    assert everything["contrast"] is None and (everything["size"], everything["border"]) == (1, 1)
    assert automatic(image, square(), (slice(30, 31), slice(0, 64)))["sharpness"] is None


def test_ignored_pixels_are_neither_structure_nor_surroundings() -> None:
    image, mask = np.full((64, 64, 1), 50, np.uint8), square()
    image[mask == 1] = 80
    spoiled, around = image.copy(), mask.copy()
    around[16:40, 10:24] = IGNORE
    spoiled[around == IGNORE] = 255
    first, second = automatic(image, mask, ALL), automatic(spoiled, around, ALL)
    assert [first[name] for name in AUTOMATIC[:4]] == [second[name] for name in AUTOMATIC[:4]]


@given(st.integers(0, 10_000))
def test_components_and_sharpness_are_those_of_scipy(seed: int) -> None:
    image, mask = drawn(seed)
    mask[mask == IGNORE] = 0
    expected = sum(ndimage.label(mask == label, np.ones((3, 3)))[1] for label in (1, 2, 3))
    assert components(mask) == expected
    gray = image[:, :, :1].repeat(3, axis=2)[:, :, 0].astype(int)
    curved = ndimage.laplace(gray)[2:-2, 2:-2]
    found = automatic(image[:, :, :1], mask, (slice(0, 24), slice(0, 24)))
    assert found["sharpness"] == pytest.approx(curved.var(), rel=1e-5)


@given(st.integers(0, 10_000))
def test_turned_and_mirrored_images_have_equal_attributes(seed: int) -> None:
    image, mask = drawn(seed)
    box = (slice(0, 24), slice(0, 24))
    first = automatic(image, mask, box)
    for turn in range(1, 4):
        assert automatic(np.rot90(image, turn), np.rot90(mask, turn), box) == first
    assert automatic(image[:, ::-1], mask[:, ::-1], box) == first


@settings(max_examples=40)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(8, 48))
def test_the_box_holds_all_of_the_image_and_nothing_else(height: int, width: int, side: int) -> None:
    whole = np.ones((height, width), np.uint8)
    _, mask = fit_square(whole[:, :, None] * 200, whole, Fit(side, "pad-square"))
    rows, columns = image_box((height, width), side, "pad-square")
    outside = mask.copy()
    outside[rows, columns] = 0
    # Pixels that hold a part of the image and a part of the padding are in no box.
    assert outside.any(axis=1).sum() <= 2 or outside.any(axis=0).sum() <= 2
    if min(height, width) * side >= 2 * max(height, width):
        assert mask[rows, columns].all()
    assert image_box((height, width), side, "stretch") == (slice(0, side), slice(0, side))


def test_padding_changes_no_attribute() -> None:
    random = np.random.default_rng(3)
    image, mask = random.integers(0, 256, (64, 64, 3), dtype=np.uint8), square(top=0)
    wide = np.zeros((128, 128, 3), np.uint8)
    wide[:64, 32:96], padded = image, np.zeros((128, 128), np.uint8)
    padded[:64, 32:96] = mask
    box = (slice(0, 64), slice(32, 96))
    first, second = automatic(image, mask, ALL), automatic(wide, padded, box)
    # The ring is a part of the grid's side, so contrast may differ.
    assert {**first, "contrast": 0} == {**second, "contrast": 0}


def plain(**more: object) -> Samples:
    data = {
        "format": 1, "fingerprint": "ab" * 32, "ids": ["a", "b"], "groups": ["a", "b"],
        "sizes": [[4, 4], [4, 4]], "spacing": None, "attributes": {}, "folds": {}, **more,
    }  # fmt: skip
    return Samples.from_json(data)


def columns(*size: float | None) -> dict[str, list[float | None]]:
    return {name: list(size) for name in AUTOMATIC}


def test_two_jobs_add_what_each_has_looked_at() -> None:
    one, other = plain(automatic={"g": columns(1, None)}), plain(automatic={"g": columns(None, 2)})
    both = one.merged(other)
    assert both.automatic["g"]["size"] == (1, 2) and one.merged(plain()).automatic == one.automatic
    assert Samples.from_json(json.loads(json.dumps(both.to_json()))).to_json() == both.to_json()
    assert "automatic" not in plain().to_json()


@pytest.mark.parametrize(
    "bad",
    [
        [],
        {"g": []},
        {"g": columns(1)},
        {"g": {"size": [1, 2]}},
        {"g": columns(1, None) | {"size": ["a", "b"]}},
    ],
)
def test_what_is_no_table_of_numbers_is_refused(bad: object) -> None:
    with pytest.raises(BoundError, match=r"automatic|has 1 entries"):
        plain(automatic=bad)


@pytest.mark.usefixtures("one_thread")
def test_jobs_keep_them_data_check_adds_them_and_verify_computes_them_again(tmp_path: Path) -> None:
    path = write_boxes(tmp_path / "spec", "[]")
    store = Store(tmp_path / "results", create=True)
    registry, jobs = run_all(path, store)
    (kept,) = store.datasets.iterdir()
    samples = store.samples(kept.stem)
    size = samples.automatic[GRID]["size"]
    for job in jobs:
        counts = store.counts(job.digest)
        for sample, values in zip(counts.ids, counts.values, strict=True):
            row = samples.ids.index(sample)
            rows, columns = image_box(samples.sizes[row], 16, "pad-square")
            area = (rows.stop - rows.start) * (columns.stop - columns.start)
            assert size[row] == pytest.approx(values[:, [0, 2]].sum() / area, rel=1e-5)

    def call(*words: object) -> str:
        return CliRunner().invoke(bench, [*map(str, words), "--store", str(store.path)]).output

    written = kept.read_bytes()
    bare = replace(samples, automatic={})
    kept.write_text(json.dumps(bare.to_json()))
    loaded = load_spec(path)
    evidence = gather(loaded.spec, make_plan(loaded.spec, registry), registry, store)
    assert list(evidence.attributes("boxes")) == ["device", "age"]
    call("data", "check", path)
    assert kept.read_bytes() == written
    rows = opened(path, store.path).attributes("boxes")
    assert rows[3]["auto:size"] == size[3] and rows[3]["device"] == "old"

    forged = {**samples.automatic[GRID], "sharpness": (*samples.automatic[GRID]["sharpness"][:-1], 7.0)}
    kept.write_text(json.dumps(replace(samples, automatic={GRID: forged}).to_json()))
    said = call("verify", path, "--data")
    assert "auto:sharpness of box11" in " ".join(said.split())

    # Without the data, only the size can be told: counts hold it.
    forged = {**samples.automatic[GRID], "size": (*size[:3], 0.3, *size[4:])}
    kept.write_text(json.dumps(replace(samples, automatic={GRID: forged}).to_json()))
    assert "pixels of structure in box03" in " ".join(call("verify", path).split())
    kept.write_bytes(written)
    assert "structure" not in call("verify", path)


def test_with_automatic_keeps_what_is_known() -> None:
    class Arrays:
        images = np.zeros((2, 16, 16, 1), np.uint8)
        masks = np.zeros((2, 16, 16), np.uint8)

    held = plain(automatic={GRID: columns(0.5, None)})
    found = with_automatic(held, Arrays, [0, 1], "pad-square", "background")  # type: ignore[arg-type]
    assert found.automatic[GRID]["size"] == (0.5, 0.0)
