"""What a spec becomes: every job once, searches first, folds in their roles."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_core.plan.errors import PlanError
from bench_core.plan.expand import make_plan
from bench_core.plan.identity import digest_of
from bench_core.plan.job import Job, job_seed
from bench_core.spec.model import Spec
from tests.helpers.plans import architecture, dataset, registry, small_plan, small_protocol, small_registry

RATES = (1e-2, 1e-3, 5e-4, 1e-4)


@st.composite
def specs(draw: Any) -> dict[str, Any]:
    count = draw(st.integers(3, 6))
    folds = st.lists(st.integers(0, count - 1), min_size=1, unique=True)
    protocol: dict[str, Any] = {
        "evaluate": {
            "epochs": draw(st.integers(1, 5)),
            "folds": count,
            "layout": draw(st.sampled_from(["rotate", "holdout"])),
            "only": draw(st.none() | folds),
        }
    }
    if draw(st.booleans()):
        protocol["learning_rate"] = draw(st.sampled_from(RATES))
    else:
        nested = draw(st.booleans())
        protocol["search"] = {
            "learning_rate": draw(st.lists(st.sampled_from(RATES), min_size=1, unique=True)),
            "epochs": draw(st.integers(1, 5)),
            "nested": nested,
            **({} if nested else {"folds": draw(folds)}),
        }
    models = draw(st.lists(st.sampled_from(["net", "other-net"]), min_size=1, unique=True))
    datasets = draw(st.lists(st.sampled_from(["skin", "gut", "heart"]), min_size=1, unique=True))
    excluded = draw(st.sets(st.tuples(st.sampled_from(models), st.sampled_from(datasets))))
    return {
        "version": 1,
        "name": "drawn",
        "models": [{"name": name} for name in models],
        "datasets": [{"name": name} for name in datasets],
        "protocol": protocol,
        "exclude": [
            {"model": model, "dataset": name, "because": "drawn"} for model, name in sorted(excluded)
        ],
        "seed": draw(st.integers(0, 9)),
    }


@settings(max_examples=60, deadline=None)
@given(specs())
def test_every_plan_keeps_its_promises(data: dict[str, Any]) -> None:
    plan = make_plan(Spec.model_validate(data), small_registry())
    cells = len(data["models"]) * len(data["datasets"]) - len(data["exclude"])
    evaluate, search = data["protocol"]["evaluate"], data["protocol"].get("search")
    evaluated = len(evaluate["only"] or range(evaluate["folds"]))
    searched = 0
    if search:
        searched = len(search["learning_rate"]) * (evaluated if search["nested"] else len(search["folds"]))
    stages = [job.stage for job in plan.jobs]
    assert stages.count("evaluate") == cells * evaluated
    assert stages.count("search") == cells * searched
    assert len(plan.excluded) == len(data["exclude"])
    assert len({job.digest for job in plan.jobs}) == len({job.name for job in plan.jobs}) == len(plan.jobs)
    seen: set[str] = set()
    for job in plan.jobs:
        assert {need.digest for need in job.needs} <= seen
        seen.add(job.digest)
        check_job(job, plan.by_digest, nested=bool(search and search["nested"]))


def check_job(job: Job, by_digest: dict[str, Job], nested: bool) -> None:
    assert job.digest == digest_of(job)
    assert Job.from_json(job.to_json()) == job
    assert Job.from_json(json.loads(json.dumps(job.to_json()))) == job
    fold = job.fold
    roles = [*fold.train, *fold.validation, *fold.test]
    assert set(roles) <= set(range(fold.count))
    assert fold.train and fold.validation
    assert not set(fold.train) & set(fold.validation)
    assert not set(fold.train) & set(fold.test)
    if job.stage == "search":
        assert not fold.test and not job.needs and job.learning_rate is not None
        return
    assert set(roles) == set(range(fold.count))
    assert bool(job.needs) == (job.learning_rate is None)
    if fold.layout == "rotate":
        assert fold.test == ((fold.index + 1) % fold.count,)
        assert not set(fold.test) & set(fold.validation)
    else:
        assert fold.test == fold.validation == (fold.index,)
    for digest in job.needed("rate"):
        needed = by_digest[digest]
        assert (needed.stage, needed.model, needed.dataset) == ("search", job.model, job.dataset)
        if nested:
            assert not {*needed.fold.train, *needed.fold.validation} & set(fold.test)


@settings(max_examples=30, deadline=None)
@given(specs(), st.randoms(use_true_random=False))
def test_digests_do_not_depend_on_the_order_of_entries(data: dict[str, Any], random: Any) -> None:
    shuffled = json.loads(json.dumps(data))
    for key in ("models", "datasets", "exclude"):
        random.shuffle(shuffled[key])
    if "search" in shuffled["protocol"]:
        random.shuffle(shuffled["protocol"]["search"]["learning_rate"])
    plans = [make_plan(Spec.model_validate(item), small_registry()) for item in (data, shuffled)]
    assert {job.name: job.digest for job in plans[0].jobs} == {job.name: job.digest for job in plans[1].jobs}


def test_the_study_layouts_are_as_published() -> None:
    jobs = small_plan().jobs
    rotate = [job.fold for job in jobs if job.stage == "evaluate"][:5]
    assert [(fold.train, fold.validation, fold.test) for fold in rotate] == [
        ((2, 3, 4), (0,), (1,)),
        ((0, 3, 4), (1,), (2,)),
        ((0, 1, 4), (2,), (3,)),
        ((0, 1, 2), (3,), (4,)),
        ((1, 2, 3), (4,), (0,)),
    ]
    search = jobs[0].fold
    assert (search.train, search.validation, search.test) == ((2, 3, 4), (0,), ())


def test_a_nested_holdout_search_validates_inside_the_training_folds() -> None:
    protocol = small_protocol(
        search={"learning_rate": [1e-3], "epochs": 1, "nested": True},
        evaluate={"epochs": 1, "folds": 4, "layout": "holdout"},
    )
    search = [job for job in small_plan(protocol=protocol).jobs if job.stage == "search"][:4]
    assert [(job.fold.index, job.fold.train, job.fold.validation) for job in search] == [
        (0, (2, 3), (1,)),
        (1, (0, 3), (2,)),
        (2, (0, 1), (3,)),
        (3, (1, 2), (0,)),
    ]


def test_each_stage_has_its_own_epochs_and_stopping() -> None:
    jobs = small_plan().jobs
    search = next(job.training for job in jobs if job.stage == "search")
    evaluate = next(job.training for job in jobs if job.stage == "evaluate")
    assert (search.epochs, search.early_stopping) == (2, None)
    assert evaluate.epochs == 3
    assert evaluate.early_stopping is not None
    assert evaluate.early_stopping.patience == 20


def test_the_loss_follows_the_task_and_the_dataset_may_replace_it() -> None:
    datasets = [{"name": "skin"}, {"name": "gut"}, {"name": "heart", "loss": {"dice": 1, "cross-entropy": 2}}]
    losses = {job.dataset.name: job.training.loss.plain() for job in small_plan(datasets=datasets).jobs}
    assert losses == {
        "skin": {"bce": 1.0},
        "gut": {"cross-entropy": 1.0},
        "heart": {"dice": 1.0, "cross-entropy": 2.0},
    }


def test_augmentation_is_a_list_of_names_with_arguments() -> None:
    protocol = small_protocol(
        augmentation=[
            "RandomHorizontalFlip",
            {"GaussianBlur": {"kernel_size": 5}},
            {"RandomVerticalFlip": None},
        ]
    )
    datasets = [{"name": "skin"}, {"name": "gut", "augmentation": []}]
    steps = {
        job.dataset.name: job.training.augmentation
        for job in small_plan(protocol=protocol, datasets=datasets).jobs
    }
    assert steps["skin"] == (
        ("RandomHorizontalFlip", {}),
        ("GaussianBlur", {"kernel_size": 5}),
        ("RandomVerticalFlip", {}),
    )
    assert steps["gut"] == ()


def test_options_are_completed_from_the_declarations() -> None:
    job = small_plan(models=[{"name": "net", "options": {"width": 16}}], datasets=[{"name": "skin"}]).jobs[0]
    assert job.model.options == {"width": 16}
    assert job.dataset.options == {"size": 16}


def test_an_exclusion_removes_its_cells_and_keeps_its_reason() -> None:
    plan = small_plan(exclude=[{"model": "net", "because": "too wide"}])
    assert {job.model.label for job in plan.jobs} == {"other-net"}
    assert [(cell.model, cell.dataset, cell.because) for cell in plan.excluded] == [
        ("net", "skin", "too wide"),
        ("net", "gut", "too wide"),
    ]
    assert plan.models == ("net", "other-net")


def test_all_models_and_rates_see_the_same_data_order() -> None:
    jobs = small_plan().jobs
    seeds = {(job.dataset.name, job.fold.index): set() for job in jobs}
    for job in jobs:
        seeds[job.dataset.name, job.fold.index].add(job_seed(job))
    assert all(len(found) == 1 for found in seeds.values())
    assert len({seed for found in seeds.values() for seed in found}) == len(seeds)


def test_names_tell_search_rates_apart() -> None:
    names = [job.name for job in small_plan().jobs if job.model.name == "net"]
    assert "search/net/skin/fold-0/lr-0.001" in names
    assert "search/net/skin/fold-0/lr-1e-05" in names
    assert "evaluate/net/gut/fold-4" in names


def test_one_model_may_run_under_two_runners_and_options() -> None:
    models = [
        {"name": "net"},
        {"name": "net", "label": "net-wide", "options": {"width": 32}},
        {"name": "net", "label": "net-elsewhere", "runner": "other"},
    ]
    plan = small_plan(models=models)
    assert {(job.model.label, job.model.runner) for job in plan.jobs} == {
        ("net", "torch"),
        ("net-wide", "torch"),
        ("net-elsewhere", "other"),
    }
    assert len(plan.by_digest) == 3 * 2 * 8


def test_what_is_declared_but_not_there_is_named() -> None:
    table = registry(
        [architecture("net"), architecture("late", build=None, unavailable="comes later")],
        [dataset("skin"), dataset("gut", open=None, unavailable="not read yet")],
    )
    spec = Spec.model_validate(
        {
            "version": 1,
            "name": "x",
            "models": [{"name": "net"}, {"name": "late"}],
            "datasets": [{"name": "skin"}, {"name": "gut"}],
            "protocol": small_protocol(),
        }
    )
    plan = make_plan(spec, table)
    assert plan.unavailable == {"model late": "comes later", "dataset gut": "not read yet"}
    assert len(plan.jobs) == 32


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"models": [{"name": "net"}, {"name": "net"}]}, "two entries of models are called 'net'"),
        ({"models": [{"name": "net"}, {"name": "net", "label": "twin"}]}, "two jobs are the same"),
        ({"models": [{"name": "net", "options": {"widht": 3}}]}, "an option is not valid"),
        ({"datasets": [{"name": "skin", "options": {"size": "3"}}]}, "an option is not valid"),
        ({"models": [{"name": "net", "pretrained": "imagenett", "because": "typo"}]}, "has no 'imagenett'"),
        ({"models": [{"name": "net", "pretrained": "none"}]}, "without a reason"),
        ({"protocol": small_protocol(evaluate={"epochs": 1, "folds": 2})}, "leave none to train on"),
        ({"protocol": small_protocol(evaluate={"epochs": 1, "only": [5]})}, "fold 5 does not exist"),
        (
            {"protocol": small_protocol(search={"learning_rate": [0.1], "epochs": 1, "folds": [7]})},
            "fold 7 does not exist",
        ),
        ({"protocol": small_protocol(evaluate={"epochs": 1, "only": [1, 1]})}, "fold 1 is listed twice"),
        (
            {"protocol": small_protocol(search={"learning_rate": [0.1, 0.1], "epochs": 1})},
            "two jobs are the same",
        ),
    ],
)
def test_what_cannot_be_planned_is_refused_with_its_place(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(PlanError, match=said) as caught:
        small_plan(**changes)
    assert caught.value.place
    assert caught.value.cause or caught.value.fix


def test_own_files_are_told_apart_by_their_label() -> None:
    table = registry([architecture("net")], [dataset("folder", own_files=True)])

    def plan_of(*datasets: dict[str, Any]) -> set[str]:
        spec = Spec.model_validate(
            {
                "version": 1,
                "name": "x",
                "models": [{"name": "net"}],
                "datasets": list(datasets),
                "protocol": small_protocol(),
            }
        )
        return set(make_plan(spec, table).by_digest)

    first = plan_of({"name": "folder", "label": "first", "root": "/one"})
    assert first == plan_of({"name": "folder", "label": "first", "root": "/moved"})
    assert not first & plan_of({"name": "folder", "label": "second", "root": "/one"})
    with pytest.raises(PlanError, match="needs a label"):
        plan_of({"name": "folder", "root": "/one"})


def test_the_number_of_devices_is_part_of_a_job_only_where_it_changes_its_numbers() -> None:
    def digests(devices: int, **protocol: Any) -> list[str]:
        plan = small_plan(protocol=small_protocol(**protocol), runtime={"devices_per_job": devices})
        return [job.digest for job in plan.jobs]

    usual = digests(1)
    assert usual == digests(3) == digests(1, sync_batch_norm=False, smallest_device_batch=1)
    two, three = (digests(devices, sync_batch_norm=False) for devices in (2, 3))
    assert not set(usual) & set(two) and not set(two) & set(three)
    assert two == digests(2, sync_batch_norm=False, smallest_device_batch=1)
    models = [{"name": "net", "runner": "other"}]
    one_device, still_one = (
        small_plan(models=models, protocol=small_protocol(**protocol), runtime={"devices_per_job": 2}).jobs
        for protocol in ({}, {"sync_batch_norm": False})
    )
    assert one_device == still_one, "its runner uses one device"
