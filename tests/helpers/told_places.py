"""Where code lies on this machine, looked for in files that others get."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import torch

from tests.helpers.core_env import REPOSITORY

PLACES = (sys.prefix, str(REPOSITORY), str(Path(torch.__file__).parents[1]))


def told_places(folder: Path) -> list[str]:
    """Return the files, and the members of zip files, that name such a place."""
    contents: dict[str, bytes] = {}
    for path in folder.iterdir():
        contents[path.name] = path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                contents |= {f"{path.name}: {name}": archive.read(name) for name in archive.namelist()}
    return [name for name, data in contents.items() if any(place.encode() in data for place in PLACES)]
