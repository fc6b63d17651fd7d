"""One image and its mask as own files, read back, and what is said of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from bench_core.errors import DataError
from tests.helpers.pictures import open_folder


def read_one(root: Path, **given: Any) -> tuple[np.ndarray, np.ndarray]:
    reader = open_folder(root, **given)
    return reader.read(reader.samples()[0])


def save_pair(root: Path, image: Any, mask: Any, suffixes: tuple[str, str] = (".png", ".png")) -> Path:
    for kind, content, suffix in (("images", image, suffixes[0]), ("masks", mask, suffixes[1])):
        (root / kind).mkdir(parents=True, exist_ok=True)
        path = root / kind / f"a{suffix}"
        if suffix.startswith(".nii"):
            nibabel.Nifti1Image(content, np.eye(4)).to_filename(path)
        else:
            content = content if isinstance(content, Image.Image) else Image.fromarray(content)
            content.save(path)
    return root


def problems_of(root: Path, **given: Any) -> str:
    with pytest.raises(DataError) as caught:
        open_folder(root, **given).samples()
    assert caught.value.place == str(root)
    return str(caught.value)
