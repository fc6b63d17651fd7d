"""PH2: 200 dermoscopic images of nevi and melanomas, one folder per case.

Mendonça et al., EMBC 2013, doi:10.1109/EMBC.2013.6610779. The images are of about twenty sizes near
767 x 576 pixels, although the paper says 768 x 560.
"""

from __future__ import annotations

import re
from pathlib import Path

from bench_core import DatasetRequest
from bench_core.data.picture import Picture
from bench_core.data.samples import Sample, UInt8Array
from bench_datasets.declared.skin import PH2
from bench_datasets.readers.base import Listing
from bench_datasets.readers.black_white import color_image, two_levels
from bench_datasets.readers.published import Pair, PublishedReader, check_number, find_folder, natural

PUBLISHED = 200
FOLDERS = ("PH2 Dataset images", "PH2_Dataset_images", "PH2 Images")
CASE = re.compile(r"IMD[0-9]{3}")
TABLE = "PH2_dataset.txt"
DIAGNOSES = {"0": "common nevus", "1": "atypical nevus", "2": "melanoma"}
"""Clinical diagnosis, as the legend below the table says."""
MOST_BYTES = 1024**2


def open_ph2(request: DatasetRequest) -> PublishedReader:
    """Open the folder of case folders, or one above it."""
    return PublishedReader(request, PH2, _find, _decode)


def _find(listing: Listing) -> list[Pair]:
    # Case folders directly below the root are as good.
    direct = any(CASE.fullmatch(path.name) for path in listing.root.iterdir() if path.is_dir())
    places = ["."] if direct else [f"{top}{name}" for top in ("", "PH2Dataset/") for name in FOLDERS]
    folder = find_folder(listing, places, "case folders")
    if folder is None:
        return []
    table = _diagnoses(listing, folder)
    cases = {
        path.name: path for path in sorted(folder.iterdir()) if path.is_dir() and CASE.fullmatch(path.name)
    }
    for name in sorted(table.keys() - cases.keys()):
        listing.problems.missing(folder / name, f"is missing: a case of {TABLE}")
    if table:
        for name in sorted(cases.keys() - table.keys()):
            listing.problems.add(folder / name, f"has no line in {TABLE}")
    check_number(listing, folder, len(cases.keys() | table.keys()), PUBLISHED, "cases")
    pairs = []
    for name in sorted(cases, key=natural):
        image = cases[name] / f"{name}_Dermoscopic_Image" / f"{name}.bmp"
        mask = cases[name] / f"{name}_lesion" / f"{name}_lesion.bmp"
        for path, what in ((image, "image"), (mask, "mask")):
            if path.exists() or path.is_symlink():
                listing.accept(path)
            else:
                listing.problems.missing(path, f"is missing: the {what} of this case")
        if image.exists() and mask.exists():
            attributes = {"diagnosis": table[name]} if table.get(name) else {}
            pairs.append(Pair(name, name, image, (mask,), attributes))
    return pairs


def _diagnoses(listing: Listing, folder: Path) -> dict[str, str]:
    """Return the diagnosis of each case in the published table; empty text where it says none."""
    above = (folder.parent, folder, listing.root)
    places = [place / TABLE for place in above if place.is_relative_to(listing.root)]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        listing.problems.missing(places[0], "is missing: the table of cases and diagnoses")
        return {}
    with path.open("rb") as file:
        text = file.read(MOST_BYTES).decode("utf-8", "replace")
    name = path.relative_to(listing.root).as_posix()
    table: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        cells = [cell.strip() for cell in line.split("||")]
        if len(cells) < 4 or not CASE.fullmatch(cells[1]):
            continue
        if cells[3] not in DIAGNOSES:
            listing.problems.add(
                f"{name}:{number}", f"the diagnosis of {cells[1]} is {cells[3]!a:.20}, not 0, 1 or 2"
            )
        if cells[1] in table:
            listing.problems.add(f"{name}:{number}", f"{cells[1]} has a second line")
        table[cells[1]] = DIAGNOSES.get(cells[3], "")
    if not table:
        listing.problems.add(path, "holds no lines such as || IMD002 || ... || 0 ||")
    return table


def _decode(sample: Sample) -> tuple[Picture, UInt8Array]:
    return color_image(sample.files[0]), two_levels(sample.files[1], exact=True)
