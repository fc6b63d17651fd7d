"""Claims as sentences: what is checked, with everything that the check depends on."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from bench_core.analysis.quantity import Quantity
from bench_core.metrics.scale import Scale
from bench_core.report import inference_words as words
from bench_core.report.names import listed
from bench_core.spec.claims import Average, Best, Better, Claim, Equivalent, Largest


def checked_as(claim: Claim, quantity: Quantity, models: Collection[str]) -> str:
    """Return what the check of a claim asks, in a sentence without its full stop.

    `models` are the labels of the study's models: of one model there is no every or most.
    """
    view = words.view_title(quantity, claim.view if quantity.metric.needs == "counts" else "images")
    datasets = getattr(claim, "datasets", None)
    scale = quantity.scale(datasets[0] if datasets else "")
    if isinstance(claim, Largest):
        among = f"on each of {listed(datasets)}" if datasets else "on each other dataset"
        more = f" by more than {_size(scale, claim.margin)}" if claim.margin else ""
        return (
            f"the mean of {_who(claim.models)} minus that of {_who(claim.than)} is larger on "
            f"{claim.dataset} than {among}{more}, in {view}"
        )
    where = _where(getattr(claim, "across", "every"), datasets)
    if isinstance(claim, Equivalent):
        pairs = f"every two of {_who(claim.models)}"
        if claim.than is not None:
            pairs = f"{_some('every', claim.models, models)} and {_some('every', claim.than, models)}"
        return f"{pairs} differ by less than {_size(scale, claim.margin)}, {where}, in {view}"
    margin = getattr(claim, "margin", 0.0)
    more = f" by more than {_size(scale, margin)}" if margin else ""
    if isinstance(claim, Best):
        return f"{claim.model} is better than every other of {_who(claim.than)}{more}, {where}, in {view}"
    if isinstance(claim, Average):
        return (
            f"the mean of {_who(claim.models)} is better than the mean of {_who(claim.than)}{more}, "
            f"{where}, in {view}"
        )
    assert isinstance(claim, Better)
    return (
        f"{_some(claim.share, claim.models, models)} is better than "
        f"{_some(claim.than_share, claim.than, models)}{more}, {where}, in {view}"
    )


def _who(names: str | Sequence[str]) -> str:
    return names if isinstance(names, str) else listed(names)


def _some(share: str, names: str | Sequence[str], models: Collection[str]) -> str:
    given = [names] if isinstance(names, str) else list(names)
    if len(given) == 1 and given[0] in models:
        return given[0]
    word = {"every": "every model of", "most": "most of", "some": "some model of"}[share]
    return f"{word} {_who(names)}"


def _size(scale: Scale, margin: float) -> str:
    unit = "point" if (scale.points, margin) == ("points", 1) else scale.points
    return f"{margin:g} {unit}"


def _where(across: str, datasets: Sequence[str] | None) -> str:
    if across == "average":
        return f"in the mean over {listed(datasets)}" if datasets else "in the mean over datasets"
    if datasets is not None and len(datasets) == 1:
        return f"on {datasets[0]}"
    return f"on {across} of {listed(datasets)}" if datasets else f"on {across} dataset"
