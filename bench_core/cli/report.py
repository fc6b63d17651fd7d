"""`bench report`: results to one HTML page and to tables."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench_core.cli.common import JSON, SET, SPEC, STORE, NamesType, PathType, console, print_json, say
from bench_core.cli.reading import TRUST, reading
from bench_core.cli.studies import STUDY

if TYPE_CHECKING:
    from bench_core.cli.reading import Source
    from bench_core.report.latex.paper import Paper

ROOM = 2000
"""Megabytes of pictures beside a page."""
FORMATS = ("html", "csv", "markdown", "latex")


def _choices(
    _: click.Context, __: click.Parameter, value: tuple[str, ...]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    from bench_core.report.latex.paper import parse_choice

    try:
        return tuple(parse_choice(item) for item in value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


_POINTS = click.FloatRange(min=100, max=5000)


@click.command()
@SPEC
@SET
@STORE
@click.option(
    "--out",
    type=PathType(file_okay=False),
    default=None,
    help="Folder to write into.  [default: reports/NAME of the spec]",
)
@click.option(
    "--format",
    "formats",
    default=",".join(FORMATS),
    show_default=True,
    type=NamesType(FORMATS),
    help="What to write, separated by commas.",
)
@click.option("--latex-two-columns", "two_columns", is_flag=True, help="LaTeX: the paper has two columns.")
@click.option(
    "--latex-width",
    "width",
    type=_POINTS,
    default=None,
    metavar="POINTS",
    help="LaTeX: the paper's \\textwidth.  [default: article's, 345, or 469 for two columns]",
)
@click.option(
    "--latex-height",
    "height",
    type=_POINTS,
    default=550.0,
    show_default=True,
    metavar="POINTS",
    help="LaTeX: the paper's \\textheight.",
)
@click.option("--latex-siunitx", "siunitx", is_flag=True, help="LaTeX: align numbers by siunitx.")
@click.option(
    "--latex-columns",
    "choices",
    multiple=True,
    metavar="TABLE=COLUMN,...",
    callback=_choices,
    help="LaTeX: these columns only of these tables (model, isic2018: names in the CSV without _mean and "
    "the like); * stands for any text.",
)
@click.option(
    "--images",
    type=click.Choice(["kept", "data"]),
    default=None,
    help="Single images to look at: those that results keep, or any, read from the data.  [default: kept]",
)
@click.option(
    "--pages",
    type=click.Choice(["one", "folder"]),
    default="one",
    show_default=True,
    help="One file, or a page with the pictures of single images in a folder beside it.",
)
@click.option(
    "--pdf", is_flag=True, help="Print the page as report.pdf, by the machine's Chromium or Chrome."
)
@click.option("--force", is_flag=True, help="Overwrite the report of another study in that folder.")
@STUDY
@TRUST
@JSON
def command(
    spec: Path,
    overrides: tuple[str, ...],
    store: Path,
    out: Path | None,
    formats: tuple[str, ...],
    two_columns: bool,
    width: float | None,
    height: float,
    siunitx: bool,
    choices: tuple[tuple[str, tuple[str, ...]], ...],
    images: str | None,
    pages: str,
    pdf: bool,
    force: bool,
    study: str | None,
    trust_code: bool,
    as_json: bool,
) -> None:
    """Turn results of SPEC, or of a store or an archive, into report.html and tables (CSV, Markdown, LaTeX).

    A partial study gives a partial report that says what is missing. Exit codes: 0 written, 1 invalid
    spec, 2 could not run (nothing finished or failed at all in the store, or the folder cannot be written or
    holds the report of another spec).
    """
    from bench_core.report.latex.paper import Paper

    paper = Paper(two_columns, width, height, siunitx, choices)
    browser = None
    if pdf:
        from bench_core.report.pdf import find_browser

        if "html" not in formats:
            raise click.UsageError("--pdf prints the page, so --format must have html")
        browser = find_browser()
    with reading(spec, store, trust_code, study) as source:
        _report(source, overrides, out, formats, paper, (images, pages), browser, force, as_json)


def _report(
    source: Source,
    overrides: tuple[str, ...],
    out: Path | None,
    formats: tuple[str, ...],
    paper: Paper,
    pictures: tuple[str | None, str],
    browser: str | None,
    force: bool,
    as_json: bool,
) -> None:
    from bench_core.analysis.gather import gather
    from bench_core.analysis.study_digest import digest_of
    from bench_core.cli.data import cache_folder
    from bench_core.cli.fresh import ground_of
    from bench_core.errors import StoreError
    from bench_core.execute.datasets import arrays_of as opened_arrays
    from bench_core.execute.fresh import MOST_NEW_BYTES
    from bench_core.plan.load import load_plan
    from bench_core.report.compose import compose
    from bench_core.report.folder import Origin
    from bench_core.report.verdicts import verdicts
    from bench_core.report.write import write_report

    loaded, plan = load_plan(source.spec, overrides)
    command_line, opened = source.command(overrides), source.store
    ground = ground_of(loaded.registry, opened, MOST_NEW_BYTES)
    evidence = gather(loaded.spec, plan, loaded.registry, opened, command_line, loaded.base, ground)
    if not evidence.results and not any(gap.state in ("failed", "unreadable") for gap in evidence.gaps):
        raise StoreError(
            f"no job of {loaded.spec.name!r} has a result yet",
            place=str(source.place),
            cause=f"none of its {len(plan.jobs)} jobs is finished in this store",
            fix=f"bench run {command_line} --store {shlex.quote(str(source.place))}",
        )
    images, pages = pictures
    asked: dict[str, Any] = {"images": images} if images else {}
    if pages == "folder":
        asked["megabytes"] = ROOM
    cache = cache_folder() or opened.cache
    in_spec = {entry.name: entry.options for entry in loaded.spec.analyses or ()}.get("predictions", {})
    if {**in_spec, **asked}.get("images") == "data":
        evidence = replace(evidence, arrays=lambda job: opened_arrays(job, loaded.registry, cache))
    report = compose(evidence, loaded.registry, {"predictions": asked})
    folder = out or Path("reports") / loaded.spec.name
    origin = Origin.of(loaded.spec, source.given, overrides)
    written = write_report(
        report, folder, formats, origin=origin, force=force, paper=paper, beside=pages == "folder"
    )
    if browser is not None:
        from bench_core.report.pdf import print_page

        print_page(folder / "report.html", folder / "report.pdf", browser)
        written = (*written, folder / "report.pdf")
    done = len(plan.jobs) - len(evidence.gaps)
    digest = digest_of(evidence, opened)
    for text in evidence.standing.unknown:
        say(f"note: {text}", err=True)
    if as_json:
        print_json(
            {
                "complete": evidence.complete,
                "headline": report.headline,
                "study_digest": digest,
                "warnings": [callout.text for callout in report.status],
                "fixes": {callout.text: callout.code for callout in report.status if callout.code},
                "claims": verdicts(evidence, loaded.registry),
                "not_compared": list(evidence.standing.unknown),
                "files": [str(path) for path in written],
                "parts": {part.name: dict(part.data) for part in report.sections if part.data},
                "jobs": {"done": done, "planned": len(plan.jobs)},
                "missing": [
                    {"digest": gap.job.digest, "job": gap.job.name, "reason": gap.reason, "state": gap.state}
                    for gap in evidence.gaps
                ],
            }
        )
        return
    out_console = console()
    out_console.print(f"{loaded.spec.name}: {report.headline}", markup=False)
    for callout in report.status:
        out_console.print(f"  {callout.text}", markup=False, soft_wrap=True)
        if callout.code:
            out_console.print(f"    {callout.code}", markup=False, soft_wrap=True)
    for item in verdicts(evidence, loaded.registry):
        out_console.print(f"  claim {item['claim']}: {item['verdict']}", markup=False, soft_wrap=True)
    for path in (path for path in written if path.suffix in (".html", ".pdf")):
        out_console.print(f"wrote {path}", markup=False, soft_wrap=True)
    for what, suffixes in (("pictures", (".jpg", ".png")), ("tables", (".csv", ".md", ".tex"))):
        files = [path for path in written if path.suffix in suffixes]
        if files:
            text = f"wrote {len(files)} files of {what} to {files[0].parent}"
            out_console.print(text, markup=False, soft_wrap=True)
    say(f"study digest: {digest}")
