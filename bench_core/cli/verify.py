"""`bench verify`: show from a finished store that what was compared was one experiment."""

from __future__ import annotations

import secrets
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench_core.cli.common import JSON, SET, SPEC, STORE, console, print_json, say
from bench_core.cli.reading import TRUST, reading

if TYPE_CHECKING:
    from rich.table import Table

    from bench_core.analysis.verify.audit import Audit
    from bench_core.analysis.verify.checks import Check, Outcome, Verification
    from bench_core.analysis.verify.predicted import Sampling
    from bench_core.cli.reading import Source

SOON = 1.0
"""Seconds after which a progress bar appears."""
MOST_LISTED = 5
"""Findings of one check that are printed; --json has all."""


@click.command()
@SPEC
@SET
@click.option(
    "--data",
    "with_data",
    is_flag=True,
    help="Open the data, count every job again, and predict some images of each.",
)
@click.option(
    "--predict/--no-predict",
    default=None,
    help="With the data, load the weights and predict some images of each job again.  [default: where the "
    "packages for it are installed]",
)
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="For --predict: at most so many images of each job.",
)
@click.option(
    "--draw",
    type=click.IntRange(0, 2**32),
    default=None,
    help="For --predict: seed by which the images are drawn.  [default: one that nobody knows]",
)
@click.option("--digest", default=None, metavar="HEX", help="The study digest that a report printed.")
@STORE
@TRUST
@JSON
@click.pass_context
def command(
    context: click.Context,
    spec: Path,
    overrides: tuple[str, ...],
    with_data: bool,
    predict: bool | None,
    images: int,
    draw: int | None,
    digest: str | None,
    store: Path,
    trust_code: bool,
    as_json: bool,
) -> None:
    """Check the finished jobs of SPEC (or of an archive) against its protocol and against each other.

    Reads traces, results, counts, label maps and checksums; needs neither data nor a framework. With --data
    it opens the datasets as a run does and counts every job again, and runs the networks on some images, so
    that neither counts nor label maps have to be believed. A partial study is checked as far as it is
    finished. Exit codes: 0 nothing found but warnings, 1 findings or an invalid spec, 2 could not run.
    """
    with reading(spec, store, trust_code) as source:
        asked = Asked(with_data or bool(predict), predict, images, draw, digest)
        found, more = _verified(source, overrides, asked)
        for text in more["notes"]:
            say(f"note: {source.shown(text)}", err=True)
        if as_json:
            print_json(_data(source, found, more))
        else:
            _print(source, found, more)
    if not found.ok:
        context.exit(1)


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    data: bool
    predict: bool | None
    """None: where it can be done."""
    images: int
    draw: int | None
    digest: str | None

    def sampling(self) -> Sampling | None:
        """Return which images are predicted again, if any are."""
        from bench_core.analysis.verify.predicted import Sampling

        if not self.data or self.predict is False:
            return None
        # Whoever forges must not know which images are looked at.
        return Sampling(self.images, secrets.randbelow(2**32) if self.draw is None else self.draw)


def _verified(
    source: Source, overrides: tuple[str, ...], asked: Asked
) -> tuple[Verification, dict[str, Any]]:
    """Return what the checks find, and what is printed with it."""
    from bench_core.analysis.study_digest import study_digest
    from bench_core.analysis.verify.archived import digests
    from bench_core.analysis.verify.audit import open_audit
    from bench_core.analysis.verify.steps import believed
    from bench_core.cli.fresh import ground_of
    from bench_core.errors import StoreError
    from bench_core.execute.fresh import MOST_NEW_BYTES
    from bench_core.plan.load import load_plan

    loaded, plan = load_plan(source.spec, overrides)
    ground = ground_of(loaded.registry, source.store, None if asked.data else MOST_NEW_BYTES)
    audit = open_audit(loaded.spec, plan, loaded.registry, source.store, ground)
    if not audit.subjects:
        raise StoreError(
            f"no job of {plan.name!r} is finished",
            place=str(source.place),
            cause=f"none of its {len(plan.jobs)} jobs has a result in this store",
            fix=f"bench run {shlex.quote(str(source.given))} --store {shlex.quote(str(source.place))}",
        )
    digest = study_digest(loaded.spec, plan, source.store)
    checks = digests(digest, asked.digest, source.manifest, source.unpacked)
    sampling, notes = asked.sampling(), list[str]()
    with progress_bar("verifying") as progress:
        found, sampling = _found(source, audit, asked, sampling, checks, notes, progress)
    if sampling is not None and not any(
        item.check.name == "weights" and item.jobs for item in found.outcomes
    ):
        notes.append("no weights are here to predict with, so label maps are believed")
        sampling = None
    steps = list(believed(audit, with_data=asked.data))
    notes += [f"the numbers of step {name} are believed: it does not say how it is asked" for name in steps]
    unknown = [f"{what} could not be compared: {why}" for what, why in ground.unknown.items()]
    missing = sum(map(len, source.store.left_out.values()))
    if missing:
        notes.append(f"{missing} files (weights, pictures) are not in the archive and were not looked at")
    return found, {
        "name": plan.name,
        "digest": digest,
        "notes": [*notes, *unknown],
        "not_compared": unknown,
        "believed": steps,
        "predicted": None if sampling is None else {"images": sampling.images, "draw": sampling.seed},
    }


def _found(
    source: Source,
    audit: Audit,
    asked: Asked,
    sampling: Sampling | None,
    checks: tuple[Check, ...],
    notes: list[str],
    progress: Callable[[int, int], None],
) -> tuple[Verification, Sampling | None]:
    """Return what the checks find, and what was predicted: nothing where a package lacks."""
    from bench_core.analysis.verify.run import CHECKS, recounting, verify
    from bench_core.cli.data import cache_folder
    from bench_core.errors import MissingDependencyError

    cache = cache_folder() or source.store.cache
    more = recounting(cache, sampling) if asked.data else ()
    try:
        return verify(audit, (*CHECKS, *checks, *more), progress), sampling
    except MissingDependencyError as error:
        if sampling is None or asked.predict:
            raise
        notes.append(f"no image was predicted again, so label maps are believed: {error.message}")
        return verify(audit, (*CHECKS, *checks, *recounting(cache)), progress), None


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield what hears of the jobs that were looked at; a bar appears on a terminal when it takes long."""
    from rich.progress import Progress

    screen = console(stderr=True)
    bar = Progress(console=screen, transient=True)
    task = bar.add_task(what, total=None)
    started = time.monotonic()
    shown = False

    def hear(done: int, total: int) -> None:
        nonlocal shown
        if not shown and screen.is_terminal and time.monotonic() - started > SOON:
            bar.start()
            shown = True
        bar.update(task, completed=done, total=total)

    try:
        yield hear
    finally:
        bar.stop()


def _data(source: Source, found: Verification, more: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": more["name"],
        "store": str(source.place),
        "study_digest": more["digest"],
        "predicted": more["predicted"],
        "not_compared": more["not_compared"],
        "believed": more["believed"],
        "ok": found.ok,
        "complete": found.complete,
        "jobs": {"done": found.done, "planned": found.planned},
        "checks": [
            {
                "name": outcome.check.name,
                "proves": outcome.check.proves,
                "jobs": outcome.jobs,
                "left_out": outcome.left_out,
                "findings": [
                    {key: source.shown(str(value)) for key, value in asdict(finding).items()}
                    for finding in outcome.findings
                ],
            }
            for outcome in found.outcomes
        ],
    }


def _print(source: Source, found: Verification, more: dict[str, Any]) -> None:
    from rich.text import Text

    out = console()
    state = f"{found.done} jobs" if found.complete else f"partial: {found.done} of {found.planned} jobs"
    out.print(Text(f"{more['name']}: {state} looked at", style="bold"))
    out.print()
    out.print(_table(found))
    for outcome in found.outcomes:
        for finding in outcome.findings[:MOST_LISTED]:
            style = "red" if finding.level == "error" else "yellow"
            out.print()
            out.print(
                Text(source.shown(f"{outcome.check.name}: {finding.job}: {finding.message}"), style=style),
                soft_wrap=True,
            )
            out.print(Text(f"  {source.shown(finding.place)}"), soft_wrap=True)
        if len(outcome.findings) > MOST_LISTED:
            out.print(f"  and {len(outcome.findings) - MOST_LISTED} more (--json has all)", markup=False)
    out.print()
    for line in _left_out(found):
        out.print(Text(line), soft_wrap=True)
    if more["predicted"] is not None:
        drawn = more["predicted"]
        text = f"at most {drawn['images']} images of each job were predicted again (--draw {drawn['draw']})"
        out.print(Text(text), soft_wrap=True)
    out.print(Text(f"study digest: {more['digest']}"), soft_wrap=True)
    out.print(Text(_verdict(found)), soft_wrap=True)


def _table(found: Verification) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("check", no_wrap=True)
    table.add_column("jobs", justify="right", no_wrap=True)
    table.add_column("found", no_wrap=True)
    table.add_column("what holds when nothing is found")
    for outcome in found.outcomes:
        table.add_row(outcome.check.name, str(outcome.jobs), _state(outcome), outcome.check.proves)
    return table


def _left_out(found: Verification) -> Iterator[str]:
    """Yield which checks were not put to how many jobs, since their kind of work has nothing of the sort."""
    groups: dict[int, list[str]] = {}
    for outcome in found.outcomes:
        if outcome.left_out:
            groups.setdefault(outcome.left_out, []).append(outcome.check.name)
    for number, checks in groups.items():
        jobs = "1 job that does" if number == 1 else f"{number} jobs that do"
        what = "not train under the shared protocol" if "order" in checks else "not test a model itself"
        yield f"not asked of {jobs} {what}: {', '.join(checks)}"


def _state(outcome: Outcome) -> str:
    if not outcome.jobs:
        return "nothing to see"
    errors = sum(finding.level == "error" for finding in outcome.findings)
    warnings = len(outcome.findings) - errors
    parts = [
        f"{number} {noun}{'s' if number > 1 else ''}"
        for number, noun in ((errors, "finding"), (warnings, "warning"))
        if number
    ]
    return ", ".join(parts) or "ok"


def _verdict(found: Verification) -> str:
    jobs = {finding.digest for finding in found.findings if finding.level == "error"}
    if jobs:
        return f"not verified: {len(jobs)} of {found.done} jobs are not as they have to be"
    left = (
        "" if found.complete else f"; {found.planned - found.done} jobs are not finished and were not checked"
    )
    return f"verified: everything that was looked at holds{left}"
