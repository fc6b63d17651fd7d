"""Claims of a spec, checked: supported, contradicted or not decided, and by what.

Each comparison of two models on a dataset gives a p-value for it and one against it; `shown` combines them to
one for "every", "most" or "some" pairs, models and datasets. A false claim is called supported with a
probability of at most alpha, and a true one contradicted likewise, whatever the number of pairs. Claims are
not corrected for each other: each stood in the spec as a question of its own.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.claim_ground import Answered, Asked, Finding
from bench_core.analysis.inference.claim_groups import average, largest
from bench_core.analysis.inference.claim_pairs import exceeds, pairwise, within
from bench_core.analysis.inference.compare import Settings
from bench_core.analysis.inference.known import Known
from bench_core.analysis.inference.shown import OPEN, Proof, Word, word_for
from bench_core.analysis.pools import who
from bench_core.analysis.quantities import quantity
from bench_core.analysis.quantity import Quantity
from bench_core.metrics.counts import EmptyPolicy
from bench_core.metrics.scale import common_scale
from bench_core.spec.claims import Average, Best, Better, Claim, Equivalent, Largest


@dataclass(frozen=True)
class Answer:
    """A claim with its verdict."""

    claim: Claim
    quantity: Quantity
    settings: Settings
    word: Word
    proof: Proof
    findings: tuple[Finding, ...]
    reason: str = ""
    """Why nothing could be asked at all."""

    def counts(self) -> dict[Word | str, int]:
        """Return how many comparisons are, each by itself, supported, contradicted, not decided, missing."""
        found: Counter[Word | str] = Counter(
            "missing" if item.missing else word_for(item.proof, self.settings.alpha)
            for item in self.findings
            if item.proof is not None
        )
        return {name: found[name] for name in ("supported", "contradicted", "not decided", "missing")}


def answer(evidence: Evidence, claim: Claim, settings: Settings, empty: EmptyPolicy = "ignore") -> Answer:
    """Return the verdict on a claim; the margin of `settings` only chooses the words of comparisons."""
    found = quantity(evidence, claim.metric)
    known = Known(evidence, found, empty)
    given = getattr(claim, "datasets", None) or [data.label for data in evidence.datasets]
    if isinstance(claim, Largest):
        given = [claim.dataset, *(label for label in given if label != claim.dataset)]
    labels = tuple(dict.fromkeys(given))
    factor = found.scale(labels[0]).factor
    asked = Asked(
        evidence, known, claim, claim.view, settings, float(getattr(claim, "margin", 0.0)) / factor, labels
    )
    averaged = getattr(claim, "across", "") == "average" or isinstance(claim, Largest)
    one_unit = common_scale(found.scale(label) for label in labels) is not None
    units: Answered = (OPEN, (), "the datasets' numbers have different units")
    proof, findings, reason = _answered(asked) if one_unit or not averaged else units
    return Answer(claim, found, settings, word_for(proof, settings.alpha), proof, findings, reason)


def _answered(asked: Asked) -> Answered:
    claim = asked.claim
    first, second, unknown = _sides(asked)
    if unknown:
        return OPEN, (), f"no result tells yet how many parameters {', '.join(unknown)} has"
    if isinstance(claim, Average):
        return average(asked, claim, first, second)
    if isinstance(claim, Largest):
        return largest(asked, claim, first, second)
    if isinstance(claim, Equivalent):
        pairs = [(a, b) for a in first for b in second if a != b]
        # A pair is one, whichever way round.
        once = list({frozenset(pair): pair for pair in reversed(pairs)}.values())[::-1]
        return pairwise(asked, [once] if once else [], "every", "every", within(asked), claim.across)
    against = [[(model, other) for other in second if other != model] for model in first]
    groups = [pairs for pairs in against if pairs]
    if isinstance(claim, Best):
        return pairwise(asked, groups, "every", "every", exceeds(asked), claim.across)
    assert isinstance(claim, Better)
    return pairwise(asked, groups, claim.share, claim.than_share, exceeds(asked), claim.across)


def _sides(asked: Asked) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    claim = asked.claim
    own = claim.model if isinstance(claim, Best) else getattr(claim, "models", ())
    than = getattr(claim, "than", None)
    first = who(asked.evidence, own)
    second = first if than is None else who(asked.evidence, than)
    return first.models, second.models, tuple(dict.fromkeys((*first.unknown, *second.unknown)))
