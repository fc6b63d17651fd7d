"""Claims about pairs of models: better, best, equivalent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench_core.analysis.inference.claim_ground import Answered, Asked, Finding
from bench_core.analysis.inference.compare import Compared
from bench_core.analysis.inference.contrasts import Contrast, contrast, mean_of
from bench_core.analysis.inference.question import why_missing
from bench_core.analysis.inference.resampling import EXACT_GROUPS
from bench_core.analysis.inference.shown import OPEN, Proof, at_least, how_many
from bench_core.analysis.inference.verdicts import FEWEST_GROUPS

Ask = Callable[[Contrast | None, Compared | None], Proof]
"""Turns a gain (larger is better), and the pair where it is of one dataset, into a proof."""


def pairwise(
    asked: Asked,
    groups: Sequence[Sequence[tuple[str, str]]],
    share: str,
    than_share: str,
    ask: Ask,
    across: str,
) -> Answered:
    """Return the proof that so many (`share`) of the groups have so many (`than_share`) pairs that do."""
    findings: list[Finding] = []
    proofs = []
    for datasets in [asked.datasets] if across == "average" else [(label,) for label in asked.datasets]:
        each = []
        for pairs in groups:
            mine = [_pair(asked, datasets, *pair, ask) for pair in pairs]
            findings += mine
            each.append(at_least([item.proof or OPEN for item in mine], how_many(than_share, len(mine))))
        proofs.append(at_least(each, how_many(share, len(each))))
    proof = at_least(proofs, how_many("every" if across == "average" else across, len(proofs)))
    return proof, tuple(findings), "" if findings else "there is no pair of models to compare"


def _pair(asked: Asked, datasets: Sequence[str], model: str, reference: str, ask: Ask) -> Finding:
    found = []
    for dataset in datasets:
        pair = _compared(asked, dataset, model, reference)
        if isinstance(pair, str):
            where = "" if len(datasets) == 1 else f"on {dataset}: "
            name = dataset if len(datasets) == 1 else None
            return Finding(name, model, reference, None, None, OPEN, f"{where}{pair}")
        found.append(pair)
    if len(found) == 1:
        (pair,) = found
        own = contrast(pair.estimate) if pair.estimate is not None else None
        proof = ask(None if own is None else own.times(asked.sign), pair)
        return Finding(pair.dataset, model, reference, pair.difference, pair.interval, proof)
    mean = mean_of([contrast(pair.estimate) for pair in found if pair.estimate is not None])
    ends = mean.interval(1 - asked.settings.alpha)
    return Finding(None, model, reference, mean.value, ends, ask(mean.times(asked.sign), None))


def _compared(asked: Asked, dataset: str, model: str, reference: str) -> Compared | str:
    """Return a pair on a dataset, or why there is none."""
    evidence, known = asked.evidence, asked.known
    tracks = evidence.model(model).track, evidence.model(reference).track
    if tracks[0] != tracks[1]:
        return f"{model} is in track {tracks[0]}, {reference} in track {tracks[1]}"
    field = known.field(dataset, tracks[0])
    for label in (model, reference):
        reason = why_missing(evidence, known.board, field, label, dataset)
        if reason:
            return reason
    judged = known.judged(dataset, asked.view, asked.settings, tracks[0])
    judged = judged or known.judged(dataset, "images", asked.settings, tracks[0])
    assert judged is not None
    pair = judged.pair(model, reference)
    if pair.groups < FEWEST_GROUPS:
        return f"{pair.groups} groups are too few (at least {FEWEST_GROUPS})"
    if pair.estimate is None or pair.p is None:
        return "the difference is undefined, or is once a group is left out"
    return pair


def exceeds(asked: Asked) -> Ask:
    """Ask whether a model is better by more than the margin; without one the exchange test tells it."""

    def ask(found: Contrast | None, pair: Compared | None) -> Proof:
        if pair is not None and not asked.margin:
            return _by_exchange(pair, asked.sign)
        return OPEN if found is None else found.exceeds(asked.margin)

    return ask


def _by_exchange(pair: Compared, sign: float) -> Proof:
    """Return the two one-sided p-values of the exchange test, whose distribution is symmetric."""
    assert pair.p is not None
    exact = pair.draws <= 2**EXACT_GROUPS
    half = pair.p / 2 if exact else pair.p / 2 + 0.5 / (1 + pair.draws)
    gain = sign * pair.difference
    if not gain:
        return Proof(max(half, 0.5), max(half, 0.5))
    other = min(1.0, 1 - half + 1 / (1 + pair.draws))
    return Proof(half, other) if gain > 0 else Proof(other, half)


def within(asked: Asked) -> Ask:
    """Ask whether two models differ by less than the margin."""

    def ask(found: Contrast | None, pair: Compared | None) -> Proof:
        return OPEN if found is None else found.within(asked.margin)

    return ask
