"""Whatever a spec says: `validate` takes it exactly if it becomes a plan, and errors are BenchErrors."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench_core.errors import BenchError
from bench_core.execute.preflight import preflight
from bench_core.plan.errors import PlanError
from bench_core.plan.expand import Plan, make_plan
from bench_core.plan.load import check_spec, load_plan
from bench_core.spec.diagnostics import SpecError
from bench_core.spec.load import load_spec
from bench_core.spec.rules.size import count_jobs
from tests.helpers.spec_files import small_registry

REGISTRY = small_registry()
STRANGE = st.sampled_from(
    [None, True, 0, -1, 1.5, 10**30, float("inf"), float("nan"), "", "x", "off", "2026-01-01", [], {}, [[]],
     [{}], ["x", "x"], {"name": "x"}, {"": 1}, "é" * 300, "../x", "~nobody/x"]
)  # fmt: skip
REASON = "for the test"


def few(base: dict[str, Any], **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return `base` with none, one or two of the parts."""
    pairs = st.one_of([st.tuples(st.just(name), values) for name, values in parts.items()])
    return st.lists(pairs, max_size=2).map(lambda drawn: base | dict(drawn))


BATCH = st.sampled_from([2, 8])
LOSSES = st.sampled_from(["bce", "dice", "focal", {"dice": 1.0}, {"cross-entropy": 1.0}, {"bce": 1.0}])
AUGMENTATION = st.sampled_from(
    [["RandomHorizontalFlip"], [{"RandomHorizontalFlip": {}}], [{"RandomRotation": {"degrees": 3}}]]
)
OPTIMIZERS = st.sampled_from(
    ["adamw", "sgd", {"weight_decay": 0.01}, {"name": "adamw"}, {"momentum": 0.5}, {"layer_decay": 0.9}]
)
DEVIATIONS = few(
    {"because": REASON, "batch_size": 8},
    batch_size=BATCH,
    loss=LOSSES,
    augmentation=AUGMENTATION,
    optimizer=OPTIMIZERS,
    precision=st.sampled_from(["fp32", "fp16"]),
    micro_batch=st.sampled_from(["off", 2]),
    schedule=st.sampled_from(["rex", "constant", {"name": "cosine"}, {"min_lr": 1e-6}]),
)
LABELS = st.sampled_from(["c", "d", "e", "search"])


def model(name: str) -> st.SearchStrategy[dict[str, Any]]:
    return few(
        {"name": name, "label": "b"},
        label=LABELS,
        runner=st.sampled_from(["torch", "other", "alone"]),
        pretrained=st.sampled_from(["imagenet", "none"]),
        because=st.just(REASON),
        weights=st.just("w.pt"),
        options=st.sampled_from([{"width": 16}, {"width": 8}, {"top": 3}, {"top": 2}]),
        deviations=DEVIATIONS,
    )


def dataset(name: str) -> st.SearchStrategy[dict[str, Any]]:
    return few(
        {"name": name, "label": "b", "root": "here"},
        label=LABELS,
        root=st.just("there"),
        options=st.sampled_from([{"classes": 2}, {"classes": 3}, {"classes": 4}]),
        folds=st.sampled_from(["three.csv", "same.csv", "split.csv", "lacking.csv"]),
        augmentation=AUGMENTATION,
        loss=LOSSES,
    )


MODELS = st.sampled_from(
    ["tiny", "tiny", "boxy", "scratch", "bare", "rule", "zoo:lion", "zoo:broken"]
).flatmap(model)
DATASETS = st.sampled_from(["skin", "heart", "toy", "toy", "own"]).flatmap(dataset)
STEPS = st.one_of(
    st.sampled_from(["maps", "measure", "moved", {"name": "moved", "dataset": "heart"}]),
    few(
        {"name": "maps"},
        label=LABELS,
        name=st.sampled_from(["measure", "moved"]),
        options=st.sampled_from(
            [{"width": 16}, {"metrics": ["hd95"]}, {"metrics": ["nsd"], "tolerance": 2.0}]
        ),
        dataset=DATASETS,
    ),
)
FOLDS = st.lists(st.integers(0, 3), min_size=1, max_size=2)
PROTOCOLS = few(
    {"image_size": 128, "learning_rate": 1e-3, "evaluate": {"epochs": 2, "folds": 3}},
    evaluate=few(
        {"epochs": 2, "folds": 3},
        folds=st.sampled_from([2, 4]),
        layout=st.just("holdout"),
        only=FOLDS,
        repeats=st.just(2),
        reshuffle=st.just(True),
    ),
    search=few(
        {"learning_rate": [1e-3, 1e-4], "epochs": 1},
        folds=FOLDS,
        nested=st.just(True),
        learning_rate=st.just([1e-4]),
    ),
    batch_size=BATCH,
    loss=LOSSES,
    augmentation=AUGMENTATION,
    optimizer=OPTIMIZERS,
    pretrained=st.just("none"),
    channels=st.just("native"),
    resize=st.just("stretch"),
    padding=st.just("ignore"),
    image_size=st.sampled_from([64, 100]),
).map(
    lambda drawn: {
        key: value for key, value in drawn.items() if key != "learning_rate" or "search" not in drawn
    }
)
EXCLUSIONS = few(
    {"because": REASON, "model": "a", "dataset": "a"},
    model=st.sampled_from(["tiny", "b"]),
    dataset=st.sampled_from(["heart", "b"]),
)
FIRST = {"name": "tiny", "label": "a"}
SPECS = few(
    {
        "version": 1,
        "name": "drawn",
        "models": [FIRST],
        "datasets": [{"name": "heart", "label": "a"}],
        "protocol": {"image_size": 128, "learning_rate": 1e-3, "evaluate": {"epochs": 2, "folds": 3}},
    },
    models=st.lists(MODELS, min_size=1, max_size=2).map(lambda drawn: [FIRST, *drawn]),
    datasets=st.lists(DATASETS, min_size=1, max_size=2).map(
        lambda drawn: [{"name": "heart", "label": "a"}, *drawn]
    ),
    protocol=PROTOCOLS,
    exclude=st.lists(EXCLUSIONS, max_size=2),
    steps=st.lists(STEPS, max_size=2),
    analyses=st.sampled_from([["scores"], [{"name": "scores", "options": {"metrics": ["hd95"]}}]]),
)


def spots(data: Any, loc: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [found for key, value in inner for found in ((*loc, key), *spots(value, (*loc, key)))]


@st.composite
def broken(draw: Any) -> Mapping[str, Any]:
    """A drawn spec in which one value is anything, or is missing."""
    data: dict[str, Any] = json.loads(json.dumps(draw(SPECS)))
    *above, last = draw(st.sampled_from(spots(data)))
    holder: Any = data
    for step in above:
        holder = holder[step]
    if draw(st.booleans()):
        holder[last] = draw(STRANGE)
    else:
        del holder[last]
    return data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "three.csv").write_text("id,fold\na,0\nb,1\nc,2\n")
    (tmp_path / "same.csv").write_text("id,fold\nc,2\nb,1\na,0\n")
    (tmp_path / "split.csv").write_text("id,split\na,train\nb,validation\nc,test\n")
    return tmp_path


def planned(folder: Path, data: Mapping[str, Any]) -> Plan | None:
    """Plan a spec after `validate`, and hold that both think the same of it."""
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(data, allow_unicode=True))
    try:
        loaded = check_spec(path, registry=REGISTRY)
    except SpecError as refused:
        with pytest.raises(SpecError) as caught:
            load_plan(path, registry=REGISTRY)
        assert caught.value.diagnostics == refused.diagnostics
        refuses(path, refused)
        return None
    plan = make_plan(loaded.spec, REGISTRY)
    counted = Counter(job.cell for job in plan.jobs)
    steps = [REGISTRY.step(step.name) for step in loaded.spec.steps]
    needs = [(step.needs, step.over) for step in steps]
    for job in plan.jobs:
        own = REGISTRY.runner(job.model.runner).protocol == "own"
        fixed = "split.csv" in str(job.dataset.folds) if job.stage in ("search", "evaluate") else None
        if fixed is not None:
            assert counted[job.cell] == count_jobs(loaded.spec.protocol, own=own, fixed=fixed, steps=needs)
    with suppress(BenchError):  # Nothing of this registry can run.
        preflight(plan.jobs, REGISTRY)
    return plan


def refuses(path: Path, refused: SpecError) -> None:
    """Hold that what was refused for its plan alone has none, and that nothing is told twice."""
    errors = [item for item in refused.diagnostics if item.severity == "error"]
    assert errors and len(set(errors)) == len(errors)
    try:
        loaded = load_spec(path, registry=REGISTRY)
    except SpecError:
        return
    with pytest.raises(PlanError):
        make_plan(loaded.spec, REGISTRY)


QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]


@settings(max_examples=60, deadline=None, suppress_health_check=QUIET)
@given(data=SPECS)
def test_a_spec_is_valid_exactly_if_it_becomes_a_plan(data: dict[str, Any], folder: Path) -> None:
    planned(folder, data)


@settings(max_examples=40, deadline=None, suppress_health_check=QUIET)
@given(data=broken())
def test_any_value_anywhere_is_planned_or_refused(data: Mapping[str, Any], folder: Path) -> None:
    planned(folder, data)
