"""Executors as a run calls them: whether they can be used here, and their plugin's code called safely."""

from __future__ import annotations

from importlib.util import find_spec

from bench_core.declarations import ExecutorDeclaration, resolve_entry
from bench_core.declarations.code import call
from bench_core.errors import BenchError, MissingDependencyError
from bench_core.install import install_command, install_modules


class FleetError(BenchError):
    """Workers elsewhere that cannot be started, or are gone while jobs are left."""


def lacking(executor: ExecutorDeclaration) -> str:
    """Return in words what keeps an executor from being used here, "" where nothing does."""
    missing = _missing(executor)
    if missing:
        return f"needs {', '.join(missing)} ({_install(executor, missing)})"
    if executor.lacking is None:
        return ""
    try:
        entry = resolve_entry(executor.lacking)
        return str(call(f"executor {executor.name!r}, asked what it lacks,", entry))
    except BenchError as error:
        return error.message


def require(executor: ExecutorDeclaration) -> None:
    """Raise MissingDependencyError or FleetError where an executor cannot be used here."""
    missing = _missing(executor)
    if missing:
        raise MissingDependencyError(
            f"executor {executor.name!r} needs {', '.join(missing)}", fix=_install(executor, missing)
        )
    why = lacking(executor)
    if why:
        raise FleetError(
            f"executor {executor.name!r} cannot be used here", cause=why, fix="see `bench doctor`"
        )


def _missing(executor: ExecutorDeclaration) -> list[str]:
    return [package for package in executor.requires if find_spec(package) is None]


def _install(executor: ExecutorDeclaration, missing: list[str]) -> str:
    return install_command(executor.install) if executor.install else install_modules(missing)
