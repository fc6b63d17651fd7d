"""Does the difference between two models depend on an attribute? A test of each model against the leader.

Under the null hypothesis the expected difference is the same in all levels, whatever its scatter in each.
The common difference is taken off, and in each group the two models change places or do not with equal
chance: all of a group's remainders change their sign. This is the score variant of the wild cluster bootstrap
with signs (Kline and Santos, Journal of Econometric Methods 1, 2012; Cameron, Gelbach and Miller, Review of
Economics and Statistics 90, 2008). Images of one group may lie in several levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.inference.compare import seed_of
from bench_core.analysis.inference.field import Field
from bench_core.analysis.inference.ranks import holm
from bench_core.analysis.inference.resampling import EXACT_GROUPS, PERMUTATIONS, exchanges, least_p
from bench_core.analysis.inference.statistics import group_sums
from bench_core.analysis.inference.verdicts import FEWEST_GROUPS
from bench_core.analysis.subgroups import Levels

FEWEST_IN_LEVEL = 5
"""A level with fewer groups is left out of the tests: its mean is one of a few."""
_ROUNDING = 1e-9
Dependent = Literal["depends", "no dependence shown", "cannot be judged"]


@dataclass(frozen=True)
class Dependence:
    """How `model` minus `reference` varies with an attribute, in the metric's stored unit."""

    attribute: str
    model: str
    reference: str
    levels: tuple[str, ...]
    """Those that are tested."""
    differences: tuple[float, ...]
    """Mean difference over the images of each."""
    groups: int
    p: float | None
    """Of the hypothesis that all differences are equal; None where it cannot be tested."""
    tests: int = 1
    """How many p-values are corrected together."""
    p_adjusted: float | None = None
    verdict: Dependent = "cannot be judged"

    @property
    def range(self) -> float:
        """By how much the differences of two levels differ at most; 0 where there are none."""
        return max(self.differences) - min(self.differences) if self.differences else 0.0


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A test before its permutations: its squares, summed over columns, are the statistic."""

    asked: Dependence
    columns: NDArray[np.float64]
    """[G, L - 1]; sums over all groups are contrasts of levels with unit variance."""


def dependences(field: Field, levels: Sequence[Levels], alpha: float = 0.05) -> tuple[Dependence, ...]:
    """Return one test per attribute and model other than the leader, corrected together by Holm's method."""
    prepared = []
    for item in levels:
        places = np.array([item.of_sample.get(sample, item.known) for sample in field.ids])
        for label in field.models:
            if label != field.leader:
                prepared.append(_prepared(field, item, places, label))
    asked = [found for found in prepared if found.columns.shape[1]]
    found = {id(test): p for test, p in zip(asked, _p_values(field, asked), strict=True)}
    adjusted = holm({place: found[id(test)] for place, test in enumerate(prepared) if id(test) in found})
    least = least_p(len(field.groups), PERMUTATIONS)
    rows = []
    for place, test in enumerate(prepared):
        p = adjusted.get(place)
        verdict: Dependent = "cannot be judged"
        if p is not None and least * len(asked) < alpha:
            verdict = "depends" if p < alpha else "no dependence shown"
        rows.append(
            replace(
                test.asked, p=found.get(id(test)), p_adjusted=p, tests=max(len(asked), 1), verdict=verdict
            )
        )
    return tuple(rows)


def _prepared(field: Field, item: Levels, places: NDArray[np.int64], label: str) -> _Prepared:
    difference = field.models[label].scores - field.models[field.leader].scores
    inside = (places[:, None] == np.arange(item.known)) & ~np.isnan(difference)[:, None]
    values = np.where(inside, np.nan_to_num(difference)[:, None], 0.0)
    count = len(field.groups)
    sums = group_sums(values, field.of_image, count)
    numbers = group_sums(inside.astype(np.float64), field.of_image, count)
    kept = (numbers > 0).sum(axis=0) >= FEWEST_IN_LEVEL
    sums, numbers = sums[:, kept], numbers[:, kept]
    used = int((numbers.sum(axis=1) > 0).sum())
    total = numbers.sum(axis=0)
    asked = Dependence(
        attribute=item.attribute,
        model=label,
        reference=field.leader,
        levels=tuple(name for name, keep in zip(item.names, kept, strict=False) if keep),
        differences=tuple((sums.sum(axis=0) / np.maximum(total, 1)).tolist()),
        groups=used,
        p=None,
    )
    if kept.sum() < 2 or used < FEWEST_GROUPS:
        return _Prepared(asked, np.zeros((count, 0)))
    return _Prepared(asked, contrasts(sums, numbers))


def contrasts(sums: NDArray[np.float64], numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return columns [G, R] of sums and numbers of images [G, L] by group and level, R at most L - 1.

    Sums over groups of the columns are the levels' deviations from the common mean difference, made
    independent of each other and of unit variance by their covariance over groups. No column is left where
    the differences do not scatter at all.
    """
    total = numbers.sum(axis=0)
    remainders = sums - numbers * (sums.sum() / total.sum())
    deviations = remainders / total - remainders.sum(axis=1, keepdims=True) / total.sum()
    variance, axes = np.linalg.eigh(deviations.T @ deviations)
    used = variance > 1e-10 * max(float(variance.max()), 1e-300)
    # The deviations of L levels, weighted by their images, add up to nothing.
    used[: max(0, int(used.sum()) - (len(total) - 1))] = False
    return np.asarray(deviations @ (axes[:, used] / np.sqrt(variance[used])))


def _p_values(field: Field, tests: Sequence[_Prepared]) -> list[float]:
    if not tests:
        return []
    count = len(field.groups)
    ends = np.cumsum([0, *(test.columns.shape[1] for test in tests)])
    columns = np.concatenate([test.columns for test in tests], axis=1)
    total = columns.sum(axis=0)
    bounds = np.add.reduceat(total**2, ends[:-1]) * (1 - _ROUNDING)
    extreme, drawn = np.zeros(len(tests), dtype=np.int64), 0
    for block in exchanges(count, seed_of(field, "levels")):
        changed = total - 2 * (block @ columns)
        extreme += (np.add.reduceat(changed**2, ends[:-1], axis=1) >= bounds).sum(axis=0)
        drawn += len(block)
    if count <= EXACT_GROUPS:
        return [float(number / drawn) for number in extreme]
    return [float((1 + number) / (1 + drawn)) for number in extreme]
