"""CAMUS: cardiac ultrasound of 500 patients, two views at two phases, as NIfTI or in the older MHD release.

Layout, labels and tables: https://www.creatis.insa-lyon.fr/Challenge/camus/, Leclerc et al. 2019,
doi:10.1109/TMI.2019.2900516.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench_core import DatasetRequest
from bench_core.data.picture import Picture
from bench_core.data.samples import Attribute, Sample, UInt8Array
from bench_datasets.declared.study import CAMUS
from bench_datasets.readers.base import (
    Listing,
    Pair,
    StoredReader,
    counted,
    passed_over,
    root_of,
    some,
    tell_missing,
)
from bench_datasets.readers.camus_files import (
    NIFTI,
    PHASES,
    VIEWS,
    Container,
    Release,
    containers_of,
    file_of,
    is_known,
)
from bench_datasets.readers.camus_pixels import pixels_of, spacing_of, to_gray, to_labels
from bench_datasets.readers.camus_tables import attributes_of, splits_of
from bench_datasets.readers.stored import Stored, listed


class CamusReader(StoredReader):
    """Four images a patient, who is their group; sequences and what is interpolated in them are not used."""

    def find(self, listing: Listing) -> None:
        """List patients of the one release that lies below the root."""
        containers = containers_of(self.root)
        if not containers:
            text = "the published folder is missing: no folder patient0001 ... is below the root"
            listing.problems.missing(self.root / "database_nifti", text)
            return
        first = containers[0]
        taken: list[Container] = []
        for container in containers:
            same = [other for other in taken if other.part == container.part] or taken[:1]
            if container.release is first.release and container.part not in {other.part for other in taken}:
                taken.append(container)
            else:
                where = same[0].folder.relative_to(self.root)
                text = f"holds patients too, as {where} does: set `root` to one of them"
                listing.problems.add(container.folder, text)
        splits = splits_of(self.root, listing) if first.release is NIFTI else {}
        for container in taken:
            self._add(container, splits, listing)

    def pair(self, sample: Sample) -> Pair:
        """Return the two headers; in MHD files each has its data behind it."""
        image, mask = sample.files if len(sample.files) == 2 else sample.files[::2]
        return Stored(image), Stored(mask)

    def decode(self, image: Stored, mask: Stored) -> tuple[Picture, UInt8Array]:
        """Return the image [H, W, 1], probe on top, and its mask: 1 = ventricle, 2 = its wall, 3 = atrium."""
        gray = to_gray(pixels_of(image.path), image.path)
        return Picture(gray), to_labels(pixels_of(mask.path), mask.path)

    def _add(self, container: Container, splits: Mapping[str, str], listing: Listing) -> None:
        release, folder, problems = container.release, container.folder, listing.problems
        files = {patient: listed(folder / patient)[1] for patient in container.patients}
        part = container.part
        if part == "testing" and not any("_gt" in name for names in files.values() for name in names):
            count = counted(len(container.patients), "patient")
            listing.remarks.append(f"not used: {count} in testing/, published without ground truth")
            return
        _count(container, listing)
        strange = [f"{name}/{file}" for name in files for file in files[name] if not is_known(name, file)]
        passed_over(listing, folder.name, strange)
        lost: dict[str, list[str]] = {}
        absent: dict[str, list[str]] = {}
        for patient, names in files.items():
            if not names:
                lost.setdefault("is empty", []).append(patient)
                continue
            for view in VIEWS:
                images = _images(container, patient, view, names, listing)
                if images is None:
                    lost.setdefault(f"has no view {view}", []).append(patient)
                    continue
                table = folder / patient / f"Info_{view}.cfg"
                known: dict[str, Attribute] = {"view": view}
                if patient in splits:
                    known["split"] = splits[patient]
                if table.name in names:
                    known |= attributes_of(table, listing, absent)
                else:
                    problems.missing(table, "the file is missing")
                for phase, pair in images.items():
                    name = f"{part}-{patient}" if part else patient
                    _add_sample(listing, name, {**known, "phase": phase}, pair, release)
        for what, patients in lost.items():
            tell_missing(problems, folder, patients, what)
        for key, tables in absent.items():
            listing.remarks.append(f"{key} is not told in {len(tables)} files ({some(tables)})")
        if splits and (left := [name for name in files if name not in splits]):
            listing.remarks.append(f"in no file of database_split: {len(left)} patients ({some(left)})")


def open_camus(request: DatasetRequest) -> CamusReader:
    """Open CAMUS below a root; raises DataError without one."""
    return CamusReader(CAMUS, root_of(request, CAMUS), request.options)


def _count(container: Container, listing: Listing) -> None:
    """Compare patients with those that were published in this folder."""
    published = {f"patient{number:04d}" for number in range(1, container.published + 1)}
    lost = sorted(published - {*container.patients})
    if lost:
        have = container.published - len(lost)
        text = f"holds {have} of {container.published} published patients: without {some(lost)}"
        listing.problems.missing(container.folder, text)
    for patient in sorted({*container.patients} - published):
        listing.problems.add(container.folder / patient, "is not among the published patients")


def _images(
    container: Container, patient: str, view: str, names: Sequence[str], listing: Listing
) -> dict[str, Pair] | None:
    """Return image and ground truth by phase, where both are there; None where no file of the view is."""
    release, folder = container.release, container.folder
    found: dict[str, list[Path]] = {}
    lost = []
    for phase in PHASES:
        for what in (f"{view}_{phase}", f"{view}_{phase}_gt"):
            path = file_of(folder, patient, what, names, release, listing)
            if path is None:
                lost.append(f"{patient}_{what}{release.ending}")
            elif absent := [other for other in release.belonging(path) if not other.is_file()]:
                lost.append(absent[0].name)
            else:
                found.setdefault(phase, []).append(path)
    if not found and len(lost) == 2 * len(PHASES):
        return None
    tell_missing(listing.problems, folder / patient, lost, "the file is missing")
    return {phase: (Stored(paths[0]), Stored(paths[1])) for phase, paths in found.items() if len(paths) == 2}


def _add_sample(
    listing: Listing, patient: str, known: Mapping[str, Attribute], pair: Pair, release: Release
) -> None:
    paths = tuple(stored.path for stored in pair)
    sample = Sample(
        id=f"{patient}_{known['view']}_{known['phase']}",
        group=patient,
        files=tuple(path for first in paths for path in release.belonging(first)),
        attributes=known,
        spacing=spacing_of(paths[0]),
    )
    listing.samples.append(sample)
