"""The claims of a spec, each with its verdict and what it rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.claim_ground import Finding
from bench_core.analysis.inference.claims import Answer, answer
from bench_core.analysis.inference.compare import Settings
from bench_core.analysis.inference.distributions import scipy_part
from bench_core.analysis.inference.shown import word_for
from bench_core.analysis.quantities import quantity
from bench_core.errors import MissingDependencyError
from bench_core.report import inference_words as words
from bench_core.report.blocks import Block, Details, Prose, Section
from bench_core.report.claim_words import checked_as
from bench_core.report.names import listed, plural
from bench_core.report.sections.among import without_scipy
from bench_core.report.tables import Cell, Column, Row, Table

TITLE = "Claims"
LEAD = (
    "Each claim stands in the spec as a check. Supported: it would rarely look so if it were false. "
    "Contradicted: it would rarely look so if it were true. Not decided: these data could come of either."
)
MARGIN = 1.0
"""Points within which comparisons call two models equivalent; no verdict on a claim depends on it."""


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return how many claims hold, each with its verdict, and all comparisons behind them."""
    if not evidence.spec.claims:
        text = "The spec makes no claims (`claims:`)."
        return Section("claims", TITLE, (Prose((text,)),) if evidence.spec.analyses is not None else ())
    note = without_scipy("claims", TITLE)
    if note is not None:
        return note
    found = answers(evidence, options)
    counted = Counter(item.word for item in found)
    parts = [
        f"{counted[word]} {word}" for word in ("supported", "contradicted", "not decided") if counted[word]
    ]
    blocks: list[Block] = [
        Prose((f"Of {plural(len(found), 'claim')}: {listed(parts)}.",), strong=True),
        _table(evidence, found, float(options["alpha"])),
    ]
    if any(item.findings for item in found):
        blocks.append(Details("What the verdicts rest on", (_ground(evidence, found),)))
    return Section("claims", TITLE, tuple(blocks), LEAD)


def answers(evidence: Evidence, options: Mapping[str, Any]) -> tuple[Answer, ...]:
    """Return all claims of the spec with their verdicts; needs scipy."""
    found = []
    for claim in evidence.spec.claims:
        factor = quantity(evidence, claim.metric).scale(evidence.datasets[0].label).factor
        settings = Settings(MARGIN / factor, float(options["alpha"]), int(options["samples"]))
        found.append(answer(evidence, claim, settings, options["empty"]))
    return tuple(found)


def as_data(evidence: Evidence, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the verdicts as plain data; empty without claims, or without scipy."""
    try:
        scipy_part("special")
    except MissingDependencyError:
        return []
    return [
        {
            "claim": item.claim.name,
            "says": item.claim.says,
            "source": item.claim.source,
            "checked_as": checked_as(item.claim, item.quantity, _labels(evidence)),
            "verdict": item.word,
            "p_for": item.proof.supports,
            "p_against": item.proof.contradicts,
            "comparisons": item.counts(),
            "reason": item.reason,
        }
        for item in answers(evidence, options)
    ]


def _table(evidence: Evidence, found: tuple[Answer, ...], alpha: float) -> Table:
    rows = []
    for item in found:
        claim, counts = item.claim, item.counts()
        parts = [f"{number} {word}" for word, number in counts.items() if number]
        cells = (
            Cell(claim.says or claim.name, (claim.name, claim.says, claim.source), small=_source(item)),
            Cell(checked_as(claim, item.quantity, _labels(evidence))),
            Cell(item.word),
            Cell(words.p_text(item.proof.supports), (item.proof.supports,)),
            Cell(words.p_text(item.proof.contradicts), (item.proof.contradicts,)),
            Cell(listed(parts) or item.reason, (*counts.values(), item.reason)),
        )
        rows.append(Row(cells))
    return Table(
        name="claims",
        title="Claims and what the results say of them",
        columns=(
            Column("claim", "Claim", ("", "says", "source"), numeric=False),
            Column("checked_as", "Checked as", numeric=False),
            Column("verdict", "Verdict", numeric=False),
            Column("p_for", "p for it"),
            Column("p_against", "p against it"),
            Column(
                "comparisons",
                "Comparisons",
                ("supported", "contradicted", "not_decided", "missing", "reason"),
                numeric=False,
            ),
        ),
        rows=tuple(rows),
        caption=f"Supported or contradicted where the p-value for or against the claim as a whole is below "
        f"{alpha:g}: every by the intersection-union test, most and some by partial conjunction, so that no "
        "number of pairs makes a false verdict likelier. Comparisons: how many would be decided each by "
        "itself. Claims are not corrected for each other. Pairs speak of these trained networks on other "
        "images; claims about averages of models, of other models like these.",
    )


def _labels(evidence: Evidence) -> frozenset[str]:
    return frozenset(model.label for model in evidence.models)


def _source(item: Answer) -> str:
    return f"({item.claim.source})" if item.claim.source else ""


def _ground(evidence: Evidence, found: tuple[Answer, ...]) -> Table:
    rows = []
    for item in found:
        for finding in item.findings:
            rows.append(Row(_cells(evidence, item, finding), item.claim.name))
    return Table(
        name="claims-evidence",
        title="Comparisons that claims rest on",
        columns=(
            Column("dataset", "Dataset", numeric=False),
            Column("model", "Model", numeric=False),
            Column("reference", "Minus", numeric=False),
            Column("difference", "Difference", ("mean", "low", "high", "unit")),
            Column("p_for", "p for it"),
            Column("p_against", "p against it"),
            Column("by_itself", "By itself", ("", "missing"), numeric=False),
        ),
        rows=tuple(rows),
        caption="One-sided p-values of each comparison, uncorrected: without a margin by the exchange test "
        "over groups, with one by Student's t on the jackknife over groups; of averages of models "
        "by permutation of labels and Welch's test, the larger of both. By itself: the word if this were "
        "the whole claim.",
    )


def _cells(evidence: Evidence, item: Answer, finding: Finding) -> tuple[Cell, ...]:
    titles = {model.label: model.title for model in evidence.models}
    labels = [data.label for data in evidence.datasets]
    dataset = finding.dataset
    where = Cell(
        "mean over datasets" if dataset is None else evidence.dataset(dataset).title, (dataset or "",)
    )
    named = [Cell(titles.get(name, name), (name,)) for name in (finding.model, finding.reference)]
    scale = item.quantity.scale(dataset or labels[0])
    if finding.difference is None:
        shown = Cell("–", (None, None, None, None))
    else:
        ends = finding.interval
        low, high = (ends.low, ends.high) if ends is not None else (None, None)
        small = f"({words.interval_text(scale, ends)})" if ends is not None else ""
        text = words.signed(scale, finding.difference)
        shown = Cell(text, (finding.difference, low, high, scale.unit), small=small)
    if finding.proof is None:
        return (where, *named, shown, Cell("–", (None,)), Cell("–", (None,)), Cell("compared with", ("", "")))
    word = "missing" if finding.missing else word_for(finding.proof, item.settings.alpha)
    small = f"({finding.missing})" if finding.missing else ""
    return (
        where,
        *named,
        shown,
        Cell(words.p_text(finding.proof.supports), (finding.proof.supports,)),
        Cell(words.p_text(finding.proof.contradicts), (finding.proof.contradicts,)),
        Cell(word, (word, finding.missing), small=small),
    )
