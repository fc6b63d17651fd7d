from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench_core import PublishedFile
from bench_core.execute.devices import DeviceError, choose_slots
from bench_core.execute.preflight import PreflightError, preflight
from bench_core.execute.select import SelectionError, select_jobs
from bench_core.plan.expand import Plan
from bench_core.plugins.registry import Registry
from tests.helpers.small_study import load

OWN = "{name: dots-net, label: own, deviations: {batch_size: 2, because: it is a test}}"
MODELS = f"[dots-net, needy-net, future-net, {OWN}]"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Registry, Plan]:
    folder = tmp_path_factory.mktemp("spec")
    datasets = "[dots, {name: dots-on-disk, root: nowhere}]"
    loaded, plan = load(folder, models=MODELS, datasets=datasets, search=True)
    return loaded.registry, plan


def test_everything_that_cannot_run_is_named_at_once(study: tuple[Registry, Plan]) -> None:
    registry, plan = study
    jobs = [
        replace(job, model=replace(job.model, weights="none.pt")) if job.model.label == "own" else job
        for job in plan.jobs
    ]
    with pytest.raises(PreflightError) as caught:
        preflight(jobs, registry)
    problems = {problem.subject: problem for problem in caught.value.problems}
    assert set(problems) == {"model needy-net", "model future-net", "model dots-net", "dataset dots-on-disk"}
    assert "no_such_package" in problems["model needy-net"].message
    assert (
        problems["model needy-net"].fix is not None and "no_such_package" in problems["model needy-net"].fix
    )
    assert problems["model future-net"].message == "its builder is not written yet"
    assert "none.pt does not exist" in problems["model dots-net"].message
    assert "nowhere does not exist" in problems["dataset dots-on-disk"].message
    assert problems["dataset dots-on-disk"].fix == "draw them yourself"
    runnable = sum(job.model.label == "dots-net" and job.dataset.label == "dots" for job in jobs)
    assert f"{len(jobs) - runnable} of {len(jobs)} jobs" in caught.value.message


def test_what_is_not_selected_is_not_checked(study: tuple[Registry, Plan]) -> None:
    registry, plan = study
    preflight(select_jobs(plan.jobs, ["model=dots-net,own", "dataset=dots", "model=dots-net"])[:1], registry)


def test_code_that_does_not_exist_is_named(study: tuple[Registry, Plan]) -> None:
    registry, plan = study
    runner = replace(registry.runners["torch"], fit="no_such_module.fit:fit")
    with pytest.raises(PreflightError, match=r"no_such_module\.fit"):
        preflight(plan.jobs[:1], replace(registry, runners={**registry.runners, "torch": runner}))
    gone = replace(registry.runners["torch"], unavailable="it follows later")
    with pytest.raises(PreflightError, match="runner torch: it follows later"):
        preflight(plan.jobs[:1], replace(registry, runners={**registry.runners, "torch": gone}))


def test_a_dataset_without_its_root_is_refused(study: tuple[Registry, Plan]) -> None:
    registry, plan = study
    job = next(job for job in plan.jobs if job.dataset.label == "dots-on-disk")
    with pytest.raises(PreflightError, match="no root folder"):
        preflight([replace(job, dataset=replace(job.dataset, root=None))], registry)


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (["stage=search"], {"stage": {"search"}, "model": {"dots-net", "needy-net", "future-net", "own"}}),
        (["model=dots-net"], {"model": {"dots-net", "own"}, "stage": {"search", "evaluate"}}),
        (["model=own", "dataset=dots"], {"model": {"own"}, "dataset": {"dots"}}),
        (["fold=0,1", "stage=evaluate"], {"fold": {0, 1}, "stage": {"evaluate"}}),
        (["fold=0", "fold=2", "stage=evaluate"], {"fold": {0, 2}, "stage": {"evaluate"}}),
    ],
)
def test_only_narrows_the_jobs_down(
    study: tuple[Registry, Plan], only: list[str], expected: dict[str, set[object]]
) -> None:
    chosen = select_jobs(study[1].jobs, only)
    found: dict[str, set[object]] = {
        "stage": {job.stage for job in chosen},
        "model": {job.model.label for job in chosen},
        "dataset": {job.dataset.label for job in chosen},
        "fold": {job.fold.index for job in chosen},
    }
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("only", "message", "fix"),
    [
        (["model=dot-net"], "no job of the plan has model 'dot-net'", "did you mean 'dots-net'?"),
        (["modle=dots-net"], "cannot select by 'modle=dots-net'", "did you mean model=...?"),
        (["stage"], "cannot select by 'stage'", None),
        (["fold=7"], "no job of the plan has fold '7'", None),
        (["stage=search", "fold=2"], "the selection holds no job", None),
    ],
)
def test_a_selection_that_names_nothing_is_an_error(
    study: tuple[Registry, Plan], only: list[str], message: str, fix: str | None
) -> None:
    with pytest.raises(SelectionError) as caught:
        select_jobs(study[1].jobs, only)
    assert caught.value.message == message
    assert fix is None or caught.value.fix == fix


def test_the_runner_selects_its_jobs(study: tuple[Registry, Plan]) -> None:
    jobs = [replace(job, model=replace(job.model, runner="other")) for job in study[1].jobs[:2]]
    both = [*jobs, *study[1].jobs]
    assert select_jobs(both, (), "other") == tuple(jobs)
    with pytest.raises(SelectionError, match="runner 'mmseg'"):
        select_jobs(both, (), "mmseg")


def test_a_missing_device_is_refused_up_front() -> None:
    import torch

    beyond = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(DeviceError, match="is not available") as caught:
        choose_slots(beyond, None, 1)
    assert "--device cpu" in str(caught.value.fix)
    with pytest.raises(DeviceError, match="no such device"):
        choose_slots("gpu", None, 1)


def test_workers_share_the_cores() -> None:
    cores = len(choose_slots("cpu", None, 1).devices)
    assert choose_slots("cpu", None, cores).devices == ("cpu",)
    assert choose_slots("cpu", 3, cores).devices == ("cpu",) * 3


def test_pretrained_weights_that_are_not_there_are_named_before_any_job(
    study: tuple[Registry, Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, plan = study
    job = next(job for job in plan.jobs if job.model.label == "dots-net" and job.dataset.label == "dots")
    given = tmp_path / "mine.pth"
    given.touch()
    asked = []

    def weights(source: str, options: Mapping[str, Any]) -> list[PublishedFile]:
        asked.append((source, dict(options)))
        return [PublishedFile(name="dots.pth", page="a page")]

    model = replace(registry.models["dots-net"], pretrained=("imagenet", "none"), weights=weights)
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    registry = replace(registry, models={**registry.models, "dots-net": model})
    preflight([job], registry)
    pretrained = replace(job, model=replace(job.model, pretrained="imagenet"))
    with pytest.raises(PreflightError, match=r"dots\.pth is not there: looked for") as caught:
        preflight([job, pretrained], registry)
    assert "download dots.pth from a page" in (caught.value.problems[0].fix or "")
    assert asked == [("imagenet", job.model.options)]
    preflight([replace(pretrained, model=replace(pretrained.model, weights=str(given)))], registry)
    other = replace(pretrained.model, options={"width": 77})
    with pytest.raises(PreflightError):
        preflight([job, replace(job, model=other)], registry)
    assert asked[-1] == ("imagenet", {"width": 77})
    (tmp_path / "dots.pth").touch()
    preflight([pretrained], registry)
