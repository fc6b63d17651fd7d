"""Writers of image files that Pillow cannot write, from the formats' specifications."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

GRAY, RGB, GRAY_ALPHA, RGBA = 0, 2, 4, 6
"""Color types of PNG (W3C, PNG specification, 11.2.2)."""


def png(values: np.ndarray, bits: int, color_type: int, extra: bytes = b"") -> bytes:
    """Return a PNG of values [H, W] or [H, W, C]; `extra` are chunks before the pixels."""
    height, width = values.shape[:2]
    rows = values.reshape(height, -1)
    if bits == 16:
        lines = [row.astype(">u2").tobytes() for row in rows]
    elif bits == 8:
        lines = [row.astype(np.uint8).tobytes() for row in rows]
    else:
        split = [np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - bits :] for row in rows]
        lines = [np.packbits(row.ravel()).tobytes() for row in split]
    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + line for line in lines))
    chunks = chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def orientation_chunk(value: int) -> bytes:
    """Return an eXIf chunk of a PNG that notes an orientation."""
    tags = struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, value, 0, 0)
    return chunk(b"eXIf", b"II*\0" + struct.pack("<I", 8) + tags)


def dicom(values: np.ndarray, **header: Any) -> Any:
    """Return a DICOM data set of [H, W] or [H, W, 3] whole numbers; `header` are further elements."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    made.SOPClassUID, made.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    made.Rows, made.Columns = values.shape[:2]
    made.SamplesPerPixel = 1 if values.ndim == 2 else 3
    made.PhotometricInterpretation = "MONOCHROME2" if values.ndim == 2 else "RGB"
    made.BitsAllocated = made.BitsStored = values.dtype.itemsize * 8
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(values.dtype.kind == "i")
    if values.ndim == 3:
        made.PlanarConfiguration = 0
    made.PixelData = values.tobytes()
    for name, value in header.items():
        setattr(made, name, value)
    return made
