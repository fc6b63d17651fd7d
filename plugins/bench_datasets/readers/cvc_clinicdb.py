"""CVC-ClinicDB: 612 frames of 29 video sequences, as published (TIFF) or as mirrored with a table (PNG).

Bernal et al., Comput Med Imaging Graph 2015, doi:10.1016/j.compmedimag.2015.02.007.
"""

from __future__ import annotations

import bisect
from pathlib import Path

from bench_core import DatasetRequest
from bench_core.data.picture import Picture
from bench_core.data.samples import Sample, UInt8Array
from bench_datasets.declared.polyps import CVC_CLINICDB
from bench_datasets.folder.tables import read_rows
from bench_datasets.readers.base import Listing
from bench_datasets.readers.black_white import color_image, two_levels
from bench_datasets.readers.published import Pair, PublishedReader, check_numbered, files_by_key, paired

PUBLISHED = 612
SIZE = (384, 288)
LAST_FRAMES = (
    25, 50, 67, 78, 103, 126, 151, 177, 199, 205, 227, 252, 277, 297, 317, 342, 363, 383, 408, 428, 447, 466,
    478, 503, 528, 546, 571, 591, 612,
)  # fmt: skip
"""Of each sequence (dataset-ninja/cvc-612; frames of a sequence follow each other)."""
PLACES = (
    "CVC-ClinicDB/PNG",
    "PNG",
    "CVC-ClinicDB/TIF",
    "TIF",
    "CVC-ClinicDB/CVC-ClinicDB",
    "CVC-ClinicDB",
    ".",
)
"""PNG first: it is lossless as well, and some of the TIFFs are of kinds that few decoders know."""
NAME = r"([0-9]+)\.(?:tiff?|png|TIFF?|PNG)"


def open_cvc_clinicdb(request: DatasetRequest) -> PublishedReader:
    """Open the folder with `Original` and `Ground Truth`, or one above it."""
    return PublishedReader(request, CVC_CLINICDB, _find, _decode, lambda listing: SIZE)


def _find(listing: Listing) -> list[Pair]:
    holding = [place for place in PLACES if (listing.root / place / "Original").is_dir()]
    if not holding:
        listing.problems.add(
            "Original", "no such folder of images, neither below the root nor in CVC-ClinicDB, PNG or TIF"
        )
        return []
    # The fuller copy, if one was unpacked in part.
    frames = {place: len(list((listing.root / place / "Original").iterdir())) for place in holding}
    read = max(holding, key=lambda place: frames[place])
    top = listing.root / read
    for place in holding:
        if place != read:
            listing.remarks.append(f"passed over: {place}/: the same frames as in {read}, which is read")
    image_folder, mask_folder = top / "Original", top / "Ground Truth"
    if not mask_folder.is_dir():
        listing.problems.add(mask_folder, "no such folder of masks")
        return []
    images = files_by_key(listing, image_folder, NAME, "image")
    masks = files_by_key(listing, mask_folder, NAME, "mask")
    check_numbered(listing, image_folder, images.keys() | masks.keys(), PUBLISHED, "frames")
    keys = paired(
        listing,
        images,
        masks,
        lambda key: mask_folder / images[key].name,
        lambda key: image_folder / masks[key].name,
    )
    given = _given_sequences(listing, [top, top.parent, listing.root])
    pairs = []
    for key in keys:
        if int(key) > PUBLISHED:
            continue
        group = sequence_of(int(key))
        if given is not None:
            if key not in given:
                listing.problems.add(images[key], "has no line in metadata.csv")
            group = given.get(key, group)
        pairs.append(Pair(key, f"sequence-{group:02d}", images[key], (masks[key],)))
    return pairs


def sequence_of(frame: int) -> int:
    """Return the number of a frame's sequence, from 1, by the published ranges."""
    return bisect.bisect_left(LAST_FRAMES, frame) + 1


def _given_sequences(listing: Listing, folders: list[Path]) -> dict[str, int] | None:
    """Return the sequence of each frame from metadata.csv, None where there is no usable one."""
    inside = [folder for folder in dict.fromkeys(folders) if folder.is_relative_to(listing.root)]
    path = next((folder / "metadata.csv" for folder in inside if (folder / "metadata.csv").is_file()), None)
    if path is None:
        return None
    name = path.relative_to(listing.root).as_posix()
    found: list[str] = []
    rows = read_rows(listing.root, name, found)
    for problem in found:
        listing.problems.add(name, problem.removeprefix(f"{name}: "))
    if rows is None:
        return None
    header = [cell.lower() for cell in rows[0][1]] if rows else []
    frame = next((header.index(word) for word in ("frame_id", "frame") if word in header), None)
    sequence = next((header.index(word) for word in ("sequence_id", "sequence") if word in header), None)
    if frame is None or sequence is None:
        listing.problems.add(name, "its first line names no columns frame_id and sequence_id")
        return None
    table: dict[str, int] = {}
    for number, cells in rows[1:]:
        if len(cells) <= max(frame, sequence) or not (cells[frame].isdigit() and cells[sequence].isdigit()):
            listing.problems.add(f"{name}:{number}", "expected a number of a frame and of its sequence")
        elif table.setdefault(str(int(cells[frame])), int(cells[sequence])) != int(cells[sequence]):
            listing.problems.add(f"{name}:{number}", f"frame {cells[frame]} is in a second sequence")
    return table


def _decode(sample: Sample) -> tuple[Picture, UInt8Array]:
    return color_image(sample.files[0]), two_levels(sample.files[1], exact=False)
