"""A small registry, a spec that is valid under it, and spec files with a marked place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench_core import (
    Analysis,
    Architecture,
    Dataset,
    Deviation,
    ExecutorDeclaration,
    ModelSource,
    Option,
    RunnerDeclaration,
    Step,
    Task,
)
from bench_core.metrics.plugin import bench_metrics
from bench_core.plan.load import check_spec
from bench_core.plugins.registry import Registry, unknown
from bench_core.spec.diagnostics import Diagnostic, SpecError
from bench_steps.plugin import MEASURE, NATIVE

MARK = "«"
"""Stands in a text where a diagnostic is expected; taken out before the text is written."""

VALID = """\
version: 1
name: small-study
models:
  - tiny
  - {name: boxy, options: {width: 8}}
datasets:
  - name: skin
    root: data/skin
  - heart
protocol:
  image_size: 256
  normalization: {mean: 0.5, std: 0.5}
  optimizer: {name: adamw, weight_decay: 0.01}
  schedule: {name: rex, step: epoch}
  augmentation:
    - RandomHorizontalFlip
    - GaussianBlur: {kernel_size: 3}
  search: {learning_rate: [1e-4, 5e-5], epochs: 3, folds: [0]}
  evaluate: {folds: 5, layout: rotate, epochs: 4}
exclude:
  - {model: boxy, dataset: heart, because: "too slow"}
"""

_OPTIONS = {
    "width": Option(type=int, default=16, help="channels", minimum=1, maximum=64),
    "mode": Option(type=str, default="fast", help="which way", choices=("fast", "exact")),
}


def _zoo(name: str) -> Architecture:
    known = ("zoo:lion", "zoo:tiger")
    if name == "zoo:broken":
        raise RuntimeError("out of order")
    if name not in known:
        raise unknown("model", name, known)
    return Architecture(name=name, family="Zoo", runner="torch", version=1, pretrained=("imagenet", "none"))


def _toy_task(options: Mapping[str, Any]) -> Task:
    if options["classes"] % 2:
        raise ValueError("classes come in pairs")
    channels = 5 if options["classes"] == 10 else 1
    return Task(classes=tuple(f"class-{index}" for index in range(options["classes"])), channels=channels)


def small_registry() -> Registry:
    """Models, a source, datasets, runners (one with a procedure of its own), steps and analyses."""
    both = ("imagenet", "none")
    models = [
        Architecture(name="tiny", family="A", runner="torch", version=1, pretrained=both, options=_OPTIONS),
        Architecture(
            name="boxy", family="B", runner="torch", version=1, pretrained=both, options=_OPTIONS,
            size_multiple=64, size_minimum=128, batch_minimum=2, encoder=("encoder",),
        ),
        Architecture(
            name="scratch", family="B", runner="torch", version=1,
            deviations={"pretrained": Deviation(value="none", because="no weights exist")},
        ),
        Architecture(name="bare", family="B", runner="torch", version=1),
        Architecture(name="rule", family="C", runner="alone", version=1),
    ]  # fmt: skip
    datasets = [
        Dataset(name="skin", version=1, task=Task(classes=("lesion",), channels=3)),
        Dataset(name="heart", version=1, task=Task(classes=("a", "b", "c"), channels=1), needs_root=False),
        Dataset(
            name="toy", version=1, task=_toy_task, needs_root=False,
            options={"classes": Option(type=int, default=2, help="how many")},
        ),
        Dataset(name="own", version=1, task=Task(classes=("x",), channels=3), own_files=True),
    ]  # fmt: skip
    log = Option(type=bool, default=False, help="keep a log")
    minutes = Option(type=int, default=60, minimum=1, help="time limit")
    top = Option(type=int, default=3, help="how many")
    named = Option(type=list, default=["mdsc"], help="which", names="metric")
    pool = Option(type=str, default="all", help="who", names="pool")
    options = {"top": top, "metrics": named, "pool": pool}
    return Registry(
        models={item.name: item for item in models},
        sources={"zoo": ModelSource(prefix="zoo", runner="torch", help="animals", resolve=_zoo)},
        datasets={item.name: item for item in datasets},
        runners={
            "torch": RunnerDeclaration(name="torch", fit="x:y", help="runs", several_devices=True),
            "other": RunnerDeclaration(name="other", fit="x:y", help="runs", options={"log": log}),
            "alone": RunnerDeclaration(
                name="alone", fit="x:y", help="a rule", protocol="own", options={"top": top}
            ),
        },
        executors={
            "queue": ExecutorDeclaration(
                name="queue", start="x:y", help="elsewhere", options={"minutes": minutes}
            )
        },
        analyses={
            "scores": Analysis(name="scores", help="table", section="x:y", options=options),
            "curves": Analysis(name="curves", help="plots", section="x:y"),
        },
        metrics={item.name: item for item in bench_metrics()},
        steps={
            "maps": Step(name="maps", version=1, run="x:y", help="draws", needs="weights", options=_OPTIONS),
            "moved": Step(name="moved", version=1, run="x:y", help="elsewhere", dataset="other"),
            "measure": MEASURE,
            "native": NATIVE,
        },
    )  # fmt: skip


def edited(*changes: tuple[str, str]) -> str:
    """Return the valid spec with each text (which must be there, once) replaced."""
    text = VALID
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
        text = text.replace(old, new)
    return text


def unmarked(text: str) -> tuple[str, tuple[int, int] | None]:
    """Return the text without its mark, and the mark's line and column from 1."""
    before, mark, after = text.partition(MARK)
    if not mark:
        return text, None
    return before + after, (before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


def write(folder: Path, text: str, name: str = "spec.yaml") -> Path:
    """Write a spec file and return its path."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def findings(path: Path, overrides: Iterable[str] = ()) -> list[Diagnostic]:
    """Return what loading a spec under the small registry finds, warnings of a valid one included."""
    try:
        return list(check_spec(path, tuple(overrides), registry=small_registry()).warnings)
    except SpecError as error:
        return error.diagnostics
