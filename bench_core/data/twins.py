"""Ids that look like several images of one patient, and groups that are spelled in two ways."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

_SEVERAL = re.compile(r"(.*\d)[^0-9]*[-_ ./][^0-9]*\d+")


def group_hints(ids: Sequence[str], groups: Sequence[str]) -> list[str]:
    """Return why groups may not be what they should be, one sentence each."""
    hints = []
    spellings: dict[str, set[str]] = defaultdict(set)
    for group in groups:
        spellings["".join(group.lower().split())].add(group)
    twice = [sorted(found) for found in spellings.values() if len(found) > 1]
    if twice:
        shown = " and ".join(map(repr, twice[0]))
        hints.append(f"groups {shown} differ in case or spaces only, and count as two")
    if len(set(groups)) == len(ids):
        families: dict[str, list[str]] = defaultdict(list)
        for sample in ids:
            match = _SEVERAL.fullmatch(sample)
            families[match[1] if match else sample].append(sample)
        several = [members for members in families.values() if len(members) > 1]
        if len(families) > 1 and sum(map(len, several)) * 3 >= len(ids) * 2:
            hints.append(
                f"ids such as {several[0][0]} and {several[0][1]} look like images of one patient, but each "
                "is a group of its own: they may lie in different folds"
            )
    return hints
