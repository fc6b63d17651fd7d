"""What `bench data` says of a dataset: as lines for people, as plain data for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from bench_core.data.describe import label_pixels

if TYPE_CHECKING:
    from bench_core.data.check import Prepared

SHOWN = 12
"""Values of an attribute that are listed; the rest are counted."""


def as_json(item: Prepared) -> dict[str, Any]:
    """Return counts, classes, folds, attributes and warnings of a dataset as plain data."""
    pixels = label_pixels(item.arrays)
    names = ["background", *item.classes]
    return {
        "label": item.label,
        "classes": list(item.classes),
        "pixels": {name: int(pixels[:, label].sum()) for label, name in enumerate(names)},
        "ignored_pixels": int(pixels[:, 255].sum()),
        "masks": {name: int((pixels[:, label] > 0).sum()) for label, name in enumerate(names)},
        "cached_shape": list(item.arrays.images.shape),
        "gray": list(_gray(item)),
        "warnings": list(item.warnings),
        **item.samples.to_json(),
    }


def cached(item: Prepared) -> dict[str, Any]:
    """Return where a dataset's cache lies and what is in it, as plain data."""
    arrays = item.arrays
    return {
        "label": item.label,
        "samples": len(arrays.ids),
        "groups": len(set(arrays.groups)),
        "image_size": int(arrays.images.shape[1]),
        "cache": str(arrays.path),
        "bytes": int(arrays.images.nbytes + arrays.masks.nbytes),
        "warnings": list(item.warnings),
    }


def cached_line(item: Prepared) -> str:
    """Return the same as a line."""
    facts = cached(item)
    return (
        f"{facts['label']}: {facts['samples']} images at {facts['image_size']} pixels, "
        f"{facts['groups']} groups, {facts['bytes'] / 1e6:.1f} MB in {facts['cache']}"
    )


def lines(item: Prepared) -> Iterable[str]:
    """Yield the same as lines."""
    samples, pixels = item.samples, label_pixels(item.arrays)
    count, side = len(samples.ids), item.arrays.images.shape[1]
    yield f"{item.label}: {count} images in {len(set(samples.groups))} groups"
    heights, widths = samples.sizes[:, 0], samples.sizes[:, 1]
    sizes = Counter(map(tuple, samples.sizes.tolist()))
    if len(sizes) == 1:
        yield f"  size: {widths[0]} x {heights[0]} pixels, brought to {side} x {side}"
    else:
        yield (
            f"  size: {widths.min()} to {widths.max()} wide, {heights.min()} to {heights.max()} high "
            f"({len(sizes)} sizes), brought to {side} x {side}"
        )
    if samples.spacing is not None:
        low, high = samples.spacing.min(), samples.spacing.max()
        yield f"  pixel: {low:g} mm" if low == high else f"  pixel: {low:g} to {high:g} mm"
    channels = item.arrays.images.shape[3]
    low, high, mean = _gray(item)
    yield f"  values: {low} to {high}, mean {mean:.1f}, {channels} channel{'s' if channels > 1 else ''}"
    total = pixels.sum()
    for label, name in enumerate(["background", *item.classes]):
        share, masks = pixels[:, label].sum() / total, int((pixels[:, label] > 0).sum())
        yield f"  {name}: {100 * share:.2f} % of all pixels, in {masks} of {count} masks"
    if ignored := int(pixels[:, 255].sum()):
        yield f"  ignored: {100 * ignored / total:.2f} % of all pixels"
    for name, folds in samples.folds.items():
        parts = Counter(folds)
        yield f"  {name}: {', '.join(str(parts[fold]) for fold in sorted(parts))} images"
    for name, column in samples.attributes.items():
        yield f"  {name}: {_column(column)}"
    yield f"  fingerprint: {samples.fingerprint[:16]}"
    for text in item.warnings:
        yield f"  warning: {text}"


def _column(column: Sequence[str | float | None]) -> str:
    missing = sum(value is None for value in column)
    numbers = [value for value in column if isinstance(value, (int, float))]
    if numbers:
        text = f"{min(numbers):g} to {max(numbers):g}"
    else:
        found = Counter(value for value in column if value is not None).most_common()
        text = ", ".join(f"{value} ({times})" for value, times in found[:SHOWN])
        text += f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return text + (f"; unknown in {missing}" if missing else "")


def _gray(item: Prepared) -> tuple[int, int, float]:
    """Return lowest, highest and mean value of the cached images."""
    low, high, total = 255, 0, 0.0
    for image in item.arrays.images:
        low, high = min(low, int(image.min())), max(high, int(image.max()))
        total += float(image.mean())
    return low, high, total / len(item.arrays.ids)
