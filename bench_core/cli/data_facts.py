"""All that is declared of a dataset, for `bench data info`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from bench_core.cli.list import missing_of

if TYPE_CHECKING:
    from bench_core.declarations import Dataset


def facts(declared: Dataset) -> dict[str, Any]:
    """Return the declaration as plain data."""
    task = None if callable(declared.task) else declared.task
    return {
        "name": declared.name,
        "title": declared.display,
        "version": declared.version,
        "modality": declared.modality,
        "classes": None if task is None else list(task.classes),
        "channels": None if task is None else task.channels,
        "samples": declared.samples,
        "parts": dict(declared.parts),
        "license": declared.license,
        "citation": declared.citation,
        "how_to_get": declared.how_to_get,
        "same_images": dict(declared.same_images),
        "small_copy": declared.fake is not None,
        "state": declared.unavailable or missing_of(declared.requires, declared.install),
        "options": {
            name: {"type": option.type.__name__, "default": option.default, "help": option.help}
            for name, option in declared.options.items()
        },
    }


def lines(declared: Dataset) -> Iterable[str]:
    """Yield the declaration as lines."""
    told = facts(declared)
    yield f"{told['title']} ({told['name']}), {told['modality']}"
    classes = "by options" if told["classes"] is None else ", ".join(told["classes"])
    yield f"  classes: {classes}"
    if told["samples"] is not None:
        parts = ", ".join(f"{name} {count:,}" for name, count in told["parts"].items())
        yield f"  labelled images: {told['samples']:,}" + (f" ({parts})" if parts else "")
    for key in ("license", "citation", "how_to_get"):
        if told[key]:
            yield f"  {key.replace('_', ' ')}: {told[key]}"
    for name, which in told["same_images"].items():
        yield f"  shares images with {name}: {which}"
    yield f"  state: {told['state']}"
    if told["small_copy"]:
        yield f"  small copy: bench data fake {told['name']} --samples 24 --out DIR"
    for name, option in told["options"].items():
        yield f"  option {name} = {option['default']!r}: {option['help']}"
