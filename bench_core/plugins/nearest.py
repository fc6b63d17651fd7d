"""The names that a wrong one may have meant, compared by their parts, in whatever order they come."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

_PART = re.compile(r"[a-z0-9.]+")
_ALIKE = 0.85
"""How much two parts must share to be taken for one with a slip of the pen (difflib's ratio)."""
_USUAL = frozenset(("resnet34", "r50", "tiny", "b0"))
"""Parts of encoders that most people start with."""
_ENOUGH = 0.75
"""The share of a wrong name's parts that a suggestion must have."""


def nearest_names(word: str, names: Iterable[str], most: int = 1) -> list[str]:
    """Return up to `most` of the names that `ranked_names` finds; empty where none is near."""
    return [name for _, name in ranked_names(word, names)[:most]]


def ranked_names(word: str, names: Iterable[str]) -> list[tuple[float, str]]:
    """Return the names that have the parts of `word` in any order, each with its score in [0, 1], best first.

    "+" reads as "plus", signs between parts do not count, and prefixes such as smp: are no part. Among equals
    one with a usual encoder and few other parts comes first.
    """
    wanted = parts_of(word)
    if not wanted:
        return []
    table = [(name, parts_of(name.partition(":")[2] or name)) for name in names]
    vocabulary = tuple(sorted({part for _, parts in table for part in parts}))
    # A name that is written together elsewhere (u-net, unet) is compared as a whole, too.
    near = {part: _alike(part, vocabulary) for part in {*wanted, "".join(wanted)}}
    scored: list[tuple[float, bool, int, int, str]] = []
    for number, (name, parts) in enumerate(table):
        score = max(_score(wanted, parts, near), _whole("".join(wanted), "".join(parts)))
        if score >= _ENOUGH:
            scored.append((-score, _USUAL.isdisjoint(parts), len(parts), number, name))
    return [(-score, name) for score, *_, name in sorted(scored)]


def parts_of(name: str) -> tuple[str, ...]:
    """Return a name's parts in small letters: ("deeplabv3plus", "r50") of DeepLabV3+_r50."""
    return tuple(_PART.findall(name.lower().replace("+", "plus")))


def _score(wanted: Sequence[str], parts: Sequence[str], near: dict[str, dict[str, float]]) -> float:
    whole = near["".join(wanted)]
    joined = max((whole.get(part, 0.0) for part in parts), default=0.0)
    each = [max((near[part].get(other, 0.0) for other in parts), default=0.0) for part in wanted]
    return max(joined, sum(each) / len(each))


def _whole(word: str, name: str) -> float:
    matcher = difflib.SequenceMatcher(None, word, name)
    if min(matcher.real_quick_ratio(), matcher.quick_ratio()) < _ALIKE:
        return 0.0
    ratio = matcher.ratio()
    return ratio if ratio >= _ALIKE else 0.0


@lru_cache(maxsize=1024)
def _cached(part: str, vocabulary: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    found = []
    matcher = difflib.SequenceMatcher(None, b=part)
    for other in vocabulary:
        matcher.set_seq1(other)
        if part == other:
            found.append((other, 1.0))
        elif min(matcher.real_quick_ratio(), matcher.quick_ratio()) >= _ALIKE:
            found.append((other, matcher.ratio()))
        elif len(part) > 3 and other.startswith(part):
            found.append((other, 0.9))
    return tuple((other, ratio) for other, ratio in found if ratio >= _ALIKE)


def _alike(part: str, vocabulary: tuple[str, ...]) -> dict[str, float]:
    return dict(_cached(part, vocabulary))
