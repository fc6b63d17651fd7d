"""A dataset that is right, and many that break one property each; a plugin file.

`write_cases` makes the folder that they read.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench_core import Dataset, DatasetRequest, Option, Task, hookimpl
from bench_core.data.picture import Picture
from bench_core.data.samples import Sample, UInt8Array
from bench_core.declarations import LooseRequest
from bench_core.errors import DataError

TASK = Task(classes=("core", "rim"), channels=1)
CASES = 6


def write_cases(root: Path) -> Path:
    """Write case-0.npy, case-0-mask.npy and so on: noise around a core with its rim."""
    root.mkdir(parents=True)
    for number in range(CASES):
        random = np.random.default_rng(number)
        mask = np.zeros((14, 18), np.uint8)
        mask[2 : 8 + number % 3, 3:12], mask[4:6, 5 : 8 + number % 4] = 2, 1
        image = random.integers(0, 90, (14, 18, 1), dtype=np.uint8) + 70 * mask[:, :, None]
        np.save(root / f"case-{number}.npy", image)
        np.save(root / f"case-{number}-mask.npy", mask)
    return root


class Right:
    """Reads what it lists, sorted, and names every file."""

    def __init__(self, request: DatasetRequest) -> None:
        assert request.root is not None
        self.root = request.root

    def names(self) -> list[str]:
        if not self.root.is_dir():
            raise DataError("the folder of cases does not exist", place=str(self.root))
        return sorted(path.stem for path in self.root.iterdir() if not path.stem.endswith("-mask"))

    def sample(self, name: str) -> Sample:
        return Sample(
            id=name,
            group=name,
            files=(self.root / f"{name}.npy", self.root / f"{name}-mask.npy"),
            attributes={"site": "A", "age": 40.0 + int(name[-1])},
            spacing=(0.5, 0.5),
        )

    def samples(self) -> list[Sample]:
        return [self.sample(name) for name in self.names()]

    def load(self, path: Path) -> UInt8Array:
        try:
            return np.asarray(np.load(path, allow_pickle=False))
        except (OSError, ValueError) as error:
            raise DataError(f"cannot be read: {error}", place=str(path)) from error

    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        return self.load(sample.files[0]), self.load(sample.files[1])


class SameId(Right):
    def sample(self, name: str) -> Sample:
        return replace(super().sample(name), id="case")


class PathAsId(Right):
    def sample(self, name: str) -> Sample:
        return replace(super().sample(name), id=str(self.root / name))


class NoGroup(Right):
    def sample(self, name: str) -> Sample:
        return replace(super().sample(name), group="")


class OneGroup(Right):
    def sample(self, name: str) -> Sample:
        return replace(super().sample(name), group="clinic")


class MixedAttribute(Right):
    def sample(self, name: str) -> Sample:
        return replace(super().sample(name), attributes={"age": "40" if name == "case-3" else 40.0})


class UndefinedAttribute(Right):
    def sample(self, name: str) -> Sample:
        return replace(super().sample(name), attributes={"age": float("nan")})


class NoSpacing(Right):
    def sample(self, name: str) -> Sample:
        return replace(super().sample(name), spacing=(0.0, 0.5))


class Shuffled(Right):
    def samples(self) -> list[Sample]:
        found = super().samples()
        np.random.default_rng(time.monotonic_ns()).shuffle(found)  # type: ignore[arg-type]
        return found


class Unsorted(Right):
    def names(self) -> list[str]:
        super().names()
        return [path.stem for path in self.root.iterdir() if not path.stem.endswith("-mask")]


class UnsortedWalk(Right):
    def names(self) -> list[str]:
        super().names()
        found = [name for _, _, names in os.walk(self.root) for name in names]
        return [name.removesuffix(".npy") for name in found if "mask" not in name]


class FewerThanSaid(Right):
    def samples(self) -> list[Sample]:
        return super().samples()[:-1]


class FloatImage(Right):
    def read(self, sample: Sample) -> tuple[Any, UInt8Array]:
        image, mask = super().read(sample)
        return image / 255, mask


class TransposedMask(Right):
    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        image, mask = super().read(sample)
        return image, mask.T


class WrongLabel(Right):
    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        image, mask = super().read(sample)
        return image, np.where(mask == 1, 255, mask).astype(np.uint8)


class ThreeChannels(Right):
    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        image, mask = super().read(sample)
        return np.repeat(image, 3, axis=2), mask


class LostClass(Right):
    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        image, mask = super().read(sample)
        return image, np.minimum(mask, 1)


class BlackImage(Right):
    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        image, mask = super().read(sample)
        return (image / 256).astype(np.uint8), mask


class DrawsNoise(Right):
    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        image, mask = super().read(sample)
        noise = np.random.default_rng(time.monotonic_ns()).integers(0, 5, image.shape)
        return image + noise.astype(np.uint8), mask


class OrderOfReads(Right):
    """Draws from one generator, so that an image depends on those that were read before it."""

    def __init__(self, request: DatasetRequest) -> None:
        super().__init__(request)
        self.random = np.random.default_rng(0)

    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        image, mask = super().read(sample)
        return image + self.random.integers(0, 5, image.shape, dtype=np.uint8), mask


class SharedPosition(Right):
    """Keeps the sample that is being read in the reader itself."""

    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        self.current = sample
        image = self.load(self.current.files[0])
        time.sleep(0.002)
        return image, self.load(self.current.files[1])


class WorkingFolder(Right):
    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        image, mask = super().read(sample)
        return image + np.uint8(len(Path.cwd().parts)), mask


class UnnamedMask(Right):
    def sample(self, name: str) -> Sample:
        found = super().sample(name)
        return replace(found, files=found.files[:1])

    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        path = sample.files[0]
        return self.load(path), self.load(path.with_name(f"{path.stem}-mask.npy"))


class NoFiles(Right):
    def sample(self, name: str) -> Sample:
        return replace(super().sample(name), files=())

    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        return self.load(self.root / f"{sample.id}.npy"), self.load(self.root / f"{sample.id}-mask.npy")


class KeepsIndex(Right):
    def samples(self) -> list[Sample]:
        (self.root / "index-mask.txt").write_text("\n".join(self.names()))
        return super().samples()


class WritesBeside(Right):
    def samples(self) -> list[Sample]:
        if Path.cwd().name.startswith("tmp"):
            Path("index.txt").write_text("")
        return super().samples()


class SilentFolder(Right):
    def names(self) -> list[str]:
        return super().names() if self.root.is_dir() else []


class BareFolder(Right):
    def names(self) -> list[str]:
        return sorted(path.stem for path in self.root.iterdir() if "mask" not in path.name)


class NamelessFolder(Right):
    def names(self) -> list[str]:
        if not self.root.is_dir():
            raise DataError("no data")
        return super().names()


class SilentlyFewer(Right):
    def names(self) -> list[str]:
        return [name for name in super().names() if (self.root / f"{name}-mask.npy").exists()]


class EmptyMask(Right):
    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        image = self.load(sample.files[0])
        mask = self.load(sample.files[1]) if sample.files[1].exists() else np.zeros(image.shape[:2], np.uint8)
        return image, mask


class BareMissing(Right):
    def load(self, path: Path) -> UInt8Array:
        return super().load(path) if path.exists() else np.asarray(np.load(path))


class Padded(Right):
    """Fills up a file that ends too early."""

    def load(self, path: Path) -> UInt8Array:
        if not path.exists():
            return super().load(path)
        content = path.read_bytes()
        shape = (14, 18, 1) if "mask" not in path.name else (14, 18)
        pixels = np.frombuffer(content, np.uint8)[128:]
        whole = np.zeros(int(np.prod(shape)), np.uint8)
        whole[: len(pixels)] = pixels
        return whole.reshape(shape)


class BareDamage(Right):
    def load(self, path: Path) -> UInt8Array:
        return super().load(path) if not path.exists() else np.asarray(np.load(path, allow_pickle=False))


class HashOrder(Right):
    def names(self) -> list[str]:
        return sorted(super().names(), key=lambda name: hash(name))


class OtherPicture(Right):
    """Hands preparing another image than it gives as an array."""

    def read_picture(self, sample: Sample) -> tuple[Picture, UInt8Array]:
        image, mask = self.read(sample)
        return Picture(image ^ 1), mask


class TwoEqual(Right):
    """Publishes two images twice, as real datasets do."""

    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        names = self.names()
        twice = dict(zip(names[1:3], names[3:5], strict=True))
        return super().read(self.sample(twice.get(sample.id, sample.id)))


class SameImage(Right):
    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        image, mask = super().read(sample)
        return np.arange(image.size, dtype=np.uint8).reshape(image.shape), mask


@dataclass(frozen=True)
class Loose:
    """A case's file that belongs to no dataset."""

    path: Path
    slices: int = 1
    keeps_space: bool = False
    facts: dict[str, str] = field(default_factory=dict)

    def picture(self, number: int) -> Picture:
        try:
            return Picture(np.load(self.path, allow_pickle=False))
        except (OSError, ValueError) as error:
            raise DataError(f"cannot be read: {error}", place=str(self.path)) from error


class OtherImage(Loose):
    def picture(self, number: int) -> Picture:
        return Picture(super().picture(number).array // 2)


class BareLoose(Loose):
    def picture(self, number: int) -> Picture:
        return Picture(np.load(self.path, allow_pickle=False))


class LooseCases:
    """Opens files of cases one by one."""

    suffixes = (".npy",)
    image: type[Loose] = Loose

    def __init__(self, request: LooseRequest) -> None:
        assert request.channels == 1

    def group(self, paths: Sequence[Path]) -> list[tuple[Path, ...]]:
        return [(path,) for path in paths]

    def open(self, files: tuple[Path, ...]) -> Loose:
        return self.image(files[0])


class LooseOthers(LooseCases):
    image = OtherImage


class LooseBare(LooseCases):
    image = BareLoose


class LooseNames(LooseCases):
    suffixes = ("NPY",)


@dataclass(frozen=True)
class Broken:
    """A broken dataset and the property that must name its fault."""

    name: str
    reader: Callable[[DatasetRequest], Right]
    property: str
    changes: dict[str, Any] = field(default_factory=dict)


_FIT = "images and masks fit the task"
_LOOSE = "other images are decoded as its own"
BROKEN = (
    Broken("no-license", Right, "the declaration is filled in", {"license": ""}),
    Broken("no-source", Right, "the declaration is filled in", {"how_to_get": " "}),
    Broken(
        "unexplained-option",
        Right,
        "the declaration is filled in",
        {"options": {"part": Option(type=str, default="all", help="")}},
    ),
    Broken(
        "invalid-default",
        Right,
        "the declaration is filled in",
        {"options": {"part": Option(type=str, default="all", choices=("a", "b"), help="which")}},
    ),
    Broken(
        "class-twice",
        Right,
        "the task names its classes",
        {"task": Task(classes=("core", "core"), channels=1)},
    ),
    Broken("same-id", SameId, "ids and groups are plain text"),
    Broken("path-as-id", PathAsId, "ids and groups are plain text"),
    Broken("no-group", NoGroup, "ids and groups are plain text"),
    Broken("mixed-attribute", MixedAttribute, "attributes are of one kind"),
    Broken("undefined-attribute", UndefinedAttribute, "attributes are of one kind"),
    Broken("no-spacing", NoSpacing, "spacing is two lengths"),
    Broken("shuffled", Shuffled, "samples come in the same order"),
    Broken("unsorted", Unsorted, "listing order does not matter"),
    Broken("unsorted-walk", UnsortedWalk, "listing order does not matter"),
    Broken("one-group", OneGroup, "groups can be dealt into folds"),
    Broken("fewer-than-said", FewerThanSaid, "the declared number is there", {"samples": CASES}),
    Broken("float-image", FloatImage, _FIT),
    Broken("transposed-mask", TransposedMask, _FIT),
    Broken("wrong-label", WrongLabel, _FIT),
    Broken("three-channels", ThreeChannels, _FIT),
    Broken("lost-class", LostClass, "every class occurs"),
    Broken("black-image", BlackImage, "images show something"),
    Broken(
        "gray-as-color",
        ThreeChannels,
        "images show something",
        {"task": Task(classes=("core", "rim"), channels=3)},
    ),
    Broken("draws-noise", DrawsNoise, "reading repeats itself"),
    Broken("order-of-reads", OrderOfReads, "reading repeats itself"),
    Broken("other-picture", OtherPicture, "reading repeats itself"),
    Broken("shared-position", SharedPosition, "reading in threads is safe"),
    Broken("working-folder", WorkingFolder, "the working folder does not matter"),
    Broken("unnamed-mask", UnnamedMask, "every file that is read is named"),
    Broken("no-files", NoFiles, "every file that is read is named"),
    Broken("keeps-index", KeepsIndex, "nothing is written"),
    Broken("writes-beside", WritesBeside, "nothing is written"),
    Broken("silent-folder", SilentFolder, "a missing folder is named"),
    Broken("bare-folder", BareFolder, "a missing folder is named"),
    Broken("nameless-folder", NamelessFolder, "a missing folder is named"),
    Broken("silently-fewer", SilentlyFewer, "a missing file is named"),
    Broken("empty-mask", EmptyMask, "a missing file is named"),
    Broken("bare-missing", BareMissing, "a missing file is named"),
    Broken("padded", Padded, "a damaged file is named"),
    Broken("bare-damage", BareDamage, "a damaged file is named"),
    Broken("loose-others", Right, _LOOSE, {"loose": LooseOthers}),
    Broken("loose-bare", Right, _LOOSE, {"loose": LooseBare}),
    Broken("loose-names", Right, _LOOSE, {"loose": LooseNames}),
    Broken("hash-order", HashOrder, "another process sees the same"),
    Broken("same-image", SameImage, "a cache can be made, and nothing leaks"),
)


def _declared(name: str, reader: Callable[[DatasetRequest], Right], **changes: Any) -> Dataset:
    fields = {
        "name": name,
        "version": 1,
        "task": TASK,
        "open": reader,
        "license": "CC0-1.0",
        "how_to_get": "write_cases draws it",
    }
    return Dataset(**{**fields, **changes})


@hookimpl
def bench_datasets() -> list[Dataset]:
    return [
        _declared("right", Right, samples=CASES, loose=LooseCases),
        _declared("two-equal", TwoEqual),
        *(_declared(one.name, one.reader, **one.changes) for one in BROKEN),
    ]
