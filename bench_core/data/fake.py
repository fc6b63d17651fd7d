"""Small copies of published datasets, drawn by the dataset's plugin, with their truth beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench_core.declarations import Dataset, FakeRequest, resolve_entry
from bench_core.declarations.code import call, shown
from bench_core.errors import DataError, PluginError


@dataclass(frozen=True)
class Fake:
    """A copy that was drawn."""

    root: Path
    truth: Path
    samples: int


def draw_fake(declared: Dataset, out: Path, *, samples: int, seed: int = 0) -> Fake:
    """Draw a small copy into OUT/NAME and write OUT/NAME-truth.json.

    Raises DataError if the dataset has none or the folder is there already, PluginError if its function
    returns something else than a mapping.
    """
    if declared.fake is None:
        raise DataError(
            f"dataset {declared.name} has no small copy", fix="choose one of which `bench data info` names it"
        )
    root, truth = out / declared.name, out / f"{declared.name}-truth.json"
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DataError(
            "there is something already", place=str(root), fix="remove it, or choose another --out"
        )
    root.mkdir(parents=True, exist_ok=True)
    draw, what = resolve_entry(declared.fake), f"the small copy of dataset {declared.name!r}"
    request = FakeRequest(root=root, samples=samples, seed=seed)
    told = call(what, lambda: draw(request), expected=(DataError,))
    if not isinstance(told, Mapping) or not isinstance(told.get("samples"), list):
        raise PluginError(
            f"{what} does not tell its truth",
            cause=f"its function returned {shown(told)}, without a list of samples",
        )
    truth.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return Fake(root, truth, len(told["samples"]))
