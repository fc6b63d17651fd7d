"""What sources share to tell wrong names from right ones without importing a framework."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterable
from pathlib import Path

from bench_core.plugins.nearest import nearest_names


def nearest(name: str, known: Iterable[str], usual: str) -> str:
    """Return the known name that begins with `name` or has its parts, else a similar one, else `usual`."""
    names = list(known)
    begun = [each for each in names if name and each.startswith(name)]
    similar = nearest_names(name, begun or names) or difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    return similar[0] if similar else usual


def package_folder(package: str) -> Path | None:
    """Return the folder of an installed package, which is not imported, or None."""
    found = importlib.util.find_spec(package)
    return Path(found.origin).parent if found is not None and found.origin else None
