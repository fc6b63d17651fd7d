"""The packages that taking networks out of a study needs, asked for before anything is done."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from bench_core.errors import MissingDependencyError
from bench_core.install import install_command, install_modules
from bench_core.plan.job import Job
from bench_core.plugins.registry import Registry


def check_packages(job: Job, registry: Registry, images: bool = True) -> None:
    """Raise MissingDependencyError where the job's network, or with `images` its reader, cannot be had."""
    model, dataset = registry.model(job.model.name), registry.dataset(job.dataset.name)
    _check(f"model {model.name}", ("torch", *model.requires), model.install or "torch")
    if images:
        _check(f"dataset {dataset.name}", ("PIL", *dataset.requires), dataset.install or "data")


def check_modules(what: str, modules: Iterable[str], extra: str) -> None:
    """Raise MissingDependencyError that names the extra where one of these modules cannot be found."""
    _check(what, modules, extra)


def _check(what: str, modules: Iterable[str], extra: str) -> None:
    missing = [module for module in dict.fromkeys(modules) if not _is_there(module)]
    if missing:
        raise MissingDependencyError(
            f"{what} needs {', '.join(missing)}, not installed here",
            fix=install_command(extra) if extra else install_modules(missing),
        )


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
