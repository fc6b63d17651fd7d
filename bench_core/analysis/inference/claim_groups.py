"""Claims about means of several models: better on average, and where the gap is largest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.inference.claim_ground import Answered, Asked, Finding
from bench_core.analysis.inference.contrasts import Contrast, means_apart, summed
from bench_core.analysis.inference.family import family_effect
from bench_core.analysis.inference.question import why_missing
from bench_core.analysis.inference.resampling import Interval
from bench_core.analysis.inference.shown import OPEN, Proof, at_least, how_many
from bench_core.analysis.inference.verdicts import FEWEST_GROUPS
from bench_core.spec.claims import Average, Largest

Values = NDArray[np.float64]


def average(asked: Asked, claim: Average, first: Sequence[str], second: Sequence[str]) -> Answered:
    """Deal the labels of the two groups of models anew."""
    names = _said(claim.models), _said(claim.than)
    scores: dict[str, tuple[Values, Values]] = {}
    findings, proofs = [], []
    for dataset in asked.datasets:
        found = goodness(asked, dataset, (*first, *second))
        if isinstance(found, str):
            findings.append(Finding(dataset, *names, None, None, OPEN, found))
            proofs.append(OPEN)
            continue
        scores[dataset] = found[: len(first)], found[len(first) :]
        if claim.across != "average":
            found_effect = _effect(asked, dataset, names, *scores[dataset])
            findings.append(found_effect)
            proofs.append(found_effect.proof or OPEN)
    if claim.across == "average":
        if len(scores) < len(asked.datasets):
            return OPEN, tuple(findings), ""
        one, other = (np.mean([pair[side] for pair in scores.values()], axis=0) for side in (0, 1))
        findings = [_effect(asked, None, names, one, other)]
        return findings[0].proof or OPEN, tuple(findings), ""
    return at_least(proofs, how_many(claim.across, len(proofs))), tuple(findings), ""


def _effect(
    asked: Asked, dataset: str | None, names: tuple[str, str], first: Values, second: Values
) -> Finding:
    found = family_effect(first, second, asked.margin, asked.settings.alpha)
    ends = found.interval
    if ends is not None and asked.sign < 0:
        ends = Interval(-ends.high, -ends.low)
    proof = Proof(found.p_better, found.p_worse)
    return Finding(dataset, *names, asked.sign * found.difference, ends, proof)


def goodness(asked: Asked, dataset: str, models: Sequence[str]) -> Values | str:
    """Return scores [M] of models, the larger the better, or why one is missing."""
    evidence, known = asked.evidence, asked.known
    tracks = {evidence.model(label).track for label in models}
    if len(tracks) > 1:
        return f"the models are in several tracks: {', '.join(sorted(tracks))}"
    (track,) = tracks
    field = known.field(dataset, track)
    for label in models:
        reason = why_missing(evidence, known.board, field, label, dataset)
        if reason:
            return reason
    ranked = known.ranked(dataset, asked.view, asked.settings, track)
    if ranked is None:
        return "a score is undefined"
    return np.array([ranked.goodness[ranked.models.index(label)] for label in models])


def largest(asked: Asked, claim: Largest, first: Sequence[str], second: Sequence[str]) -> Answered:
    """Compare the gap on one dataset with that on each other; their images are independent."""
    names = _said(claim.models), _said(claim.than)
    gaps: dict[str, Contrast | str] = {}
    for dataset in asked.datasets:
        reason = goodness(asked, dataset, (*first, *second))
        if isinstance(reason, str):
            gaps[dataset] = reason
            continue
        field = asked.known.field(dataset, asked.evidence.model(first[0]).track)
        assert field is not None
        found = means_apart(field, asked.view, first, second)
        few = found is None or found.degrees + 1 < FEWEST_GROUPS
        gaps[dataset] = "groups are too few, or a score is undefined" if few or found is None else found
    findings, proofs = [], []
    for dataset in asked.datasets:
        gap, here = gaps[dataset], gaps[claim.dataset]
        if isinstance(gap, str):
            findings.append(Finding(dataset, *names, None, None, OPEN, gap))
            if dataset != claim.dataset:
                proofs.append(OPEN)
            continue
        ends = gap.interval(1 - asked.settings.alpha)
        proof = None
        if dataset != claim.dataset:
            apart = OPEN
            if not isinstance(here, str):
                apart = summed([here, gap.times(-1.0)]).times(asked.sign).exceeds(asked.margin)
            proof = apart
            proofs.append(apart)
        findings.append(Finding(dataset, *names, gap.value, ends, proof))
    return at_least(proofs, len(proofs)), tuple(findings), ""


def _said(names: str | Sequence[str]) -> str:
    return names if isinstance(names, str) else ", ".join(names)
