"""Files that lie among the images and masks and are not used."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench_core.data.samples import Sample
from bench_datasets.folder.search import extension_of, searched, shown

NAMED = 3
PICTURES = (
    ".avif", ".heic", ".jp2", ".j2k", ".jpx", ".dcm", ".dicom", ".ima", ".mha", ".mhd",
    ".nrrd", ".pgm", ".ppm", ".pbm", ".pnm", ".tga", ".svg", ".npy", ".npz", ".mat", ".h5", ".hdf5", ".svs",
    ".ndpi",
)  # fmt: skip
"""Extensions of pictures in formats that are not read; other files are not data."""


def passed_over(root: Path, options: Mapping[str, Any], samples: Sequence[Sample]) -> list[str]:
    """Return a sentence for each kind of file that looks like data and is in no sample."""
    used = {path for sample in samples for path in sample.files}
    remarks = []
    for kind in ("images", "masks"):
        where, suffix = str(options[kind]), str(options[f"{kind[:-1]}_suffix"])
        base, pattern = searched(root, where)
        names = sorted(glob.glob(pattern, root_dir=base, recursive=True))  # noqa: PTH207
        files = [base / name for name in names if not Path(name).name.startswith(".")]
        left = [path for path in files if path not in used and path.is_file()]
        unread = [path for path in left if path.name.lower().endswith(PICTURES)]
        if unread:
            remarks.append(f"{_listed(root, unread)} under {where} in formats that are not read")
        other = [path for path in left if extension_of(path.name) is not None]
        if suffix and other:
            remarks.append(f"{_listed(root, other)} under {where} whose names do not end in {suffix!r}")
    return [f"passed over: {remark}" for remark in dict.fromkeys(remarks)]


def _listed(root: Path, paths: Iterable[Path]) -> str:
    names = [shown(root, path) for path in paths]
    rest = len(names) - NAMED
    more = f" and {rest} more" if rest > 0 else ""
    return f"{len(names)} file{'s' if len(names) > 1 else ''} ({', '.join(names[:NAMED])}{more})"
