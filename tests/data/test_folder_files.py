"""Files in the folders of own images that are not taken, or not what they say."""

from __future__ import annotations

import errno
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench_core.errors import DataError
from tests.helpers.folders import problems_of, read_one, save_pair
from tests.helpers.pictures import blob, cache_folder, open_folder, picture, write_folder


def test_litter_of_file_managers_is_not_data(tmp_path: Path) -> None:
    write_folder(tmp_path, 3)
    for kind in ("images", "masks"):
        for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._case-00.png", ".~lock.case-00.png#"):
            (tmp_path / kind / name).write_bytes(b"\x00litter")
    assert [sample.id for sample in open_folder(tmp_path).samples()] == ["case-00", "case-01", "case-02"]


def test_partners_in_formats_that_are_not_read_are_named(tmp_path: Path) -> None:
    write_folder(tmp_path, 3)
    Path(tmp_path / "masks/case-01.png").rename(tmp_path / "masks/case-01.jp2")
    Path(tmp_path / "images/case-02.png").rename(tmp_path / "images/case-02.mha")
    message = problems_of(tmp_path)
    assert "case-01 under masks); masks/case-01.jp2 is there, in a format that is not read" in message
    assert "masks/case-02.png: has no image; images/case-02.mha is there" in message


def test_images_in_sub_folders_are_pointed_at(tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        (tmp_path / kind / "p1").mkdir(parents=True)
        Image.fromarray(picture(0) if kind == "images" else blob(0)).save(tmp_path / kind / "p1/a.png")
    message = problems_of(tmp_path)
    assert "images: holds no images" in message and "its sub-folder p1 does: write images/*/*" in message
    samples = open_folder(tmp_path, images="images/*/*", masks="masks/*/*").samples()
    assert [sample.id for sample in samples] == ["p1/a"]


@pytest.mark.parametrize("where", ["images", "masks"])
@pytest.mark.parametrize("inner", ["p1", "p1/scan"])
def test_files_in_sub_folders_are_pointed_to_in_one_line(tmp_path: Path, where: str, inner: str) -> None:
    write_folder(tmp_path, 5)
    deeper = tmp_path / where / inner
    deeper.mkdir(parents=True)
    for path in sorted((tmp_path / where).glob("*.png")):
        path.rename(deeper / path.name)
    message = problems_of(tmp_path)
    assert "1 problem " in message
    pattern = "/".join([where, *("*" for _ in inner.split("/")), "*"])
    assert (
        f"{where}: holds no {where}" in message and f"its sub-folder {inner} does: write {pattern}" in message
    )


def tiff(channels: int, bits: int, form: int, order: str = "<") -> bytes:
    """A TIFF of 4 x 4 pixels, as the specification has it, without any library."""
    many = channels > 2
    entries = [
        (256, 3, 1, 4), (257, 3, 1, 4), (258, 3, channels, bits), (259, 3, 1, 1), (262, 3, 1, 1),
        (273, 4, 1, 300), (277, 3, 1, channels), (278, 3, 1, 4), (279, 4, 1, 16 * channels * bits // 8),
        (339, 3, channels, form),
    ]  # fmt: skip
    ifd = struct.pack(f"{order}H", len(entries))
    for tag, kind, count, value in entries:
        packed = struct.pack(f"{order}HH", value, 0) if kind == 3 else struct.pack(f"{order}I", value)
        if kind == 3 and count > 2 and many:
            packed = struct.pack(f"{order}I", 200 if tag == 258 else 240)
        ifd += struct.pack(f"{order}HHI", tag, kind, count) + packed
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    data = (head + ifd + struct.pack(f"{order}I", 0)).ljust(200, b"\0")
    data += struct.pack(f"{order}{channels}H", *[bits] * channels).ljust(40, b"\0")
    data += struct.pack(f"{order}{channels}H", *[form] * channels).ljust(60, b"\0")
    return data + bytes(16 * channels * bits // 8)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("channels", "bits", "form", "said"),
    [
        (5, 8, 1, "has 5 channels, but the option says channels: 3"),
        (17, 8, 1, "at most 16 channels"),
        (1, 64, 3, "holds float64 values, whose range is not known"),
        (1, 64, 6, "a TIFF of 1 channel of 64-bit values"),
    ],
)
def test_a_tiff_of_another_kind_is_called_what_it_is(
    tmp_path: Path, channels: int, bits: int, form: int, said: str, order: str
) -> None:
    save_pair(tmp_path, picture(0), blob(0))
    (tmp_path / "images/a.png").unlink()
    (tmp_path / "images/a.tif").write_bytes(tiff(channels, bits, form, order))
    with pytest.raises(DataError, match=said):
        read_one(tmp_path)


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_a_cut_off_tiff_is_no_image_and_no_traceback(tmp_path: Path, cut: int) -> None:
    save_pair(tmp_path, picture(0), blob(0))
    (tmp_path / "images/a.png").unlink()
    (tmp_path / "images/a.tif").write_bytes(tiff(5, 8, 1)[:cut])
    with pytest.raises(
        DataError, match=r"is an empty file|is not an image|is a TIFF that is cut off or damaged"
    ):
        read_one(tmp_path)


def test_a_header_that_promises_too_much_is_refused_unread(tmp_path: Path) -> None:
    save_pair(tmp_path, picture(0), blob(0))
    header = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    chunks = [(13).to_bytes(4, "big") + header + zlib.crc32(header).to_bytes(4, "big")]
    chunks.append((9).to_bytes(4, "big") + b"IDAT" + zlib.compress(b"")[:9].ljust(9, b"\0") + bytes(4))
    (tmp_path / "images/a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    with pytest.raises(DataError, match=r"its header promises more than 134217728 pixels"):
        read_one(tmp_path)


def test_too_many_open_files_are_no_fault_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "data", 3)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Image, "open", full)
    with pytest.raises(DataError, match="Too many open files") as caught:
        cache_folder(tmp_path / "data", tmp_path / "cache")
    assert "ulimit -n" in str(caught.value) and "author" not in str(caught.value)


def test_files_that_are_passed_over_are_named(tmp_path: Path) -> None:
    write_folder(tmp_path, 3)
    for path in sorted((tmp_path / "masks").iterdir()):
        path.rename(path.with_name(f"{path.stem}_mask.png"))
    reader = open_folder(tmp_path, mask_suffix="_mask")
    assert reader.remarks() == []
    (tmp_path / "images/readme.txt").write_text("no data")
    (tmp_path / "masks/.hidden.jp2").write_text("no data")
    for number in range(5):
        (tmp_path / f"images/b{number}.JP2").write_bytes(b"")
    shutil.copy(tmp_path / "masks/case-00_mask.png", tmp_path / "masks/case-00_mask_1.png")
    assert reader.remarks() == [
        "passed over: 5 files (images/b0.JP2, images/b1.JP2, images/b2.JP2, images/b3.JP2, images/b4.JP2) "
        "under images, in a format that is not read",
        "passed over: 1 file (masks/case-00_mask_1.png) under masks whose names do not end in '_mask'; "
        "`several_masks: union` joins them with the first",
    ]
