"""The step `grad-cam` on a small study: which images, which rows, which pictures."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from bench_core.declarations import IGNORE
from bench_core.execute import sources
from bench_core.execute.prepare import open_data
from bench_core.metrics.counts import mean_defined, per_image
from bench_core.metrics.map_pictures import MOST_SIDE, read_pictures
from bench_core.metrics.map_tables import NUMBERS, read_maps
from bench_core.plan.job import Apply, Job
from bench_core.plugins.registry import Registry
from bench_core.protocol.session import Session
from bench_core.protocol.site import Site
from bench_core.records import Counts
from bench_core.store.left import Left
from bench_core.store.store import Store
from bench_steps.grad_cam import step
from bench_steps.grad_cam.follow import follows
from tests.helpers.cam_study import write_cams
from tests.helpers.small_study import run
from tests.helpers.step_study import planned

METHODS = ["grad-cam", "seg-eigen-cam"]
STEP = (
    "{name: grad-cam, options: {worst: 2, random: 3, methods: [grad-cam, seg-eigen-cam], "
    "interventions: 0, stability: 0, randomization: 0}}"
)


@dataclass(frozen=True)
class Cams:
    """A finished study."""

    store: Store
    registry: Registry
    jobs: tuple[Job, ...]

    def job(self, stage: str, model: str, dataset: str = "boxes") -> Job:
        return next(job for job in self.jobs if (job.stage, *job.cell) == (stage, model, dataset))

    def counts(self, job: Job) -> Counts:
        return self.store.counts(job.looked_at[0])

    def session(self, job: Job, folder: Path | None = None) -> Session:
        """Return the session that a step's job had."""
        data = open_data(job, self.registry, self.store.cache)
        members = sources.members_of(job, self.store, self.registry)
        return Session(
            Site(
                job=job,
                train=None,
                validation=None,
                test=data.test,
                folder=folder,
                sources=sources.by_role(job, members),
                members=members,
                peers=sources.peers_of(job, self.store, self.registry),
            )
        )


@pytest.fixture(scope="module")
def cams(tmp_path_factory: pytest.TempPathFactory) -> Cams:
    torch.set_num_threads(1)
    base = tmp_path_factory.mktemp("cams")
    models = "[look-net, draw-net, box-rule]"
    path = write_cams(base / "spec", STEP, models=models, datasets="[boxes, box]")
    store = Store(base / "results", create=True)
    registry, plan = planned(path)
    for job in plan.jobs:
        run(job, store, registry)
    return Cams(store, registry, plan.jobs)


def test_each_set_is_what_it_says(cams: Cams) -> None:
    for dataset in ("boxes", "box"):
        dice = {}
        for model in ("look-net", "draw-net", "box-rule"):
            counts = cams.store.counts(cams.job("evaluate", model, dataset).digest)
            dice[model] = dict(zip(counts.ids, per_image(counts.values)["mdsc"].tolist(), strict=True))
        every = mean_defined(
            np.array([[dice[model][sample] for model in dice] for sample in dice["look-net"]])
        )
        common = dict(zip(dice["look-net"], every.tolist(), strict=True))
        for model in ("look-net", "draw-net"):
            for stage, scores in (("worst", dice[model]), ("common-worst", common)):
                job = cams.job(f"grad-cam-{stage}", model, dataset)
                rows = cams.store.records(job.digest, "maps")
                found = list(dict.fromkeys(row["image"] for row in rows))
                assert found == sorted(scores, key=lambda sample: (scores[sample], sample))[:2]
        drawn = [
            tuple(dict.fromkeys(row["image"] for row in cams.store.records(job.digest, "maps")))
            for job in (cams.job("grad-cam-random", model, dataset) for model in ("look-net", "draw-net"))
        ]
        assert drawn[0] == drawn[1] and len(set(drawn[0])) == 3
    assert not [job for job in cams.jobs if isinstance(job.work, Apply) and job.model.label == "box-rule"]


def test_rows_and_pictures_are_whole_and_say_what_is_there(cams: Cams) -> None:
    statuses: Counter[str] = Counter()
    for job in cams.jobs:
        if not isinstance(job.work, Apply):
            continue
        cams.store.check(job.digest)
        rows, layers = (cams.store.records(job.digest, name) for name in ("maps", "layers"))
        assert [(row["layer"], row["part"], row["depth"], row["stride"], row["note"]) for row in layers] == [
            ("fine", "encoder", "1", "1.0", ""),
            ("coarse", "encoder", "2", "2.0", ""),
            ("decoder", "decoder", "3", "1.0", ""),
        ]
        classes = job.dataset.task.classes
        images = list(dict.fromkeys(row["image"] for row in rows))
        names = [row["layer"] for row in layers]
        assert [
            (row["image"], row["class"], row["target"], row["layer"], row["method"]) for row in rows
        ] == list(itertools.product(images, classes, ("predicted", "truth"), names, METHODS))
        table = read_maps(rows, cams.counts(job).ids, classes)
        data = open_data(job, cams.registry, cams.store.cache).tested
        masks = dict(zip(data.ids, (data.arrays.masks[index] for index in data.indices), strict=True))
        kept = cams.store.predictions(job.looked_at[0])
        labels = dict(zip(kept.ids, kept.labels, strict=True))
        for row in rows:
            truth, label = masks[row["image"]], classes.index(row["class"]) + 1
            asked = truth if row["target"] == "truth" else labels[row["image"]]
            assert (row["status"] == "no-pixels") == (not (asked == label).any())
            counted = truth != IGNORE
            assert float(row["share"]) == pytest.approx((truth[counted] == label).mean())
            if row["status"] != "ok":
                assert {row[name] for name in NUMBERS if name != "share"} == {"nan"}
        usable = [row for row, (status,) in enumerate(table.more) if status == "ok"]
        folder = cams.store.folder(job.digest) / "artifacts"
        pictures = dict(read_pictures(lambda name, folder=folder: folder / name, len(usable)))  # type: ignore[misc]
        assert list(pictures) == usable
        for row, picture in pictures.items():
            side = round(16 / table.kinds[row].stride)
            assert picture.shape == (side, side) and picture.max() == 255 and side <= MOST_SIDE
        statuses.update(row["status"] for row in rows)
        left = Left(job, cams.counts(job).ids, cams.store.folder(job.digest))
        assert dict(follows(left)) == dict(cams.store.result(job.digest).values)
    assert (
        statuses["ok"] > 100
        and statuses["no-pixels"] > 10
        and set(statuses) <= {"ok", "no-pixels", "constant"}
    )


def test_maps_are_those_of_the_logits_that_were_tested(cams: Cams) -> None:
    """By hand for Grad-CAM: gradients by backward, of a copy that no activation overwrites."""
    for model, dataset in (("look-net", "boxes"), ("look-net", "box"), ("draw-net", "boxes")):
        job = cams.job("grad-cam-random", model, dataset)
        session = cams.session(job)
        options = dict(job.work.options) if isinstance(job.work, Apply) else {}
        rows = cams.store.records(job.digest, "maps")
        network = session.network()
        checked = 0
        images = list(dict.fromkeys(row["image"] for row in rows))
        for _, subject in step.subjects(session, options, images):
            with session.drawing(subject.sample):
                logits = network(subject.image)
            assert torch.allclose(torch.from_numpy(subject.looked.logits), logits[0].detach(), atol=1e-6)
            for made in subject.looked.maps:
                if made.method != "grad-cam" or made.layer.name != "decoder" or made.cells is None:
                    continue
                kept: list[torch.Tensor] = []

                def keep(
                    module: object, given: object, output: torch.Tensor, kept: list = kept
                ) -> torch.Tensor:
                    output.retain_grad()
                    kept.append(output)
                    return output.clone()

                handle = network.decoder.register_forward_hook(keep)  # type: ignore[operator, union-attr]
                with session.drawing(subject.sample):
                    again = network(subject.image)
                handle.remove()
                inside = torch.from_numpy(subject.labels[made.target] == made.place + 1)
                channel = 0 if dataset == "box" else made.place + 1
                again[0, channel][inside].sum().backward()
                weights = kept[0].grad.mean(dim=(2, 3), keepdim=True)  # type: ignore[union-attr]
                expected = (weights * kept[0]).sum(1).clamp(min=0)[0].detach().numpy()
                assert np.allclose(made.cells, expected, rtol=1e-4, atol=1e-6 * expected.max())
                checked += 1
        assert checked >= 3


def test_another_model_leaves_all_jobs_but_the_common_ones(cams: Cams, tmp_path: Path) -> None:
    models = "[look-net, draw-net, box-rule, look-net-b]"
    _, plan = planned(write_cams(tmp_path, STEP, models=models, datasets="[boxes, box]"))
    left = {(job.stage, job.model.label) for job in plan.jobs if not cams.store.is_done(job.digest)}
    stages = ("evaluate", "grad-cam-worst", "grad-cam-common-worst", "grad-cam-random")
    assert left == {
        *((stage, "look-net-b") for stage in stages),
        *(("grad-cam-common-worst", model) for model in ("look-net", "draw-net")),
    }


@pytest.mark.slow
def test_checkpoints_of_either_runner_give_the_same_maps(tmp_path: Path) -> None:
    pytest.importorskip("mmengine")
    models = "[look-net, {name: look-net, label: other, runner: mmseg}]"
    asked = "sets: [random], random: 3, interventions: 0, stability: 0, randomization: 0"
    step = f"{{name: grad-cam, options: {{{asked}}}}}"
    store = Store(tmp_path / "results", create=True)
    registry, plan = planned(write_cams(tmp_path / "spec", step, models=models))
    for job in plan.jobs:
        run(job, store, registry)
    tables = [
        read_maps(store.records(job.digest, "maps"), store.counts(job.looked_at[0]).ids, ("dark", "bright"))
        for job in plan.jobs
        if job.stage == "grad-cam-random"
    ]
    assert len(tables) == 2 and tables[0].kinds == tables[1].kinds and tables[0].more == tables[1].more
    for name in NUMBERS:
        assert np.allclose(tables[0].values[name], tables[1].values[name], atol=1e-3, equal_nan=True), name
