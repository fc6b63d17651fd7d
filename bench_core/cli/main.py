"""The `bench` command: finds the subcommand, and turns errors into one message and an exit code."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import click

from bench_core.cli.streams import prepare_streams
from bench_core.errors import BenchError
from bench_core.plugins.commands import COMMANDS
from bench_core.processes.streams import let_go, open_standard_files
from bench_core.version import __version__

_OF_THE_DISK = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EISDIR,
    errno.ELOOP,
    errno.EMFILE,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
"""What a user's disk, rights and paths can cause anywhere."""
OLD_PREFIX = "SEGBENCH_"


class LazyGroup(click.Group):
    """Imports a subcommand's module only when it is called: `bench --help` answers at once.

    Behind the commands of its own stand those of installed plugins (hook `bench_commands`).
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand; a reader that goes away (head, less) ends it and is not an error."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # click itself would make it exit code 1.
            raise click.exceptions.Exit(0) from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the workflow, those of plugins last."""
        return [*COMMANDS, *_plugin_commands()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one subcommand; raises PluginError for a plugin that cannot be loaded."""
        if cmd_name not in COMMANDS:
            return _plugin_commands().get(cmd_name)
        module = importlib.import_module(f"bench_core.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands without importing the modules of `bench` itself."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        try:
            found = _plugin_commands()
        except BenchError as error:
            # Whoever asks for help with a broken plugin needs the help most of all.
            found = {}
            click.echo(f"error: {error}", err=True)
        if found:
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(name, item.get_short_help_str(80)) for name, item in found.items()])


def _plugin_commands() -> Mapping[str, click.Command]:
    from bench_core.plugins.wiring import load_registry

    return load_registry().commands


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 invalid spec or failed jobs, 2 could not run, 130 interrupted.",
)
@click.version_option(__version__, prog_name="segtrial")
def bench() -> None:
    """A controlled trial for segmentation networks: a declarative benchmark for 2D medical images."""


def main() -> None:
    """Run `bench` (or `segtrial`); exit 0 done, 1 invalid or failed, 2 could not run, 130 interrupted."""
    open_standard_files()
    prepare_streams()
    if not sys.warnoptions:
        # A file that Pillow warns of is an error of ours, with its name, or is read as it should be.
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    _hear_of_the_end()
    try:
        code = run()
    finally:
        let_go()
    sys.exit(code)


def run() -> int:
    """Run the command of sys.argv, print what ended it, and return the exit code."""
    hint_at_old_names()
    name = "segtrial" if Path(sys.argv[0]).stem == "segtrial" else "bench"
    try:
        # Outside its standalone mode click returns the code of `ctx.exit(code)` instead of raising it.
        code = bench.main(standalone_mode=False, prog_name=name)
        if not isinstance(code, int) or code == 0:
            sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        with suppress(OSError):
            error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        _complain("interrupted")
        return 130
    except BrokenPipeError:
        return 0  # The reader (head, less) went away: that is not an error.
    except BenchError as error:
        _complain(f"error: {error}")
        return error.exit_code
    except OSError as error:
        if not _while_printing(error) and error.errno not in _OF_THE_DISK:
            raise
        _complain(f"error: {_reason(error)}")
        return 2


def _reason(error: OSError) -> BenchError:
    if _while_printing(error):
        return BenchError("standard output cannot be written to", cause=error.strerror or str(error))
    place = str(error.filename) if error.filename is not None else None
    cause = None if place else "a temporary file cannot be written"
    return BenchError(os.strerror(error.errno or 0).lower(), place=place, cause=cause, fix=None)


def _while_printing(error: OSError) -> bool:
    """Say whether an error comes from standard output or standard error, and from no other file."""
    place = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    return error.filename is None and (place == Path(__file__) or place.parent.name in ("click", "rich"))


def _complain(text: str) -> None:
    with suppress(OSError):
        click.echo(text, err=True)


def _hear_of_the_end() -> None:
    """Take SIGTERM, a closed terminal and a scheduler's warning for Ctrl-C, unless they are ignored."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for name in ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, stop)


def hint_at_old_names() -> None:
    """Say in one line which environment variables are not read because they have the project's old name."""
    old = sorted(name for name in os.environ if name.startswith(OLD_PREFIX))
    if old:
        new = ", ".join(name.replace(OLD_PREFIX, "SEGTRIAL_", 1) for name in old)
        verb, noun = ("is", "name is") if len(old) == 1 else ("are", "names are")
        click.echo(f"note: {', '.join(old)} {verb} not read any more; the {noun} now {new}", err=True)


if __name__ == "__main__":
    main()
