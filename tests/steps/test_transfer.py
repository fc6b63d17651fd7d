"""The step `transfer`: counts on other images equal a recount by hand, and what does not fit is refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench_core.declarations import IGNORE
from bench_core.execute import sources
from bench_core.execute.prepare import open_data
from bench_core.labels import count
from bench_core.metrics.counts import micro
from bench_core.plan.job import Apply, Job
from bench_core.plugins.registry import Registry
from bench_core.store import folder as files
from bench_core.store.store import Store
from tests.helpers.bench import call_bench
from tests.helpers.cam_study import asked
from tests.helpers.changing import changed, in_json
from tests.helpers.step_study import in_table, run_all
from tests.helpers.transfer_study import ONE, write_transfer

torch.set_num_threads(1)
DROP = (
    "{name: transfer, label: rest, dataset: {name: crates, label: mixed, options: {copies: 4, kind: turned}},"
    " options: {overlap: drop}}"
)
FEWER = (
    "{name: transfer, label: fewer, dataset: {name: crates, label: lidded, options: {kind: more}},"
    " options: {unreached: leave-out}}"
)

VOTE = ONE.replace("name: transfer", "name: ensemble, label: vote")
MIRRORED = DROP.replace("name: transfer, label: rest", "name: ensemble, label: mirrored").replace(
    "overlap: drop", "overlap: drop, flips: [both, horizontal]"
)


@dataclass(frozen=True)
class Taken:
    spec: Path
    store: Store
    registry: Registry
    jobs: tuple[Job, ...]

    def of(self, stage: str) -> list[Job]:
        return [job for job in self.jobs if job.stage == stage]

    def needed(self, job: Job) -> Job:
        return next(item for item in self.jobs if item.digest == job.needs[0].digest)

    def verify(self, *options: str) -> dict[str, list[str]]:
        """Return messages of errors by check."""
        done = call_bench("verify", self.spec, "--store", self.store.path, "--json", *options)
        return {
            check["name"]: [item["message"] for item in check["findings"]]
            for check in json.loads(done.stdout)["checks"]
            if check["findings"]
        }


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Taken:
    base = tmp_path_factory.mktemp("taken")
    spec = write_transfer(base / "spec", f"[{ONE}, {DROP}, {FEWER}, {VOTE}, {MIRRORED}]")
    store = Store(base / "results", create=True)
    registry, jobs = run_all(spec, store)
    return Taken(spec, store, registry, jobs)


def by_hand(taken: Taken, job: Job, table: dict[int, int]) -> dict[str, np.ndarray]:
    """Predict each image of the other dataset from the definition; return counts by id."""
    evaluate = taken.needed(job)
    network = sources.tested_network(evaluate, taken.store, taken.registry)
    split = open_data(job, taken.registry, taken.store.path / "cache").tested
    normal = evaluate.training.normalization
    found = {}
    for place, sample in enumerate(split.ids):
        images, masks = split.read([place])
        with torch.no_grad():
            logits = network((images.float() / 255 - torch.tensor(normal.mean)) / torch.tensor(normal.std))[0]
        labels = np.vectorize(table.get)(logits.argmax(dim=0).numpy()).astype(np.uint8)
        found[sample] = count(labels, masks[0].numpy(), len(job.dataset.task.classes))
    return found


@pytest.mark.parametrize(
    ("stage", "table", "images", "classes"),
    [
        ("transfer", {0: 0, 1: 1, 2: 1}, 14, [0]),
        ("rest", {0: 0, 1: 2, 2: 1}, 10, [0, 1]),
        ("fewer", {0: 0, 1: 1, 2: 2}, 14, [0, 1]),
    ],
)
def test_counts_are_those_of_the_mapped_predictions(
    taken: Taken, stage: str, table: dict[int, int], images: int, classes: list[int]
) -> None:
    jobs = taken.of(stage)
    assert [job.fold.index for job in jobs] == [0, 1, 2]
    for job in jobs:
        expected = by_hand(taken, job, table)
        counts, values = taken.store.counts(job.digest), taken.store.result(job.digest).values
        assert counts.ids == tuple(expected) and len(expected) == 14
        assert counts.values.tolist() == [item.tolist() for item in expected.values()]
        assert counts.groups == tuple(f"pile{number // 2}" for number in range(14))
        rows = taken.store.records(job.digest, "transfer-images")
        used = [row["scored"] == "yes" for row in rows]
        assert values["images"] == sum(used) == images and values["left-out"] == 14 - images
        pooled = micro(counts.values[used][:, classes])
        assert {name: values[name] for name in pooled} == pytest.approx(pooled)


@pytest.mark.parametrize(
    ("stage", "table", "views", "images"),
    [
        ("vote", {0: 0, 1: 1, 2: 1}, [()], 14),
        ("mirrored", {0: 0, 1: 2, 2: 1}, [(), (-1,), (-2, -1)], 10),
    ],
)
def test_a_vote_is_the_mean_probability_of_all_folds(
    taken: Taken, stage: str, table: dict[int, int], views: list[tuple[int, ...]], images: int
) -> None:
    (job,) = taken.of(stage)
    members = [item for item in taken.of("evaluate") if item.digest in {need.digest for need in job.needs}]
    assert len(members) == 3 and job.name == f"{stage}/box-net/boxes/fold-0"
    networks = [sources.tested_network(member, taken.store, taken.registry) for member in members]
    split = open_data(job, taken.registry, taken.store.path / "cache").tested
    normal = members[0].training.normalization
    expected = []
    for place in range(len(split)):
        images_, masks = split.read([place])
        scaled = (images_.float() / 255 - torch.tensor(normal.mean)) / torch.tensor(normal.std)
        with torch.no_grad():
            shares = torch.stack(
                [network(scaled.flip(view)).softmax(1).flip(view) for network in networks for view in views]
            )
        labels = np.vectorize(table.get)(shares.mean(0)[0].argmax(0).numpy()).astype(np.uint8)
        expected.append(count(labels, masks[0].numpy(), len(job.dataset.task.classes)))
    counts, values = taken.store.counts(job.digest), taken.store.result(job.digest).values
    # A pixel on the border between two classes may fall to either side by rounding.
    assert np.abs(counts.values - np.stack(expected)).max() <= 1
    used = [row["scored"] == "yes" for row in taken.store.records(job.digest, "transfer-images")]
    assert values["networks"] == 3 and values["images"] == sum(used) == images
    assert values["mdsc"] == pytest.approx(micro(counts.values[used])["mdsc"])


def test_copies_are_left_out_and_named(taken: Taken) -> None:
    rows = taken.store.records(taken.of("rest")[0].digest, "transfer-images")
    assert [(row["image"], row["copy_of"], row["how"]) for row in rows if row["scored"] == "no"] == [
        ("crate00", "box00", "equal"),
        ("crate01", "box01", "alike"),
        ("crate02", "box02", "equal"),
        ("crate03", "box03", "alike"),
    ]


def test_scores_at_home_are_of_the_same_classes(taken: Taken) -> None:
    for job in taken.of("rest"):
        there, usual = taken.store.result(job.digest).values, taken.store.counts(job.needs[0].digest)
        # All classes stand for themselves: it is the study's own score.
        assert there["home-mdsc"] == pytest.approx(micro(usual.values)["mdsc"])
    merged_otherwise = []
    for job in taken.of("transfer"):
        source = taken.needed(job)
        data = open_data(source, taken.registry, taken.store.path / "cache").tested
        maps = taken.store.predictions(source.digest)
        masks = np.stack([data.arrays.masks[index] for index in data.indices])
        merged = np.where(masks == IGNORE, IGNORE, np.minimum(masks, 1)).astype(np.uint8)
        counts = [
            count(np.minimum(mine, 1), truth, 1) for mine, truth in zip(maps.labels, merged, strict=True)
        ]
        found = taken.store.result(job.digest).values
        assert found["home-mdsc"] == pytest.approx(micro(np.stack(counts))["mdsc"])
        usual = taken.store.counts(source.digest)
        merged_otherwise.append(found["home-mdsc"] != pytest.approx(micro(usual.values)["mdsc"]))
    assert any(merged_otherwise)


def test_what_it_leaves_holds(taken: Taken) -> None:
    assert taken.verify("--data", "--predict") == {}


def repool(folder: Path, classes: tuple[int, ...] = (0, 1)) -> None:
    """Make all values follow from the tables."""
    counts = files.read_counts(folder)
    used = [row["scored"] == "yes" for row in files.read_records(folder, "transfer-images")]
    rows = files.read_records(folder, "home-counts")
    home = np.array([[int(row[key]) for key in ("tp", "fp", "fn")] for row in rows])[None]
    values = {**micro(counts.values[used][:, list(classes)])}
    values |= {f"home-{name}": value for name, value in micro(home).items()}
    values |= {"images": float(sum(used)), "left-out": float(len(used) - sum(used))}
    in_json(files.RESULT, lambda data: data["values"].update(values))(folder)


def scored_again(folder: Path) -> None:
    """Count copies of training images among the scored ones."""
    edit = in_table(
        "transfer-images", lambda rows: [row.update(scored="yes", copy_of="", how="") for row in rows]
    )
    edit(folder)
    repool(folder)


def better_at_home(folder: Path) -> None:
    in_table("home-counts", lambda rows: [row.update(fp="0", fn="0") for row in rows])(folder)
    repool(folder)


def painted(folder: Path) -> None:
    """Give every image its mask for a prediction, with counts to fit."""
    kept, counts = files.read_predictions(folder), files.read_counts(folder)
    kept.labels[:] = 3
    files.write_predictions(folder, kept)
    files.write_counts(folder, counts)


FORGED: dict[str, tuple[str, Callable[[Path], object], bool, str]] = {
    "a value": (
        "rest",
        in_json(files.RESULT, lambda data: data["values"].update(mdsc=0.9)),
        True,
        "'mdsc' is 0.9",
    ),
    "a copy that is scored": ("rest", scored_again, False, "left-out"),
    "a home that is better": ("rest", better_at_home, False, "asked again it is"),
    "a class that nothing reaches": ("fewer", painted, False, "label 3, to which no class is mapped"),
    "another map": (
        "transfer",
        in_json(files.RESULT, lambda data: data["values"].update(map="dark to crate")),
        False,
        "its value 'map'",
    ),
    "an image that is neither": (
        "rest",
        in_table("transfer-images", lambda rows: rows[0].update(scored="no", copy_of="")),
        True,
        "neither scored nor a copy",
    ),
    "a vote's copy that is scored": (
        "mirrored",
        in_table(
            "transfer-images", lambda rows: [row.update(scored="yes", copy_of="", how="") for row in rows]
        ),
        True,
        "left-out",
    ),
    "a vote's class that is left out": (
        "mirrored",
        in_table("ensemble-classes", lambda rows: rows[0].update(scored="no")),
        True,
        "classes are left out",
    ),
    "a class that is left out": (
        "rest",
        in_table("home-counts", lambda rows: rows.__setitem__(slice(None), rows[::2])),
        True,
        "classes are left out",
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_change_is_found(taken: Taken, name: str) -> None:
    stage, change, without, said = FORGED[name]
    digest = taken.of(stage)[0].digest
    with changed(taken.store.folder(digest), change):
        of_tables = asked(taken.spec, taken.store.path, digest, data=False)
        found = asked(taken.spec, taken.store.path, digest)
    assert bool(of_tables) == without and len(found) > len(of_tables)
    assert any(said in text for text in found), found


def validated(path: Path) -> tuple[int, list[dict[str, Any]]]:
    done = call_bench("validate", path, "--json")
    return done.returncode, json.loads(done.stdout)["specs"][0]["diagnostics"]


@pytest.mark.parametrize(
    ("step", "said", "fix"),
    [
        (
            "{name: transfer, dataset: crates}",
            "no class there is called 'dark' and 'bright'",
            "correct its options",
        ),
        ("{name: transfer}", "needs a dataset of its own", "add `dataset:"),
        (
            "{name: transfer, dataset: {name: crates, options: {kind: more}}}",
            "no class of the networks stands for 'lid'",
            "correct its options",
        ),
        (
            "{name: transfer, dataset: {name: boxes-again, options: {kind: same}}}",
            "boxes-again and boxes share images: all of them",
            "remove the step",
        ),
        (
            "{name: transfer, dataset: {name: boxes, options: {spacing: none}}}",
            "are one dataset",
            "remove the step",
        ),
        (
            "{name: transfer, dataset: {name: crates, options: {kind: same, channels: 3}}}",
            "boxes has images of 1 channels, crates of 3",
            "remove the step",
        ),
        (
            "{name: transfer, of: [bokses], dataset: {name: crates, options: {kind: same}}}",
            "no dataset of the spec is called 'bokses'",
            "choose from boxes",
        ),
        (
            "{name: transfer, dataset: {name: crates, label: boxes, options: {kind: same}}}",
            "two datasets are called 'boxes'",
            "`label` of its own",
        ),
        (
            "{name: transfer, dataset: crates, options: {map: {dark: crate, bright: crates}}}",
            "to 'crates', which is none of 'crate' and 'background'",
            "correct its options",
        ),
    ],
)
def test_what_does_not_go_together_is_a_mistake_in_the_spec(
    tmp_path: Path, step: str, said: str, fix: str
) -> None:
    path = write_transfer(tmp_path, f"[{step}]")
    code, found = validated(path)
    assert code == 1 and len(found) == 1, found
    assert said in f"{found[0]['message']}; {found[0]['cause']}" and fix in found[0]["fix"], found
    assert path.read_text().splitlines()[found[0]["line"] - 1].startswith("steps:")


def test_datasets_that_do_not_fit_are_passed_over_with_the_reason(tmp_path: Path) -> None:
    step = (
        "{name: transfer, dataset: {name: crates, label: yard}, options: {map: {lid: crate, crate: crate}}}"
    )
    datasets = "[boxes, {name: crates, label: others, options: {kind: apart, count: 12}}]"
    path = write_transfer(tmp_path, f"[{step}]", datasets=datasets)
    plan = json.loads(call_bench("plan", path, "--json").stdout)
    assert {job["dataset"] for job in plan["jobs"] if job["stage"] == "transfer"} == {"others"}
    (passed,) = plan["passed_over"]
    assert (passed["step"], passed["dataset"]) == ("transfer", "boxes")
    assert "`map` is about 'lid' and 'crate'" in passed["because"]
    assert "transfer on jobs of boxes: " in call_bench("plan", path).stdout
    path.write_text(path.read_text().replace("label: yard}", "label: yard}, of: [others]"))
    again = json.loads(call_bench("plan", path, "--json").stdout)
    assert again["passed_over"] == [] and again["jobs"] == plan["jobs"]
    path.write_text(path.read_text().replace("of: [others]", "of: [others, boxes]"))
    code, found = validated(path)
    assert code == 1 and "trained on boxes to yard" in json.dumps(found)


def test_copies_are_told_once_before_the_first_job(tmp_path: Path) -> None:
    steps = "[{name: transfer, dataset: {name: crates, options: {copies: 5, kind: same}}}]"
    path = write_transfer(tmp_path / "spec", steps, models="[box-net, {name: box-net-b}]")
    results = tmp_path / "results"
    for words in (["run", path], ["data", "check", path], ["data", "check", path, "--only", "crates"]):
        done = call_bench(*words, "--store", results)
        assert done.returncode == 2, done.stdout
        said = " ".join(done.stderr.split())
        assert said.count("5 of its 14 images are copies of images of boxes") == 1
        assert "crate00 equals box00; crate01 looks like box01; crate02 equals box02; and 2 more" in said
        assert "overlap: drop" in said
    assert not list(results.glob("jobs/*"))


def test_a_dataset_of_copies_alone_is_refused_even_where_they_are_dropped(tmp_path: Path) -> None:
    step = "{name: transfer, dataset: {name: crates, options: {copies: 12, count: 12, kind: same}},"
    path = write_transfer(tmp_path / "spec", f"[{step} options: {{overlap: drop}}}}]")
    done = call_bench("run", path, "--store", tmp_path / "results")
    assert done.returncode == 2 and "none is left to be scored" in " ".join(done.stderr.split())


def test_work_is_a_step_and_trains_nothing(taken: Taken) -> None:
    for job in taken.jobs:
        if isinstance(job.work, Apply):
            assert job.pixels == taken.needed(job).pixels and job.scoring == taken.needed(job).scoring
            assert taken.store.result(job.digest).training is None


def tables(folder: Path) -> dict[str, list[dict[str, str]]]:
    found = {}
    mine = ("transfer", "votes")
    for path in (folder / "tables").glob("*.csv"):
        if not path.stem.startswith(mine):
            continue
        with path.open(newline="") as file:
            found[path.stem] = list(csv.DictReader(file))
    return found


def test_the_report_sets_home_and_there_side_by_side(taken: Taken, tmp_path: Path) -> None:
    done = call_bench("report", taken.spec, "--store", taken.store.path, "--out", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    found = tables(tmp_path / "report")
    assert set(found) == {
        "transfer-data",
        *(f"transfer-{label}-boxes" for label in ("transfer", "rest", "fewer")),
        *(f"transfer-classes-{label}-boxes" for label in ("rest", "fewer")),
        "votes-vote-boxes",
        "votes-mirrored-boxes",
        "transfer-published-transfer-boxes",
        "transfer-published-rest-boxes",
    }
    for stage in ("transfer", "rest", "fewer"):
        values = [taken.store.result(job.digest).values for job in taken.of(stage)]
        (row,) = found[f"transfer-{stage}-boxes"]
        home, there = (np.array([item[name] for item in values]) for name in ("home-mdsc", "mdsc"))
        assert float(row["home_mean"]) == pytest.approx(home.mean())
        assert float(row["there_mean"]) == pytest.approx(there.mean())
        assert float(row["there_std"]) == pytest.approx(there.std(ddof=1))
        assert float(row["change"]) == pytest.approx((there - home).mean())
    assert {
        row["dataset"]: (row["images"], row["left_out"], row["map"]) for row in found["transfer-data"]
    } == {
        "crates": ("14", "0", "dark to crate; bright to crate"),
        "mixed": ("10", "4", "dark to dark; bright to bright"),
        "lidded": ("14", "0", "dark to dark; bright to bright"),
    }
    for stage, beside in (("vote", "transfer"), ("mirrored", "rest")):
        (row,) = found[f"votes-{stage}-boxes"]
        (single,) = found[f"transfer-{beside}-boxes"]
        vote = taken.store.result(taken.of(stage)[0].digest).values["mdsc"]
        assert float(row["vote"]) == pytest.approx(vote) and row["networks"] == "3"
        assert float(row["single"]) == pytest.approx(float(single["there_mean"]))
        assert float(row["gain"]) == pytest.approx(vote - float(single["there_mean"]))
    told = found["transfer-published-transfer-boxes"]
    assert (told[0]["model"], told[0]["value"], told[0]["source"]) == ("U-Net", "0.512", "A survey, 2023")
    page = (tmp_path / "report" / "report.html").read_text()
    assert "4 images of mixed are copies of images of boxes and not scored: crate00 (of box00)" in page
    assert "no class of the networks stands for it: lid" in page


def test_a_job_shows_its_scores_there(taken: Taken) -> None:
    job = taken.of("rest")[0]
    shown = json.loads(call_bench("show", job.digest, "--store", taken.store.path, "--json").stdout)
    text = json.dumps(shown)
    assert "mdsc-rest" in text and repr(taken.store.result(job.digest).values["mdsc"]) in text
