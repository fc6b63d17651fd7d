"""`bench verify`: show from a finished store that what was compared was one experiment."""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench_core.cli.common import JSON, SET, SPEC, STORE, print_json, say
from bench_core.cli.progress_bar import progress_bar
from bench_core.cli.reading import TRUST, reading
from bench_core.cli.studies import STUDY, is_store, one_study, studies_of
from bench_core.cli.verify_view import plain, show

if TYPE_CHECKING:
    from bench_core.analysis.verify.audit import Audit
    from bench_core.analysis.verify.checks import Check, Verification
    from bench_core.analysis.verify.predicted import Sampling
    from bench_core.cli.reading import Source


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
@STUDY
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
    study: str | None,
    trust_code: bool,
    as_json: bool,
) -> None:
    """Check the finished jobs of SPEC against its protocol and against each other.

    SPEC may be an archive, or a store: then what was run in it is checked, each of its studies.

    Reads traces, results, counts, label maps and checksums; needs neither data nor a framework. With --data
    it opens the datasets as a run does and counts every job again, and runs the networks on some images, so
    that neither counts nor label maps have to be believed. A partial study is checked as far as it is
    finished. Exit codes: 0 nothing found but warnings, 1 findings or an invalid spec, 2 could not run.
    """
    if digest is not None and re.fullmatch(r"\s*[0-9a-fA-F]{64}\s*", digest) is None:
        raise click.UsageError("--digest takes the 64 hexadecimal digits that a report printed")
    asked = Asked(with_data or bool(predict), predict, images, draw, digest)
    reports = []
    for key in _studies(spec, study, digest):
        with reading(spec, store, trust_code, key) as source:
            found, more = _verified(source, overrides, asked)
            for text in more["notes"]:
                say(f"note: {source.shown(text)}", err=True)
            reports.append(plain(source, found, more))
            if not as_json:
                show(source, found, more)
    if as_json and len(reports) > 1:
        print_json({"ok": all(report["ok"] for report in reports), "studies": reports})
    elif as_json:
        print_json(reports[0])
    if not all(report["ok"] for report in reports):
        context.exit(1)


def _studies(spec: Path, study: str | None, digest: str | None) -> list[str | None]:
    """Return the keys of a store's studies where it stands for its spec; else the one that is asked for."""
    if not is_store(spec) or study is not None:
        return [study]
    found = studies_of(spec)
    if digest is not None and len(found) > 1:
        one_study(spec)
    return [item.key for item in found]


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
    from bench_core.analysis.verify.steps import believed, sampled
    from bench_core.cli.fresh import ground_of
    from bench_core.cli.kept import check_places, kept_otherwise, strays
    from bench_core.errors import StoreError
    from bench_core.execute.fresh import MOST_NEW_BYTES
    from bench_core.plan.load import load_plan

    loaded, plan = load_plan(source.spec, overrides)
    if asked.data:
        check_places(source, loaded)
    ground = ground_of(loaded.registry, source.store, None if asked.data else MOST_NEW_BYTES)
    audit = open_audit(loaded.spec, plan, loaded.registry, source.store, ground)
    if not audit.subjects:
        raise StoreError(
            f"no job of {plan.name!r} is finished",
            place=str(source.place),
            cause=f"none of its {len(plan.jobs)} jobs has a result in this store",
            fix=f"bench run {source.command(overrides)} --store {shlex.quote(str(source.place))}",
        )
    digest = study_digest(loaded.spec, plan, source.store)
    archived = None if source.manifest is None else source.manifest.study
    checks = digests(digest, asked.digest, archived, source.unpacked)
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
    asked_anew = "believed, since no network was asked" if sampling is None else "asked anew of some images"
    notes += [f"{asked_anew}, of step {name}: {what}" for name, what in sampled(audit).items()]
    notes += [*strays(source), *kept_otherwise(source, loaded, plan)]
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
