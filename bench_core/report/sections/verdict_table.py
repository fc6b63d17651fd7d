"""How many pairs of models of each dataset are different, equivalent, or neither."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import get_args

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.verdicts import Verdict
from bench_core.report import inference_words as words
from bench_core.report.keys import ALL, key, within
from bench_core.report.sections.comparison_table import Answer
from bench_core.report.tables import Cell, Column, Row, Table


def verdicts_table(evidence: Evidence, answers: Sequence[Answer]) -> Table:
    """Return one row per dataset: all pairs of its models by their verdict."""
    verdicts: tuple[Verdict, ...] = get_args(Verdict)
    quantity, view = answers[0].field.quantity, answers[0].main.view
    rows = []
    for answer in answers:
        label = answer.field.dataset
        counted = Counter(pair.verdict for pair in answer.main.pairs.values())
        numbers = {name: counted[name] for name in verdicts} | {"pairs": len(answer.main.pairs)}
        cells = [Cell(evidence.dataset(label).title, (label,))]
        for name, number in numbers.items():
            quoted = within(answer.prefix, key(label, ALL, quantity.name, name.replace(" ", "-")))
            cells.append(Cell(str(number), (number,), quotes=((quoted, str(number)),)))
        rows.append(Row(tuple(cells)))
    columns = [Column("dataset", "Dataset", numeric=False)]
    columns += [Column(name.replace(" ", "_"), name.capitalize()) for name in (*verdicts, "all pairs")]
    return Table(
        name=f"verdicts-{answers[0].prefix}{quantity.name}",
        title=f"Verdicts on all pairs of models in {words.view_title(quantity, view)}{answers[0].said}",
        columns=tuple(columns),
        rows=tuple(rows),
        caption="Every pair of a dataset's models, p-values corrected for all of them (Holm).",
    )
