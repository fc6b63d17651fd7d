"""Small registries and specs for tests of plans: nothing in them needs data or a framework."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bench_core.declarations import Architecture, Dataset, RunnerDeclaration, Task
from bench_core.options import Option
from bench_core.plan.expand import Plan, make_plan
from bench_core.plugins.registry import Registry
from bench_core.spec.model import Spec

TASKS = (
    Task(classes=("lesion",), channels=3),
    Task(classes=("first", "second"), channels=3),
    Task(classes=("wall", "ventricle", "atrium"), channels=1),
)


def architecture(name: str, **changes: Any) -> Architecture:
    """Return an architecture that offers ImageNet weights and one option."""
    facts: dict[str, Any] = {
        "name": name,
        "family": "SMA",
        "runner": "torch",
        "version": 1,
        "build": "nowhere:build",
        "pretrained": ("imagenet", "none"),
        "options": {"width": Option(type=int, default=8, help="channels", minimum=1)},
    }
    return Architecture(**(facts | changes))


def dataset(name: str, task: Task = TASKS[0], **changes: Any) -> Dataset:
    """Return a dataset with one option."""
    facts: dict[str, Any] = {
        "name": name,
        "version": 1,
        "task": task,
        "open": "nowhere:open",
        "needs_root": False,
        "options": {"size": Option(type=int, default=16, help="samples", minimum=1)},
    }
    return Dataset(**(facts | changes))


def registry(models: Iterable[Architecture], datasets: Iterable[Dataset]) -> Registry:
    """Return a registry of these, with the runners torch and other."""
    runners = [
        RunnerDeclaration(name="torch", fit="nowhere:fit", help="one", several_devices=True),
        RunnerDeclaration(name="other", fit="nowhere:fit", help="another"),
    ]
    return Registry(
        models={item.name: item for item in models},
        sources={},
        datasets={item.name: item for item in datasets},
        runners={item.name: item for item in runners},
        analyses={},
    )


def small_registry() -> Registry:
    """Return the models net and other-net, and the datasets skin (binary), gut and heart."""
    return registry(
        [architecture("net"), architecture("other-net", family="GP-VM")],
        [dataset("skin", TASKS[0]), dataset("gut", TASKS[1]), dataset("heart", TASKS[2])],
    )


def small_spec(**changes: Any) -> Spec:
    """Return a spec of two models and two datasets: 3 rates on one fold, then 5 folds."""
    data: dict[str, Any] = {
        "version": 1,
        "name": "small",
        "models": [{"name": "net"}, {"name": "other-net"}],
        "datasets": [{"name": "skin"}, {"name": "gut"}],
        "protocol": small_protocol(),
    }
    return Spec.model_validate(data | changes)


def small_protocol(**changes: Any) -> dict[str, Any]:
    """Return the protocol of `small_spec` with changes, as data."""
    data: dict[str, Any] = {
        "image_size": 64,
        "search": {"learning_rate": [1e-3, 1e-4, 1e-5], "epochs": 2},
        "evaluate": {"epochs": 3},
    }
    return data | changes


def small_plan(**changes: Any) -> Plan:
    """Return the plan of `small_spec` over `small_registry`."""
    return make_plan(small_spec(**changes), small_registry())
