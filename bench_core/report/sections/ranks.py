"""Who is best, and how sure that is: ranks on each dataset and over all, with their probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.compare import Settings
from bench_core.analysis.inference.overall import Overall, overall
from bench_core.analysis.inference.ranking import RankedField, Values
from bench_core.analysis.inference.verdicts import FEWEST_GROUPS
from bench_core.metrics.scale import common_scale
from bench_core.report import inference_words as words
from bench_core.report import names, svg
from bench_core.report.blocks import Block, Figure, Key, Panel, Prose, Section
from bench_core.report.names import Footnotes, listed
from bench_core.report.rankplot import RankRow, percent, rank_plot
from bench_core.report.sections.among import Among, among
from bench_core.report.sections.pool_table import pools_table, ranked_fields
from bench_core.report.sections.rank_tables import agreement_table, ranks_table, without_table

TITLE = "Who is best, and how sure that is"
LEAD = (
    "Ranks are relative to who competed. Groups are drawn anew, for all models alike, and the models ranked "
    "each time; models of one dataset are ranked if they share protocol, folds and images."
)


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return ranks of each track of the pool, and each model's rank in each pool."""
    blocks: list[Block] = []
    for group in among(evidence, options):
        blocks += _of_group(evidence, group, options)
    if not blocks:
        text = "No two models of one protocol have the same finished folds, so none are ranked."
        return Section("ranks", TITLE, (Prose((text,)),) if evidence.spec.analyses is not None else ())
    pools = pools_table(evidence, options)
    if pools is not None:
        blocks.append(pools)
    return Section("ranks", TITLE, tuple(blocks), LEAD)


def _of_group(evidence: Evidence, group: Among, options: Mapping[str, Any]) -> list[Block]:
    """Return a sentence per dataset, the distribution of ranks, and the tables of ranks and of agreement."""
    found = group.known.quantity
    settings = Settings(alpha=float(options["alpha"]), samples=int(options["samples"]))
    fields = ranked_fields(group, options["view"], settings)
    if not fields:
        return []
    one_unit = common_scale(found.scale(field.dataset) for field in fields) is not None
    over = overall(fields, one_unit, 1 - settings.alpha, options["impute"] == "worst")
    view = words.view_title(found, fields[0].view)
    lines = [_headline(evidence, field) for field in fields]
    if group.said:
        lines = [f"{group.said[2:3].upper()}{group.said[3:]}: {line}" for line in lines]
    blocks: list[Block] = [Prose(tuple(lines))]
    panels = tuple(_panel(evidence, field) for field in fields if field.drawn is not None)
    if panels:
        keys = tuple(Key(family, svg.marker_key(index)) for index, family in enumerate(evidence.families))
        caption = (
            f"Probability of each rank in {view}{group.said}, as the area of its marker, over "
            f"{settings.samples:,} resamples of groups; on the right, that of the first rank."
        )
        blocks.append(Figure(panels, keys, caption))
    order, notes = names.ordered(group.inside, group.known.board), Footnotes(evidence)
    blocks.append(ranks_table(evidence, group, fields, over, order, settings, notes))
    if over is not None:
        blocks.append(Prose(tuple(_over(evidence, over))))
        blocks.append(agreement_table(evidence, group, over, settings))
        if over.without:
            blocks.append(without_table(evidence, group, over))
    return blocks


def _headline(evidence: Evidence, field: RankedField) -> str:
    data = evidence.dataset(field.dataset).title
    if field.ranks.chances is None:
        if field.groups < FEWEST_GROUPS:
            return (
                f"{data}: {names.plural(field.groups, 'group')} are too few (at least {FEWEST_GROUPS}) to "
                "say how sure the order is."
            )
        return f"{data}: the score is undefined in too many resamples to say how sure the order is."
    first = field.ranks.chances[:, 0]
    best = max(range(len(first)), key=lambda place: first[place])
    others = [
        evidence.model(field.models[place]).title
        for place in range(len(first))
        if place != best and first[place] >= 0.05
    ]
    text = f"{data}: {evidence.model(field.models[best]).title} is the best with a probability of "
    text += percent(float(first[best]))
    return f"{text}; {listed(others, 4)} may be, too." if others else f"{text}."


def _over(evidence: Evidence, over: Overall) -> list[str]:
    best = _best(over, over.by_rank.observed)
    text = f"Over datasets, the best mean rank is that of {_titles(evidence, best)}"
    if over.by_score is not None:
        high = _best(over, over.by_score.observed)
        text += ", and so is the best mean score" if high == best else (
            f"; the best mean score is that of {_titles(evidence, high)}"
        )  # fmt: skip
    lines = [f"{text}."]
    changed = [
        f"without {evidence.dataset(item.dataset).title}"
        for item in over.without
        if _best(over, item.by_rank) != best
    ]
    if changed:
        lines.append(f"The best mean rank is held by others {listed(changed)}.")
    elif over.without:
        lines.append("The best mean rank stays where it is, whichever dataset is left out.")
    if over.missing:
        lines.append(f"Not ranked over datasets: {_lacking(evidence, over.missing)}.")
    if over.imputed:
        lines.append(f"Counted as the worst where it has no result (†): {_lacking(evidence, over.imputed)}.")
    return lines


def _lacking(evidence: Evidence, lacks: Mapping[str, tuple[str, ...]]) -> str:
    return listed(
        f"{evidence.model(label).title} (lacks {listed(evidence.dataset(x).title for x in datasets)})"
        for label, datasets in lacks.items()
    )


def _best(over: Overall, ranks: Values) -> list[str]:
    return [label for label, rank in zip(over.models, ranks, strict=True) if rank == ranks.min()]


def _titles(evidence: Evidence, labels: list[str]) -> str:
    return listed(evidence.model(label).title for label in labels)


def _panel(evidence: Evidence, field: RankedField) -> Panel:
    assert field.ranks.chances is not None
    rows = []
    for place in sorted(range(len(field.models)), key=lambda place: field.ranks.observed[place]):
        label, ends = field.models[place], field.ranks.interval(place)
        assert ends is not None
        rows.append(
            RankRow(
                evidence.model(label).title,
                names.family_series(evidence, label),
                tuple(float(chance) for chance in field.ranks.chances[place]),
                f"rank {field.ranks.observed[place]:g}, interval {ends[0]} to {ends[1]}",
            )
        )
    title = evidence.dataset(field.dataset).title
    return Panel(title, rank_plot(f"Ranks on {title}", rows))
