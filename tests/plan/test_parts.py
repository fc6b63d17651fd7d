"""Steps whose entries have parts, and whose jobs need those of all models: what a new model leaves alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from bench_core.declarations import Step
from bench_core.errors import PluginError
from bench_core.options import Option
from bench_core.plan.errors import PlanError
from bench_core.plan.expand import Plan, make_plan
from bench_core.plan.job import Apply
from bench_core.plugins.registry import Registry
from tests.helpers.plans import architecture, small_registry, small_spec


def parts(options: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    usual = {"own": {"drawn": 3}, "common": {"drawn": 3}, "drawn": {}}
    return {name: {**options, "sets": [name], **usual[name]} for name in options["sets"]}


LOOK = Step(
    name="look",
    version=1,
    run="nowhere:run",
    help="looks",
    needs="weights",
    parts=parts,
    peers=lambda options: options["among"] if options["sets"] == ["common"] else None,
    options={
        "sets": Option(type=list, default=["own", "common", "drawn"], help="sets"),
        "drawn": Option(type=int, default=3, help="images"),
        "among": Option(type=str, default="all", counts=False, help="pool"),
    },
)
EVALUATE: dict[str, Any] = {"folds": 3, "epochs": 1, "repeats": 2}


def registry(step: Step = LOOK) -> Registry:
    found = small_registry()
    models = {**found.models, "third": architecture("third", family="GP-VM")}
    return replace(found, models=models, steps={"look": step})


def plan(models: tuple[str, ...] = ("net", "other-net"), *steps: Mapping[str, Any], **more: Any) -> Plan:
    spec = small_spec(
        models=[{"name": name} for name in models],
        protocol={"image_size": 64, "learning_rate": 1e-3, "evaluate": EVALUATE},
        steps=[dict(step) for step in steps] or [{"name": "look"}],
        **more,
    )
    return make_plan(spec, registry())


def digests(found: Plan, stage: str) -> dict[str, str]:
    return {job.name: job.digest for job in found.jobs if job.stage == stage}


def test_each_part_is_a_stage_and_sees_its_own_options() -> None:
    found = plan()
    assert found.stages == ("search", "evaluate", "look-own", "look-common", "look-drawn")
    for job in found.jobs:
        if isinstance(job.work, Apply):
            assert job.work.options["sets"] == [job.stage.removeprefix("look-")]
    count = {stage: len(digests(found, stage)) for stage in found.stages}
    assert count == {"search": 0, "evaluate": 24, "look-own": 24, "look-common": 24, "look-drawn": 24}
    order = [job.digest for job in found.jobs]
    assert all(order.index(need.digest) < order.index(job.digest) for job in found.jobs for need in job.needs)


def test_a_common_job_needs_the_jobs_of_all_models_on_the_same_images() -> None:
    found = plan()
    for job in found.jobs:
        if not isinstance(job.work, Apply):
            continue
        own = job.needed("weights")
        needed = [found.by_digest[digest] for digest in job.needed("peers")]
        assert job.looked_at == own and job.needs[0].digest == own[0]
        if job.stage != "look-common":
            assert needed == []
            continue
        assert {peer.model.label for peer in needed} == {"net", "other-net"} and own[0] in job.needed("peers")
        assert {(peer.stage, peer.dataset.label, peer.fold, peer.repeat) for peer in needed} == {
            ("evaluate", job.dataset.label, job.fold, job.repeat)
        }


def test_a_new_model_changes_the_common_jobs_alone() -> None:
    before, after = plan(), plan(("net", "other-net", "third"))
    for stage in ("evaluate", "look-own", "look-drawn"):
        mine = digests(before, stage)
        assert mine.items() <= digests(after, stage).items()
    old, new = digests(before, "look-common"), digests(after, "look-common")
    assert old.keys() < new.keys() and not set(old.values()) & set(new.values())
    # Which model is listed first decides nothing.
    turned = plan(("other-net", "net"))
    assert digests(turned, "look-common") == old
    # What one part is told leaves the others.
    told = plan(("net", "other-net"), {"name": "look", "options": {"drawn": 7}})
    for stage in ("look-own", "look-common"):
        assert digests(told, stage) == digests(before, stage)
    assert not set(digests(told, "look-drawn").values()) & set(digests(before, "look-drawn").values())


def test_a_pool_chooses_the_peers_and_its_name_counts_nowhere() -> None:
    step = {"name": "look", "options": {"among": "some", "sets": ["common"]}}
    three = ("net", "other-net", "third")
    found = plan(three, step, pools={"some": {"family": "GP-VM"}, "few": ["net", "third"]})
    for job in found.jobs:
        if job.stage == "look-common":
            peers = {found.by_digest[digest].model.label for digest in job.needed("peers")}
            assert peers == {"other-net", "third"}
    renamed = {"name": "look", "options": {"among": "vision", "sets": ["common"]}}
    same = plan(three, renamed, pools={"vision": ["other-net", "third"]})
    assert digests(same, "look-common") == digests(found, "look-common")


@pytest.mark.parametrize(
    ("options", "pools", "said"),
    [
        ({"among": "vision"}, {}, "no pool 'vision'"),
        ({"among": "big"}, {"big": {"parameters": {"least": 5}}}, "only results tell"),
        ({"among": "none"}, {"none": {"family": "unheard-of"}}, "no model is in it"),
    ],
)
def test_a_pool_that_decides_nothing_is_refused(options: Any, pools: Any, said: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan(("net", "other-net"), {"name": "look", "options": options}, pools=pools)
    assert said in f"{caught.value.message} {caught.value.cause}"
    assert caught.value.loc == ("steps", 0, "options")


def test_two_entries_whose_parts_are_called_alike_are_refused() -> None:
    with pytest.raises(PlanError, match="look-own"):
        plan(
            ("net", "other-net"),
            {"name": "look"},
            {"name": "look", "label": "look-own-own", "options": {"sets": ["own"], "drawn": 9}},
            {"name": "look", "label": "look-own", "options": {"sets": ["own"], "drawn": 8}},
        )


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"parts": lambda options: {}}, "not a mapping"),
        ({"parts": lambda options: {"../up": options}}, "a part called"),
        ({"parts": lambda options: {"a": {}}}, "other options"),
        ({"peers": lambda options: 3}, "not the name of a pool"),
    ],
)
def test_broken_declarations_are_told_as_the_plugins_fault(broken: dict[str, Any], said: str) -> None:
    with pytest.raises(PluginError, match=said):
        make_plan(small_spec(steps=[{"name": "look"}]), registry(replace(LOOK, **broken)))
    with pytest.raises(ValueError, match="needs peers"):
        replace(LOOK, dataset="other")
