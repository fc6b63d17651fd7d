"""`bench plan --power`: what a study will be able to detect, before it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench_core.cli.common import PathType, print_json, say

if TYPE_CHECKING:
    from bench_core.analysis.inference.foreseen import Foreseen, Size
    from bench_core.analysis.inference.pilot import Pilot
    from bench_core.plan.expand import Plan
    from bench_core.plugins.registry import Registry


@dataclass(frozen=True)
class PowerOptions:
    """The options of the command that are about power."""

    power: bool
    power_from: Path | None
    margin: float
    spread: float
    correlation: float
    within: float
    images: tuple[str, ...]

    @property
    def asked(self) -> bool:
        """Say whether power is asked for."""
        return self.power or self.power_from is not None


def power_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_SHARE = click.FloatRange(0, 1)
_OPTIONS = (
    click.option(
        "--power",
        is_flag=True,
        help="Per dataset, the smallest difference that 80 % of such studies show, and what a margin needs.",
    ),
    click.option(
        "--power-from",
        type=PathType(),
        metavar="STORE",
        help="--power with the spread measured in a finished store, of any study on these datasets.",
    ),
    click.option(
        "--margin",
        type=click.FloatRange(0.001, 100),
        default=0.5,
        show_default=True,
        help="With --power: the difference to detect, in points of Dice.",
    ),
    click.option(
        "--spread",
        type=click.FloatRange(0.01, 50),
        default=15.0,
        show_default=True,
        help="With --power: assumed standard deviation of the Dice of images, in points.",
    ),
    click.option(
        "--correlation",
        type=click.FloatRange(-1, 1, max_open=True),
        default=0.7,
        show_default=True,
        help="With --power: assumed correlation of two models' scores of the same images.",
    ),
    click.option(
        "--within",
        type=_SHARE,
        default=0.5,
        show_default=True,
        help="With --power: assumed intraclass correlation of differences within a group.",
    ),
    click.option(
        "--images",
        multiple=True,
        metavar="DATASET=IMAGES[/GROUPS]",
        help="With --power: how many images, in how many groups (patients, say) a dataset has.",
    ),
)


def show_power(plan: Plan, registry: Registry, options: PowerOptions, as_json: bool) -> None:
    """Print one paragraph per dataset; raises BenchError where nothing can be said."""
    from bench_core.analysis.inference.foreseen import Assumed, foresee
    from bench_core.analysis.inference.power import AssumedSpread
    from bench_core.errors import BenchError

    pilots, damaged = _pilots(registry, options.power_from)
    assumed = Assumed(
        AssumedSpread(options.spread / 100, options.correlation, options.within),
        options.margin / 100,
        dict(_size(text, plan.datasets) for text in options.images),
        {name: item.samples for name, item in registry.datasets.items() if item.samples is not None},
    )
    found = foresee(plan, assumed, pilots)
    if not found:
        raise BenchError(
            "no two models of the shared protocol are planned on one dataset, so there is no pair to detect",
            fix="name at least two models under `models`",
        )
    if damaged:
        say(f"note: {damaged} results of {options.power_from} could not be read", err=True)
    if as_json:
        print_json({"assumed": _assumed(options), "datasets": [_data(item) for item in found]})
        return
    for item in found:
        say("\n".join(_lines(item, options)))
    say(
        "Differences are of pooled Dice where they are measured, of the mean Dice of images where they are "
        "assumed, and after Holm's correction; what another training adds is not in them. Formula and "
        "sources: docs/statistics.md"
    )


def _pilots(registry: Registry, path: Path | None) -> tuple[Mapping[str, Pilot], int]:
    from bench_core.analysis.inference.pilot import read_pilots
    from bench_core.errors import BenchError
    from bench_core.store.store import Store

    if path is None:
        return {}, 0
    pilots, damaged = read_pilots(Store(path), registry.metric("mdsc"))
    if not pilots:
        raise BenchError(
            "this store has no spread to measure: no two models that were tested on the same folds",
            place=str(path),
            fix="leave --power-from out to plan with an assumed spread",
        )
    return pilots, damaged


def _size(text: str, datasets: tuple[str, ...]) -> tuple[str, Size]:
    from bench_core.analysis.inference.foreseen import Size
    from bench_core.plugins.registry import unknown

    name, _, numbers = text.rpartition("=")
    images, slash, groups = numbers.partition("/")
    parts = [images, *([groups] if slash else [])]
    if not name or not all(part.isascii() and part.isdigit() and 0 < len(part) < 10 for part in parts):
        raise click.BadParameter(f"{text!r} is not DATASET=IMAGES[/GROUPS]", param_hint="--images")
    sizes = [int(part) for part in parts]
    if name not in datasets:
        raise unknown("dataset", name, datasets)
    if min(sizes) < 1 or sizes[-1] > sizes[0]:
        raise click.BadParameter(f"{text!r}: at least one image in each group", param_hint="--images")
    return name, Size(sizes[0], sizes[1] if slash else None)


def _lines(item: Foreseen, options: PowerOptions) -> Iterator[str]:
    pairs = item.aim.pairs
    yield f"{item.dataset}: {item.models} models, {pairs} {'pair' if pairs == 1 else 'pairs'}"
    yield f"  {_source(item, options)}"
    yield f"  {_smallest(item)}"
    yield f"  {options.margin:g} points would need {_groups(item)}"
    if item.folding is not None:
        from bench_core.analysis.inference.power import MOST_FOLDS, MOST_REPEATS

        folds, repeats = item.folding.folds_needed(item.aim), item.folding.repeats_needed(item.aim)
        yield (
            f"  over folds (corrected resampled t-test) it would need "
            f"{_or_more(folds, MOST_FOLDS)} folds or {_or_more(repeats, MOST_REPEATS)} repeats"
        )


def _source(item: Foreseen, options: PowerOptions) -> str:
    if item.measured is not None:
        found = item.measured.found
        return (
            f"spread measured in {options.power_from}: {len(item.measured.models)} models, {found.images:,} "
            f"images in {found.groups:,} groups"
        )
    text = (
        f"spread assumed: Dice of images with a standard deviation of {options.spread:g} points, correlated "
        f"{options.correlation:g} between models"
    )
    if item.per_group > 1:
        text += f", {options.within:g} within a group"
    return text


def _smallest(item: Foreseen) -> str:
    tested = item.tested
    if tested is None:
        return f"the number of images is not known: --images {item.dataset}=IMAGES/GROUPS tells it"
    if tested.groups is None:
        size = f"{tested.images:,} images, each taken as a group of its own (--images tells otherwise)"
    else:
        size = f"{tested.images:,} images in {tested.groups:,} groups"
    if item.smallest is None:
        return f"no difference can be shown with so few groups, after correction ({size})"
    return (
        f"smallest difference shown in {100 * item.aim.power:g} % of studies: {100 * item.smallest:.2f} "
        f"points ({size})"
    )


def _groups(item: Foreseen) -> str:
    if item.needed is None or item.images_needed is None:
        return "more than 10 million groups"
    if item.images_needed == item.needed:
        return f"{item.needed:,} images"
    return f"{item.needed:,} groups ({item.images_needed:,} images)"


def _or_more(number: int | None, most: int) -> str:
    return f"more than {most}" if number is None else f"{number}"


def _assumed(options: PowerOptions) -> dict[str, Any]:
    names = ("margin", "spread", "correlation", "within")
    return {name: getattr(options, name) for name in names} | {"unit": "points"}


def _data(item: Foreseen) -> dict[str, Any]:
    folding, tested = item.folding, item.tested
    return {
        "dataset": item.dataset,
        "models": item.models,
        "pairs": item.aim.pairs,
        "alpha": item.aim.alpha,
        "power": item.aim.power,
        "spread": "assumed" if item.measured is None else "measured",
        "spread_of_groups": item.spread,
        "images": tested.images if tested else None,
        "groups": tested.groups if tested else None,
        "margin": item.aim.margin,
        "detectable": item.smallest,
        "groups_needed": item.needed,
        "images_needed": item.images_needed,
        "folds_needed": folding.folds_needed(item.aim) if folding else None,
        "repeats_needed": folding.repeats_needed(item.aim) if folding else None,
    }
