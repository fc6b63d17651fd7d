"""How p-values, intervals and verdicts are worded, in tables and in the sentence for a paper."""

from __future__ import annotations

from bench_core.analysis.inference.compare import Compared, Settings
from bench_core.analysis.inference.detection import Detection
from bench_core.analysis.inference.paired import View
from bench_core.analysis.inference.resampling import EXACT_GROUPS, Interval
from bench_core.analysis.inference.verdicts import FEWEST_GROUPS
from bench_core.analysis.quantity import Quantity
from bench_core.metrics.scale import Scale
from bench_core.report.names import plural


def p_text(p: float | None) -> str:
    """Return a p-value as papers print it: 0.042, < 0.001."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def p_said(p: float) -> str:
    """Return a p-value within a sentence: p = 0.042, p < 0.001."""
    shown = p_text(p)
    return f"p {shown}" if shown.startswith("<") else f"p = {shown}"


def chance(share: float | None) -> str:
    """Return a probability in percent: 12.3 %, < 0.1 %."""
    return "–" if share is None else "< 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"


def digits(scale: Scale) -> int:
    """Return the decimals of differences: two of points and of lengths, so that intervals can be told."""
    return max(2, scale.digits)


def signed(scale: Scale, value: float) -> str:
    """Return a difference with its sign."""
    return f"{scale.factor * value:+.{digits(scale)}f}".replace("-", "−")


def interval_text(scale: Scale, found: Interval | None) -> str:
    """Return "−3.10 to −2.30"."""
    return "–" if found is None else f"{signed(scale, found.low)} to {signed(scale, found.high)}"


def level(scale: Scale, value: float) -> str:
    """Return a score with as many decimals as differences have."""
    return f"{scale.factor * value:.{digits(scale)}f}"


def confidence(settings: Settings) -> str:
    """Return the confidence of intervals: 95 %."""
    return f"{100 * (1 - settings.alpha):g} %"


def margin_text(scale: Scale, settings: Settings) -> str:
    """Return the margin with its unit: 1 point, 0.5 mm."""
    return amount(scale, settings.margin)


def amount(scale: Scale, value: float, exact: bool = False) -> str:
    """Return a size of differences with its unit: as short as it can be, or with all its decimals."""
    shown = level(scale, value) if exact else f"{scale.factor * value:g}"
    unit = "point" if (scale.points, shown) == ("points", "1") else scale.points
    return f"{shown} {unit}"


def view_title(quantity: Quantity, view: View) -> str:
    """Return what is compared."""
    if view == "pooled":
        return f"pooled {quantity.metric.title}{quantity.suffix}"
    return f"mean per-image {quantity.metric.title}{quantity.suffix}"


def verdict_text(found: Compared, settings: Settings) -> str:
    """Return the word, and how a shown difference stands to the margin."""
    adjusted = found.p_equivalent_adjusted
    small = found.verdict == "different" and adjusted is not None and adjusted < settings.alpha
    return "different, by less than the margin" if small else found.verdict


def sentence(
    found: Compared, quantity: Quantity, settings: Settings, model: str, reference: str, dataset: str
) -> str:
    """Return what may be written of a pair; `model`, `reference` and `dataset` are titles."""
    scale = quantity.scale(found.dataset)
    what = view_title(quantity, found.view)
    where = f"On {dataset} ({plural(found.images, 'test image')} in {plural(found.groups, 'group')})"
    if found.verdict == "cannot be judged":
        return f"{where}, {model} and {reference} cannot be compared in {what}: {why_not(found, settings)}."
    ends = f", {confidence(settings)} interval {interval_text(scale, found.interval)}"
    difference = f"{signed(scale, found.difference)} {scale.points}{ends if found.interval else ''}"
    if not found.difference and found.estimate is not None and not found.estimate.error:
        difference = "0, in every group"
    drawn = "exact" if found.draws <= 2**EXACT_GROUPS else f"{found.draws:,} draws"
    many = f", Holm-corrected for {found.pairs} pairs" if found.pairs > 1 else ""
    test = f"exchange test over groups, {drawn}: {p_said(found.p_adjusted or 0.0)}{many}"
    margin = margin_text(scale, settings)
    equal = f"two one-sided tests, {p_said(found.p_equivalent_adjusted or 0.0)}{many}"
    start = f"{where}, the {what} of {model} differed from that of {reference} by {difference}"
    if found.verdict == "different":
        ahead = model if scale.gain(found.difference, 0.0) > 0 else reference
        small = "" if verdict_text(found, settings) == "different" else f" by less than {margin}"
        return (
            f"{start}: {ahead} was better{small} ({test}; probability that this claim is false: "
            f"{chance(found.p_false)})."
        )
    if found.verdict == "equivalent":
        return f"{start}: the two are equivalent within ±{margin} ({equal})."
    return f"{start}: no difference was shown ({test}), nor was equivalence within ±{margin} ({equal})."


def why_not(found: Compared, settings: Settings) -> str:
    """Return why a pair cannot be judged."""
    if found.groups < FEWEST_GROUPS:
        return f"{plural(found.groups, 'group')} are too few (at least {FEWEST_GROUPS})"
    if found.least_p * found.pairs >= settings.alpha:
        return (
            f"with so few groups no test of {plural(found.pairs, 'pair')} can come below {settings.alpha:g} "
            "after correction"
        )
    return "their difference is undefined, or is once a group is left out"


def could_show(found: Detection, scale: Scale) -> str:
    """Return how small a difference could have been shown, and what the margin needs."""
    aim = found.aim
    middle = found.needed[0]
    many = "more than 10 million groups"
    if middle is not None:
        many = f"{middle:,} groups ({found.images_needed(middle):,} images)"
    needs = f"{amount(scale, aim.margin)} would need {many}"
    if found.smallest is None:
        return (
            f"no difference could have been shown with {plural(found.groups, 'group')} after correction for "
            f"{plural(aim.pairs, 'pair')}; {needs}."
        )
    return (
        f"a difference of {amount(scale, found.smallest.middle, exact=True)} is shown in "
        f"{100 * aim.power:g} % of such studies, after correction for {plural(aim.pairs, 'pair')}; {needs}."
    )
