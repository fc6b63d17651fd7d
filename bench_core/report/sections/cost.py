"""What the models cost: by formula, measured, trained; who is worth it, and who is best for a budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench_core.analysis.costs import Costs, Part, costs
from bench_core.analysis.evidence import Evidence
from bench_core.analysis.quantities import quantity
from bench_core.analysis.scores import board
from bench_core.report import names
from bench_core.report.blocks import Block, Callout, Choice, Details, Prose, Section
from bench_core.report.names import Footnotes, plural
from bench_core.report.sections.cost_data import plain_costs
from bench_core.report.sections.cost_fronts import budget_table, figures, wanted_budgets
from bench_core.report.sections.cost_tables import machine_table, network_table, training_table

TITLE = "What it costs"
_GROUPS: tuple[tuple[Part, str], ...] = (
    ("network", "By formula"),
    ("inference", "Inference"),
    ("training", "Training"),
)


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return tables and Pareto plots for each step `cost`; nothing where there is none."""
    budgets = wanted_budgets(options["budgets"])
    scores = board(evidence, quantity(evidence, str(options["metric"])))
    order, footnotes = names.ordered(evidence, scores), Footnotes(evidence)
    blocks: list[Block] = []
    data = []
    for found in costs(evidence):
        data.append(plain_costs(found, scores))
        blocks.append(network_table(evidence, found, order, footnotes))
        blocks += _notes(found)
        for table in (machine_table(evidence, found, order), training_table(evidence, found, order)):
            blocks += [table] if table is not None else []
        for part, title in _GROUPS:
            shown = figures(evidence, found, scores, part)
            if shown:
                blocks.append(Choice(f"{found.step}-{part}", title, tuple((t, (f,)) for t, f in shown)))
        best = budget_table(evidence, found, scores, budgets)
        blocks += [Details("At equal cost", (best,))] if best is not None else []
    if not blocks and any(step.name == "cost" for step in evidence.spec.steps):
        blocks.append(Prose(("No job of the step cost is finished yet.",)))
    lead = (
        "Operations are counted by formula and are the same everywhere. Times, memory and energy are of the "
        "machine that they were measured on."
    )
    return Section("cost", TITLE, tuple(blocks), lead if blocks else "", {"steps": data} if data else {})


def _notes(found: Costs) -> list[Callout]:
    notes = []
    if len(found.machines) > 1:
        notes.append(
            Callout(
                "note",
                f"Measured on {plural(len(found.machines), 'machine')}: a time says as much of the machine "
                "as of the model, so rows under different headings are not compared, and each has a plot of "
                "its own.",
                tuple(machine.title for machine in found.machines),
            )
        )
    if found.outdated:
        notes.append(
            Callout(
                "warning",
                f"{plural(found.outdated, 'job')} measured by another version of the procedure: these "
                "measurements are left out.",
            )
        )
    return notes
