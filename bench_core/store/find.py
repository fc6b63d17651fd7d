"""Finds a job in the store by what people call it: a digest's first digits, or its readable name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from bench_core.errors import BenchError, StoreError
from bench_core.store.store import Store


class UnknownJobError(BenchError):
    """A name or digest that is not in the store, or that several jobs begin with."""

    exit_code = 1


def find_jobs(store: Store, text: str) -> Sequence[str]:
    """Return the digests of the jobs that `text` names, the latest first; never none.

    One job has a digest; a name can be shared by jobs that were run under other settings.
    Raises UnknownJobError if there is none, or if a digest's beginning fits several.
    """
    known = store.known()
    if re.fullmatch(r"[0-9a-f]{4,32}", text):
        fitting = [digest for digest in known if digest.startswith(text)]
        if len(fitting) > 1:
            raise UnknownJobError(
                f"{len(fitting)} jobs begin with {text}",
                cause=", ".join(digest[: len(text) + 4] for digest in fitting[:8]),
                fix="give more digits",
            )
        if fitting:
            return fitting
    names: dict[str, list[str]] = {}
    for digest in known:
        try:
            names.setdefault(store.job(digest).name, []).append(digest)
        except StoreError:
            continue  # A damaged job has no name; by its digest it is still found.
    if text in names:
        return sorted(names[text], key=lambda digest: -_changed(store, digest))
    near = difflib.get_close_matches(text, names, n=1, cutoff=0.5)
    raise UnknownJobError(
        f"no job {text!r} in the store",
        place=str(store.path),
        cause=None if names else "the store is empty",
        fix=f"did you mean {near[0]!r}?" if near else "see `bench status SPEC` for names",
    )


def _changed(store: Store, digest: str) -> float:
    path = store.log_path(digest)
    return path.stat().st_mtime if path is not None else 0.0
