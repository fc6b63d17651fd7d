"""What becomes of copies: kept together in one fold, left out, or only told."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench_core.data.arrays import CachedArrays
from bench_core.data.copies import Pair, equal_images, joined, near_pairs, partition, study_pairs
from bench_core.files.bounded import BoundError, read_json

Policy = Literal["group", "drop", "report"]
Rule = Literal["near", "exact", "study"]
NOTE = "copies-"
"""Begin the names of files in the folder of caches: what was found out about copies of each content."""
NAMED = 3
"""Clusters that a remark names; the rest are counted."""
_FORMAT = 2
"""Raise it with any change to what the rules find."""
_MOST_BYTES = 64 * 1024**2
CONTENT = 32
"""Digits of a fingerprint that are of the files' content, whatever the grouping."""
_GIANT_SHARE, _GIANT = 3, 10


@dataclass(frozen=True)
class Duplicates:
    """Which images are copies of each other, and what becomes of them."""

    policy: str = "group"
    """group (all stay, a cluster of copies in one fold), drop (one of each cluster stays) or report."""
    rule: str = "near"
    """near (equal or alike), exact (equal pixels) or study (perceptual hashes that differ in < 8 bits)."""
    given: bool = False
    """Whether the user's own file says which sample lies in which fold: nothing is moved then."""

    @property
    def moves(self) -> bool:
        """Whether samples or their groups can be other than declared."""
        return self.policy == "drop" or (self.policy == "group" and not self.given)


def apply(arrays: CachedArrays, duplicates: Duplicates, cache: Path) -> CachedArrays:
    """Return the samples as folds are cut from them, with what is to be said of copies.

    Under `group` the groups of copies become one, transitively, named after the first of them. Under `drop`
    the last of each cluster by id stays. The fingerprint keeps its first half, which is of the content; the
    second half covers ids and groups wherever these are not as declared. `cache` is the folder of caches,
    where clusters are kept, so that images are compared once.
    """
    place = _place(arrays.fingerprint, duplicates, cache)
    clusters = _known(place, len(arrays.ids))
    if clusters is None:
        clusters = find(arrays, duplicates.rule)
    found = _applied(arrays, duplicates, clusters)
    _keep(place, found.fingerprint, clusters)
    return found


def find(arrays: CachedArrays, rule: str) -> list[tuple[int, ...]]:
    """Return clusters of samples that are copies of each other, closed transitively."""
    return joined(len(arrays.ids), _pairs(arrays, rule))


def _pairs(arrays: CachedArrays, rule: str) -> Iterator[Pair]:
    yield from equal_images(arrays.pixel_hashes)
    if rule == "near" and arrays.looks is not None:
        yield from near_pairs(arrays.looks)
    if rule == "study" and arrays.study_hashes is not None:
        yield from study_pairs(arrays.study_hashes)


def present_fingerprint(content: str, duplicates: Duplicates, cache: Path) -> str | None:
    """Return the fingerprint under which samples of this content are known; None if no cache says so."""
    if not duplicates.moves:
        return content
    try:
        found = read_json(_place(content, duplicates, cache), _MOST_BYTES)["fingerprint"]
    except (OSError, BoundError, LookupError, TypeError):
        return None
    return found if isinstance(found, str) and same_content(found, content) else None


def same_content(one: str, other: str) -> bool:
    """Say whether two fingerprints are of the same files, whatever the grouping of their samples."""
    return one[:CONTENT] == other[:CONTENT]


def _applied(
    arrays: CachedArrays, duplicates: Duplicates, clusters: Sequence[tuple[int, ...]]
) -> CachedArrays:
    remarks = [*_contradictions(arrays), *_giant(arrays, clusters)]
    groups = arrays.groups
    across = [cluster for cluster in clusters if len({groups[number] for number in cluster}) > 1]
    dropping = duplicates.policy == "drop"
    copies = _ids(arrays, clusters if dropping else across)
    if not duplicates.moves or not copies:
        return replace(arrays, copies=copies, remarks=tuple(remarks))
    if dropping:
        out = {number for cluster in clusters for number in _but_last(arrays, cluster)}
        left_out = tuple(arrays.ids[number] for number in sorted(out))
        remarks.append(_said(f"{len(left_out)} of {len(arrays.ids)} images are left out as copies", copies))
        kept = np.array([number for number in range(len(arrays.ids)) if number not in out], dtype=np.int64)
        found = replace(arrays.take(kept), left_out=left_out)
    else:
        images = sum(map(len, copies))
        remarks.append(_said(f"{images} images look like copies and stay in one fold with theirs", copies))
        merged = _merged(groups, across)
        remarks += _large(merged, groups)
        found = replace(arrays, groups=merged)
    fingerprint = _fingerprint(arrays.fingerprint, found)
    return replace(found, fingerprint=fingerprint, copies=copies, remarks=tuple(remarks))


def _fingerprint(content: str, arrays: CachedArrays) -> str:
    text = json.dumps([content, list(arrays.ids), list(arrays.groups)])
    return content[:CONTENT] + hashlib.sha256(text.encode()).hexdigest()[CONTENT:]


def _merged(groups: Sequence[str], clusters: Iterable[tuple[int, ...]]) -> tuple[str, ...]:
    """Return groups after those that share a cluster have become one, named after the first of them."""
    links = ((cluster[0], number) for cluster in clusters for number in cluster[1:])
    merged = list(groups)
    for members in partition(len(groups), links, groups):
        name = min(groups[number] for number in members)
        for number in members:
            merged[number] = name
    return tuple(merged)


def _but_last(arrays: CachedArrays, cluster: Sequence[int]) -> list[int]:
    return sorted(cluster, key=lambda number: arrays.ids[number])[:-1]


def _ids(arrays: CachedArrays, clusters: Iterable[Sequence[int]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(arrays.ids[number] for number in cluster) for cluster in clusters)


def _contradictions(arrays: CachedArrays) -> Iterator[str]:
    """Yield what is wrong with equal images whose masks are not equal."""
    members: dict[str, list[int]] = defaultdict(list)
    if arrays.mask_hashes:
        for number, digest in enumerate(arrays.pixel_hashes):
            members[digest].append(number)
    odd = [
        tuple(arrays.ids[number] for number in found)
        for found in members.values()
        if len({arrays.mask_hashes[number] for number in found}) > 1
    ]
    if odd:
        yield _said("images are equal, but their masks are not, so that one of them must be wrong", odd)


def _giant(arrays: CachedArrays, clusters: Sequence[tuple[int, ...]]) -> Iterator[str]:
    largest = max(clusters, key=len, default=())
    count = len(arrays.ids)
    if len(largest) >= _GIANT and len(largest) * _GIANT_SHARE > count:
        first, last = arrays.ids[largest[0]], arrays.ids[largest[-1]]
        yield (
            f"one cluster of copies holds {len(largest)} of {count} images, {first} and {last} among them: "
            "a chain of images of one kind, or a video; give them groups, or choose another rule of "
            "`duplicates`"
        )


def _large(merged: Sequence[str], groups: Sequence[str]) -> Iterator[str]:
    """Yield a warning where copies join patients to a group that is most of the dataset."""
    name, size = Counter(merged).most_common(1)[0]
    was = max(Counter(groups).values())
    if size >= _GIANT and size * _GIANT_SHARE > len(merged) and size > was:
        joined_groups = len({group for group, now in zip(groups, merged, strict=True) if now == name})
        yield (
            f"copies join {joined_groups} groups to one of {size} of {len(merged)} images, {name!r}: folds "
            "cannot be balanced"
        )


def _said(what: str, clusters: Sequence[Sequence[str]]) -> str:
    shown = "; ".join(_named(cluster) for cluster in clusters[:NAMED])
    more = f"; and {len(clusters) - NAMED} more" if len(clusters) > NAMED else ""
    return f"{what}: {shown}{more}"


def _named(cluster: Sequence[str]) -> str:
    if len(cluster) > NAMED:
        return f"{', '.join(cluster[:NAMED])} and {len(cluster) - NAMED} more"
    return f"{', '.join(cluster[:-1])} and {cluster[-1]}"


def across_folds(arrays: CachedArrays, folds: Iterable[int]) -> list[str]:
    """Return a warning where copies lie in different folds; `folds` are the samples'."""
    fold_of = dict(zip(arrays.ids, (int(fold) for fold in folds), strict=True))
    torn = [
        cluster
        for cluster in arrays.copies
        if len({fold_of[sample] for sample in cluster if sample in fold_of}) > 1
    ]
    noun = "cluster of images in different folds looks" if len(torn) == 1 else "clusters of images in "
    noun += "" if len(torn) == 1 else "different folds look"
    return [_said(f"{len(torn)} {noun} like copies of each other", torn)] if torn else []


def _place(content: str, duplicates: Duplicates, cache: Path) -> Path:
    key = json.dumps([_FORMAT, content, duplicates.policy, duplicates.rule, duplicates.given])
    return cache / f"{NOTE}{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def _known(place: Path, count: int) -> list[tuple[int, ...]] | None:
    """Return the clusters that were found before; None where none are kept, or they do not fit."""
    try:
        kept: Any = read_json(place, _MOST_BYTES)["clusters"]
        clusters = [tuple(cluster) for cluster in kept]
    except (OSError, BoundError, LookupError, TypeError):
        return None
    numbers = [number for cluster in clusters for number in cluster]
    if any(type(number) is not int or not 0 <= number < count for number in numbers):
        return None
    return clusters if len(set(numbers)) == len(numbers) and all(map(len, clusters)) else None


def _keep(place: Path, fingerprint: str, clusters: Sequence[tuple[int, ...]]) -> None:
    text = json.dumps({"fingerprint": fingerprint, "clusters": clusters})
    temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    with contextlib.suppress(OSError):
        if place.exists() and place.read_text(encoding="utf-8") == text:
            return
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(place)
