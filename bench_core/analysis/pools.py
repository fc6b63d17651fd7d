"""Pools of models: each is a study of its own, ranked and compared among its members alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from bench_core.analysis.evidence import Evidence
from bench_core.spec.pools import ALL, AnyPool, Selection, selection, several
from bench_core.spec.rules.pools import Candidate, Members, meant, members


@dataclass(frozen=True)
class Pool:
    """A pool that the spec names."""

    name: str
    models: tuple[str, ...]
    """Labels, in the order of the spec."""
    unknown: tuple[str, ...]
    """Models whose number of parameters no result has told yet."""
    words: str
    """What it asks for."""


def pools_of(evidence: Evidence) -> dict[str, Pool]:
    """Return all pools by name, that of every model first."""
    known: Mapping[str, AnyPool] = {ALL: ALL, **evidence.spec.pools}
    models = candidates(evidence)
    found: dict[str, Pool] = {}
    for name, pool in known.items():
        inside = members(pool, models)
        found[name] = Pool(name, inside.models, inside.unknown, in_words(selection(pool)))
    return found


def narrowed(evidence: Evidence, models: Collection[str]) -> Evidence:
    """Return the study as if it had these models only; nothing that was computed with others is kept."""
    inside = tuple(model for model in evidence.models if model.label in models)
    if len(inside) == len(evidence.models):
        return evidence
    key = ("narrowed", *(model.label for model in inside))
    if key not in evidence.memo:
        cells = {cell: found for cell, found in evidence.cells.items() if cell[0] in models}
        evidence.memo[key] = replace(evidence, models=inside, cells=cells)
    found: Evidence = evidence.memo[key]
    return found


def who(evidence: Evidence, names: str | Sequence[str]) -> Members:
    """Return the models that a claim means by a name, or by several; empty for names of nothing."""
    return meant(names, candidates(evidence), evidence.spec.pools) or Members(())


def candidates(evidence: Evidence) -> tuple[Candidate, ...]:
    """Return what of each model decides about pools, with what results tell."""
    return tuple(
        Candidate(
            model.label,
            model.family,
            model.pretrained,
            model.runner,
            model.track,
            max(model.parameters) if model.parameters else None,
        )
        for model in evidence.models
    )


def in_words(chosen: Selection) -> str:
    """Return what a selection asks for: family SMA, fewer than 50M parameters."""
    parts = []
    if chosen.models is not None:
        parts.append("as listed")
    for what, value in (
        ("family", chosen.family),
        ("weights", chosen.pretrained),
        ("runner", chosen.runner),
        ("track", chosen.track),
    ):
        if value is not None:
            parts.append(f"{what} {' or '.join(several(value) or ())}")
    bounds = chosen.parameters
    if bounds is not None and bounds.least is not None:
        parts.append(f"at least {_millions(bounds.least)} parameters")
    if bounds is not None and bounds.below is not None:
        parts.append(f"fewer than {_millions(bounds.below)} parameters")
    return ", ".join(parts) or "every model"


def _millions(number: float) -> str:
    return f"{number / 1e6:g}M" if number >= 1e5 else f"{number:g}"
