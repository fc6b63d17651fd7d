"""What subcommands share: consoles that respect pipes and NO_COLOR, JSON output, common options."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from bench_core.errors import BenchError
from bench_core.text import visible

if TYPE_CHECKING:
    from rich.console import Console


class PathType(click.Path):
    """A path on the command line that can name a file; with `file_okay` false one that is not a file."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(path_type=Path, **settings)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the Path; BenchError names what makes it unusable."""
        from bench_core.files.paths import check_path

        option = param.opts[-1] if param is not None else "the command line"
        path = check_path(Path(value), f"the path given with {option}")
        if not self.file_okay and path.is_file():
            raise BenchError(
                f"the folder given with {option} is a file",
                place=str(path),
                fix="name a folder, or a path that does not exist yet",
            )
        return super().convert(path, param, ctx)


class NamesType(click.ParamType):
    """One or more names of a list, separated by commas; each counts once, in the order given."""

    name = "names"

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Return the names; anything else, and nothing, is a wrong use of the option."""
        if isinstance(value, tuple):
            return value
        wanted = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
        for part in wanted:
            if part not in self.names:
                self.fail(f"{part!r} is none of {', '.join(self.names)}", param, ctx)
        if not wanted:
            self.fail(f"name at least one of {', '.join(self.names)}", param, ctx)
        return wanted


SPEC = click.argument("spec", type=click.Path(path_type=Path))
SET = click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Override a value: protocol.batch_size=4."
)
STORE = click.option(
    "--store",
    type=PathType(file_okay=False),
    default=Path("results"),
    show_default=True,
    envvar="SEGTRIAL_STORE",
    help="Folder of results.",
)


def keep_stdout_for_json(context: click.Context) -> None:
    """Send whatever else is printed during a command, by plugins say, to stderr."""
    from bench_core.cli.streams import stdout_apart
    from bench_core.declarations.code import printing_to_stderr

    context.meta[_STDOUT] = context.with_resource(stdout_apart())
    context.with_resource(printing_to_stderr())


def _for_programs(context: click.Context, _: click.Parameter, value: bool) -> bool:
    if value:
        keep_stdout_for_json(context)
    return value


JSON = click.option(
    "--json", "as_json", is_flag=True, callback=_for_programs, help="Print JSON for programs."
)
_STDOUT = "bench_core.stdout"
"""Where the context of a command keeps the stdout that its JSON goes to."""


def console(*, stderr: bool = False) -> Console:
    """Return a rich console: no colors or boxes of its own when piped or with NO_COLOR set.

    What it prints is made visible: no name can move the cursor, change colors or reverse a line.
    """
    from bench_core.cli.screen import SafeConsole

    return SafeConsole(stderr=stderr, highlight=False, soft_wrap=False)


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print text as `console` does, without wrapping."""
    click.echo(visible(text), err=err, nl=nl)


def print_json(data: Any) -> None:
    """Print data as JSON with sorted keys, byte-stable for equal data."""
    print_json_line(data, indent=2)


def print_json_rows(data: Mapping[str, Any], rows: str) -> None:
    """Print what `print_json` prints, where data[rows] is an iterator of which only one item is held."""
    stream = json_stream()
    opening = "{"
    for key in sorted(data):
        stream.write(f"{opening}\n  {json_text(key)}: ")
        opening = ","
        if key != rows:
            stream.write(_indented(json_text(data[key], indent=2), 2))
            continue
        before = "["
        for item in data[key]:
            stream.write(f"{before}\n    {_indented(json_text(item, indent=2), 4)}")
            before = ","
        stream.write("[]" if before == "[" else "\n  ]")
    stream.write("\n}\n")
    stream.flush()


def _indented(text: str, depth: int) -> str:
    # Line feeds within JSON's texts are escaped, so that these are its own.
    return text.replace("\n", "\n" + " " * depth)


def print_json_line(data: Any, *, indent: int | None = None) -> None:
    """Print data as JSON to stdout, which --json keeps free of anything else."""
    click.echo(json_text(data, indent=indent), file=json_stream())


def json_stream() -> IO[str]:
    """Return the stdout that JSON goes to."""
    context = click.get_current_context(silent=True)
    kept: IO[str] | None = None if context is None else context.meta.get(_STDOUT)
    return kept if kept is not None else sys.stdout


def json_text(data: Any, *, indent: int | None = None) -> str:
    """Return JSON with sorted keys that this stdout can print and that acts on no terminal."""
    import json

    from bench_core.text import json_visible

    encoding = getattr(json_stream(), "encoding", None) or "utf-8"
    text = json.dumps(data, indent=indent, sort_keys=True, ensure_ascii=False)
    return json_visible(text, ascii_only=not encoding.lower().startswith("utf"))
