"""Files that lie among the images and masks and are not used, and other things that are rarely meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench_core.data.samples import Sample
from bench_datasets.decoding.dicom import EXTENSIONS as DICOM
from bench_datasets.decoding.pixels import Pixels
from bench_datasets.folder.orientation import turned_pairs, unlike_axes
from bench_datasets.folder.pairing import is_further_mask
from bench_datasets.folder.ranges import range_remarks
from bench_datasets.folder.search import below, deeper_files, extension_of, shown, why_unread
from bench_datasets.folder.tables import composed

NAMED = 10
"""Files that a remark names; the rest are counted."""
PICTURES = (
    ".avif", ".heic", ".jp2", ".j2k", ".jpx", *DICOM, ".mha", ".mhd", ".nrrd", ".pgm", ".ppm", ".pbm", ".pnm",
    ".tga", ".svg", ".npy", ".npz", ".mat", ".h5", ".hdf5", ".svs", ".ndpi", ".psd", ".raw", ".img", ".exr",
    ".hdr", ".jfif", ".jpe", ".apng",
)  # fmt: skip
"""Extensions of pictures in formats that may not be read; other files are not data."""
_HEADS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"BM", b"RIFF")
"""How pictures begin whose names have no extension."""


def all_remarks(
    root: Path,
    options: Mapping[str, Any],
    samples: Sequence[Sample],
    pixels_of: Callable[[Sample], Pixels],
) -> list[str]:
    """Return a sentence for everything that a user should see before these samples are used."""
    found = [f"passed over: {remark}" for remark in _passed_over(root, options, samples)]
    if options["orientation"] == "exif":
        found += _turned(samples)
    if not options["slices"]:
        found += unlike_axes(samples)
    found += _alike(samples)
    empty = [sample.id for sample in samples if len(sample.files) == 1]
    if empty:
        found.append(f"without a mask and all background (missing_masks: background): {_names(empty)}")
    return found + range_remarks(samples, options, pixels_of)


def _passed_over(root: Path, options: Mapping[str, Any], samples: Sequence[Sample]) -> list[str]:
    """Return a sentence for each kind of file that looks like data and is in no sample."""
    used = {path for sample in samples for path in sample.files}
    images = {sample.id: sample.files[0] for sample in samples}
    remarks = []
    for kind in ("images", "masks"):
        where, suffix = str(options[kind]), str(options[f"{kind[:-1]}_suffix"])
        left = [(name, path) for name, path in below(root, where) if path not in used and path.is_file()]
        unread: dict[str, list[Path]] = {}
        for _, path in left:
            if extension_of(path.name) is None and _looks_like_a_picture(path):
                unread.setdefault(why_unread(path), []).append(path)
        remarks += [f"{_listed(root, paths)} under {where}, {why}" for why, paths in unread.items()]
        other = [(name, path) for name, path in left if extension_of(path.name) is not None]
        if suffix and other:
            names = [composed(Path(name).as_posix())[: -len(extension_of(name) or "")] for name, _ in other]
            further = kind == "masks" and all(is_further_mask(name, suffix, images) for name in names)
            hint = "; `several_masks: union` joins them with the first" if further else ""
            listed = _listed(root, [path for _, path in other])
            remarks.append(f"{listed} under {where} whose names do not end in {suffix!r}{hint}")
        deeper = [path for path in deeper_files(root, where) if path not in used]
        if deeper:
            remarks.append(f"{_listed(root, deeper)} in sub-folders of {where}, which only a pattern reaches")
    return list(dict.fromkeys(remarks))


def _looks_like_a_picture(path: Path) -> bool:
    if path.suffix:
        return path.name.lower().endswith(PICTURES)
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except OSError:
        return False
    return head.startswith(_HEADS) or head[128:] == b"DICM"


def _turned(samples: Sequence[Sample]) -> list[str]:
    ids = turned_pairs(samples)
    if not ids:
        return []
    return [
        f"{_names(ids)}: of image and mask one notes how it must be turned (EXIF orientation) and the "
        "other does not; look whether they fit (bench data show), else set `orientation: stored`"
    ]


def _alike(samples: Sequence[Sample]) -> list[str]:
    """Return the ids that are one file where names do not tell upper from lower case."""
    seen: dict[str, list[str]] = {}
    for sample in samples:
        seen.setdefault(sample.id.casefold(), []).append(sample.id)
    twins = [" and ".join(ids) for ids in seen.values() if len(ids) > 1]
    return [f"ids differ in upper and lower case only: {_names(twins)}"] if twins else []


def _listed(root: Path, paths: Iterable[Path]) -> str:
    names = [shown(root, path) for path in paths]
    return f"{len(names)} file{'s' if len(names) > 1 else ''} ({_names(names)})"


def _names(names: Sequence[str]) -> str:
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
