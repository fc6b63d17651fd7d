"""Claims: each names models, pools, datasets and a metric that there are, and can be answered."""

from __future__ import annotations

from collections.abc import Sequence

from bench_core.spec.checks.context import Context
from bench_core.spec.checks.measured import check_metric
from bench_core.spec.checks.pools import candidates
from bench_core.spec.claims import Average, Best, Better, Claim, Equivalent, Largest
from bench_core.spec.nodes import Loc
from bench_core.spec.pools import ALL
from bench_core.spec.rules.labels import label_of
from bench_core.spec.rules.pools import Candidate, meant
from bench_core.spec.words import join, nearest


def check_claims(context: Context) -> None:
    """Look up every name of every claim, and see that there is something to compare."""
    first: dict[str, int] = {}
    models = candidates(context) if context.draft.sound(("pools",)) else None
    for index, claim in context.draft.claims.items():
        loc: Loc = ("claims", index)
        if first.setdefault(claim.name, index) != index:
            context.error(
                "claim",
                (*loc, "name"),
                f"two claims are called {claim.name!r}",
                cause="tables tell them apart by name",
                fix="give one of them another name",
            )
        if context.draft.sound((*loc, "metric")):
            check_metric(context, "claim", (*loc, "metric"), claim.metric)
        datasets = _datasets(context, loc, claim)
        if models is not None and context.draft.sound(loc):
            _sides(context, loc, claim, models)
        if isinstance(claim, Largest) and datasets is not None and len(datasets) < 2:
            context.error(
                "claim",
                (*loc, "dataset"),
                "a difference is largest among several datasets, and there is one",
                fix="name another dataset, or write another claim",
            )


def _datasets(context: Context, loc: Loc, claim: Claim) -> tuple[str, ...] | None:
    known = [label_of(entry) for entry in context.draft.datasets.values()]
    given = getattr(claim, "datasets", None)
    named: list[tuple[Loc, str]] = [
        ((*loc, "datasets", place), name) for place, name in enumerate(given or ())
    ]
    if isinstance(claim, Largest):
        named.append(((*loc, "dataset"), claim.dataset))
    if not context.draft.sound(("datasets",)) or not known:
        return None
    for where, name in named:
        if name not in known:
            context.error(
                "claim",
                where,
                f"no dataset of this spec is called {name!r}",
                cause=f"there are {join(known)}" if len(known) <= 30 else None,
                fix=nearest(name, known) or "correct the name",
            )
    return tuple(dict.fromkeys([*(given or known), *(name for _, name in named)]))


def _sides(context: Context, loc: Loc, claim: Claim, models: Sequence[Candidate]) -> None:
    """Check who is compared with whom."""
    one: tuple[str, ...] | None
    if isinstance(claim, Best):
        labels = [model.label for model in models]
        if claim.model not in labels:
            fix = nearest(claim.model, labels) or "correct the name"
            context.error(
                "claim", (*loc, "model"), f"no model of this spec is called {claim.model!r}", fix=fix
            )
            return
        one, other = (claim.model,), _side(context, (*loc, "than"), claim.than, models)
    elif isinstance(claim, (Better, Average, Largest, Equivalent)):
        one = _side(context, (*loc, "models"), claim.models, models)
        than = claim.than
        other = one if than is None else _side(context, (*loc, "than"), than, models)
    else:
        return
    if one is None or other is None:
        return
    shared = sorted(set(one) & set(other))
    if isinstance(claim, (Average, Largest)) and shared:
        context.error(
            "claim",
            (*loc, "than"),
            f"{shared[0]!r} is on both sides",
            cause="the means of two groups of models are compared",
            fix="name two groups that share no model",
        )
        return
    pairs = {frozenset(pair) for pair in ((a, b) for a in one for b in other) if pair[0] != pair[1]}
    tracks = {model.label: model.track for model in models}
    if not pairs:
        context.error(
            "claim",
            (*loc, "models" if not isinstance(claim, Best) else "than"),
            "there is no pair of models to compare",
            cause=f"both sides are {one[0]!r}" if one else "no model is meant",
            fix="name another model, pool or family",
        )
    elif not any(len({tracks[label] for label in pair}) == 1 for pair in pairs):
        context.error(
            "claim",
            (*loc, "than"),
            "the claim compares models of different tracks only",
            cause=f"{sorted(one)[0]!r} is in track {tracks[sorted(one)[0]]!r}, "
            f"{sorted(other)[0]!r} in track {tracks[sorted(other)[0]]!r}; tests stay within a track",
            fix="compare models of one track",
        )


def _side(
    context: Context, loc: Loc, names: str | Sequence[str], models: Sequence[Candidate]
) -> tuple[str, ...] | None:
    """Return who is meant; None where somebody is not known, or only results will tell."""
    pools = context.draft.pools
    known = [
        *(model.label for model in models),
        *dict.fromkeys((ALL, *pools)),
        *dict.fromkeys(model.family for model in models),
    ]
    several = [names] if isinstance(names, str) else list(names)
    clean = True
    for place, name in enumerate(several):
        if meant(name, models, pools) is None:
            clean = False
            context.error(
                "claim",
                loc if isinstance(names, str) else (*loc, place),
                f"{name!r} is not a model, pool or family of this spec",
                cause="claims name models by label, pools, or families",
                fix=nearest(name, known) or "correct the name, or add a pool",
            )
    found = meant(names, models, pools) if clean else None
    return None if found is None or found.unknown else found.models
