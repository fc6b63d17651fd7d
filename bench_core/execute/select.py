"""Which jobs of a plan a command is about: --only model=... dataset=... stage=... fold=... and --runner."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence

from bench_core.errors import BenchError
from bench_core.plan.job import Apply, Job

_KEYS: Mapping[str, Callable[[Job], tuple[str, ...]]] = {
    "model": lambda job: (job.model.label, job.model.name),
    "dataset": lambda job: (job.dataset.label, job.dataset.name),
    "stage": lambda job: (job.stage, *((job.work.step,) if isinstance(job.work, Apply) else ())),
    "fold": lambda job: (str(job.fold.index),),
    "family": lambda job: (job.model.family,),
}


class SelectionError(BenchError):
    """A selection that names nothing of the plan."""

    exit_code = 1


def select_jobs(jobs: Iterable[Job], only: Sequence[str] = (), runner: str | None = None) -> tuple[Job, ...]:
    """Return the jobs that fit every key of `only`; of one key's values (key=a,b or repeated) one must fit.

    Raises SelectionError for an unknown key, a value that no job has, or a selection without any job.
    """
    chosen = tuple(jobs)
    wanted: dict[str, set[str]] = {}
    for text in only:
        for key, value in _pairs(text):
            known = {name for job in chosen for name in _KEYS[key](job)}
            if value not in known:
                raise _unknown(f"{key} {value!r}", value, known)
            wanted.setdefault(key, set()).add(value)
    if runner is not None:
        runners = {job.model.runner for job in chosen}
        if runner not in runners:
            raise _unknown(f"runner {runner!r}", runner, runners)
    selected = tuple(
        job
        for job in chosen
        if (runner is None or job.model.runner == runner)
        and all(values & set(_KEYS[key](job)) for key, values in wanted.items())
    )
    if not selected:
        raise SelectionError(
            "the selection holds no job",
            cause=", ".join([*only, *([f"runner {runner}"] if runner else [])]) or "the plan is empty",
            fix="see `bench plan SPEC` for what there is",
        )
    return selected


def _pairs(text: str) -> list[tuple[str, str]]:
    key, equals, values = text.partition("=")
    if not equals or key not in _KEYS:
        near = difflib.get_close_matches(key, _KEYS, n=1)
        hint = f"did you mean {near[0]}=...?" if near else f"write one of {', '.join(_KEYS)} = value"
        raise SelectionError(f"cannot select by {text!r}", fix=hint)
    named = [value.strip() for value in values.split(",")]
    if not all(named):
        raise SelectionError(
            f"--only {text} names no {key}",
            cause="an empty value chooses nothing; a shell variable that is not set leaves one",
            fix=f"write {key}=NAME, or leave it out to run all",
        )
    return [(key, value) for value in named]


def _unknown(what: str, value: str, known: set[str]) -> SelectionError:
    near = difflib.get_close_matches(value, known, n=1)
    return SelectionError(
        f"no job of the plan has {what}",
        cause=f"there are: {', '.join(sorted(known))}",
        fix=f"did you mean {near[0]!r}?" if near else "see `bench plan SPEC`",
    )
