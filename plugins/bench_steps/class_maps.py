"""From the classes of one dataset to those of another, as the step `transfer` is told; needs no framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.declarations import IGNORE, Side, Task

BACKGROUND = "background"
"""What a class is mapped to that the other dataset does not mark."""
MOST_SAID = 20
"""Classes whose target a result says in words, which are short."""


@dataclass(frozen=True, eq=False)
class ClassMap:
    """Which class of the other dataset each class of a network stands for."""

    names: Mapping[str, str]
    """Every class of the network to one of the other dataset, or to BACKGROUND."""
    table: NDArray[np.uint8]
    """[256], label of the network's task to label of the other; IGNORE stays what it is."""
    scored: tuple[int, ...]
    """Places among the other dataset's classes of those that some class is mapped to."""

    @property
    def words(self) -> str:
        """What becomes of what: a to b; c to b."""
        said = [f"{mine} to {theirs}" for mine, theirs in self.names.items()]
        more = [f"and {len(said) - MOST_SAID} more"] if len(said) > MOST_SAID else []
        return "; ".join([*said[:MOST_SAID], *more])


def class_map(options: Mapping[str, Any], trained: Task, there: Task) -> ClassMap:
    """Return what a step's options `map` and `unreached` mean for two tasks.

    Without `map`, equal names mean each other, and the only class of one the only class of the other. Raises
    ValueError for everything that is left open.
    """
    given = options["map"]
    names = _written(given, trained, there) if given else _equal(trained, there)
    scored = tuple(place for place, name in enumerate(there.classes) if name in names.values())
    if not scored:
        raise ValueError("no class is left: every class is mapped to background")
    missing = [name for name in there.classes if name not in names.values()]
    if missing and options["unreached"] != "leave-out":
        raise ValueError(
            f"no class of the networks stands for {_and(missing)}; map one to it, or write "
            "`unreached: leave-out` to score the other classes alone"
        )
    table = np.zeros(256, dtype=np.uint8)
    table[IGNORE] = IGNORE
    for label, name in enumerate(trained.classes, start=1):
        table[label] = 0 if names[name] == BACKGROUND else there.classes.index(names[name]) + 1
    return ClassMap(names, table, scored)


def fits(options: Mapping[str, Any], trained: Side, there: Side) -> None:
    """Raise ValueError where networks of one dataset cannot be scored on the other under these options."""
    mine, theirs = trained.task.classes, there.task.classes
    one = not options["map"] and len(mine) == len(theirs) == 1 and mine != theirs
    if one and trained.modality and there.modality and trained.modality != there.modality:
        raise ValueError(
            f"{mine[0]} ({trained.title}, {trained.modality}) and {theirs[0]} ({there.title}, "
            f"{there.modality}) need not be the same; write `map: {{{mine[0]}: {theirs[0]}}}` if they are"
        )
    class_map(options, trained.task, there.task)


def _written(given: Mapping[str, Any], trained: Task, there: Task) -> dict[str, str]:
    """Return a map as it is written, in the order of the network's classes."""
    strange = [name for name in given if name not in trained.classes]
    if strange:
        raise ValueError(
            f"`map` is about {_and(strange)}, and the networks' classes are {_and(trained.classes)}"
        )
    open_ones = [name for name in trained.classes if name not in given]
    if open_ones:
        raise ValueError(
            f"`map` says nothing of {_and(open_ones)}; add {open_ones[0]}: CLASS, or "
            f"{open_ones[0]}: {BACKGROUND}"
        )
    for name, target in given.items():
        if not isinstance(target, str) or target not in (*there.classes, BACKGROUND):
            raise ValueError(
                f"`map` brings {name!r} to {target!r}, which is none of {_and((*there.classes, BACKGROUND))}"
            )
        if target == BACKGROUND and BACKGROUND in there.classes:
            raise ValueError(f"`map` brings {name!r} to {BACKGROUND!r}, which is a class there as well")
    return {name: str(given[name]) for name in trained.classes}


def _equal(trained: Task, there: Task) -> dict[str, str]:
    """Return the map that needs no words: equal names, or one class on both sides."""
    if len(trained.classes) == len(there.classes) == 1:
        return {trained.classes[0]: there.classes[0]}
    alone = [name for name in trained.classes if name not in there.classes]
    if alone:
        raise ValueError(
            f"no class there is called {_and(alone)}; write `map: {{{alone[0]}: CLASS}}` for all classes "
            f"({_and(trained.classes)} to {_and((*there.classes, BACKGROUND))})"
        )
    return {name: name for name in trained.classes}


def _and(names: tuple[str, ...] | list[str]) -> str:
    shown = [repr(name) for name in names]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
