"""Finds the user's own modules that a config imports, without importing them."""

from __future__ import annotations

import importlib.machinery
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def imported_names(wanted: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the modules that a config's `custom_imports` names."""
    names = (wanted or {}).get("imports") or ()
    return (names,) if isinstance(names, str) else tuple(names)


def own_files(module: str) -> Iterator[Path]:
    """Yield a module's file, or all of its package's, if it is neither installed nor Python's own.

    Of `package.module` the whole package, since the one imports from the other.
    """
    spec = importlib.machinery.PathFinder.find_spec(module.partition(".")[0])
    origin = spec.origin if spec is not None else None
    places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec is not None else []
    files = [file for place in places for file in sorted(place.rglob("*.py"))]
    if not places and origin is not None:
        files = [Path(origin)]
    installed = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")]
    for file in files:
        if file.is_file() and not any(file.resolve().is_relative_to(folder) for folder in installed):
            yield file
