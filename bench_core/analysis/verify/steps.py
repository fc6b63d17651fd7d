"""Do the numbers of steps follow from what they left, and, with the data, do they come out again?

What a step's tables mean only the step knows: its declaration says how it is asked (`Step.follows`, `again`).
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench_core.analysis.verify.audit import Audit, Subject
from bench_core.analysis.verify.dealt import tested_images
from bench_core.analysis.verify.findings import Finding, told
from bench_core.analysis.verify.predicted import Sampling, device_of
from bench_core.declarations import Step
from bench_core.declarations.code import call
from bench_core.declarations.entry import resolve_entry
from bench_core.errors import BenchError, MissingDependencyError, StoreError
from bench_core.plan.job import Apply
from bench_core.records import Predictions
from bench_core.store.folder import PREDICTIONS, RESULT, read_records
from bench_core.store.left import Left
from bench_core.store.result import Result

if TYPE_CHECKING:
    from torch import nn

    from bench_core.execute.prepare import JobData
    from bench_core.protocol.outcome import Outcome
    from bench_core.protocol.session import Session
    from bench_core.protocol.site import Source

CLOSE = 1e-9
"""Largest relative difference of a number that is computed twice."""


def declared(subject: Subject, audit: Audit) -> Step | None:
    """Return the step of a job; None for other work."""
    work = subject.job.work
    return audit.registry.step(work.step) if isinstance(work, Apply) else None


def believed(audit: Audit, *, with_data: bool) -> tuple[str, ...]:
    """Return the steps of the audit's jobs whose numbers cannot be asked, for they do not say how."""
    found = {step.name: step for subject in audit.subjects if (step := declared(subject, audit)) is not None}
    ways = {name: (step.follows, step.again if with_data else None) for name, step in found.items()}
    return tuple(name for name, way in ways.items() if way == (None, None))


def sampled(audit: Audit) -> dict[str, str]:
    """Return by step what is asked anew with networks, of some images alone."""
    found = (declared(subject, audit) for subject in audit.subjects)
    return {step.name: step.sampled for step in found if step is not None and step.sampled}


def follows(subject: Subject, audit: Audit) -> Iterable[Finding] | None:
    """Compare the values of a step with those that follow from its tables and files."""
    step, images = declared(subject, audit), tested_images(subject, audit)
    if step is None or step.follows is None or subject.result is None or images is None:
        return None
    left = Left(subject.job, images, subject.folder)
    entry = step.follows
    try:
        values = call(
            f"`follows` of step {step.name}", lambda: resolve_entry(entry)(left), expected=(ValueError,)
        )
    except ValueError as error:
        return [subject.finding(f"what it left is not what {step.name} leaves: {error}")]
    except MissingDependencyError:
        raise
    except BenchError as error:
        return [subject.finding(told(error))]
    what = "follows from what it left"
    return list(_values(subject, subject.result, dict(values), what, whole=False))


def again(
    subject: Subject, audit: Audit, data: JobData, cache: Path, sampling: Sampling | None = None
) -> Iterator[Finding]:
    """Ask a step again with the data at hand, and compare tables, values and label maps.

    Data of the needed job are opened through `cache`. With `sampling` it gets the network of the job that it
    needs, for some images.
    """
    step, result = declared(subject, audit), subject.result
    if step is None or step.again is None or result is None:
        return
    from bench_core.execute.outcome import plain_values
    from bench_core.execute.sources import by_role
    from bench_core.protocol.session import Session
    from bench_core.protocol.site import Site

    entry, work = step.again, subject.job.work
    if not isinstance(work, Apply):
        raise TypeError(f"{subject.job.name} is not a step's")
    drawn = None
    if sampling is not None and step.needs == "weights":
        drawn = sampling.of(data.tested, subject)
    members, siblings = _networks(subject, audit, cache, asked=drawn is not None)
    peers = tuple(replace(peer, network=_refuse(subject)) for peer in _peers(subject, audit, cache))
    with tempfile.TemporaryDirectory(prefix="bench-verify-") as scratch:
        session = Session(
            Site(
                job=subject.job,
                train=data.train,
                validation=data.validation,
                test=data.test,
                folder=Path(scratch),
                files=data.files,
                original=data.original,
                metrics=audit.registry.metrics,
                sources=by_role(subject.job, members),
                members=members,
                peers=peers,
                siblings=siblings,
                device="cpu" if drawn is None else device_of(subject),
                sealed=subject.folder,
                maps=partial(_kept_maps, subject),
                tables=partial(_kept_table, subject),
                values=result.values,
                drawn=drawn,
            )
        )
        try:
            outcome = call(
                f"`again` of step {step.name}",
                lambda: resolve_entry(entry)(session, dict(work.options)),
                expected=(ValueError,),
            )
            values = plain_values(outcome.values, subject.job)
        except ValueError as error:
            yield subject.finding(f"asked again: {error}")
            return
        except MissingDependencyError:
            raise
        except BenchError as error:
            yield subject.finding(f"asked again: {told(error)}")
            return
        yield from _values(subject, result, values, "comes out again", whole=True)
        yield from _tables(subject, result, session, Path(scratch), step.varying)
        yield from _label_maps(subject, outcome)


def _networks(
    subject: Subject, audit: Audit, cache: Path, *, asked: bool
) -> tuple[tuple[Source, ...], tuple[Source, ...]]:
    """Return the members and the siblings of a job, without their networks unless these are asked."""
    from bench_core.execute.sources import members_of, siblings_of

    found = (
        members_of(subject.job, audit.store, audit.registry, cache),
        siblings_of(subject.job, audit.store, audit.registry, cache),
    )
    if asked:
        return found
    refuse = _refuse(subject)
    one, other = (tuple(replace(source, network=refuse) for source in each) for each in found)
    return one, other


def _peers(subject: Subject, audit: Audit, cache: Path) -> tuple[Source, ...]:
    from bench_core.execute.sources import peers_of

    return peers_of(subject.job, audit.store, audit.registry, cache)


def _refuse(subject: Subject) -> Callable[[], nn.Module]:
    def refuse() -> nn.Module:
        raise StoreError("a step that is asked again gets no network", place=subject.job.name)

    return refuse


def _kept_maps(subject: Subject) -> Predictions:
    if subject.predictions is None:
        raise ValueError("the job left no label maps")
    return subject.predictions


def _kept_table(subject: Subject, name: str) -> list[dict[str, str]]:
    if f"records/{name}.csv" not in (subject.result.artifacts if subject.result else ()):
        raise ValueError(f"the job left no table {name!r}")
    return read_records(subject.folder, name)


def _values(
    subject: Subject, result: Result, values: Mapping[str, float | str], what: str, *, whole: bool
) -> Iterator[Finding]:
    names = dict.fromkeys((*values, *result.values)) if whole else values
    for name in names:
        mine, there = result.values.get(name), values.get(name)
        if mine is None or there is None or not _same(mine, there):
            shown = "nothing" if there is None else repr(there)
            claimed = "nothing" if mine is None else repr(mine)
            yield subject.finding(f"its value {name!a:.60} is {claimed}, {shown} {what}", RESULT)


def _tables(
    subject: Subject, result: Result, session: Session, scratch: Path, varying: Collection[str]
) -> Iterator[Finding]:
    unasked = {f"records/{name}.csv" for name in varying}
    mine = {name for name in result.artifacts if name.startswith("records/")} - unasked
    there = {name for name in session.left if name.startswith("records/")} - unasked
    for name in sorted(mine ^ there):
        yield subject.finding(
            f"{name} does not come out again" if name in mine else f"{name} is missing", name
        )
    for name in sorted(mine & there):
        table = name.removeprefix("records/").removesuffix(".csv")
        try:
            old, new = read_records(subject.folder, table), read_records(scratch, table)
        except BenchError as error:
            yield subject.finding(told(error), name)
            continue
        if len(old) != len(new):
            yield subject.finding(f"it has {len(old)} rows, {len(new)} come out again", name)
            continue
        odd = next((row for row, pair in enumerate(zip(old, new, strict=True)) if not _same_row(*pair)), None)
        if odd is not None:
            text = f"it has {_shown(old[odd])}, asked again it is {_shown(new[odd])}"
            yield subject.finding(text, name, odd + 2)


def _label_maps(subject: Subject, outcome: Outcome) -> Iterator[Finding]:
    mine, there = subject.predictions, outcome.predictions
    if (mine is None) != (there is None):
        yield subject.finding("its label maps do not come out again", PREDICTIONS)
    elif mine is not None and there is not None:
        same = mine.ids == there.ids and mine.labels.shape == there.labels.shape
        if not same or (mine.labels != there.labels).any():
            yield subject.finding("other label maps come out again", PREDICTIONS)


def _same_row(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    return list(one) == list(other) and all(_same(one[name], other[name]) for name in one)


def _same(one: float | str, other: float | str) -> bool:
    """Say whether two cells or values are equal text, or numbers that differ by rounding alone."""
    if one == other:
        return True
    try:
        mine, there = float(one), float(other)
    except ValueError:
        return False
    return math.isclose(mine, there, rel_tol=CLOSE, abs_tol=1e-12) or (math.isnan(mine) and math.isnan(there))


def _shown(row: Mapping[str, str]) -> str:
    return ", ".join(row.values())[:200]
