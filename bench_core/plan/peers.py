"""Jobs of all models together: which ones a step's job needs beside the network that it looks at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench_core.plan.errors import PlanError
from bench_core.plan.job import Job, Need
from bench_core.plan.resolve import ModelChoice
from bench_core.spec.model import ModelEntry
from bench_core.spec.nodes import Loc
from bench_core.spec.pools import ALL, AnyPool
from bench_core.spec.rules.pools import Candidate, members, track_of


class Around:
    """The evaluate jobs of all models, by what they tested."""

    def __init__(self, jobs: Iterable[Job] = ()) -> None:
        self._jobs: dict[tuple[str, int, int], list[Job]] = {}
        self._needs: dict[tuple[tuple[str, int, int], frozenset[str] | None], tuple[Need, ...]] = {}
        for job in jobs:
            self._jobs.setdefault(_tested(job), []).append(job)

    def needs(self, job: Job, models: frozenset[str] | None) -> tuple[Need, ...]:
        """Return the jobs of `models` (labels; None: all) that tested the images of an evaluate job.

        That of the job's own model is among them, and they are the same for every model.
        """
        key = (_tested(job), models)
        if key not in self._needs:
            found = [
                peer.digest
                for peer in self._jobs.get(key[0], ())
                if models is None or peer.model.label in models
            ]
            self._needs[key] = tuple(Need(digest, "peers") for digest in sorted(found))
        return self._needs[key]


def peer_models(
    pool: str,
    models: Sequence[tuple[ModelEntry, ModelChoice]],
    pools: Mapping[str, AnyPool],
    loc: Loc,
) -> frozenset[str] | None:
    """Return the labels of a pool's models, None for that of all.

    Raises PlanError, at `loc`, for a pool that the spec does not name, that holds no model, or whose models
    only results can tell.
    """
    if pool == ALL:
        return None
    if pool not in pools:
        raise PlanError(
            f"the spec has no pool {pool!r}",
            loc=loc,
            cause=f"there are: {', '.join((ALL, *pools))}",
            fix="name one of them, or add it under `pools`",
        )
    found = members(pools[pool], [_candidate(*model) for model in models])
    if found.unknown or not found.models:
        raise PlanError(
            f"pool {pool!r} cannot choose the models of a step",
            loc=loc,
            cause="it asks for numbers of parameters, which only results tell"
            if found.unknown
            else "no model is in it",
            fix="name a pool that lists models or families",
        )
    return frozenset(found.models)


def _candidate(entry: ModelEntry, choice: ModelChoice) -> Candidate:
    family, runner = choice.architecture.family, choice.runner
    return Candidate(choice.label, family, choice.pretrained, runner.name, track_of(entry, runner))


def _tested(job: Job) -> tuple[str, int, int]:
    return job.dataset.label, job.fold.index, job.repeat
