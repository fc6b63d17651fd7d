"""Finds images and their masks, and says everything at once that does not fit together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench_core.data.layout import layout_error
from bench_core.data.samples import Sample
from bench_core.errors import DataError
from bench_datasets.folder.attributes import find_attributes
from bench_datasets.folder.groups import find_groups
from bench_datasets.folder.pairing import Pairs, is_mask_name, pair
from bench_datasets.folder.parts import find_parts
from bench_datasets.folder.search import (
    EXTENSIONS,
    deeper_files,
    find_files,
    searched,
    shown,
    unread_files,
    why_unread,
)
from bench_datasets.folder.slices import Slices


def list_samples(root: Path, options: Mapping[str, Any], slices: Slices) -> list[Sample]:
    """Return one sample per image or slice, sorted by id; raise LayoutError with every problem of the layout.

    The error knows the samples that are whole, so that they can be decoded nevertheless.
    """
    samples, problems = look(root, options)
    samples = slices.cut(root, samples, problems)
    if problems:
        fix = "correct the files, or the dataset's options in the spec (images, masks, suffixes, groups)"
        if not samples:
            fix += "; `pair_by` finds what the names of an image and its mask share"
        raise layout_error(
            problems,
            root,
            samples,
            cause="each image needs one mask of the same name, and each sample one group",
            fix=fix,
        )
    return samples


def look(root: Path, options: Mapping[str, Any]) -> tuple[list[Sample], list[str]]:
    """Return the samples that are whole and every problem of the layout; DataError if there is no folder."""
    if not root.is_dir():
        raise DataError(
            "the dataset's root is not a folder",
            place=str(root),
            fix="correct `root:` of the dataset in the spec",
        )
    problems: list[str] = []
    masks = find_files(root, str(options["masks"]), problems)
    images = find_files(root, str(options["images"]), problems)
    taken = {found.path for found in masks if is_mask_name(found.name, options)}
    images = [found for found in images if found.path not in taken]
    pairs = pair(root, images, masks, options, problems)
    without = _check_masks(root, pairs, options, problems)
    _check_images(root, pairs, options, problems)
    keys = sorted([*pairs.both, *without])
    names = {key: shown(root, pairs.images[key]) for key in keys}
    groups = find_groups(root, names, str(options["group_pattern"]), str(options["group_file"]), problems)
    attributes = find_attributes(root, names, str(options["attribute_file"]), problems)
    parts = find_parts(root, names, options, problems)
    samples = [
        Sample(
            key,
            groups[key],
            (pairs.images[key], *pairs.masks.get(key, ())),
            {**attributes.get(key, {}), **({"part": parts[key]} if key in parts else {})},
        )
        for key in keys
    ]
    return samples, _each_once(problems)


def _check_masks(root: Path, pairs: Pairs, options: Mapping[str, Any], problems: list[str]) -> list[str]:
    """Add the images without a mask; return those that may have none.

    An image whose mask is there under another spelling or in another format is a problem all the same.
    """
    where, suffix = str(options["masks"]), str(options["mask_suffix"])
    unread = unread_files(root, where)
    if pairs.images and not pairs.masks and not unread:
        if searched(root, where)[0].is_dir():
            problems.append(_nothing(root, where, "masks"))
        return []
    lowered = {key.casefold(): files[0] for key, files in pairs.masks.items()}
    without = []
    for key in sorted(pairs.images.keys() - pairs.masks.keys()) if pairs.masks or unread else ():
        instead = _instead(root, unread.get(f"{key}{suffix}"), lowered.get(key.casefold()))
        if options["missing_masks"] == "background" and not instead:
            without.append(key)
        else:
            path = shown(root, pairs.images[key])
            problems.append(f"{path}: has no mask (expected {key}{suffix} under {where}){instead}")
    return without


def _check_images(root: Path, pairs: Pairs, options: Mapping[str, Any], problems: list[str]) -> None:
    """Add the masks without an image."""
    where = str(options["images"])
    unread = unread_files(root, where)
    if not pairs.images and not unread and not problems:
        problems.append(_nothing(root, where, "images"))
    lowered = {key.casefold(): path for key, path in pairs.images.items()}
    for key in sorted(pairs.masks.keys() - pairs.images.keys()) if pairs.images or unread else ():
        other = unread.get(f"{key}{options['image_suffix']}")
        for path in pairs.masks[key]:
            problems.append(
                f"{shown(root, path)}: has no image" + _instead(root, other, lowered.get(key.casefold()))
            )


def _instead(root: Path, unread: Path | None, other_case: Path | None) -> str:
    if unread is not None:
        return f"; {shown(root, unread)} is there, {why_unread(unread)}"
    if other_case is not None:
        return f"; {shown(root, other_case)} differs in upper and lower case only"
    return ""


def _nothing(root: Path, where: str, what: str) -> str:
    """Return in words that a folder holds nothing, or which of its sub-folders does."""
    message = f"{where}: holds no {what} ({', '.join(EXTENSIONS)})"
    deeper = deeper_files(root, where)
    if not deeper:
        return message
    inner = deeper[0].parent.relative_to(searched(root, where)[0])
    stars = "*/" * len(inner.parts)
    return f"{message}, but its sub-folder {inner.as_posix()} does: write {where}/{stars}*"


def _each_once(problems: Sequence[str]) -> list[str]:
    # A file that lies in both searched folders is seen twice.
    return list(dict.fromkeys(problems))
