"""Maps of the same images by the networks of all folds: who trained on them, what is planned and found."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy.stats import spearmanr

from bench_core.cli.main import bench
from bench_core.errors import BenchError
from bench_core.execute import sources
from bench_core.execute.prepare import open_data
from bench_core.metrics.map_tables import FOLD_NUMBERS, FOLD_TEXTS, ONE_MAP
from bench_core.plan.job import Apply, Job
from bench_core.plugins.registry import Registry
from bench_core.store.folder import RESULT
from bench_core.store.store import Store
from bench_steps.grad_cam import elsewhere, rounding
from bench_steps.grad_cam.folds import Case, Looking
from bench_steps.grad_cam.step import subjects
from tests.helpers.cam_study import asked, write_cams
from tests.helpers.changing import changed, in_json
from tests.helpers.step_study import in_table, planned, run_all
from tests.steps.grad_cam.test_step import Cams

OPTIONS = (
    "sets: [random], random: 2, folds: [random, common-worst], fold_images: 2, layer: sweep, "
    "interventions: 0, stability: 0, randomization: 0"
)
STEP = (
    f"{{name: grad-cam, options: {{{OPTIONS}}}}}, {{name: fold-maps, dataset: piles, options: {{images: 2}}}}"
)
MODELS = "[draw-net]"
HOME, COMMON, ELSEWHERE = "grad-cam-folds-random", "grad-cam-folds-common-worst", "fold-maps"


@dataclass(frozen=True)
class Study:
    spec: Path
    store: Store
    registry: Registry
    jobs: tuple[Job, ...]

    def of(self, stage: str) -> list[Job]:
        return [job for job in self.jobs if job.stage == stage]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    torch.set_num_threads(1)
    base = tmp_path_factory.mktemp("fold-maps")
    spec = write_cams(base / "spec", STEP, folds="folds: 4", epochs=12, models=MODELS)
    store = Store(base / "results", create=True)
    registry, jobs = run_all(spec, store)
    return Study(spec, store, registry, jobs)


def test_every_image_of_a_fold_is_looked_at_by_the_networks_of_all(study: Study) -> None:
    for stage in (HOME, COMMON):
        jobs = study.of(stage)
        assert len(jobs) == 4
        for job in jobs:
            (own,) = job.needed("weights")
            assert study.store.job(own).fold.index == job.fold.index and job.looked_at[0] == own
            others = [study.store.job(digest) for digest in job.needed("siblings")]
            assert {other.fold.index for other in others} == {0, 1, 2, 3} - {job.fold.index}
            assert {other.model.label for other in others} == {job.model.label}
            assert bool(job.needed("peers")) == (stage == COMMON)
            rows = study.store.records(job.digest, "fold-maps")
            assert list(rows[0]) == [*ONE_MAP[:-1], *FOLD_TEXTS, *FOLD_NUMBERS]
            # Of four folds two train each network, one chooses its epoch, one is tested.
            for row in rows:
                assert (row["trained"], row["pairs"]) in {("none", "1"), ("one", "4"), ("both", "1")}
    trained = {
        job.fold.index: set(open_data(job, study.registry, study.store.cache).train.ids)  # type: ignore[union-attr]
        for job in study.of("evaluate")
    }
    for job in study.of(HOME):
        for row in study.store.records(job.digest, "fold-maps"):
            seen = [row["image"] in ids for ids in trained.values()]
            pairs = [one + other for one, other in itertools.combinations(seen, 2)]
            assert pairs.count(("none", "one", "both").index(row["trained"])) == int(row["pairs"])
            assert row["image"] not in trained[job.fold.index]


def test_numbers_are_those_of_maps_that_each_network_makes_alone(study: Study) -> None:
    """Each fold's network looks at the image as in a job of its own, and pairs are correlated by scipy."""
    job = next(job for job in study.of(HOME) if job.fold.index == 1)
    options = dict(job.work.options) if isinstance(job.work, Apply) else {}
    rows = study.store.records(job.digest, "fold-maps")
    images = list(dict.fromkeys(row["image"] for row in rows))
    cams = Cams(study.store, study.registry, study.jobs)
    own = sources.members_of(job, study.store, study.registry)
    others = sources.siblings_of(job, study.store, study.registry)
    maps: dict[tuple[str, ...], list[np.ndarray]] = {}
    trained = []
    for source in (*own, *others):
        session = cams.session(job)
        session.network = lambda source=source: source.network().eval()  # type: ignore[misc, method-assign]
        trained.append(source.trained())
        for _, subject in subjects(session, options, images):
            for made in subject.looked.maps:
                key = (subject.sample, job.dataset.task.classes[made.place], made.target, made.layer.name)
                maps.setdefault(key, []).append(made.full(16))
    checked = 0
    for row in rows:
        found = maps[row["image"], row["class"], row["target"], row["layer"]]
        seen = [row["image"] in ids for ids in trained]
        number = ("none", "one", "both").index(row["trained"])
        data = open_data(job, study.registry, study.store.cache).tested
        truth = data.arrays.masks[data.indices[data.ids.index(row["image"])]]
        counted = truth != 255
        pairs = [
            spearmanr(found[one][counted], found[other][counted]).statistic
            for one, other in itertools.combinations(range(4), 2)
            if seen[one] + seen[other] == number and np.ptp(found[one]) > 0 and np.ptp(found[other]) > 0
        ]
        if pairs:
            assert float(row["rank"]) == pytest.approx(np.mean(pairs), abs=1e-5)
            assert float(row["rank_least"]) == pytest.approx(min(pairs), abs=1e-5)
            checked += 1
    assert checked > 10


def test_networks_elsewhere_explain_their_vote_and_none_trained_there(study: Study) -> None:
    jobs = study.of(ELSEWHERE)
    assert [job.model.label for job in jobs] == ["draw-net"]
    for job in jobs:
        rows = study.store.records(job.digest, "fold-maps")
        assert {row["class"] for row in rows} <= {"dark", "bright"} and rows
        assert {(row["target"], row["trained"], row["pairs"]) for row in rows} == {("voted", "none", "6")}
        values = study.store.result(job.digest).values
        assert values["networks"] == 4 and {"rank-none", "overlap-none"} <= set(values)


def test_another_model_or_another_set_leaves_what_it_can(study: Study, tmp_path: Path) -> None:
    models = MODELS.replace("]", ", look-net]")
    _, plan = planned(write_cams(tmp_path / "a", STEP, folds="folds: 4", epochs=12, models=models))
    left = {(job.stage, job.model.label) for job in plan.jobs if not study.store.is_done(job.digest)}
    assert {stage for stage, model in left if model != "look-net"} == {COMMON}
    fewer = STEP.replace("folds: [random, common-worst], fold_images: 2, ", "")
    _, plain = planned(write_cams(tmp_path / "b", fewer, folds="folds: 4", epochs=12, models=MODELS))
    assert all(study.store.is_done(job.digest) for job in plain.jobs), "plain sets do not depend on `folds`"
    more = STEP.replace("random: 2", "random: 3")
    _, other = planned(write_cams(tmp_path / "c", more, folds="folds: 4", epochs=12, models=MODELS))
    undone = {job.stage for job in other.jobs if not study.store.is_done(job.digest)}
    assert undone == {"grad-cam-random"}


def test_one_fold_alone_is_refused_where_it_is_written(tmp_path: Path) -> None:
    path = write_cams(tmp_path, STEP)
    with pytest.raises(BenchError) as caught:
        planned(path)
    assert "tested in one fold alone" in str(caught.value.cause)
    done = CliRunner().invoke(bench, ["validate", str(path)])
    assert done.exit_code == 1 and "spec.yaml:" in done.output and "tested in one fold alone" in done.output


def test_verify_holds_what_is_whole(study: Study) -> None:
    for stage in (HOME, COMMON, ELSEWHERE):
        for job in study.of(stage)[:1]:
            assert asked(study.spec, study.store.path, job.digest) == []
            assert asked(study.spec, study.store.path, job.digest, 1) == []


def test_the_report_says_of_which_networks_each_number_is(study: Study, tmp_path: Path) -> None:
    places = [str(study.spec), "--store", str(study.store.path), "--out", str(tmp_path)]
    arguments = ["report", *places, "--json"]
    done = CliRunner().invoke(bench, arguments, catch_exceptions=False)
    told = json.loads(done.stdout)["parts"]["grad-cam"]["over_folds"]
    rows = [row for job in study.of(HOME) for row in study.store.records(job.digest, "fold-maps")]
    for item in told:
        which = (item["layer"], item["target"], item["trained_on_image"])
        mine = [row for row in rows if (row["layer"], row["target"], row["trained"]) == which]
        if (item["step"], item["model"]) == (HOME, "draw-net"):
            for name in FOLD_NUMBERS:
                values = [float(row[name]) for row in mine if row[name] != "nan"]
                expected = np.mean(values) if values else None
                assert item[name]["mean"] == (None if expected is None else pytest.approx(expected))
    seen = {(item["images_of"], item["trained_on_image"]) for item in told}
    assert seen == {("boxes", "none"), ("boxes", "one"), ("boxes", "both"), ("piles", "none")}
    keys = dict(row[:2] for row in csv.reader((tmp_path / "tables/numbers.csv").read_text().splitlines()))
    quoted = f"fold-maps/{HOME}/boxes/draw-net/decoder/grad-cam/truth/both/rank"
    (item,) = (
        item
        for item in told
        if (item["step"], item["model"], item["layer"], item["target"], item["trained_on_image"])
        == (HOME, "draw-net", "decoder", "truth", "both")
    )
    assert keys[quoted] == f"{item['rank']['mean']:.2f}".replace("-", "−")
    page = (tmp_path / "report.html").read_text()
    assert "Maps of networks that trained on an image" in page and "No network trained on any of them" in page
    for table in (tmp_path / "tables").glob("fold-maps-*.csv"):
        head = table.read_text().splitlines()[0]
        assert ("rank_both" in head) == ("grad-cam" in table.name) and "rank_none" in head


COLUMNS = tuple(zip(itertools.cycle((HOME, ELSEWHERE)), FOLD_NUMBERS, strict=False))
"""Each number once, by turns at home and elsewhere: what is tried by default."""
WHO = {"none": "both", "both": "none", "one": "one"}
FORGERIES = {
    "a value": (HOME, in_json(RESULT, lambda data: data["values"].update({"rank-one": 0.99})), False, None),
    "fewer rows": (HOME, in_table("fold-maps", lambda rows: rows.pop()), False, None),
    "pairs": (HOME, in_table("fold-maps", lambda rows: rows[0].update(pairs="2")), False, None),
    "chance": (HOME, in_table("fold-maps", lambda rows: rows[0].update(chance="0.5")), True, None),
    "who trained": (
        HOME,
        in_table("fold-maps", lambda rows: [row.update(trained=WHO[row["trained"]]) for row in rows]),
        True,
        None,
    ),
    "who trained elsewhere": (
        ELSEWHERE,
        in_table("fold-maps", lambda rows: [row.update(trained="one") for row in rows]),
        True,
        None,
    ),
    **{
        f"{name} of {stage}": (
            stage,
            in_table("fold-maps", lambda rows, name=name: _other(rows, name)),
            True,
            2,
        )
        for name in FOLD_NUMBERS
        for stage in (HOME, ELSEWHERE)
    },
}


def _other(rows: list[dict[str, str]], name: str, by: float = 0.3) -> None:
    row = next(row for row in rows if row[name] != "nan")
    row[name] = repr(float(row[name]) + (by if float(row[name]) < 0.5 else -by))


@pytest.mark.parametrize(
    "forgery",
    [
        pytest.param(
            name,
            marks=pytest.mark.slow
            if images is not None and not any(name == f"{column} of {stage}" for stage, column in COLUMNS)
            else (),
        )
        for name, (_, _, _, images) in FORGERIES.items()
    ],
)
def test_a_forged_comparison_is_found(study: Study, forgery: str) -> None:
    stage, change, data, images = FORGERIES[forgery]
    digest = study.of(stage)[0].digest
    with changed(study.store.folder(digest), change):
        found = asked(study.spec, study.store.path, digest, images, data=data)
    # What follows from the table is forged along by whoever is careful.
    assert [text for text in found if images is None or not text.startswith("its value")], forgery


OFF = 0.1
"""By how much rounding moves a number in these tests: more than what two devices may differ by otherwise."""


@pytest.mark.parametrize(
    ("stage", "name"),
    # What areas overlap by chance follows at home from whole numbers.
    [
        pytest.param(stage, name, marks=() if (stage, name) in COLUMNS else pytest.mark.slow)
        for stage in (HOME, ELSEWHERE)
        for name in FOLD_NUMBERS
        if (stage, name) != (HOME, "chance")
    ],
)
def test_a_number_that_rounding_moves_is_not_called_forged_and_a_forged_one_is(
    study: Study, monkeypatch: pytest.MonkeyPatch, stage: str, name: str
) -> None:
    """The image itself gives another number here than where the job ran, and nearly equal ones too."""
    usual, first = Looking.rows, dict[str, bytes]()

    def sensitive(looking: Looking, case: Case) -> list[dict[str, Any]]:
        image = case.image.cpu().numpy().tobytes()
        off = OFF * (first.setdefault(case.sample, image) == image)
        return [{**row, name: float(str(row[name])) + off} for row in usual(looking, case)]

    monkeypatch.setattr(Looking, "rows", sensitive)
    digest = study.of(stage)[0].digest
    assert asked(study.spec, study.store.path, digest, 2) == [] and first
    with changed(study.store.folder(digest), in_table("fold-maps", lambda rows: _other(rows, name, 0.6))):
        found = asked(study.spec, study.store.path, digest, 2)
    assert any(f"have {name} " in text and "the weights give" in text for text in found), found
    monkeypatch.setattr(rounding, "TRIES", 0)
    found = asked(study.spec, study.store.path, digest, 2)
    assert [text for text in found if f"have {name} " in text and "the weights give" in text], found


def closest_otherwise(times: int) -> Callable[..., Any]:
    """Return the vote of networks, but for the pixel that is nearest to a border, in the first so many votes
    on an image: it falls to the other side."""
    usual = elsewhere.voting

    def voting(networks: Sequence[Any], views: Any, *, binary: bool) -> Callable[[Any], torch.Tensor]:
        vote = usual(networks, views, binary=binary)

        def flipped(batch: Any) -> torch.Tensor:
            logits = vote(batch)
            asked_of[batch.ids] = asked_of.get(batch.ids, 0) + 1
            if asked_of[batch.ids] <= times:
                (best, second), (one, two) = logits.topk(2, dim=1).values[0], logits.topk(2, dim=1).indices[0]
                place = divmod(int((best - second).argmin()), logits.shape[-1])
                logits[0, one[place], place[0], place[1]] = second[place]
                logits[0, two[place], place[0], place[1]] = best[place]
            return logits

        return flipped

    asked_of: dict[tuple[str, ...], int] = {}
    return voting


def test_a_pixel_at_a_border_may_fall_to_the_other_side_in_a_vote(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = study.of(ELSEWHERE)[0].digest
    monkeypatch.setattr(elsewhere, "voting", closest_otherwise(times=1))
    assert asked(study.spec, study.store.path, digest, 12) == []
    with changed(study.store.folder(digest), in_table("fold-maps", another_class)):
        found = asked(study.spec, study.store.path, digest, 12)
    assert any("the weights give other maps of" in text for text in found), found
    monkeypatch.setattr(rounding, "TRIES", 0)
    monkeypatch.setattr(elsewhere, "voting", closest_otherwise(times=1))
    assert asked(study.spec, study.store.path, digest, 12) != []


def another_class(rows: list[dict[str, str]]) -> None:
    """Let an image's maps be of the class that it does not have."""
    first, other = rows[0]["image"], {"dark": "bright", "bright": "dark"}
    assert len({row["class"] for row in rows if row["image"] == first}) == 1
    for row in rows:
        row["class"] = other[row["class"]] if row["image"] == first else row["class"]
