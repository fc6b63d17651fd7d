"""Archives of a study, packed and changed as somebody would who wants them to be believed."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

Edit = Callable[[dict[str, bytes], dict[str, Any]], object]


def rewritten(source: Path, target: Path, edit: Edit, *, fitting: bool = True) -> Path:
    """Write an archive's members anew after `edit(members, manifest)`; `fitting` corrects size and hashes."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if name != "manifest.json"}
        manifest = json.loads(archive.read("manifest.json"))
    edit(members, manifest)
    if fitting:
        manifest["files"] = {
            name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in members.items()
        }
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        for name, content in members.items():
            archive.writestr(name, content)
    return target


def added(source: Path, target: Path, info: zipfile.ZipInfo | str, content: bytes = b"x") -> Path:
    """Copy an archive and add one member that its manifest does not list."""
    target.write_bytes(source.read_bytes())
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr(info, content)
    return target
