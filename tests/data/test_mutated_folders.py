"""200 folders, each damaged in its own way: they are read, or one error names the damaged files."""

from __future__ import annotations

import gzip
import os
import random
import resource
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from bench_core.errors import DataError
from tests.helpers.pictures import blob, cache_folder, picture

FOLDERS = 200
SLOWEST_SECONDS = 60
MOST_MEGABYTES = 400

Mutation = Callable[[Path, Path, random.Random], None]
"""Damages one sample: gets the image's and the mask's path."""


@dataclass(frozen=True)
class Kind:
    """A mutation and what it must lead to."""

    mutate: Mutation
    harmless: bool = False
    """The folder must still be read."""
    either: bool = False
    """What happens depends on the bytes; only the way it happens is checked."""


def one_of(image: Path, mask: Path, dice: random.Random) -> Path:
    return dice.choice([image, mask])


def truncate(image: Path, mask: Path, dice: random.Random) -> None:
    path = one_of(image, mask, dice)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(dice.randint(1, size // 2))


def empty(image: Path, mask: Path, dice: random.Random) -> None:
    one_of(image, mask, dice).write_bytes(b"")


def text(image: Path, mask: Path, dice: random.Random) -> None:
    one_of(image, mask, dice).write_text("<html>404: not found</html>" * dice.randint(1, 50))


def flip_bytes(image: Path, mask: Path, dice: random.Random) -> None:
    path = one_of(image, mask, dice)
    content = bytearray(path.read_bytes())
    for _ in range(dice.randint(1, 8)):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    path.write_bytes(bytes(content))


def garbage(image: Path, mask: Path, dice: random.Random) -> None:
    path = one_of(image, mask, dice)
    path.write_bytes(path.read_bytes()[: dice.randint(8, 40)] + dice.randbytes(dice.randint(0, 500)))


def no_mask(image: Path, mask: Path, dice: random.Random) -> None:
    mask.unlink()


def no_image(image: Path, mask: Path, dice: random.Random) -> None:
    image.unlink()


def other_size(image: Path, mask: Path, dice: random.Random) -> None:
    Image.fromarray(blob(0, 12 + dice.randint(0, 5), 30)).save(mask)


def unknown_label(image: Path, mask: Path, dice: random.Random) -> None:
    Image.fromarray(blob(1, value=dice.randint(1, 254))).save(mask)


def colored_mask(image: Path, mask: Path, dice: random.Random) -> None:
    Image.fromarray(picture(dice.randint(0, 99))).save(mask)


def folder_in_its_place(image: Path, mask: Path, dice: random.Random) -> None:
    path = one_of(image, mask, dice)
    path.unlink()
    path.mkdir()


def broken_link(image: Path, mask: Path, dice: random.Random) -> None:
    path = one_of(image, mask, dice)
    path.unlink()
    path.symlink_to(dice.choice(["nowhere.png", path.name, "/dev/null"]))


def pipe(image: Path, mask: Path, dice: random.Random) -> None:
    path = one_of(image, mask, dice)
    path.unlink()
    os.mkfifo(path)


def second_file(image: Path, mask: Path, dice: random.Random) -> None:
    path = one_of(image, mask, dice)
    path.with_suffix(".bmp").write_bytes(path.read_bytes())


def animated(image: Path, mask: Path, dice: random.Random) -> None:
    frames = [Image.fromarray(picture(number)) for number in range(3)]
    frames[0].save(one_of(image, mask, dice), save_all=True, append_images=frames[1:])


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(image: Path, mask: Path, dice: random.Random) -> None:
    side = dice.choice([12_000, 60_000, 2_000_000_000])
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    one_of(image, mask, dice).write_bytes(content)


def thin(image: Path, mask: Path, dice: random.Random) -> None:
    Image.fromarray(picture(1, 1, 40_000)).save(image)
    Image.fromarray(np.zeros((1, 40_000), np.uint8)).save(mask)


def replaced(path: Path, extension: str) -> Path:
    path.unlink()
    return path.with_suffix(extension)


def nifti_bomb(image: Path, mask: Path, dice: random.Random) -> None:
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape((32_000, 32_000))
    replaced(image, ".nii.gz").write_bytes(gzip.compress(header.binaryblock + bytes(64)))


def nifti_text(image: Path, mask: Path, dice: random.Random) -> None:
    replaced(image, dice.choice([".nii", ".nii.gz"])).write_bytes(b"no volume in here" * 40)


def nifti_volume(image: Path, mask: Path, dice: random.Random) -> None:
    volume = nibabel.Nifti1Image(np.zeros((24, 20, 3), np.uint8), np.eye(4))
    volume.to_filename(replaced(image, ".nii"))


def bad_name(image: Path, mask: Path, dice: random.Random) -> None:
    image.rename(
        image.with_name(dice.choice(["line\nbreak.png", "bell\x07.png", os.fsdecode(b"\xff\xfe.png")]))
    )


def wrong_extension(image: Path, mask: Path, dice: random.Random) -> None:
    image.rename(image.with_suffix(dice.choice([".jpg", ".tif", ".BMP"])))


def extra_files(image: Path, mask: Path, dice: random.Random) -> None:
    for name in ("LICENSE.txt", "Thumbs.db", ".DS_Store", "._case.png", "notes.md"):
        (image.parent / name).write_bytes(dice.randbytes(20))


def single_pixel(image: Path, mask: Path, dice: random.Random) -> None:
    Image.fromarray(picture(dice.randint(0, 999), 1, 1)).save(image)
    Image.fromarray(np.array([[255]], np.uint8)).save(mask)


def sixteen_bits(image: Path, mask: Path, dice: random.Random) -> None:
    gray = picture(dice.randint(0, 999), channels=1)[:, :, 0].astype(np.uint16)
    Image.fromarray(gray * 200).save(replaced(image, ".png"))


def converted(mode: str, extension: str) -> Mutation:
    def mutate(image: Path, mask: Path, dice: random.Random) -> None:
        Image.fromarray(picture(dice.randint(0, 999))).convert(mode).save(replaced(image, extension))

    return mutate


def jpeg(image: Path, mask: Path, dice: random.Random) -> None:
    Image.open(image).save(replaced(image, ".jpeg"), quality=dice.randint(1, 95), progressive=True)


def linked(image: Path, mask: Path, dice: random.Random) -> None:
    target = image.parent.parent / f"kept-{image.name}"
    image.rename(target)
    image.symlink_to(target)


def empty_mask(image: Path, mask: Path, dice: random.Random) -> None:
    Image.fromarray(np.zeros((20, 24), np.uint8)).save(mask)


KINDS = {
    "truncate": Kind(truncate),
    "empty": Kind(empty),
    "text": Kind(text),
    "flip_bytes": Kind(flip_bytes, either=True),
    "garbage": Kind(garbage),
    "no_mask": Kind(no_mask),
    "no_image": Kind(no_image),
    "other_size": Kind(other_size),
    "unknown_label": Kind(unknown_label),
    "colored_mask": Kind(colored_mask),
    "folder_in_its_place": Kind(folder_in_its_place),
    "broken_link": Kind(broken_link),
    "pipe": Kind(pipe),
    "second_file": Kind(second_file),
    "animated": Kind(animated),
    "bomb": Kind(bomb),
    "thin": Kind(thin),
    "nifti_bomb": Kind(nifti_bomb),
    "nifti_text": Kind(nifti_text),
    "nifti_volume": Kind(nifti_volume),
    "bad_name": Kind(bad_name),
    "wrong_extension": Kind(wrong_extension, harmless=True),
    "extra_files": Kind(extra_files, harmless=True),
    "single_pixel": Kind(single_pixel, harmless=True),
    "sixteen_bits": Kind(sixteen_bits, harmless=True),
    "palette": Kind(converted("P", ".png"), harmless=True),
    "rgba": Kind(converted("RGBA", ".png"), harmless=True),
    "cmyk": Kind(converted("CMYK", ".jpg"), harmless=True),
    "gray_alpha": Kind(converted("LA", ".png"), harmless=True),
    "one_bit": Kind(converted("1", ".tif"), harmless=True),
    "float_tiff": Kind(converted("F", ".tif")),
    "jpeg": Kind(jpeg, harmless=True),
    "linked": Kind(linked, harmless=True),
    "empty_mask": Kind(empty_mask, harmless=True),
}


def damaged_folder(root: Path, number: int) -> dict[str, Kind]:
    """Write a folder of six samples and damage one to three of them; returns sample name to damage."""
    dice = random.Random(number)
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    extension = dice.choice([".png", ".png", ".tif", ".bmp", ".jpg"])
    names = [f"case-{index:02d}" for index in range(6)]
    for index, name in enumerate(names):
        Image.fromarray(picture(number * 10 + index)).save(root / f"images/{name}{extension}")
        Image.fromarray(blob(index)).save(root / f"masks/{name}.png")
    # Each kind comes first at least five times in 200 folders; the others are drawn.
    first = list(KINDS)[number % len(KINDS)]
    others = [kind for kind in KINDS if kind != first]
    chosen = [first, *dice.sample(others, dice.randint(0, 2))]
    damage = dict(zip(dice.sample(names, len(chosen)), chosen, strict=True))
    for name, kind in damage.items():
        if extension != ".png" and kind in ("animated", "second_file"):
            Image.open(root / f"images/{name}{extension}").save(root / f"images/{name}.png")
            (root / f"images/{name}{extension}").unlink()
            KINDS[kind].mutate(root / f"images/{name}.png", root / f"masks/{name}.png", dice)
        else:
            KINDS[kind].mutate(root / f"images/{name}{extension}", root / f"masks/{name}.png", dice)
    return {name: KINDS[kind] for name, kind in damage.items()}


@pytest.mark.timeout(SLOWEST_SECONDS)
@pytest.mark.parametrize("number", range(FOLDERS))
def test_a_damaged_folder_is_read_or_named(tmp_path: Path, number: int) -> None:
    damage = damaged_folder(tmp_path / "data", number)
    fatal = [name for name, kind in damage.items() if not (kind.harmless or kind.either)]
    allowed = [name for name, kind in damage.items() if not kind.harmless]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            arrays = cache_folder(tmp_path / "data", tmp_path / "cache")
        except DataError as error:
            message = str(error)
            assert allowed, f"harmless changes were refused: {message}"
            assert error.place is not None and error.place.startswith(str(tmp_path / "data"))
            assert any(f"{name}" in message for name in allowed), message
            assert not any(
                f"case-{index:02d}" in message for index in range(6) if f"case-{index:02d}" not in damage
            )
            assert error.fix
        else:
            assert not fatal, f"read in spite of {fatal}"
            assert len(arrays.ids) == 6
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < MOST_MEGABYTES
    assert not [path for path in (tmp_path / "cache").glob("*") if path.suffix == ".tmp"]


def test_every_kind_of_damage_is_met_alone_or_first() -> None:
    assert {list(KINDS)[number % len(KINDS)] for number in range(FOLDERS)} == set(KINDS)


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if not (kind.harmless or kind.either)])
def test_each_fatal_kind_alone_names_its_file(tmp_path: Path, kind: str) -> None:
    for number in range(2):
        data = tmp_path / f"data{number}"
        (data / "images").mkdir(parents=True)
        (data / "masks").mkdir()
        for index in range(3):
            Image.fromarray(picture(index)).save(data / f"images/case-{index:02d}.png")
            Image.fromarray(blob(index)).save(data / f"masks/case-{index:02d}.png")
        KINDS[kind].mutate(data / "images/case-01.png", data / "masks/case-01.png", random.Random(number))
        with pytest.raises(DataError) as caught:
            cache_folder(data, tmp_path / "cache")
        message = str(caught.value)
        assert "case-01" in message and "case-00" not in message and "case-02" not in message
