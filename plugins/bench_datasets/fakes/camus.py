"""Small copies of CAMUS: the NIfTI release with its split, and the older one in MHD files."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core import FakeRequest
from bench_core.data.samples import UInt8Array
from bench_datasets.fakes.camus_hearts import SPACING, Heart, heart, pixels
from bench_datasets.synthetic.canvas import Dice

FEWEST = 3
"""Patients."""
CITATION = "A drawn copy of the published layout. The data are Leclerc et al. 2019.\n"
Traps = dict[str, list[str]]


def fake_camus(request: FakeRequest) -> Mapping[str, Any]:
    """Draw CAMUS_public/ with database_nifti/ and database_split/: rare headers and a backward sequence.

    Odd seeds draw the older release.
    """
    if request.seed % 2:
        return fake_camus_mhd(request)
    numbers = _numbers(request)
    base = request.root / "CAMUS_public"
    samples: list[dict[str, Any]] = []
    traps: Traps = {"ED after ES": [], "truth beyond the fan": [], "stored as": []}
    splits = _splits([f"patient{number:04d}" for number in numbers], request.seed)
    for place, number in enumerate(numbers):
        name = f"patient{number:04d}"
        folder = base / "database_nifti" / name
        folder.mkdir(parents=True)
        (folder / "MANDATORY_CITATION.md").write_text(CITATION, encoding="utf-8")
        for view in ("2CH", "4CH"):
            beyond, backwards = place % 3 == 1 and view == "4CH", place == 0
            drawn = heart(request.seed, number, view, beyond=beyond, backwards=backwards)
            kind = (
                ("bytes", "floats", "a third axis", "no gzip, no unit")[place % 4]
                if view == "2CH"
                else "bytes"
            )
            _write_view(folder, f"{name}_{view}", drawn, kind)
            (folder / f"Info_{view}.cfg").write_text(_table(drawn), encoding="utf-8")
            for phase in ("ED", "ES"):
                row = _row(f"{name}_{view}_{phase}", name, drawn, phase)
                samples.append({**row, "view": view, "split": splits[name]})
                traps["truth beyond the fan"] += [row["id"]] if beyond else []
                traps["stored as"] += [f"{row['id']}: {kind}"] if kind != "bytes" else []
        traps["ED after ES"] += [name] if place == 0 else []
    folder = base / "database_split"
    folder.mkdir()
    for part in ("training", "validation", "testing"):
        lines = [name for name in splits if splits[name] == part]
        (folder / f"subgroup_{part}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"samples": samples, "duplicates": [], "traps": traps}


def _numbers(request: FakeRequest, most: int = 500) -> list[int]:
    dice = Dice("fake camus", request.seed, "numbers")
    found: set[int] = set()
    wanted = min(max(-(-request.samples // 4), FEWEST), most)
    while len(found) < wanted:
        found.add(1 + dice.below(most))
    return sorted(found)


def _splits(names: list[str], seed: int) -> dict[str, str]:
    """Return the part of each patient, in an order that has nothing to do with their numbers."""
    dice, left = Dice("fake camus", seed, "split"), [*names]
    mixed = [left.pop(dice.below(len(left))) for _ in names]
    few = max(1, len(mixed) // 10)
    parts = ["validation"] * few + ["testing"] * few + ["training"] * (len(mixed) - 2 * few)
    return dict(zip(mixed, parts, strict=True))


def _write_view(folder: Path, stem: str, drawn: Heart, kind: str) -> None:
    for phase in ("ED", "ES"):
        _save(folder, f"{stem}_{phase}", drawn.images[phase].T, kind)
        _save(folder, f"{stem}_{phase}_gt", drawn.masks[phase].T, "bytes" if kind == "floats" else kind)
    for masks, ending in ((False, ""), (True, "_gt")):
        # [T, H, W] becomes (x, y, T), the order in which nibabel gives the published arrays.
        _save(folder, f"{stem}_half_sequence{ending}", drawn.sequence(masks).transpose(2, 1, 0), "bytes")


def _save(folder: Path, stem: str, values: NDArray[Any], kind: str) -> None:
    import nibabel

    values = values.astype(np.float32 if kind == "floats" else np.uint8)
    values = values[:, :, None] if kind == "a third axis" else values
    image = nibabel.Nifti1Image(values, np.diag([SPACING, SPACING, 1, 1]))
    image.header.set_zooms((SPACING, SPACING, 1)[: values.ndim])
    image.header.set_xyzt_units("unknown" if kind == "no gzip, no unit" else "mm")
    content = image.to_bytes()
    if kind == "no gzip, no unit":
        (folder / f"{stem}.nii").write_bytes(content)
    else:
        (folder / f"{stem}.nii.gz").write_bytes(gzip.compress(content, 6, mtime=0))


def _table(drawn: Heart) -> str:
    cells = {
        "ED": drawn.frame_of("ED"), "ES": drawn.frame_of("ES"), "NbFrame": drawn.frames, "Sex": drawn.sex,
        "Age": drawn.age, "ImageQuality": drawn.quality, "EF": drawn.ef, "FrameRate": 40.5,
    }  # fmt: skip
    return "".join(f"{key}: {value}\n" for key, value in cells.items())


def _row(key: str, group: str, drawn: Heart, phase: str) -> dict[str, Any]:
    mask: UInt8Array = drawn.masks[phase]
    return {
        "id": key, "group": group, "phase": phase, "size": [mask.shape[1], mask.shape[0]],
        "pixels": pixels(mask), "image_quality": drawn.quality, "sex": drawn.sex, "age": drawn.age,
        "ef": drawn.ef,
    }  # fmt: skip


def fake_camus_mhd(request: FakeRequest) -> Mapping[str, Any]:
    """Draw CAMUS_public/database/ of the older release: testing/ counts from 1 again and has no truth."""
    base = request.root / "CAMUS_public" / "database"
    count = max(-(-request.samples // 4), FEWEST)
    samples: list[dict[str, Any]] = []
    for part, patients in (("training", count), ("testing", max(1, count // 3))):
        for number in range(1, patients + 1):
            name = f"patient{number:04d}"
            folder = base / part / name
            folder.mkdir(parents=True)
            for view in ("2CH", "4CH"):
                drawn = heart(request.seed, number + 1000 * (part == "testing"), view, backwards=number == 1)
                (folder / f"Info_{view}.cfg").write_text(_older_table(drawn), encoding="utf-8")
                for phase in ("ED", "ES"):
                    _save_mhd(folder, f"{name}_{view}_{phase}", drawn.images[phase])
                    if part == "training":
                        _save_mhd(folder, f"{name}_{view}_{phase}_gt", drawn.masks[phase])
                        row = _row(f"training-{name}_{view}_{phase}", f"training-{name}", drawn, phase)
                        row["size"] = [row["size"][0], 2 * row["size"][1]]
                        row["pixels"] = {key: 2 * value for key, value in row["pixels"].items()}
                        samples.append({**row, "view": view})
                _save_mhd(folder, f"{name}_{view}_sequence", drawn.sequence())
    return {"samples": samples, "duplicates": [], "traps": {"unlabelled": ["testing"]}}


def _save_mhd(folder: Path, stem: str, values: UInt8Array) -> None:
    """Write header and data; rows are twice as dense as columns in this release."""
    values = np.repeat(values, 2, axis=-2)
    sides = " ".join(map(str, reversed(values.shape)))
    spacing = " ".join([str(SPACING), str(SPACING / 2), *["1"] * (values.ndim - 2)])
    header = {
        "ObjectType": "Image", "NDims": values.ndim, "BinaryData": "True", "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False", "ElementSpacing": spacing, "DimSize": sides, "ElementType": "MET_UCHAR",
        "ElementDataFile": f"{stem}.raw",
    }  # fmt: skip
    text = "".join(f"{key} = {value}\n" for key, value in header.items())
    (folder / f"{stem}.mhd").write_text(text, encoding="utf-8")
    (folder / f"{stem}.raw").write_bytes(np.ascontiguousarray(values).tobytes())


def _older_table(drawn: Heart) -> str:
    cells = {
        "ED": drawn.frame_of("ED"), "ES": drawn.frame_of("ES"), "NbFrame": drawn.frames, "Sex": drawn.sex,
        "Age": drawn.age, "ImageQuality": drawn.quality, "LVedv": 100.0, "LVesv": 100.0 - drawn.ef,
        "LVef": drawn.ef,
    }  # fmt: skip
    return "".join(f"{key}: {value}\n" for key, value in cells.items())
