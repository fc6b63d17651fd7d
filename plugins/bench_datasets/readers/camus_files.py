"""Where CAMUS's patients lie and what their files are called, in both releases."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench_datasets.readers.base import Listing
from bench_datasets.readers.mhd import data_file
from bench_datasets.readers.stored import folders

PATIENT = re.compile(r"patient\d{4}")
VIEWS, PHASES = ("2CH", "4CH"), ("ED", "ES")
KNOWN = re.compile(
    r"Info_[24]CH\.cfg|(patient\d{4})_[24]CH_(ED|ES|half_sequence|sequence)(_gt)?\.(nii(\.gz)?|mhd|raw|zraw)"
    r"|.*\.(md|txt|pdf)"
)
"""Names of files in a patient's folder, those included that are not used."""
DEPTH = 4
"""Levels below the root in which patients are looked for: CAMUS_public/database/training is published."""
PATIENTS = {"": 500, "training": 450, "testing": 50}
"""Published patients of the NIfTI release and of the older one's parts, which number from 1 both."""


@dataclass(frozen=True)
class Release:
    """How a release stores an image."""

    name: str
    endings: tuple[str, ...]
    """The published one first; some programs unpack `.nii.gz` on their way."""

    @property
    def ending(self) -> str:
        """The published ending."""
        return self.endings[0]

    def belonging(self, path: Path) -> tuple[Path, ...]:
        """Return the files that an image is read from: header and data, where these are two."""
        if self is NIFTI:
            return (path,)
        data = data_file(path)
        return (path,) if data is None else (path, data)


NIFTI = Release("NIfTI", (".nii.gz", ".nii"))
MHD = Release("MHD", (".mhd",))


@dataclass(frozen=True)
class Container:
    """A folder of patients."""

    folder: Path
    patients: tuple[str, ...]
    release: Release
    part: str
    """`training` or `testing` in the older release, whose numbers overlap; empty in the NIfTI one."""

    @property
    def published(self) -> int:
        """Number of patients that were published in such a folder."""
        return PATIENTS[self.part]


def containers_of(root: Path) -> list[Container]:
    """Return the folders below the root that hold patients, sorted by path."""
    found: dict[Path, list[str]] = {}
    for folder, below, _ in folders(root, DEPTH):
        patients = [name for name in below if PATIENT.fullmatch(name)]
        below[:] = [name for name in below if name not in patients]
        if patients:
            found[folder] = patients
    containers = []
    for folder, patients in sorted(found.items()):
        older = any(path.suffix == ".mhd" for name in patients[:3] for path in (folder / name).iterdir())
        part = "testing" if folder.name == "testing" else "training"
        containers.append(Container(folder, tuple(patients), MHD if older else NIFTI, part if older else ""))
    return containers


def is_known(patient: str, name: str) -> bool:
    """Return whether a file of this name was published in the patient's folder."""
    match = KNOWN.fullmatch(name)
    return match is not None and match[1] in (None, patient)


def file_of(
    folder: Path, patient: str, what: str, names: Sequence[str], release: Release, listing: Listing
) -> Path | None:
    """Return a patient's file such as 2CH_ED_gt, None where it is missing; two of one kind are a problem."""
    found = [f"{patient}_{what}{ending}" for ending in release.endings]
    present = [folder / patient / name for name in found if name in names]
    if len(present) > 1:
        listing.problems.add(present[1], f"is a second file beside {present[0].name}: remove one of them")
    return present[0] if present else None
