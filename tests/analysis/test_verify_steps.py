"""Numbers of steps are asked again: from their tables without the data, from masks with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bench_core.cli.main import bench
from bench_core.metrics.counts import micro
from bench_core.store import folder as files
from bench_core.store.store import Store
from tests.helpers.changing import changed, in_json
from tests.helpers.step_study import in_table, run_all, write_boxes

MIRROR = '''

from bench_core import Step
from bench_core.protocol.outcome import Outcome


def mirror(session, options):
    """A third party's step: label maps of its own, a table, and a value that follows from it."""
    usual = session.source().predictions()
    found = session.accept(session.test, zip(usual.ids, usual.labels[:, :, ::-1]))
    shares = (found.labels == usual.labels).mean(axis=(1, 2))
    session.records("shares", [{"id": id, "share": float(share)} for id, share in zip(found.ids, shares)])
    return Outcome(predictions=found, values={"share": float(shares.mean())})


def follows(left):
    rows = left.records("shares")
    if [row["id"] for row in rows] != list(left.images):
        raise ValueError("the table is of other images")
    return {"share": float(np.mean([float(row["share"]) for row in rows]))}


@hookimpl
def bench_steps():
    return [Step(name="mirror", version=1, run=mirror, help="mirrors", follows=follows, again=mirror),
            Step(name="silent", version=1, run=mirror, help="offers no way to be asked")]
'''
STEPS = "[{name: measure, options: {metrics: [hd95, nsd]}}, native, mirror, silent]"


@dataclass(frozen=True)
class Boxes:
    spec: Path
    store: Path
    jobs: dict[str, Path]
    """Folders of the jobs of fold 0, by stage."""

    def verify(self, *options: str) -> tuple[dict[str, list[str]], dict[str, Any]]:
        """Return messages of errors by check, and all that the command says."""
        arguments = ["verify", str(self.spec), "--store", str(self.store), "--json", *options]
        done = CliRunner().invoke(bench, arguments, catch_exceptions=False)
        data = json.loads(done.stdout)
        found = {
            check["name"]: [item["message"] for item in check["findings"]]
            for check in data["checks"]
            if check["findings"]
        }
        assert done.exit_code == (1 if found else 0)
        return found, {check["name"]: check for check in data["checks"]}


@pytest.fixture(scope="module", params=["pad-square"])
def boxes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Boxes:
    base = tmp_path_factory.mktemp("boxes")
    spec = write_boxes(base / "spec", STEPS, spacing="all", plugin=MIRROR, resize=request.param)
    store = Store(base / "results", create=True)
    _, jobs = run_all(spec, store)
    first = {job.stage: store.folder(job.digest) for job in jobs if job.fold.index == 0}
    return Boxes(spec, store.path, first)


@pytest.mark.parametrize("boxes", ["pad-square", "stretch"], indirect=True)
def test_whole_steps_are_asked_and_hold(boxes: Boxes) -> None:
    found, checks = boxes.verify()
    assert found == {} and (checks["steps"]["jobs"], checks["steps"]["left_out"]) == (9, 3)
    assert checks["images"]["jobs"] == checks["metrics"]["jobs"] == checks["label maps"]["jobs"] == 9
    found, checks = boxes.verify("--data")
    assert found == {} and checks["recount"]["jobs"] == 15


def value(name: str, number: object) -> Callable[[Path], object]:
    return in_json(files.RESULT, lambda data: data["values"].update({name: number}))


def better_scores(folder: Path) -> None:
    """Halve all distances, and the mean with them."""

    def halve(rows: list[dict[str, str]]) -> None:
        for row in rows:
            if row["metric"] == "hd95" and row["score"] != "nan":
                row["score"] = repr(float(row["score"]) / 2)

    in_table("scores", halve)(folder)
    old = json.loads((folder / files.RESULT).read_text())["values"]["hd95"]
    value("hd95", old / 2)(folder)


def better_counts(folder: Path) -> None:
    """Remove all false alarms from the counts at original size, and pool them anew."""
    in_table("native-counts", lambda rows: [row.update(fp="0") for row in rows])(folder)
    repool(folder)


def repool(folder: Path) -> None:
    rows = files.read_records(folder, "native-counts")
    counts = np.array([[int(row[key]) for key in ("tp", "fp", "fn")] for row in rows])
    in_json(files.RESULT, lambda data: data["values"].update(micro(counts[None])))(folder)


def perfect_maps(folder: Path) -> None:
    """Paint all pixels of one image in its original label map as background, with counts to fit."""
    path = folder / "artifacts" / "labels-0.npz"
    with np.load(path) as archive:
        maps = dict(archive)
    key = max(maps, key=lambda name: maps[name].sum())
    maps[key] = np.zeros_like(maps[key])
    np.savez_compressed(path, **maps)

    def none(rows: list[dict[str, str]]) -> None:
        for row in rows[2 * int(key) : 2 * int(key) + 2]:
            truth = int(row["tp"]) + int(row["fn"])
            row.update(tp="0", fp="0", fn=str(truth))

    in_table("native-counts", none)(folder)
    repool(folder)


def resealed(folder: Path) -> None:
    counts = files.read_counts(folder)
    counts.values[0, 0, 1] += 1
    files.write_counts(folder, counts)


CHANGES: dict[str, tuple[str, Callable[[Path], object], set[str], set[str], str]] = {
    "a value": ("measure", value("nsd", 0.999), {"steps"}, {"recount"}, "its value 'nsd' is 0.999, 0."),
    "a unit": ("measure", value("lengths", "px"), {"steps"}, {"recount"}, "'lengths' is 'px', 'mm' follows"),
    "a score": (
        "measure",
        in_table("scores", lambda rows: rows[0].update(score="0.125")),
        {"steps"},
        {"recount"},
        "its value 'hd95' is",
    ),
    "a score of no image": (
        "measure",
        in_table("scores", lambda rows: rows[0].update(image="box99")),
        {"steps"},
        {"recount"},
        "what it left is not what measure leaves: image 'box99'",
    ),
    "a row less": (
        "native",
        in_table("native-counts", lambda rows: rows.pop()),
        {"steps"},
        {"recount"},
        "1 rows of 'counts' are missing",
    ),
    "all scores and their mean": ("measure", better_scores, set(), {"recount"}, "asked again it is hd95"),
    "counts and what they pool": ("native", better_counts, set(), {"recount"}, "asked again it is box"),
    "label maps, counts and what they pool": (
        "native",
        perfect_maps,
        set(),
        {"recount"},
        "have another label than the label map on the grid has all around them",
    ),
    "no label maps": (
        "native",
        lambda folder: (folder / "artifacts" / "labels-0.npz").unlink(),
        {"files"},
        {"recount"},
        "asked again: the job left no artifact 'labels-0.npz'",
    ),
    "a third party's value": ("mirror", value("share", 1.0), {"steps"}, {"recount"}, "'share' is 1.0"),
    "a third party's counts": ("mirror", resealed, {"metrics"}, {"recount"}, "counted again"),
    "a third party's table and value": (
        "mirror",
        lambda folder: (
            in_table("shares", lambda rows: [row.update(share="1.0") for row in rows])(folder),
            value("share", 1.0)(folder),
        ),
        set(),
        {"recount"},
        "records/shares.csv",
    ),
}


@pytest.mark.parametrize(
    "boxes", ["pad-square", pytest.param("stretch", marks=pytest.mark.slow)], indirect=True
)
@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_a_step_is_found(boxes: Boxes, name: str) -> None:
    stage, change, without, more, said = CHANGES[name]
    with changed(boxes.jobs[stage], change):
        found, checks = boxes.verify("--data")
    # With the data the same checks as without them are asked, and these before.
    assert "recount" not in without and more <= {"recount"}
    assert set(found) == without | more
    findings = [item for check in checks.values() for item in check["findings"]]
    assert any(said in item["message"] or said in item["place"] for item in findings), findings
    assert {item["job"] for item in findings} == {f"{stage}/box-net/boxes/fold-0"}


def test_what_fails_in_a_plugin_when_asked_is_a_finding(boxes: Boxes) -> None:
    path = boxes.spec.with_name("plugin.py")
    text = path.read_text()
    try:
        path.write_text(text.replace("    rows = left.records", "    1 / 0\n    rows = left.records"))
        found, _ = boxes.verify()
    finally:
        path.write_text(text)
    assert any("`follows` of step mirror failed: ZeroDivisionError" in text for text in found["steps"])


def test_what_cannot_be_asked_is_said(boxes: Boxes) -> None:
    arguments = ["verify", str(boxes.spec), "--store", str(boxes.store)]
    done = CliRunner().invoke(bench, arguments)
    assert done.stderr.count("are believed") == 1
    assert "the numbers of step silent are believed: it does not say how it is asked" in done.stderr
