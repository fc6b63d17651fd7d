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
    if spec is None:
        return
    folders = [Path(place) for place in spec.submodule_search_locations or ()]
    for place in folders or [Path(spec.origin or "")]:
        if place.is_dir() and not _is_installed(place):
            yield from sorted(place.rglob("*.py"))
        elif place.is_file() and not _is_installed(place):
            yield place


def _is_installed(place: Path) -> bool:
    place = place.resolve()
    if {"site-packages", "dist-packages"} & set(place.parts):
        return True
    return place.is_relative_to(Path(sysconfig.get_path("stdlib")).resolve())
