"""From what a job hands back to what the store keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench_core.errors import PluginError
from bench_core.execute.attempts import Finished
from bench_core.execute.provenance import RunContext, environment, execution
from bench_core.labels import choose_cases, count_all
from bench_core.plan.job import Apply, Job, Train
from bench_core.protocol.outcome import Outcome
from bench_core.protocol.run_options import RunOptions
from bench_core.records import Case, Counts

if TYPE_CHECKING:
    from bench_core.data.loader import Split

LONGEST_VALUE = 4096
"""Characters of a name or a text among the values of a job."""


@dataclass(frozen=True)
class Counted:
    """Label maps compared with the masks."""

    counts: Counts | None = None
    cases: tuple[Case, ...] = ()


def checked(found: object, job: Job, split: Split, folder: Path, left: Sequence[str]) -> Outcome:
    """Return what a runner or step handed back; raise PluginError unless it is what its job owes.

    `split` are the images that label maps must be of, `left` the files that the job said it would write.
    """
    if not isinstance(found, Outcome):
        raise PluginError(
            f"{job.name} handed back {type(found).__name__}",
            cause="a runner or step returns a bench_core.protocol.outcome.Outcome",
        )
    if found.training is None and isinstance(job.work, Train):
        raise PluginError(f"{job.name} handed back no training", fix="return `contract.finish(predict)`")
    if found.predictions is None and not isinstance(job.work, Apply):
        raise PluginError(f"{job.name} handed back no label maps", fix="return Outcome(session.predict(...))")
    if found.predictions is not None:
        labels, shape = found.predictions.labels, (len(split), *split.arrays.masks.shape[1:])
        if found.predictions.ids != split.ids or labels.shape != shape or labels.dtype != np.uint8:
            raise PluginError(
                f"{job.name} handed back label maps of other images than those that it tests",
                cause=f"{len(split)} maps {shape[1:]} of uint8 were expected, in the order of the split",
                fix="return what `session.predict` or `session.accept` gives for `session.test`",
            )
    for name in left:
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise PluginError(
                f"{job.name} did not write {name}",
                cause="it asked for the path, and there is no file of this name in its folder",
                fix="write every file whose path is taken from `session.artifact`",
            )
    return found


def plain_values(values: Mapping[str, Any], job: Job) -> dict[str, float | str]:
    """Return the numbers and texts of a job as plain data; raise PluginError for anything else."""
    found: dict[str, float | str] = {}
    for name, value in values.items():
        wrong = f"{job.name} handed back the value {str(name)[:100]!r}"
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_VALUE:
            raise PluginError(f"{wrong}, whose name is not short text")
        if isinstance(value, str):
            if len(value) > LONGEST_VALUE:
                raise PluginError(f"{wrong}, a text of {len(value)} characters", fix="write an artifact")
            found[name] = value
            continue
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError) as error:
            kind = type(value).__name__
            raise PluginError(
                f"{wrong}, which is neither a number nor text", cause=f"it is {kind}"
            ) from error
        found[name] = number if math.isfinite(number) else math.nan
    return found


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
