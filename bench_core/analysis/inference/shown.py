"""From p-values of single comparisons to one for "every", "most" or "some" of them.

The partial conjunction p-value of Benjamini and Heller (Biometrics 64, 2008, with Bonferroni's bound, valid
under any dependence): that at least r of n alternatives are true has p = (n - r + 1) * p_(r), p_(r) the r-th
smallest. For r = n it is the largest p-value, the intersection-union test (Berger, Technometrics 24, 1982),
which needs no correction; for r = 1 it is Bonferroni's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Word = Literal["supported", "contradicted", "not decided"]


@dataclass(frozen=True)
class Proof:
    """How strongly data speak for a statement and against it."""

    supports: float
    """p-value of its negation."""
    contradicts: float
    """p-value of the statement."""


OPEN = Proof(1.0, 1.0)
"""Nothing is known."""


def at_least(proofs: Sequence[Proof], number: int) -> Proof:
    """Return the proof that at least `number` of the statements are true; nothing is known of none."""
    count = len(proofs)
    if not 1 <= number <= count:
        return OPEN
    for_it = sorted(proof.supports for proof in proofs)
    against = sorted(proof.contradicts for proof in proofs)
    # It is false where at least `needed` of the statements are.
    needed = count - number + 1
    return Proof(
        min(1.0, (count - number + 1) * for_it[number - 1]),
        min(1.0, (count - needed + 1) * against[needed - 1]),
    )


def how_many(share: str, count: int) -> int:
    """Return how many of a number of things a word means: every, most (more than half) or some (one)."""
    return {"every": count, "most": count // 2 + 1, "some": 1}[share]


def word_for(proof: Proof, alpha: float) -> Word:
    """Return the word for a proof. A false statement is supported with a probability of at most alpha."""
    if proof.supports < alpha:
        return "supported"
    return "contradicted" if proof.contradicts < alpha else "not decided"
