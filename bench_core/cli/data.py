"""`bench data`: check and describe the datasets of a spec without training anything."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench_core.cli.common import JSON, SET, SPEC, STORE, print_json, print_json_line, say

if TYPE_CHECKING:
    from bench_core.data.check import Prepared
    from bench_core.plan.job import Job
    from bench_core.plugins.registry import Registry

SHOWN = 12
"""Groups, values of an attribute and the like that are listed; the rest are counted."""


@click.command()
@SPEC
@SET
@click.option("--only", multiple=True, metavar="LABEL", help="These datasets only.")
@STORE
@JSON
def command(
    spec: Path, overrides: tuple[str, ...], only: tuple[str, ...], store: Path, as_json: bool
) -> None:
    """Check and describe the data of SPEC: counts, sizes, classes, groups, folds, attributes, warnings.

    Decodes each image once, as `bench run` would, into the store's cache, and names every problem at once.
    Trains nothing and needs no framework. Exit codes: 0 usable, 1 invalid spec, 2 unusable data.
    """
    from bench_core.errors import BenchError
    from bench_core.plan.load import load_plan
    from bench_core.store.store import Store

    loaded, plan = load_plan(spec, overrides)
    unknown = sorted(set(only) - set(plan.datasets))
    if unknown:
        raise BenchError(
            f"no dataset {unknown[0]!r} in the spec",
            place=str(spec),
            fix=f"choose from {', '.join(plan.datasets)}",
        )
    jobs = [job for job in plan.jobs if not only or job.dataset.label in only]
    opened = Store(store)
    ready = open_datasets(jobs, loaded.registry, cache_folder() or Store(store, create=True).cache)
    if opened.path.is_dir():
        for item in ready:
            opened.keep_samples(item.samples)
    if as_json:
        print_json({"datasets": [_as_json(item) for item in ready]})
        return
    for number, item in enumerate(ready):
        click.echo(("\n" if number else "") + "\n".join(_lines(item)))


def open_datasets(jobs: Sequence[Job], registry: Registry, cache: Path) -> list[Prepared]:
    """Open all datasets of the jobs, with progress on a terminal; raises DataError with all problems."""
    from bench_core.execute.datasets import prepare_datasets

    line = _ProgressLine()
    try:
        return prepare_datasets(jobs, registry, cache, line.show)
    finally:
        line.clear()


def warn(ready: Iterable[Prepared], *, as_json: bool = False) -> None:
    """Print what in the data should make the user look again, to stderr; to stdout for programs."""
    for item in ready:
        for text in item.warnings:
            if as_json:
                print_json_line({"event": "warning", "dataset": item.label, "message": text})
            say(f"warning: dataset {item.label}: {text}", err=True)


def cache_folder() -> Path | None:
    """Return the folder of caches that the environment names, or None for the store's own."""
    from bench_core.files.paths import expand

    named = os.environ.get("SEGTRIAL_CACHE")
    return expand(named, "SEGTRIAL_CACHE").resolve() if named else None


class _ProgressLine:
    """One line on a terminal that says how many images are decoded; nothing elsewhere."""

    def __init__(self) -> None:
        self._live = sys.stderr is not None and sys.stderr.isatty()
        self._width = 0

    def show(self, label: str, done: int, total: int) -> None:
        if self._live and (done == total or done % max(total // 100, 1) == 0):
            text = f"opening {label}: {done} of {total} images"
            click.echo(f"\r{text.ljust(self._width)}", err=True, nl=False)
            self._width = len(text)

    def clear(self) -> None:
        if self._width:
            click.echo("\r" + " " * self._width + "\r", err=True, nl=False)


def _as_json(item: Prepared) -> dict[str, Any]:
    from bench_core.data.describe import label_pixels

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


def _lines(item: Prepared) -> Iterable[str]:
    from collections import Counter

    from bench_core.data.describe import label_pixels

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
    from collections import Counter

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
