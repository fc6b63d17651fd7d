"""Which files are the image and the masks of one sample, by their names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_datasets.folder.search import Found, shown

_NUMBERED = re.compile(r"[-_. ]?\(?\d+\)?$")
"""What tells a further mask of an image from its first: _1, -2, " (3)"."""


@dataclass
class Pairs:
    """Image and masks by sample id, and what does not fit together."""

    images: dict[str, Path] = field(default_factory=dict)
    masks: dict[str, list[Path]] = field(default_factory=dict)

    @property
    def both(self) -> list[str]:
        """Ids that have an image and a mask, sorted."""
        return sorted(self.images.keys() & self.masks.keys())


def pair(
    root: Path,
    images: Sequence[Found],
    masks: Sequence[Found],
    options: Mapping[str, Any],
    problems: list[str],
) -> Pairs:
    """Return the files of each id; what has none, or is a second one of its kind, is added to `problems`.

    An id is the path below the searched folder without extension and suffix, or what `pair_by` finds in it.
    """
    pairs = Pairs()
    for found in images:
        key = _key(found, str(options["image_suffix"]), options, problems)
        if key is None:
            continue
        if key in pairs.images:
            second = f"second image for {key}, beside {pairs.images[key].name}"
            problems.append(f"{shown(root, found.path)}: {second}")
        else:
            pairs.images[key] = found.path
    several = options["several_masks"] == "union"
    for found in masks:
        key = _mask_key(found, pairs.images, several, options, problems)
        if key is None:
            continue
        known = pairs.masks.setdefault(key, [])
        if known and not several:
            problems.append(f"{shown(root, found.path)}: second mask for {key}, beside {known[0].name}")
        else:
            known.append(found.path)
    return pairs


def is_mask_name(name: str, options: Mapping[str, Any]) -> bool:
    """Return whether a file that lies among images and masks alike is a mask, by the end of its name."""
    suffix = str(options["mask_suffix"])
    further = bool(suffix) and options["several_masks"] == "union"
    return name.endswith(suffix) or (further and _NUMBERED.sub("", name).endswith(suffix))


def is_further_mask(name: str, suffix: str, images: Mapping[str, Path]) -> bool:
    """Return whether a name that does not end in the suffix is that of a second mask of an image."""
    stem = _NUMBERED.sub("", name)
    return stem != name and stem.endswith(suffix) and stem[: len(stem) - len(suffix)] in images


def _mask_key(
    found: Found,
    images: Mapping[str, Path],
    several: bool,
    options: Mapping[str, Any],
    problems: list[str],
) -> str | None:
    suffix = str(options["mask_suffix"])
    ends = found.name.endswith(suffix)
    if options["pair_by"]:
        first = ends
    else:
        first = ends and found.name[: len(found.name) - len(suffix)] in images
    if several and not first:
        stem = _NUMBERED.sub("", found.name)
        if options["pair_by"] or is_further_mask(found.name, suffix, images):
            return _key(Found(found.path, stem), suffix, options, problems)
    return _key(found, suffix, options, problems)


def _key(found: Found, suffix: str, options: Mapping[str, Any], problems: list[str]) -> str | None:
    name = found.name
    if not name.endswith(suffix):
        return None
    name = name[: len(name) - len(suffix)]
    pattern = str(options["pair_by"])
    if not pattern:
        return name
    match = re.search(pattern, name)
    groups = [text for text in (match.groups() or (match[0],)) if text] if match is not None else []
    if not groups:
        problems.append(f"{found.path.name}: pair_by {pattern!r} finds no id in {name!r}")
        return None
    return "/".join(groups)
