"""Which members an archive of a study may hold, by their names: files of jobs, and what its spec brings."""

from __future__ import annotations

import re
from typing import Literal

from bench_core.files.names import name_problem
from bench_core.store.folder import BEST, CASES

MANIFEST, SPEC, PLAN, RESULTS, PLUGINS, MODELS, FOLDS = (
    "manifest.json", "spec.yaml", "plan.json", "results", "plugins", "models", "folds"
)  # fmt: skip
_JOB = re.compile(r"results/jobs/[0-9a-f]{32}/(?!\.)[^/].*")
_KEPT = re.compile(r"results/(store\.json|accepted\.json|datasets/[0-9a-f]{64}\.json)")
_BROUGHT = re.compile(r"(plugins|models|folds)/\d+/.+")
_PICTURES = re.compile(r"artifacts/.*\.(png|jpe?g|tiff?|bmp|webp|gif|nii(\.gz)?)", re.IGNORECASE)
_DEEPEST = 8


def is_code(name: str) -> bool:
    """Say whether a member is run when the spec is read."""
    return name.startswith((f"{PLUGINS}/", f"{MODELS}/"))


def is_brought(name: str) -> bool:
    """Say whether an archive may hold a file of this name that its spec names."""
    return _BROUGHT.fullmatch(name) is not None and misplaced(name) is None


def is_of_job(name: str) -> bool:
    """Say whether a member is the file of a job."""
    return _JOB.fullmatch(name) is not None


def kind_of(name: str) -> Literal["weights", "images"] | None:
    """Return what a job's file shows that an archive may leave out; None for one that it always holds."""
    if name == BEST:
        return "weights"
    return "images" if name == CASES or _PICTURES.fullmatch(name) else None


def misplaced(name: str) -> str | None:
    """Return why an archive of a study may not hold a member of this name; None where it may."""
    parts = name.split("/")
    if len(parts) > _DEEPEST:
        return f"it lies more than {_DEEPEST} folders deep"
    for part in parts:
        problem = name_problem(part)
        if problem is not None:
            return problem
    known = name in (MANIFEST, SPEC, PLAN) or any(
        pattern.fullmatch(name) for pattern in (_JOB, _KEPT, _BROUGHT)
    )
    return None if known else "no archive of a study holds such a file"
