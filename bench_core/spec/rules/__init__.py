"""Rules of a spec that stand once: a plan refuses what breaks them, `validate` shows all of it in place."""

from __future__ import annotations

from dataclasses import dataclass

from bench_core.spec.nodes import Loc


@dataclass(frozen=True)
class Breach:
    """A rule that a spec breaks."""

    check: str
    """Which of `bench_core.spec.catalog.CHECKS` it is."""
    loc: Loc
    """The way to the value that breaks it."""
    message: str
    cause: str | None = None
    fix: str | None = None
    key: bool = False
    """Whether the key at `loc` is meant, not its value."""
    about: tuple[Loc, ...] = ()
    """The ways of further values that it follows from."""
    earlier: Loc | None = None
    """The way to what was there first, for things that stand twice."""


__all__ = ["Breach"]
