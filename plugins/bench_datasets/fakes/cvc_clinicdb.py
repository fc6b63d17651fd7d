"""A small copy of CVC-ClinicDB: as published for even seeds, as mirrored on Kaggle for odd ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench_core import FakeRequest
from bench_datasets.fakes.scenes import polyp, row, save, save_text, spread
from bench_datasets.readers.cvc_clinicdb import PUBLISHED, SIZE, sequence_of


def fake_cvc_clinicdb(request: FakeRequest) -> Mapping[str, Any]:
    """Draw frames numbered all over the published range, of several sequences; return the truth."""
    mirrored = request.seed % 2 == 1
    top = request.root / "CVC-ClinicDB"
    lines = ["frame_id,sequence_id,png_image_path,png_mask_path,tif_image_path,tif_mask_path"]
    samples = []
    for frame in spread(request.samples, PUBLISHED):
        sequence = sequence_of(frame)
        image, mask = polyp("cvc-clinicdb", request.seed, sequence, SIZE, frame)
        kinds = [("PNG/", "png"), ("TIF/", "tif")] if mirrored else [("", "tif")]
        for folder, extension in kinds:
            save(top / f"{folder}Original/{frame}.{extension}", image)
            save(top / f"{folder}Ground Truth/{frame}.{extension}", mask * 255)
        lines.append(
            f"{frame},{sequence},PNG/Original/{frame}.png,PNG/Ground Truth/{frame}.png,"
            f"TIF/Original/{frame}.tif,TIF/Ground Truth/{frame}.tif"
        )
        samples.append(row(str(frame), f"sequence-{sequence:02d}", mask))
    traps = ["29 sequences, whose frames look alike", "names are numbers, so that 10 comes before 2 as text"]
    if mirrored:
        save_text(top / "metadata.csv", "\n".join(lines) + "\n")
        save_text(top / "class_dict.csv", "class_names,r,g,b\nbackground,0,0,0\npolyp,255,255,255\n")
        traps.append("each frame twice, as PNG and as TIFF")
    return {"samples": samples, "layout": "mirrored" if mirrored else "official", "traps": traps}
