"""`bench compare STORE1 STORE2`: two runs of one study side by side."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_core.cli.common import print_json, say
from bench_core.errors import BenchError

if TYPE_CHECKING:
    from bench_core.analysis.inference.paired import View
    from bench_core.analysis.quantity import Quantity
    from bench_core.analysis.two_runs import CellRuns, TwoRuns
    from bench_core.plan.job import Job
    from bench_core.plugins.registry import Registry

MOST_LISTED = 20
"""Differences of provenance that are printed; --json has all."""


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    places: tuple[Path, Path]
    spec: Path | None
    overrides: tuple[str, ...]
    datasets: tuple[str, ...]
    metric: str
    view: View
    margin: float
    """In points, or in the metric's unit."""
    alpha: float


def is_place(text: str) -> bool:
    """Say whether an argument names a store or an archive and not a model."""
    from bench_core.store.archive import is_archive

    return (Path(text) / "store.json").exists() or is_archive(Path(text))


def compare_runs(asked: Asked, as_json: bool) -> None:
    """Print two runs side by side; raises BenchError where they have no job in common."""
    from bench_core.analysis.inference.compare import Settings
    from bench_core.analysis.two_runs import two_runs
    from bench_core.cli.reading import reading_store

    registry, jobs = _planned(asked)
    quantity = _quantity(asked.metric, registry)
    settings = Settings(asked.margin / quantity.scale("").factor, asked.alpha)
    first, second = asked.places
    with reading_store(first) as one, reading_store(second) as other:
        found = two_runs((one.store, other.store), quantity, asked.view, settings, jobs, asked.datasets)
        for error in found.unreadable:
            say(f"damaged, left out: {one.shown(other.shown(str(error)))}", err=True)
    if not found.pairs:
        raise BenchError(
            f"{first} and {second} have no finished job in common",
            cause="neither the same job, nor one of the same stage, model, dataset, fold and repeat",
            fix="name two stores of one study; `bench status SPEC --store STORE` says what is in one",
        )
    if as_json:
        print_json(_data(found, asked, quantity))
        return
    for line in _lines(found, asked, quantity, settings):
        say(line)


def _planned(asked: Asked) -> tuple[Registry, Collection[Job] | None]:
    """Return what is declared, and which jobs are asked about: all, or those of the spec."""
    from bench_core.plan.load import load_plan
    from bench_core.plugins.wiring import load_registry

    if asked.spec is None:
        return load_registry(), None
    loaded, plan = load_plan(asked.spec, asked.overrides)
    return loaded.registry, plan.jobs


def _quantity(name: str, registry: Registry) -> Quantity:
    from bench_core.analysis.quantity import pooled

    metric = registry.metric(name)
    if metric.needs != "counts":
        raise BenchError(
            f"two runs are not compared in {name}",
            cause="it is made of label maps; whether two runs left the same ones is said for any metric",
            fix=f"choose a metric of pixel counts: {_counted(registry)}",
        )
    return pooled(metric)


def _counted(registry: Registry) -> str:
    return ", ".join(name for name, metric in registry.metrics.items() if metric.needs == "counts")


def _lines(found: TwoRuns, asked: Asked, quantity: Quantity, settings: Any) -> Iterator[str]:
    first, second = asked.places
    yield f"{first} | {second}"
    for stage, (pairs, equal) in found.stages.items():
        yield f"  {stage}: {pairs} jobs in both, {equal} of them equal bit for bit"
    for place, names in zip(asked.places, found.only, strict=True):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            yield f"  only in {place}: {', '.join(names[:3])}{more}"
    yield ""
    for cell in found.cells:
        yield from _cell_lines(cell, quantity, settings)
    if found.differing:
        yield ""
        yield "what the jobs stand on and were computed with (first | second), and in how many jobs"
        for text, number in list(found.differing.items())[:MOST_LISTED]:
            yield f"  {text} ({number})"
        if len(found.differing) > MOST_LISTED:
            yield f"  and {len(found.differing) - MOST_LISTED} more (--json has all)"


def _cell_lines(cell: CellRuns, quantity: Quantity, settings: Any) -> Iterator[str]:
    from bench_core.report import inference_words as words

    scale = quantity.scale(cell.dataset)
    levels = f"{words.level(scale, cell.first)} | {words.level(scale, cell.second)}"
    yield f"{cell.model} on {cell.dataset}: {quantity.title} {levels} {scale.sign}"
    weights = sum(pair.equal_weights for pair in cell.pairs)
    jobs = f"{cell.equal} of {len(cell.pairs)} jobs equal bit for bit, weights of {weights}"
    if cell.compared is None:
        yield f"  {'identical' if not cell.reason else f'not judged: {cell.reason}'}; {jobs}"
    else:
        margin = words.margin_text(scale, settings)
        ends = words.interval_text(scale, cell.compared.interval)
        difference = f"{words.signed(scale, cell.difference)} {scale.points}"
        verdict = words.verdict_text(cell.compared, settings)
        yield f"  {verdict} (margin {margin}); {jobs}"
        yield f"  mean over folds {difference}{_noise(cell, quantity)}"
        of = words.view_title(quantity, cell.compared.view)
        yield f"  {of}: {words.signed(scale, cell.compared.difference)}, {words.confidence(settings)} {ends}"
    for change in cell.changes:
        yield f"  other settings: {change.field}: {change.left!r} | {change.right!r}"


def _noise(cell: CellRuns, quantity: Quantity) -> str:
    from bench_core.report import inference_words as words

    if cell.noise is None or cell.within is None:
        return ""
    size, over = cell.noise
    shown = words.level(quantity.scale(cell.dataset), size)
    return f", {'within' if cell.within else 'beyond'} the spread of {over} ({shown})"


def _data(found: TwoRuns, asked: Asked, quantity: Quantity) -> dict[str, Any]:
    return {
        "stores": [str(place) for place in asked.places],
        "metric": quantity.name,
        "margin": asked.margin,
        "stages": {stage: {"jobs": pairs, "equal": equal} for stage, (pairs, equal) in found.stages.items()},
        "only": [list(names) for names in found.only],
        "cells": [_cell_data(cell) for cell in found.cells],
        "differing": dict(found.differing),
        "damaged": [{"message": error.message, "place": error.place} for error in found.unreadable],
    }


def _cell_data(cell: CellRuns) -> dict[str, Any]:
    pair = cell.compared
    return {
        "model": cell.model,
        "dataset": cell.dataset,
        "jobs": len(cell.pairs),
        "equal": cell.equal,
        "equal_weights": sum(item.equal_weights for item in cell.pairs),
        "first": _finite(cell.first),
        "second": _finite(cell.second),
        "difference": _finite(cell.difference),
        "noise": None if cell.noise is None else {"over": cell.noise[1], "size": cell.noise[0]},
        "within_noise": cell.within,
        "verdict": pair.verdict if pair is not None else None if cell.reason else "identical",
        "reason": cell.reason,
        "interval": [pair.interval.low, pair.interval.high] if pair and pair.interval else None,
        "p_adjusted": pair.p_adjusted if pair else None,
        "p_equivalent_adjusted": pair.p_equivalent_adjusted if pair else None,
        "changes": [{"field": item.field, "first": item.left, "second": item.right} for item in cell.changes],
    }


def _finite(value: float) -> float | None:
    return value if value == value else None
