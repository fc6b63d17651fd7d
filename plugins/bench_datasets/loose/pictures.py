"""Pictures of no dataset: one picture, or the pages of a TIFF."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_core.data.picture import Picture
from bench_core.data.samples import UInt8Array
from bench_core.errors import DataError
from bench_datasets.decoding.dicom import EXTENSIONS
from bench_datasets.decoding.pictures import as_picture, decode_pixels
from bench_datasets.decoding.pixels import OptionError
from bench_datasets.decoding.windows import Percentiles, Window

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", *EXTENSIONS)
VOLUMES = (".nii", ".nii.gz")


@dataclass(frozen=True)
class LoosePicture:
    """A picture, or a TIFF whose pages are slices."""

    path: Path
    channels: int
    window: Window
    upright: bool = True
    """Whether pictures are turned as their camera noted."""
    pages: int = 0
    """Pages of a TIFF that is cut into these; 0 for one picture."""

    keeps_space = False

    @property
    def slices(self) -> int:
        """How many pictures it is."""
        return max(1, self.pages)

    @property
    def facts(self) -> Mapping[str, str]:
        """How it is decoded."""
        turned = "as the camera noted (EXIF)" if self.upright else "as stored"
        return {"intensity": words_of(self.window), "orientation": turned}

    def picture(self, number: int) -> Picture:
        """Decode it, or a page; raise DataError with the path."""
        page = number if self.pages else None
        with without_options():
            pixels = decode_pixels(self.path, colors=True, upright=self.upright, page=page)
            return as_picture(pixels, self.channels, self.window, self.path)

    def write(self, labels: Iterable[UInt8Array], path: Path) -> None:
        """Raise TypeError: label maps of pictures are pictures."""
        raise TypeError(f"{self.path} has no place in space")


@contextmanager
def without_options() -> Iterator[None]:
    """Tell what a dataset's options would mend as what its networks want: whoever predicts has no options."""
    try:
        yield
    except OptionError as error:
        if error.elsewhere is None:
            raise
        message, fix = error.elsewhere
        raise DataError(message, place=error.place, fix=fix) from error


def alone(paths: Sequence[Path]) -> list[tuple[Path, ...]]:
    """Return each file as an image of its own."""
    return [(path,) for path in paths]


def only(files: tuple[Path, ...]) -> Path:
    """Return the one file of an image; raise DataError for several."""
    if len(files) != 1:
        raise DataError(f"is one of {len(files)} files of an image", place=str(files[0]), fix="give one file")
    return files[0]


def is_volume(path: Path) -> bool:
    """Say whether a name is that of a NIfTI file."""
    return path.name.lower().endswith(VOLUMES)


def words_of(window: Window | None) -> str:
    """Return which range becomes 0..255, in words."""
    if window is None:
        return "percentiles 0.5 to 99.5 of the volume"
    if isinstance(window, Percentiles):
        return f"percentiles {window.low:g} to {window.high:g} of each image"
    if isinstance(window, str):
        named: dict[str, Any] = {
            "dtype": "the full range of 8 or 16 bits",
            "image": "each image's own range",
            "window": "the window that the file names",
        }
        return str(named[window])
    ranges = window if isinstance(window[0], tuple) else (window,)
    return ", ".join(f"{low:g} to {high:g}" for low, high in ranges)
