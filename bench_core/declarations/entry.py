"""Code that a declaration names, imported when it is first used."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from bench_core.errors import MissingDependencyError, PluginError
from bench_core.install import install_modules

Entry = Callable[..., Any] | str
"""A callable, or its "package.module:attribute" name, imported when first used."""


def resolve_entry(entry: Entry) -> Callable[..., Any]:
    """Import what `entry` names; raise PluginError or MissingDependencyError with the module's name."""
    if callable(entry):
        return entry
    module_name, _, attribute = entry.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if missing.split(".")[0] == module_name.split(".")[0]:
            raise PluginError(f"module {module_name!r} does not exist", place=entry) from error
        raise MissingDependencyError(
            f"{module_name} needs the package {missing!r}, which is not installed",
            fix=install_modules([missing]),
        ) from error
    except ImportError as error:
        raise MissingDependencyError(
            f"{module_name} cannot be imported", cause=str(error), fix=_import_fix(str(error))
        ) from error
    try:
        target = getattr(module, attribute)
    except AttributeError as error:
        raise PluginError(f"module {module_name!r} has no {attribute!r}", place=entry) from error
    if not callable(target):
        raise PluginError(f"{entry} is not callable", place=entry)
    result: Callable[..., Any] = target
    return result


def _import_fix(cause: str) -> str:
    if "libGL" in cause or "libgthread" in cause:
        # MMSegmentation asks for opencv-python; the headless wheel holds the same module without a display.
        return "pip install --force-reinstall --no-deps opencv-python-headless"
    return "reinstall the packages that the message names (see `bench doctor`)"
