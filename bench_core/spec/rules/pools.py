"""Who is in which track and pool, and who is meant by the names in claims."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench_core.declarations import RunnerDeclaration
from bench_core.declarations.work import Track
from bench_core.spec.model import ModelEntry
from bench_core.spec.pools import ALL, AnyPool, Selection, selection, several


@dataclass(frozen=True)
class Candidate:
    """What of a model decides about pools."""

    label: str
    family: str
    pretrained: str
    runner: str
    track: Track
    parameters: int | None = None
    """The largest count of its results: heads grow with the number of classes. None: not known."""


def track_of(entry: ModelEntry, runner: RunnerDeclaration) -> Track:
    """Return the track of a model: that of the entry, else that of its runner."""
    if runner.protocol != "own":
        return "shared"
    return entry.track or runner.track or "own-protocol"


def holds(chosen: Selection, model: Candidate) -> bool | None:
    """Say whether a model is selected; None where only its number of parameters could tell."""
    asked = (
        (chosen.models, model.label),
        (several(chosen.family), model.family),
        (several(chosen.runner), model.runner),
        (several(chosen.track), model.track),
    )
    if any(wanted is not None and value not in wanted for wanted, value in asked):
        return False
    weights = several(chosen.pretrained)
    start = (model.pretrained, *(("any",) if model.pretrained != "none" else ()))
    if weights is not None and not set(start) & set(weights):
        return False
    bounds = chosen.parameters
    if bounds is None or (bounds.least is None and bounds.below is None):
        return True
    if model.parameters is None:
        return None
    least = bounds.least is None or model.parameters >= bounds.least
    return least and (bounds.below is None or model.parameters < bounds.below)


@dataclass(frozen=True)
class Members:
    """The models of a pool."""

    models: tuple[str, ...]
    """Labels, in the order of the spec."""
    unknown: tuple[str, ...] = ()
    """Models whose number of parameters no result has told yet: they are not in it."""


def members(pool: AnyPool, models: Iterable[Candidate]) -> Members:
    """Return who is in a pool."""
    chosen = selection(pool)
    found = [(model.label, holds(chosen, model)) for model in models]
    return Members(
        tuple(label for label, inside in found if inside),
        tuple(label for label, inside in found if inside is None),
    )


def meant(
    names: str | Sequence[str], models: Sequence[Candidate], pools: Mapping[str, AnyPool]
) -> Members | None:
    """Return the models that a name, or several, stand for: a model's label, a pool or a family.

    None where one of them stands for nothing. In that order: no pool has the label of a model.
    """
    found: set[str] = set()
    unknown: set[str] = set()
    for name in (names,) if isinstance(names, str) else names:
        part = _meant(name, models, pools)
        if part is None:
            return None
        found |= set(part.models)
        unknown |= set(part.unknown)
    return Members(
        tuple(model.label for model in models if model.label in found),
        tuple(model.label for model in models if model.label in unknown - found),
    )


def _meant(name: str, models: Sequence[Candidate], pools: Mapping[str, AnyPool]) -> Members | None:
    if any(model.label == name for model in models):
        return Members((name,))
    if name in pools or name == ALL:
        return members(pools.get(name, ALL), models)
    family = tuple(model.label for model in models if model.family == name)
    return Members(family) if family else None
