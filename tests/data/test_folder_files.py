"""Files in the folders of own images that are not taken, or not what they say."""

from __future__ import annotations

import errno
import shutil
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
    Path(tmp_path / "masks/case-01.png").rename(tmp_path / "masks/case-01.webp")
    Path(tmp_path / "images/case-02.png").rename(tmp_path / "images/case-02.dcm")
    message = problems_of(tmp_path)
    assert "case-01 under masks); masks/case-01.webp is there, in a format that is not read" in message
    assert "masks/case-02.png: has no image; images/case-02.dcm is there" in message


def test_images_in_sub_folders_are_pointed_at(tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        (tmp_path / kind / "p1").mkdir(parents=True)
        Image.fromarray(picture(0) if kind == "images" else blob(0)).save(tmp_path / kind / "p1/a.png")
    message = problems_of(tmp_path)
    assert "images: holds no images" in message and "its sub-folder p1 does: write images/*/*" in message
    samples = open_folder(tmp_path, images="images/*/*", masks="masks/*/*").samples()
    assert [sample.id for sample in samples] == ["p1/a"]


def test_a_header_that_promises_too_much_is_refused_unread(tmp_path: Path) -> None:
    save_pair(tmp_path, picture(0), blob(0))
    header = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    chunks = [(13).to_bytes(4, "big") + header + zlib.crc32(header).to_bytes(4, "big")]
    chunks.append((9).to_bytes(4, "big") + b"IDAT" + zlib.compress(b"")[:9].ljust(9, b"\0") + bytes(4))
    (tmp_path / "images/a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    with pytest.raises(DataError, match=r"60000 x 60000|exceeds limit"):
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
    (tmp_path / "masks/.hidden.webp").write_text("no data")
    for number in range(5):
        (tmp_path / f"images/b{number}.WEBP").write_bytes(b"")
    shutil.copy(tmp_path / "masks/case-00_mask.png", tmp_path / "masks/case-00_mask_1.png")
    assert reader.remarks() == [
        "passed over: 5 files (images/b0.WEBP, images/b1.WEBP, images/b2.WEBP and 2 more) under images in "
        "formats that are not read",
        "passed over: 1 file (masks/case-00_mask_1.png) under masks whose names do not end in '_mask'",
    ]
