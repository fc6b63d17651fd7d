"""Single frames in DICOM files, with pydicom from the extra `dicom`."""

from __future__ import annotations

import importlib.util
import math
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from bench_core.errors import DataError, MissingDependencyError
from bench_datasets.decoding.pixels import REPLACE, Pixels, check_size, content_of

EXTENSIONS = (".dcm", ".dicom", ".ima")
INSTALL = "pip install 'segtrial[dicom]'"
_DEFLATED = "1.2.840.10008.1.2.1.99"


def is_dicom(path: Path) -> bool:
    """Return whether the name is that of a DICOM file."""
    return path.name.lower().endswith(EXTENSIONS)


def can_read_dicom() -> bool:
    """Return whether the extra is installed."""
    return importlib.util.find_spec("pydicom") is not None


def decode_dicom(path: Path) -> Pixels:
    """Return the one frame of a file in the units of its rescale slope and intercept (for CT: HU).

    MONOCHROME1, in which low values are bright, is noted in the result, as are the header's first window and
    the range of the bits that are in use. Raises MissingDependencyError without pydicom, DataError else.
    """
    if not can_read_dicom():
        raise MissingDependencyError("DICOM files are read by pydicom", place=str(path), fix=INSTALL)
    import pydicom
    from pydicom.errors import InvalidDicomError
    from pydicom.filereader import read_partial
    from pydicom.pixels import apply_modality_lut, pixel_array

    try:
        with path.open("rb") as file:
            # From a file, Python reserves whatever length a damaged element claims.
            content = content_of(path, file)
        syntax = read_partial(BytesIO(content), stop_when=lambda *_: True).file_meta.get("TransferSyntaxUID")
        if syntax == _DEFLATED:
            # Unpacking a deflated file takes as much memory as it likes.
            raise DataError("is a deflated DICOM file", place=str(path), fix="store it without compression")
        header = pydicom.dcmread(BytesIO(content))
    except (InvalidDicomError, EOFError) as error:
        raise DataError("is not a DICOM file", place=str(path), fix=REPLACE) from error
    _check(path, header)
    try:
        values = pixel_array(header)
    except Exception as error:  # Decoders raise almost anything.
        name = getattr(syntax, "name", syntax)
        if getattr(syntax, "is_compressed", False):
            raise DataError(
                f"its pixels are compressed ({name}) and cannot be decoded here",
                place=str(path),
                fix="pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg, or store it uncompressed",
            ) from error
        raise DataError(f"its pixels cannot be decoded: {error}", place=str(path), fix=REPLACE) from error
    changed = "ModalityLUTSequence" in header or (
        float(header.get("RescaleSlope") or 1) != 1 or float(header.get("RescaleIntercept") or 0) != 0
    )
    signed = int(header.get("PixelRepresentation", 0)) == 1
    full = None if changed or signed else (0.0, float(2 ** int(header.BitsStored) - 1))
    return Pixels(
        np.asarray(apply_modality_lut(values, header)) if changed else values,
        full=full,
        window=_window(header),
        inverted=str(header.get("PhotometricInterpretation")) == "MONOCHROME1",
    )


def _check(path: Path, header: Any) -> None:
    missing = [
        name
        for name in ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelData", "SamplesPerPixel")
        if name not in header
    ]
    if missing:
        raise DataError(f"holds no image: its header lacks {missing[0]}", place=str(path), fix=REPLACE)
    frames = int(header.get("NumberOfFrames") or 1)
    if frames != 1:
        raise DataError(
            f"holds {frames} frames, expected one image", place=str(path), fix="export a single frame"
        )
    if str(header.get("PhotometricInterpretation")) == "PALETTE COLOR":
        raise DataError(
            "is a DICOM file with a palette, which is not read", place=str(path), fix="export RGB"
        )
    check_size(
        path, int(header.Columns), int(header.Rows), int(header.SamplesPerPixel), header.BitsAllocated // 8
    )


def _window(header: Any) -> tuple[float, float] | None:
    """Return the header's first window (DICOM PS3.3, C.11.2.1.2)."""
    center, width = _first(header.get("WindowCenter")), _first(header.get("WindowWidth"))
    if center is None or width is None or width < 1:
        return None
    low = center - 0.5 - (width - 1) / 2
    return (low, low + width - 1) if width > 1 else (low, low + 1)


def _first(value: Any) -> float | None:
    try:
        found = float(value if isinstance(value, (int, float, str)) else value[0])
    except (TypeError, ValueError, IndexError):
        return None
    return found if math.isfinite(found) else None
