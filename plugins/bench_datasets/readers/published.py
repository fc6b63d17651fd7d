"""What readers of published pairs share: finding folders and files, and checks by their headers."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench_core import Dataset, DatasetRequest
from bench_core.data.picture import Picture
from bench_core.data.samples import Attribute, Sample, UInt8Array
from bench_core.errors import DataError
from bench_datasets.readers.base import ListedReader, Listing, root_of

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF")
"""What a published picture may be, whatever its extension says."""
PICTURE = re.compile(r"(?i)\.(png|jpe?g|tiff?|bmp|gif)$")
Size = tuple[int, int]


@dataclass(frozen=True)
class Pair:
    """An image with its masks, found by name."""

    id: str
    group: str
    image: Path
    masks: tuple[Path, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


class PublishedReader(ListedReader):
    """Lists the pairs that `find` finds, checks their headers, and decodes each with `decode`."""

    def __init__(
        self,
        request: DatasetRequest,
        declared: Dataset,
        find: Callable[[Listing], Sequence[Pair]],
        decode: Callable[[Sample], tuple[Picture, UInt8Array]],
        size: Callable[[Listing], Size | None] = lambda listing: None,
    ) -> None:
        super().__init__(declared, root_of(request, declared), request.options)
        self._pairs = find
        self._decode = decode
        self._size = size

    def find(self, listing: Listing) -> None:
        """List the pairs sorted by id, those whose headers fit."""
        with listable(self.root):
            pairs = sorted(self._pairs(listing), key=lambda pair: natural(pair.id))
        published = self._size(listing)
        listing.samples += [
            Sample(pair.id, pair.group, (pair.image, *pair.masks), pair.attributes)
            for pair in pairs
            if _headers_fit(pair, published, listing)
        ]

    def pixels(self, sample: Sample) -> tuple[Picture, UInt8Array]:
        """Decode a sample's files."""
        return self._decode(sample)


@contextmanager
def listable(root: Path) -> Iterator[None]:
    """Turn a folder or file that may not be read into DataError with its path."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise  # No fault of the folder.
        raise DataError(
            f"cannot be read: {error.strerror}",
            place=str(error.filename or root),
            fix="check who may read it, and that its disk is there",
        ) from error


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """Return a key that sorts (2) before (10)."""
    return tuple(
        (int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", text) if part
    )


def find_folder(listing: Listing, places: Sequence[str], what: str) -> Path | None:
    """Return the first of these folders below the root that is there; note their absence otherwise."""
    for place in places:
        folder = listing.root / place
        if folder.is_dir():
            return folder
    listing.problems.add(
        places[0], f"no such folder of {what}" + (f", nor {', '.join(places[1:])}" if places[1:] else "")
    )
    return None


def files_by_key(
    listing: Listing, folder: Path, pattern: str, what: str, *, others: str | None = None
) -> dict[str, Path]:
    """Return the files whose whole names match, by the pattern's first group (numbers without zeros).

    Two files of one key, and links without a target, are problems. Pictures of other names are remarked upon,
    unless their names match `others`.
    """
    found: dict[str, Path] = {}
    strangers = []
    for path in sorted(folder.iterdir(), key=lambda path: natural(path.name)):
        if path.name.startswith("."):
            continue
        match = re.fullmatch(pattern, path.name)
        if match is None:
            if PICTURE.search(path.name) and not (others and re.fullmatch(others, path.name)):
                strangers.append(path)
            continue
        key = str(int(match[1])) if match[1].isdigit() else match[1]
        if key in found:
            listing.problems.add(path, f"is a second {what} for {key}, beside {found[key].name}")
        else:
            found[key] = path
            listing.accept(path)
    listing.passed_over(strangers, f"no name of a published {what}")
    return found


def paired(
    listing: Listing,
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    mask_name: Callable[[str], Path],
    image_name: Callable[[str], Path],
) -> list[str]:
    """Return the keys of which both files are there; the others are noted as missing, one line each.

    `mask_name` and `image_name` say where the file of a key would lie.
    """
    for key in sorted(images.keys() - masks.keys(), key=natural):
        listing.problems.missing(mask_name(key), f"is missing: the mask of {images[key].name}")
    for key in sorted(masks.keys() - images.keys(), key=natural):
        listing.problems.missing(image_name(key), f"is missing: the image of {masks[key].name}")
    return sorted(images.keys() & masks.keys(), key=natural)


def check_number(listing: Listing, place: Path | str, found: int, published: int, what: str) -> None:
    """Note that files are missing, or that there are more than published."""
    if found < published:
        listing.problems.missing(place, f"holds {found:,} of {published:,} published {what}")
    elif found > published:
        listing.problems.add(place, f"holds {found:,} {what}, {published:,} are published")


def check_numbered(listing: Listing, place: Path, found: Iterable[str], last: int, what: str) -> None:
    """Note which of the files 1 to `last` are missing, in one line, and numbers beyond, one line each."""
    numbers = {int(key) for key in found}
    gone = sorted(set(range(1, last + 1)) - numbers)
    if gone:
        listing.problems.missing(place, f"{len(gone)} of {last} {what} are missing: {_ranges(gone)}")
    for number in sorted(numbers - set(range(1, last + 1))):
        listing.problems.add(place, f"holds a number {number}: the published {what} are 1 to {last}")


def _ranges(numbers: Sequence[int]) -> str:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in runs[:6]]
    return ", ".join(shown) + (f" and {len(runs) - 6} more gaps" if len(runs) > 6 else "")


def header_size(path: Path) -> Size:
    """Return a picture's width and height from its header; DataError where it has none."""
    from PIL import Image

    try:
        with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
            width, height = image.size
            # A camera may have noted that the picture lies on its side. Asked for a note that is not there,
            # Pillow decodes a whole PNG to look behind its pixels.
            turned = "exif" in image.info and image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            return (height, width) if turned else (width, height)
    except Exception as error:
        # Decoders raise almost anything on damaged headers.
        raise DataError(f"cannot be decoded: {_reason(error)}", place=str(path)) from error


def _reason(error: Exception) -> str:
    if type(error).__name__ == "UnidentifiedImageError":
        return f"it is not an image in a known format ({', '.join(FORMATS)})"
    return str(error) or type(error).__name__


def _headers_fit(pair: Pair, published: Size | None, listing: Listing) -> bool:
    sizes = {}
    problems = listing.problems
    if not listing.unusable.isdisjoint((pair.image, *pair.masks)):
        return False
    for path in (pair.image, *pair.masks):
        try:
            sizes[path] = header_size(path)
        except DataError as error:
            problems.add(path, error.message)
    if len(sizes) < 1 + len(pair.masks):
        return False
    width, height = sizes[pair.image]
    fits = True
    if published is not None and (width, height) != published:
        problems.add(
            pair.image, f"is {width} x {height} pixels, published are {published[0]} x {published[1]}"
        )
        fits = False
    for path in pair.masks:
        if sizes[path] != (width, height):
            problems.add(
                path,
                f"is {sizes[path][0]} x {sizes[path][1]} pixels, its image {pair.image.name} "
                f"{width} x {height}",
            )
            fits = False
    return fits
