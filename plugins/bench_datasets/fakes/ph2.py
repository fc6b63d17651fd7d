"""A small copy of PH2: one folder per case, 1-bit masks and one of 24 bits, roi folders in a few cases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench_core import FakeRequest
from bench_core.data.samples import UInt8Array
from bench_datasets.fakes.scenes import row, save, save_text, skin

SIZES = ((767, 576), (768, 576), (765, 573), (764, 575), (763, 553), (769, 577))
DIAGNOSES = ("common nevus", "atypical nevus", "melanoma")
HEADER = (
    "|| Name  ||   Histological Diagnosis    ||  Clinical Diagnosis  ||   Asymmetry   |  Pigment Network  "
    "|  Dots/Globules  |  Streaks  |  Regression Areas  |  Blue-Whitish Veil  ||  Colors  ||"
)
LEGEND = "\nClinical Diagnosis: \n\t0 - Common Nevus;\n\t1 - Atypical Nevus;\n\t2 - Melanoma.\n"


def fake_ph2(request: FakeRequest) -> Mapping[str, Any]:
    """Draw case folders and the table of diagnoses; return the truth."""
    top = request.root / "PH2Dataset"
    lines, samples = [HEADER], []
    for number in range(request.samples):
        name = f"IMD{2 + 2 * number:03d}"
        image, mask = skin("ph2", request.seed, number, SIZES[number % len(SIZES)])
        case = top / "PH2 Dataset images" / name
        save(case / f"{name}_Dermoscopic_Image/{name}.bmp", image)
        wide = np.repeat((mask * 255)[:, :, None], 3, axis=2)
        save(case / f"{name}_lesion/{name}_lesion.bmp", wide if number == 0 else mask.astype(bool))
        if number % 4 == 1:
            save(case / f"{name}_roi/{name}_R1_Label4.bmp", _half(mask).astype(bool))
        diagnosis = number % 3
        lines.append(
            f"|| {name} ||              ||      {diagnosis}      ||  0  | T | A | A | A | A || 3  4  ||"
        )
        samples.append(row(name, name, mask, attributes={"diagnosis": DIAGNOSES[diagnosis]}))
    save_text(top / "PH2_dataset.txt", "\n".join(lines) + "\n" + LEGEND)
    save_text(top / "Readme.txt", "A drawn copy: no picture of a patient is in it.\n")
    return {
        "samples": samples,
        "traps": [
            "1-bit masks, whose white is not 255",
            f"a 24-bit mask: {samples[0]['id'] if samples else ''}",
            "masks of regions of interest beside some lesions",
            "images of several sizes, none as the paper says",
        ],
    }


def _half(mask: UInt8Array) -> UInt8Array:
    half = mask.copy()
    half[: mask.shape[0] // 2] = 0
    return half
