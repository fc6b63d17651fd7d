"""The step `corruption`: counts are those of the tested network on images that anybody can corrupt again."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from bench_core.cli.main import bench
from bench_core.data.automatic import image_box
from bench_core.declarations import JobEvent
from bench_core.execute import sources
from bench_core.execute.job import run_job
from bench_core.execute.prepare import open_data
from bench_core.labels import count
from bench_core.metrics.corrupted import corruption_values, read_corruption
from bench_core.metrics.tables import TableError
from bench_core.plan.errors import PlanError
from bench_core.plan.job import Apply
from bench_core.protocol.run_options import RunOptions
from bench_core.store import folder as files
from bench_core.store.store import Store
from bench_steps.corruption.apply import corrupted
from bench_steps.corruption.declared import KINDS
from tests.helpers.changing import changed
from tests.helpers.step_study import in_table, planned, run_all, write_boxes

torch.set_num_threads(1)
STEP = "{name: corruption, options: {kinds: [gaussian-noise, contrast], severities: [5, 2]}}"
CONDITIONS = [("clean", 0), ("gaussian-noise", 2), ("gaussian-noise", 5), ("contrast", 2), ("contrast", 5)]


@dataclass(frozen=True)
class Done:
    spec: Path
    store: Store
    registry: Any
    jobs: tuple[Any, ...]

    @property
    def steps(self) -> list[Any]:
        return [job for job in self.jobs if isinstance(job.work, Apply)]

    def verify(self, *options: str) -> dict[str, list[str]]:
        arguments = ["verify", str(self.spec), "--store", str(self.store.path), "--json", *options]
        done = CliRunner().invoke(bench, arguments, catch_exceptions=False)
        data = json.loads(done.stdout)
        return {
            check["name"]: [f"{item['place']}: {item['message']}" for item in check["findings"]]
            for check in data["checks"]
            if check["findings"]
        }


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    base = tmp_path_factory.mktemp("corrupted")
    spec = write_boxes(base / "spec", f"[{STEP}]")
    store = Store(base / "results", create=True)
    return Done(spec, store, *run_all(spec, store))


def test_counts_are_those_of_the_network_on_images_that_are_corrupted_here(done: Done) -> None:
    by_digest = {job.digest: job for job in done.jobs}
    for job in done.steps[:2]:
        done.store.check(job.digest)
        evaluate = by_digest[job.needs[0].digest]
        network = sources.tested_network(evaluate, done.store, done.registry)
        split = open_data(evaluate, done.registry, done.store.path / "cache").tested
        conditions, values = read_corruption(
            done.store.records(job.digest, "corruption-counts"), split.ids, ("dark", "bright")
        )
        assert list(conditions) == CONDITIONS
        assert (values[0] == done.store.counts(evaluate.digest).values).all()
        normal = evaluate.training.normalization
        for number, (name, severity) in enumerate(CONDITIONS[1:], start=1):
            kind = next(kind for kind in KINDS if kind.name == name)
            for place, index in enumerate(split.indices):
                image, mask = np.asarray(split.arrays.images[index]), np.asarray(split.arrays.masks[index])
                box = image_box(split.arrays.sizes[index], image.shape[0], "pad-square")
                bytes_ = corrupted(image, box, kind, severity, split.ids[place])
                with torch.no_grad():
                    planes = torch.from_numpy(bytes_).permute(2, 0, 1)[None].float()
                    logits = network((planes / 255 - normal.mean) / normal.std)[0].numpy()
                expected = count(logits.argmax(axis=0).astype(np.uint8), mask, 2)
                assert np.abs(values[number, place] - expected).max() <= 1
        assert (values[1:] != values[0]).any()
        result = done.store.result(job.digest)
        assert result.values == pytest.approx(corruption_values(conditions, values))
        assert set(result.values) <= {"mdsc-clean", "mdsc-gaussian-noise", "mdsc-contrast", "degradation"}


def test_an_example_shows_each_condition(done: Done) -> None:
    job = done.steps[0]
    rows = done.store.records(job.digest, "corruption-examples")
    assert [(row["kind"], int(row["severity"])) for row in rows] == CONDITIONS
    assert len({row["image"] for row in rows}) == 1
    with Image.open(done.store.folder(job.digest) / "artifacts" / "examples.jpg") as picture:
        assert picture.size == (16, 16 * len(CONDITIONS)) and picture.mode == "L"


def test_progress_counts_every_image_under_every_condition(done: Done, tmp_path: Path) -> None:
    store = Store(tmp_path / "results", create=True)
    heard: list[JobEvent] = []
    for job in done.jobs[:1] + tuple(done.steps[:1]):
        run_job(job, store, done.registry, RunOptions(), heard.append)
    events = [event for event in heard if event.kind == "progress"]
    assert {event.total for event in events} == {4 * 4}
    assert [event.done for event in events] == sorted({event.done for event in events})
    assert events[-1].done == 16 and events[-1].message == "contrast, severity 5"
    job = done.steps[0]
    name = "records/corruption-counts.csv"
    assert (store.folder(job.digest) / name).read_bytes() == (
        done.store.folder(job.digest) / name
    ).read_bytes()


def swapped(rows: list[dict[str, str]]) -> None:
    """Say that one image was better under a corruption, and keep the size of its mask."""
    row = next(row for row in rows if row["kind"] == "contrast" and int(row["fn"]) + int(row["fp"]) > 0)
    row.update(tp=str(int(row["tp"]) + int(row["fn"])), fp="0", fn="0")


def follow_up(folder: Path) -> None:
    rows = files.read_records(folder, "corruption-counts")
    ids = list(dict.fromkeys(row["image"] for row in rows))
    values = corruption_values(*read_corruption(rows, ids, ("dark", "bright")))
    path = folder / files.RESULT
    data = json.loads(path.read_text())
    data["values"] = values
    path.write_text(json.dumps(data))


def clean_is_worse(folder: Path) -> None:
    def worse(rows: list[dict[str, str]]) -> None:
        row = next(row for row in rows if row["kind"] == "clean" and int(row["tp"]) > 0)
        row.update(tp=str(int(row["tp"]) - 1), fn=str(int(row["fn"]) + 1))

    in_table("corruption-counts", worse)(folder)
    follow_up(folder)


def other_picture(folder: Path) -> None:
    path = folder / "artifacts" / "examples.jpg"
    with Image.open(io.BytesIO(path.read_bytes())) as picture:
        turned = Image.fromarray(255 - np.asarray(picture))
    turned.save(path, "JPEG")


CHANGES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a count": (in_table("corruption-counts", swapped), "steps", "its value 'mdsc-contrast' is"),
    "the size of a mask": (
        in_table("corruption-counts", lambda rows: rows[-1].update(tp="7", fn="9999")),
        "steps",
        "has another size under contrast",
    ),
    "a row less": (in_table("corruption-counts", lambda rows: rows.pop()), "steps", "are not those of"),
    "clean counts and values": (clean_is_worse, "recount", "asked again it is clean, 0"),
    "a picture that is none": (
        lambda folder: (folder / "artifacts" / "examples.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture"),
        "recount",
        "its examples.jpg cannot be read",
    ),
    "a picture": (other_picture, "recount", "shows something else than its images"),
    "counts and values": (
        lambda folder: (in_table("corruption-counts", swapped)(folder), follow_up(folder)),
        "predicted",
        "the weights give other counts of",
    ),
}


def test_whole_results_are_asked_in_every_way_and_hold(done: Done) -> None:
    assert done.verify("--data", "--predict") == {}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_found(done: Done, name: str) -> None:
    change, check, said = CHANGES[name]
    options = {"steps": (), "recount": ("--data",), "predicted": ("--data", "--predict")}[check]
    with changed(done.store.folder(done.steps[0].digest), change):
        found = done.verify(*options)
    assert any(said in message for message in found.get(check, found.get("recount", []))), found


GROUND = """

def more_datasets():
    task = Task(classes=("dark", "bright"), channels=1, ignore=True)
    shared = {"version": 1, "task": task, "open": Boxes, "needs_root": False}
    options = {
        "count": Option(type=int, default=12, help="images"),
        "spacing": Option(type=str, default="none", help="known of"),
    }
    return [Dataset(name=name, modality=words, options=options, **shared)
            for name, words in (("skin", "dermoscopy"), ("heart", "cardiac ultrasound"))]
"""


def grounds(folder: Path, steps: str, datasets: str = "[skin, heart, boxes]") -> Path:
    path = write_boxes(folder, steps, datasets=datasets, plugin=GROUND)
    plugin = path.with_name("plugin.py")
    alone = 'return [Dataset(name="boxes"'
    plugin.write_text(plugin.read_text().replace(alone, alone.replace("[", "more_datasets() + [", 1)))
    return path


def drawn(path: Path) -> dict[str, list[str]]:
    _, plan = planned(path)
    found: dict[str, list[str]] = {}
    for job in plan.jobs:
        if isinstance(job.work, Apply):
            found[job.work.source] = [kind["name"] for kind in job.work.options["kinds"]]
    return found


def test_auto_draws_on_each_dataset_what_goes_with_it_and_a_list_is_the_same_job(tmp_path: Path) -> None:
    found = drawn(grounds(tmp_path, "[corruption]"))
    assert "hair" in found["skin"] and "speckle" not in found["skin"]
    assert "speckle" in found["heart"] and "hair" not in found["heart"]
    assert not {"hair", "speckle", "smoke"} & set(found["boxes"])
    _, auto = planned(grounds(tmp_path, "[corruption]"))
    listed = f"[{{name: corruption, label: x, of: [skin], options: {{kinds: {json.dumps(found['skin'])}}}}}]"
    _, named = planned(grounds(tmp_path, listed))
    mine = {job.digest for job in named.jobs if isinstance(job.work, Apply)}
    assert mine and mine < {job.digest for job in auto.jobs}


def test_a_kind_of_another_modality_passes_a_dataset_over_or_is_refused(tmp_path: Path) -> None:
    hair = "{name: corruption, options: {kinds: [hair]}%s}"
    path = grounds(tmp_path, f"[{hair % ''}]", "[skin, heart]")
    _, plan = planned(path)
    assert {job.work.source for job in plan.jobs if isinstance(job.work, Apply)} == {"skin"}
    (passed,) = plan.passed_over
    assert (passed.step, passed.dataset) == ("corruption", "heart")
    assert "hair is a corruption of dermoscopy, and heart is cardiac ultrasound" in passed.because
    path = grounds(tmp_path, f"[{hair % ', of: [heart]'}]")
    shown = CliRunner().invoke(bench, ["validate", str(path)])
    assert shown.exit_code == 1 and "cannot work on heart" in shown.output
    assert "hair is a corruption of dermoscopy" in shown.output
    with pytest.raises(Exception, match="cannot work on heart") as caught:
        planned(path)
    assert isinstance(caught.value, PlanError) or "hair" in str(caught.value)
    # Of files of one's own the user says what they are.
    path = grounds(tmp_path, "[{name: corruption, of: [boxes], options: {modality: ultrasound}}]")
    assert "speckle" in drawn(path)["boxes"]


def table(**changes: str) -> list[dict[str, str]]:
    rows = []
    for kind, severity in (("clean", "0"), ("hair", "3")):
        for image in ("a", "b"):
            row = {"kind": kind, "severity": severity, "image": image, "class": "x", "tp": "4", "fp": "1"}
            rows.append({**row, "fn": "2"})
    rows[-1].update(changes)
    return rows


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "0 rows"),
        (table()[:3], "3 rows are not those of 2"),
        (table()[2:], "does not begin with the clean images"),
        (table() + table()[2:], "hair, 3 is there twice"),
        (table(severity="4"), "rows of 'hair', '3' are missing"),
        (table(image="c"), "image 'c', class 'x'"),
        (table(tp="-4"), "'-4' is not a count"),
        (table(tp="9" * 17), "is not a count"),
        (table(fn="3"), "the mask of 'b' has another size under hair"),
        ([*table()[:2], *(dict(row, severity="6") for row in table()[2:])], "'6' is no kind with a severity"),
        ([*table()[:2], *(dict(row, kind="a" * 61) for row in table()[2:])], "is no kind with a severity"),
        ([*table()[:2], *(dict(row, kind="=1") for row in table()[2:])], "'=1', '3' is no kind"),
        ([dict(reversed(row.items())) for row in table()], "the columns are not"),
    ],
)
def test_a_table_that_says_something_else_is_refused(rows: list[dict[str, str]], said: str) -> None:
    with pytest.raises(TableError, match=said):
        read_corruption(rows, ["a", "b"], ["x"])


def test_values_are_means_over_severities_then_kinds() -> None:
    conditions = (("clean", 0), ("jpeg", 1), ("jpeg", 5), ("hair", 1))
    hits = np.array([10, 8, 2, 5])
    values = np.zeros((4, 1, 1, 3), dtype=np.int64)
    values[:, 0, 0, 0], values[:, 0, 0, 2] = hits, 10 - hits
    dice = 2 * hits / (10 + hits)
    found = corruption_values(conditions, values)
    assert found["mdsc-clean"] == 1 and found["mdsc-jpeg"] == pytest.approx(dice[1:3].mean())
    lost = 1 - np.array([dice[1:3].mean(), dice[3]])
    assert found["degradation"] == pytest.approx(lost.mean())
    assert corruption_values((("clean", 0),), values[:1] * 0) == {}
