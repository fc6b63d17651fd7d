"""The words for what two models' numbers show, each with one meaning."""

from __future__ import annotations

from typing import Literal

FEWEST_GROUPS = 10
"""Below so many groups nothing is concluded: intervals of few groups do not hold what they promise."""

Verdict = Literal["different", "equivalent", "no difference shown", "cannot be judged"]


def verdict(
    groups: int, p: float | None, p_equivalent: float | None, alpha: float, least: float = 0.0
) -> Verdict:
    """Return the word for adjusted p-values of no difference and of not being equivalent.

    A difference that is shown stays "different" even where it is smaller than the margin: the reader sees its
    size. "equivalent" needs its own proof; without either nothing is shown. `least` is the smallest corrected
    p-value that the test could have given: where it is no proof, the test was none.
    """
    if groups < FEWEST_GROUPS or least >= alpha or p is None or p_equivalent is None:
        return "cannot be judged"
    if p < alpha:
        return "different"
    return "equivalent" if p_equivalent < alpha else "no difference shown"
