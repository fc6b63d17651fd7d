"""From what a job hands back to what the store keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench_core.execute.attempts import Finished
from bench_core.execute.provenance import RunContext, environment, execution
from bench_core.labels import choose_cases, count_all
from bench_core.records import Case, Counts
from bench_core.run_options import RunOptions

if TYPE_CHECKING:
    from bench_core.data.loader import Split
    from bench_core.protocol.outcome import Outcome


@dataclass(frozen=True)
class Counted:
    """Label maps compared with the masks."""

    counts: Counts | None = None
    cases: tuple[Case, ...] = ()


def counted(outcome: Outcome, split: Split, classes: tuple[str, ...]) -> Counted:
    """Return counts of all label maps and pictures of a few; nothing where the job left no label maps."""
    predictions = outcome.predictions
    if predictions is None:
        return Counted()
    masks = (np.asarray(split.arrays.masks[index]) for index in split.indices)
    counts = count_all(predictions, masks, split.groups, classes)
    cases = []
    for sample, rank, dice in choose_cases(counts.ids, counts.values):
        row = split.ids.index(sample)
        image, mask = split.read([row])
        picture = image[0].permute(1, 2, 0).contiguous().numpy()
        cases.append(Case(sample, rank, dice, picture, mask[0].numpy(), predictions.labels[row]))
    return Counted(counts, tuple(cases))


def provenance(options: RunOptions, context: RunContext, finished: Finished) -> dict[str, Any]:
    """Return what the result was computed with, on and from."""
    return {
        **environment(),
        **execution(options),
        "environments": finished.environments,
        "spec": {"name": context.spec_name, "sha256": context.spec_sha256},
        "plugins": dict(context.plugins),
        "run": {
            "command": context.command,
            "started": finished.started,
            "finished": finished.finished,
        },
    }
