"""A small copy of HAM10000: two image folders, two images of a lesion, metadata without an extension."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench_core import FakeRequest
from bench_datasets.fakes.scenes import row, save, save_text, skin
from bench_datasets.readers.ham10000 import MASK_FOLDER, ONE_VALUED, SAME_LESION, SIZE

KINDS = ("nv", "mel", "bkl", "bcc")
PLACES = ("back", "lower extremity", "unknown", "face")


def fake_ham10000(request: FakeRequest) -> Mapping[str, Any]:
    """Draw images of lesions, most of them seen twice, and the metadata; return the truth."""
    twins = [f"ISIC_{number:07d}" for number in SAME_LESION[0]]
    usual = [f"ISIC_{24306 + number:07d}" for number in range(max(request.samples - 4, 0))]
    names = [*usual, *ONE_VALUED, *twins][: max(request.samples, 1)]
    lines, samples = ["lesion_id,image_id,dx,dx_type,age,sex,localization,dataset"], []
    lesion_of = {name: f"HAM_{number // 2:07d}" for number, name in enumerate(usual)}
    lesion_of |= {name: f"HAM_{9000 + number:07d}" for number, name in enumerate([*ONE_VALUED, *twins])}
    # Known to show one lesion, although the metadata give it two names.
    groups = lesion_of | {name: min(lesion_of[twin] for twin in twins) for name in twins if twins[1] in names}
    for number, name in enumerate(sorted(names)):
        lesion = lesion_of[name]
        image, mask = skin("ham10000", request.seed, int(groups[name][4:]), SIZE, number)
        if name in ONE_VALUED:
            mask = np.full_like(mask, ONE_VALUED.index(name))
        part = 1 if number < len(names) / 2 else 2
        save(request.root / f"HAM10000_images_part_{part}/{name}.jpg", image, quality=95)
        save(request.root / MASK_FOLDER / f"{name}_segmentation.png", mask * 255)
        kind, place = KINDS[int(lesion[4:]) % 4], PLACES[int(lesion[4:]) % 4]
        age = "" if number == 1 else f"{30 + 5 * (number % 9)}.0"
        sex = ("male", "female", "unknown")[number % 3]
        lines.append(f"{lesion},{name},{kind},histo,{age},{sex},{place},vidir_modern")
        attributes: dict[str, Any] = {"diagnosis": kind}
        attributes |= {} if not age else {"age": float(age)}
        attributes |= {} if sex == "unknown" else {"sex": sex}
        attributes |= {} if place == "unknown" else {"localization": place}
        samples.append(row(name, groups[name], mask, attributes=attributes))
    save_text(request.root / "HAM10000_metadata", "\n".join(lines) + "\n")
    return {
        "samples": samples,
        "traps": [
            "two images of a lesion, in two folders",
            "two lesion_ids of one lesion",
            f"{ONE_VALUED[0]} has an empty mask, {ONE_VALUED[1]} a full one",
            "a table without an extension, with unknown ages, sexes and places",
        ],
    }
