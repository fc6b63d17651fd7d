"""`bench verify` asks jobs of the step `grad-cam`: from tables, from the data, from the weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from bench_core.cli.main import bench
from bench_core.metrics.map_tables import MORE_MAPS, NUMBERS, ONE_MAP
from bench_core.store.folder import RESULT, read_records
from bench_core.store.store import Store
from bench_steps.grad_cam import again, further_again, rounding
from tests.helpers.cam_study import asked, verified, write_cams
from tests.helpers.changing import changed, in_json
from tests.helpers.step_study import in_table, run_all

STEP = (
    "{name: grad-cam, options: {sets: [common-worst], worst: 4, layer: encoder, "
    "interventions: 4, stability: 1, randomization: 1}}"
)
Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Study:
    spec: Path
    store: Path
    folder: Path
    """Of the job of fold 0."""

    def verify(self, *options: str) -> list[str]:
        """Return the messages of errors."""
        return verified(self.spec, self.store, *options)

    def asked(self, images: int | None = None, *, data: bool = True) -> list[str]:
        """Return what is found of the job alone."""
        return asked(self.spec, self.store, self.folder.name, images, data=data)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    torch.set_num_threads(1)
    base = tmp_path_factory.mktemp("verified-cams")
    spec = write_cams(base / "spec", STEP)
    store = Store(base / "results", create=True)
    _, jobs = run_all(spec, store)
    (job,) = [job for job in jobs if job.stage == "grad-cam-common-worst"]
    assert {row["status"] for row in store.records(job.digest, "maps")} >= {"ok"}
    return Study(spec, store.path, store.folder(job.digest))


def test_what_is_whole_holds(study: Study) -> None:
    assert study.verify() == [] and study.verify("--data") == []
    assert study.verify("--predict", "--images", "1") == [] and study.asked(images=4) == []


def test_what_is_asked_of_a_few_images_is_asked_of_their_usable_maps(study: Study) -> None:
    maps = read_records(study.folder, "maps")
    images = list(dict.fromkeys(row["image"] for row in maps))
    count = {"interventions": 4, "stability": 1, "randomization": 1}
    for table, (texts, numbers) in MORE_MAPS.items():
        rows = read_records(study.folder, table)
        asked = {
            tuple(row[name] for name in ONE_MAP[:-1])
            for row in maps
            if row["status"] == "ok" and row["image"] in images[: count[table]]
            if float(row["share"]) or table != "interventions"
        }
        assert {tuple(row[name] for name in ONE_MAP[:-1]) for row in rows} == asked and asked, table
        assert list(rows[0]) == [*ONE_MAP[:-1], *texts, *numbers]
        assert any(row[name] != "nan" for row in rows for name in numbers), table
    steps = {(row["step"], row["steps"]) for row in read_records(study.folder, "randomization")}
    assert steps == {(str(step), "4") for step in range(1, 5)}


def usable(edit: Callable[[dict[str, str]], object]) -> Callable[[Path], object]:
    """Change a map that can be used."""
    return in_table("maps", lambda rows: edit(next(row for row in rows if row["logits"] != "nan")))


def silent(folder: Path) -> None:
    """Say that all usable maps are constant, with values to fit."""

    def change(rows: Rows) -> None:
        for row in rows:
            if row["status"] == "ok":
                row.update(dict.fromkeys(NUMBERS[1:], "nan"), status="constant")

    in_table("maps", change)(folder)

    def values(data: Any) -> None:
        found = data["values"]
        found.update(constant=found["constant"] + found["ok"], ok=0.0, restates=0.0)

    in_json(RESULT, values)(folder)


def other_images(folder: Path) -> None:
    """Let each image's maps be another one's, in all tables alike."""
    names = list(dict.fromkeys(row["image"] for row in read_records(folder, "maps")))
    turned = dict(zip(names, (*names[1:], names[0]), strict=True))
    for table in ("maps", *MORE_MAPS):
        in_table(table, lambda rows: [row.update(image=turned[row["image"]]) for row in rows])(folder)


def one_table(rows: Rows) -> None:
    """Let each image's maps be another one's in one table alone."""
    names = list(dict.fromkeys(row["image"] for row in rows))
    for row in rows:
        row["image"] = names[names.index(row["image"]) - 1]


def pictures(edit: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / "artifacts" / "maps-0.npz"
        with np.load(path) as archive:
            found = {name: edit(archive[name]) for name in archive.files}
        np.savez_compressed(path, **found)

    return change


def one_picture_less(folder: Path) -> None:
    path = folder / "artifacts" / "maps-0.npz"
    with np.load(path) as archive:
        found = {name: archive[name] for name in archive.files[1:]}
    np.savez_compressed(path, **found)


FORGERIES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a value": (in_json(RESULT, lambda data: data["values"].update(restates=0.9)), "", "'restates' is 0.9"),
    "fewer rows": (in_table("maps", lambda rows: rows.pop()), "", "the maps are not those of each image"),
    "a stride": (usable(lambda row: row.update(stride="8.0")), "", "depth and stride of"),
    "another status": (silent, "--data", "the pictures of maps are not those"),
    "a share": (usable(lambda row: row.update(share="0.5")), "--data", "has the share 0.5"),
    "an energy": (
        usable(lambda row: row.update(energy=repr(min(1.0, float(row["energy"]) + 0.4)))),
        "--data",
        "has the energy",
    ),
    "other images": (
        other_images,
        "--data",
        "its images are not those of the set",
    ),
    "other images in one table": (in_table("maps", one_table), "", "are not those of the usable maps"),
    "a picture too few": (one_picture_less, "--data", "maps"),
    "likeness to the logits": (
        usable(lambda row: row.update(logits=repr(float(row["logits"]) - 0.3))),
        "--predict",
        "has logits",
    ),
    "other pictures": (pictures(lambda found: np.flipud(found)), "--predict", "energy|another picture"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_was_changed_is_found(study: Study, forgery: str) -> None:
    change, option, said = FORGERIES[forgery]
    images = 4 if option == "--predict" else None
    with changed(study.folder, change):
        if option:
            assert study.asked(data=False) == []
        found = study.asked(images, data=bool(option))
    assert any(part in message for message in found for part in said.split("|")), found


def cells(column: str, *, one: bool = False) -> Callable[[Rows], None]:
    """Change the first or every number of a column, as a shift that no rounding explains."""

    def change(rows: Rows) -> None:
        for row in [row for row in rows if row[column] != "nan"][: 1 if one else None]:
            row[column] = repr(float(row[column]) + (0.3 if float(row[column]) < 0.5 else -0.3))

    return change


def flattered(rows: Rows) -> None:
    """Let every deletion say more, with all that follows from it."""
    for row in rows:
        row["deletion_inside"] = repr(float(row["deletion_inside"]) / 2)
        row["deletion_gain"] = repr(float(row["random_deletion_inside"]) - float(row["deletion_inside"]))


def worse_chance(rows: Rows) -> None:
    """Let every random map be worse, and each gain larger by as much."""
    for row in rows:
        row["random_insertion_inside"] = repr(float(row["random_insertion_inside"]) / 2)
        row["insertion_gain"] = repr(float(row["insertion_inside"]) - float(row["random_insertion_inside"]))


CELLS = [(name, column) for name, (_, numbers) in MORE_MAPS.items() for column in numbers]


@pytest.mark.parametrize(("table", "column"), CELLS)
def test_a_forged_number_of_each_further_column_is_found(study: Study, table: str, column: str) -> None:
    with changed(study.folder, in_table(table, cells(column))):
        found = study.asked(images=1)
    assert found and all(table in text or "not what grad-cam leaves" in text for text in found), found


@pytest.mark.parametrize("table", MORE_MAPS)
def test_one_forged_number_is_found_where_its_image_is_asked(study: Study, table: str) -> None:
    column = MORE_MAPS[table][1][0]
    with changed(study.folder, in_table(table, cells(column, one=True))):
        found = study.asked(images=4)
    assert found and all(table in text or "not what grad-cam leaves" in text for text in found), found


@pytest.mark.parametrize("edit", [flattered, worse_chance])
def test_forged_columns_that_fit_each_other_are_found_by_any_image(
    study: Study, edit: Callable[[Rows], None]
) -> None:
    with changed(study.folder, in_table("interventions", edit)):
        assert study.asked(data=False) == [] and study.asked() == []
        (found,) = study.asked(images=1)
    assert "interventions of" in found and "the weights give" in found


@pytest.mark.parametrize("table", MORE_MAPS)
def test_rows_that_are_missing_are_found_without_data(study: Study, table: str) -> None:
    with changed(study.folder, in_table(table, lambda rows: rows.pop(1))):
        (found,) = study.asked(data=False)
    assert "are not those of the usable maps" in found


SENSITIVE = 0.4
"""By how much a number is off that rounding moves: more than any tolerance."""


@pytest.mark.parametrize("further", ["intervened", "shifted", "randomized"])
def test_numbers_that_rounding_moves_are_not_called_forged(
    study: Study, monkeypatch: pytest.MonkeyPatch, further: str
) -> None:
    usual = getattr(further_again, further)
    columns = {name for _, numbers in MORE_MAPS.values() for name in numbers}

    times: Counter[str] = Counter()

    def sensitive(asked: Any, explorer: Any, *seed: int, **named: int) -> Any:
        samples = [each.sample for each in (asked if further == "randomized" else [asked])]
        times.update(samples)
        for row in usual(asked, explorer, *seed, **named):
            off = SENSITIVE * (times[row["image"]] % 2)
            yield {name: cell + off if name in columns else cell for name, cell in row.items()}

    monkeypatch.setattr(further_again, further, sensitive)
    assert study.asked(images=4) == []


def test_numbers_of_maps_that_rounding_moves_are_not_called_forged(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, first = again.numbers_of, dict[bytes, bytes]()

    def sensitive(made: Any, logits: Any, truth: Any) -> dict[str, float]:
        found: dict[str, float] = usual(made, logits, truth)
        off = SENSITIVE * (first.setdefault(truth.tobytes(), logits.tobytes()) == logits.tobytes())
        return {name: value + off for name, value in found.items()}

    monkeypatch.setattr(again, "numbers_of", sensitive)
    assert study.asked(images=4) == []
    assert first
    monkeypatch.setattr(rounding, "TRIES", 0)
    (found,) = study.asked(images=4)
    assert "the weights give" in found


def test_what_is_asked_of_some_images_alone_is_said(study: Study) -> None:
    arguments = ["verify", str(study.spec), "--store", str(study.store)]
    plain = CliRunner().invoke(bench, arguments, catch_exceptions=False).output
    predicted = [*arguments, "--predict", "--images", "1"]
    anew = CliRunner().invoke(bench, predicted, catch_exceptions=False).output
    said = "of step grad-cam: maps of the images that are drawn; pixels are replaced in an eighth"
    assert f"believed, since no network was asked, {said}" in " ".join(plain.split())
    assert f"asked anew of some images, {said}" in " ".join(anew.split())
