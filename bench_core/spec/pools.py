"""Pools: named selections of models, each ranked and compared by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from bench_core.declarations.work import Track
from bench_core.spec.section import PositiveFloat, Section

ALL: Literal["all"] = "all"
"""The pool of every model, which is always there."""
Named = Annotated[str, Field(min_length=1, max_length=256)]
Names = Annotated[list[Named], Field(min_length=1, max_length=1000)]
__all__ = [
    "ALL",
    "AnyPool",
    "Named",
    "Names",
    "Parameters",
    "Pools",
    "Selection",
    "Track",
    "selection",
    "several",
]


class Parameters(Section):
    """Bounds of the number of parameters, as the results report it."""

    least: PositiveFloat | None = None
    """At least so many parameters."""
    below: PositiveFloat | None = None
    """Fewer parameters than this, for example 50e6."""


class Selection(Section):
    """Models for which all of the given keys hold."""

    models: Names | None = None
    """Labels of models."""
    family: Named | Names | None = None
    """One of these families."""
    pretrained: Named | Names | None = None
    """Started from one of these weights; any: from any, none: from scratch."""
    parameters: Parameters | None = None
    """Number of parameters; known once a job of the model is finished."""
    runner: Named | Names | None = None
    """Run by one of these runners."""
    track: Track | list[Track] | None = None
    """In one of these tracks."""


AnyPool = Literal["all"] | Names | Selection
"""A pool; a list is short for {models: [...]}."""
Pools = Annotated[dict[str, AnyPool], Field(max_length=32)]


def several(value: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Return one name or several as several; None where nothing is asked."""
    return None if value is None else (value,) if isinstance(value, str) else tuple(value)


def selection(pool: AnyPool) -> Selection:
    """Return a pool written out; the selection of all models asks for nothing."""
    if isinstance(pool, Selection):
        return pool
    return Selection() if isinstance(pool, str) else Selection(models=pool)
