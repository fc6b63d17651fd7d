"""Is each job the planned one, is its network the declared one, and was no fold left out?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bench_core.analysis.provenance import flatten
from bench_core.analysis.verify.audit import Audit, Subject
from bench_core.analysis.verify.findings import Finding
from bench_core.plan.identity import canonical, digest_of
from bench_core.plan.job import Job
from bench_core.store.folder import JOB, RESULT

PLACES = ("model.weights", "dataset.root", "dataset.folds")
"""Where files lie on a machine; the hashes of their content are part of the digest."""
_SHOWN = 60


def identity(subject: Subject, audit: Audit) -> Iterable[Finding] | None:
    """Compare the folder's name with the digest of the job in it, and its every word with the plan's job."""
    if subject.sealed is None:
        return None
    return [*_digests(subject, subject.sealed), *_words(subject, audit)]


def _digests(subject: Subject, sealed: Job) -> Iterable[Finding]:
    name = subject.job.digest
    for digest, what in ((sealed.digest, "says that it is"), (digest_of(sealed), "holds the settings of")):
        if digest != name:
            yield subject.finding(f"{JOB} {what} job {digest[:12]}, its folder is {name[:12]}", JOB)
    if subject.result is not None and subject.result.digest != name:
        yield subject.finding(f"the result is of job {subject.result.digest[:12]}, not {name[:12]}", RESULT)


def _words(subject: Subject, audit: Audit) -> Iterator[Finding]:
    """Find what the sealed job says otherwise than the plan.

    Another spec may have run the job, under another label or for another reason: then all jobs of the model
    on the dataset say so alike, and a reader is told. One that differs from those beside it was changed.
    """
    beside = audit.same_cell(subject)
    for path, (planned, sealed) in _differences(subject, audit).items():
        alike = all(_differences(peer, audit).get(path) == (planned, sealed) for peer in beside)
        text = f"{path} is {sealed[:_SHOWN]}, the spec plans {planned[:_SHOWN]}"
        if alike:
            text += f"; so in all jobs of {subject.job.model.label} on {subject.job.cell[1]}"
        yield subject.finding(text, JOB, level="warning" if alike else "error")


def _differences(subject: Subject, audit: Audit) -> Mapping[str, tuple[str, str]]:
    """Return what the plan and the sealed job say, by the dotted path of what differs."""
    return audit.once(("words", subject.job.digest), lambda: _compared(subject))


def _compared(subject: Subject) -> dict[str, tuple[str, str]]:
    if subject.sealed is None or subject.sealed == subject.job:
        return {}
    planned, sealed = (dict(_flat(job.to_json())) for job in (subject.job, subject.sealed))
    return {
        path: (planned.get(path, "nothing"), sealed.get(path, "nothing"))
        for path in dict.fromkeys((*planned, *sealed))
        if planned.get(path) != sealed.get(path) and path not in (*PLACES, "digest")
    }


def _flat(data: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted paths and values of nested data; equal numbers are written equally."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        path = f"{prefix}{key}"
        if isinstance(value, (dict, list)) and value:
            yield from _flat(value, f"{path}.")
        else:
            yield from flatten({path: canonical(value)})


def network(subject: Subject, audit: Audit) -> Iterable[Finding] | None:
    """Compare the number of parameters with the declared one, and with the other jobs' of the cell."""
    if subject.result is None:
        return None
    found = _parameters(subject)
    if found is None:
        return [subject.finding("it says nothing of its network", RESULT)]
    declared = _declared(subject.job, audit)
    if declared is not None and found != declared:
        text = f"its network has {found:,} parameters, {subject.job.model.name} is declared with {declared:,}"
        return [subject.finding(text, RESULT)]
    usual = audit.usual("parameters", audit.same_cell(subject), _parameters)
    if usual is not None and usual[0] != found:
        text = f"its network has {found:,} parameters, that of {usual[1].job.name} has {usual[0]:,}"
        return [subject.finding(text, RESULT)]
    return []


def _parameters(subject: Subject) -> int | None:
    facts = subject.result.network if subject.result is not None else None
    return facts.parameters if facts is not None else None


def _declared(job: Job, audit: Audit) -> int | None:
    """Return the declared number; it is of the default options and three input channels alone."""
    channels = 3 if job.pixels.channels == "rgb" else job.dataset.task.channels
    if job.model.chosen or channels != 3:
        return None
    return audit.registry.model(job.model.name).parameters.get(job.dataset.task.logit_channels)


def coverage(subject: Subject, audit: Audit) -> Iterable[Finding]:
    """Name the models that lack folds of a dataset which other models have, once for each dataset."""
    on = subject.job.dataset.label
    if audit.same_data(subject)[0] is not subject:
        return []
    done = {peer.job.digest for peer in audit.subjects}
    planned = [job for job in audit.plan.jobs if job.stage == "evaluate" and job.dataset.label == on]
    had = {_fold(job): job.model.label for job in reversed(planned) if job.digest in done}
    lacking: dict[str, list[Job]] = {}
    for job in planned:
        if job.digest not in done and _fold(job) in had:
            lacking.setdefault(job.model.label, []).append(job)
    return [_left_out(audit, jobs, had) for jobs in lacking.values()]


def _fold(job: Job) -> tuple[int, int]:
    return job.repeat, job.fold.index


def _left_out(audit: Audit, jobs: list[Job], had: Mapping[tuple[int, int], str]) -> Finding:
    first = jobs[0]
    folds = ", ".join(
        str(job.fold.index) + (f" of repeat {job.repeat}" if job.repeat else "") for job in jobs
    )
    text = f"{first.model.label} lacks fold{'s' if len(jobs) > 1 else ''} {folds} of {first.dataset.label}"
    text += f"; {had[_fold(first)]} has {'the first of them' if len(jobs) > 1 else 'it'}"
    return Finding(text, first.name, first.digest, str(audit.store.folder(first.digest)), "warning")
