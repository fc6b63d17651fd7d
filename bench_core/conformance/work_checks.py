"""What every step and every procedure owes: a function a property."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench_core.analysis.verify.audit import open_audit
from bench_core.analysis.verify.run import CHECKS, recounting, verify
from bench_core.conformance.declared import each_choice
from bench_core.conformance.elsewhere import ask
from bench_core.conformance.ground import content
from bench_core.conformance.properties import NotApplicable, Wrong, in_words, line_of, raised_in_core
from bench_core.conformance.work_subject import Left, WorkSubject
from bench_core.declarations import JobEvent, Step
from bench_core.errors import BenchError, DivergedError
from bench_core.options import complete_options
from bench_core.report.compose import compose
from bench_core.report.write import write_report
from bench_core.store.folder import PREDICTIONS


class _CutOff(KeyboardInterrupt):
    """Stands for the end of a process."""


def options_resolved(subject: WorkSubject) -> None:
    """Each choice of an option becomes plain data, the same each time."""
    names = {"metric": tuple(subject.registry.metrics)}
    done = 0
    for given in each_choice(subject.options_declared, names):
        try:
            complete = complete_options(subject.options_declared, {**subject.options, **given})
            first, again = (_resolved(subject, complete) for _ in range(2))
        except ValueError:
            continue  # options that do not fit together are refused so
        if first != again:
            raise Wrong(f"options {given} are resolved in two ways")
        done += 1
    if not done:
        raise Wrong("it refuses its own default options", fix="choose defaults that fit together")


def _resolved(subject: WorkSubject, complete: Mapping[str, Any]) -> str:
    declared = subject.declared
    if isinstance(declared, Step) and declared.resolve is not None:
        complete = declared.resolve(complete, subject.registry.metrics)
    try:
        return json.dumps(dict(complete), sort_keys=True)
    except TypeError as error:
        raise Wrong(f"its options are resolved to what is not plain data: {error}") from error


def runs(subject: WorkSubject) -> None:
    """It runs on a small study and hands back an Outcome."""
    if not subject.usual:
        raise Wrong("no job of it is planned on a small study")


def finite_values(subject: WorkSubject) -> None:
    """Values are numbers or short texts, and numbers are finite."""
    for left in subject.usual:
        for name, value in left.values.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise Wrong(
                    f"the value {name!r} is not a finite number",
                    fix="leave out a value that is undefined, or say in a text why it is",
                )


def leaves_something(subject: WorkSubject) -> None:
    """It leaves label maps, values, records or an artifact."""
    if not any(left.values or left.files for left in subject.usual):
        raise Wrong("it leaves nothing", fix="return values, or write records or an artifact")


def nothing_else_changed(subject: WorkSubject) -> None:
    """It writes only what it takes from `session.artifact` and `session.records`."""
    study = subject.fresh()
    store = study.store.path
    before = content(store)
    subject.run(study)
    strays = [path.name for path in (store.parent / "working").iterdir()]
    if strays:
        raise Wrong(f"it writes {strays[0]} into the folder that the program is started in")
    after = content(store)
    changed = [name for name, hashed in before.items() if after.get(name) != hashed and _kept(name)]
    if changed:
        raise Wrong("it changes the study that it stands on", place=str(store / changed[0]))
    own = {job.digest for job in subject.jobs(study)}
    added = [name for name in after.keys() - before.keys() if _kept(name) and not own & set(name.split("/"))]
    if added:
        raise Wrong("it writes into the store", place=str(store / min(added)))


def _kept(name: str) -> bool:
    """Say whether a file of a store is a result, and not a cache or somebody's claim."""
    return name.split("/")[0] == "jobs"


def repeatable(subject: WorkSubject) -> None:
    """Run twice on the same jobs, it leaves the same."""
    _expect_equal(subject.run(subject.fresh()), subject.usual, "run again, it leaves")


def cut_off(subject: WorkSubject) -> None:
    """Killed at its end, with files half written, and run again, it leaves the same."""
    study = subject.fresh()
    function = subject.function()

    def interrupted(session: Any, options: Any) -> None:
        function(session, options)
        for path in study.store.path.glob("running/**/*"):
            if path.is_file() and path.parent.name in ("artifacts", "records"):
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        raise _CutOff

    with suppress(_CutOff):
        subject.run(study.under(subject.instead(interrupted)))
    _expect_equal(subject.run(study), subject.usual, "cut off and run again, it leaves")


def blind(subject: WorkSubject) -> None:
    """Label maps that it makes do not depend on the masks of the images that it labels."""
    if not any(PREDICTIONS in left.files for left in subject.usual):
        raise NotApplicable("it leaves no label maps")
    study = subject.fresh()
    subject.run(study)
    job = subject.jobs(study)[0]
    hidden = study.store.predictions(job.digest).ids
    found = subject.run(subject.fresh(hidden=hidden))
    if found[0].files.get(PREDICTIONS) != subject.usual[0].files[PREDICTIONS]:
        raise Wrong("with other masks of the tested images it labels these in another way")


def progress(subject: WorkSubject) -> None:
    """Progress goes up, and not beyond its total."""
    events: list[JobEvent] = []
    subject.run(subject.fresh(), events.append)
    done = [(event.done, event.total) for event in events if event.kind == "progress"]
    if any(not 0 <= at <= total for at, total in done):
        raise Wrong(f"it says that it has done {max(done)[0]} of {max(done)[1]}")


def other_images(subject: WorkSubject) -> None:
    """Two classes, ignored pixels, a spacing, images that are not square, names that are not plain."""
    for kind, what in (
        ("two", "two classes, ignored pixels and images of other shapes"),
        ("hostile", "image ids and classes with spaces and signs"),
    ):
        try:
            subject.run(subject.fresh(kind))
        except DivergedError as error:
            raise NotApplicable(error.message) from error
        except BenchError as error:
            if raised_in_core(error):
                raise _on(what, error, subject) from error
            if error.fix:
                raise NotApplicable(f"it refuses {what}: {error.message}") from error
            raise Wrong(
                f"it refuses {what} and names no fix: {error.message}",
                place=line_of(error, subject.place),
                fix="say in the error's `fix` what its user should do",
            ) from error
        except Exception as error:
            raise _on(what, error, subject) from error


def _on(what: str, error: Exception, subject: WorkSubject) -> Wrong:
    return Wrong(f"on {what}: {in_words(error)}", place=line_of(error, subject.place))


def readable(subject: WorkSubject) -> None:
    """Report, tables and `bench verify` read what it leaves, and find nothing against it."""
    study = subject.fresh("one")
    subject.run(study)
    evidence = study.evidence()
    if evidence.gaps:
        raise Wrong(f"{evidence.gaps[0].job.name} cannot be read: {evidence.gaps[0].reason}")
    with tempfile.TemporaryDirectory() as folder:
        write_report(compose(evidence, study.registry), Path(folder))
    for done in evidence.done:
        for name in done.result.artifacts:
            if name.startswith("records/"):
                done.records(Path(name).stem)
    checks = (*CHECKS, *recounting(study.store.cache))
    found = verify(open_audit(study.loaded.spec, study.plan, study.registry, study.store), checks)
    faults = [finding for finding in found.findings if finding.level != "warning"]
    if faults:
        raise Wrong(f"bench verify finds: {faults[0].message}", place=faults[0].place)


def other_process(subject: WorkSubject) -> None:
    """Another process leaves the same."""
    if subject.origin is None:
        raise NotApplicable("no plugin declares it")
    kind = "step" if isinstance(subject.declared, Step) else "runner"
    store = str(subject.prepared().store.path)
    told = ask("work", subject.origin, kind=kind, options=dict(subject.options), store=store)
    _expect_same(told["left"], [left.plain() for left in subject.usual], "in another process it leaves")


def _expect_equal(found: Sequence[Left], expected: Sequence[Left], what: str) -> None:
    _expect_same([left.plain() for left in found], [left.plain() for left in expected], what)


def _expect_same(found: Sequence[dict[str, Any]], expected: Sequence[dict[str, Any]], what: str) -> None:
    for one, other in zip(found, expected, strict=True):
        for part in ("values", "files"):
            for name in sorted({**one[part], **other[part]}):
                if one[part].get(name) == other[part].get(name):
                    continue
                noun = "the value" if part == "values" else "the file"
                lacks = "no" if name not in one[part] else "another"
                raise Wrong(f"{what} {lacks if lacks == 'no' else 'other content in'} {noun} {name!r}")
