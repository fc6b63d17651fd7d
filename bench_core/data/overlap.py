"""Images of one dataset that are copies of images of another, on which networks were trained."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from bench_core.data.arrays import CachedArrays
from bench_core.data.copies import MOST_COMPARED, near_between

NAMED = 3
"""Copies that a message names; the rest are counted."""
_KEPT = 8
"""Pairs of datasets whose copies a process keeps: the jobs of a study ask about the same ones."""
_known: OrderedDict[tuple[str, str], dict[str, Seen]] = OrderedDict()


@dataclass(frozen=True)
class Seen:
    """An image that is a copy of one of another dataset."""

    image: str
    """The id of that one."""
    how: Literal["equal", "alike"]
    """equal: of one size, and pixel by pixel as cached; alike: re-encoded, resized, brightened, turned or
    mirrored."""


def seen_in(trained: CachedArrays, there: CachedArrays) -> Mapping[str, Seen]:
    """Return which images of `there` are copies of images of `trained`, by id in the order of `there`.

    Of several the first equal one, else the first that is alike. Copies that were left out of `trained` are
    copies of images that are in it. Images of more than MOST_COMPARED are compared by their pixels alone.
    """
    key = trained.fingerprint, there.fingerprint
    stored = trained.path is not None and there.path is not None
    if stored and key in _known:
        return _known[key]
    found: dict[int, Seen] = {}
    for place, number, how in _pairs(trained, there):
        found.setdefault(place, Seen(trained.ids[number], how))
    seen = {there.ids[place]: found[place] for place in sorted(found)}
    if stored:
        _known[key] = seen
        while len(_known) > _KEPT:
            _known.popitem(last=False)
    return seen


def _pairs(
    trained: CachedArrays, there: CachedArrays
) -> Iterator[tuple[int, int, Literal["equal", "alike"]]]:
    first: dict[str, int] = {}
    for number, digest in enumerate(trained.keys or trained.pixel_hashes):
        first.setdefault(digest, number)
    for place, digest in enumerate(there.keys or there.pixel_hashes):
        if digest in first:
            yield place, first[digest], "equal"
    if trained.looks is not None and there.looks is not None:
        for place, number in near_between(there.looks, trained.looks):
            yield place, number, "alike"


def too_many(trained: CachedArrays, there: CachedArrays) -> bool:
    """Say whether only equal images are looked for, since there are too many to compare each with each."""
    return max(len(trained.ids), len(there.ids)) > MOST_COMPARED


def told(seen: Mapping[str, Seen]) -> str:
    """Return examples of copies in words."""
    words = {"equal": "equals", "alike": "looks like"}
    shown = [f"{sample} {words[item.how]} {item.image}" for sample, item in list(seen.items())[:NAMED]]
    more = f"; and {len(seen) - NAMED} more" if len(seen) > NAMED else ""
    return "; ".join(shown) + more
