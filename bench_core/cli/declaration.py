"""Whole declarations, for readers and for programs: `bench list models NAME`, `... executors NAME`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench_core.cli.common import console
from bench_core.declarations import Architecture, ExecutorDeclaration
from bench_core.options import Option

_TITLES = {
    "parameters": "parameters (logit channels)",
    "license": "license of the weights",
    "small": "small options",
    "quirks": "kept as published",
    "departures": "departs from the published",
    "deviations": "departs from the protocol",
    "dead_parameters": "parameters without gradient",
    "encoder": "layers of the encoder",
    "explained": "layers of maps",
    "random_at_inference": "random at inference",
}
"""What a key of `facts` is called where a person reads it; the others as they are."""


def facts(model: Architecture, state: str) -> dict[str, Any]:
    """Return everything that a declaration says, as JSON data; `state` is whether it can be built here."""
    from bench_core.execute.weights import needs_of_model

    needs = needs_of_model(model)
    return {
        "name": model.name,
        "title": model.display,
        "family": model.family,
        "runner": model.runner,
        "version": model.version,
        "state": state,
        "paper": model.paper,
        "year": model.year,
        "parameters": {str(count): number for count, number in sorted(model.parameters.items())},
        "image_sizes": {"multiple": model.size_multiple, "minimum": model.size_minimum},
        "batch_minimum": model.batch_minimum,
        "options": {name: _option(option) for name, option in model.options.items()},
        "small": dict(model.small),
        "pretrained": list(model.pretrained),
        "license": "; ".join(dict.fromkeys(need.license for need in needs)) or model.license or "no weights",
        "weights": [list(need.names) for need in needs],
        "deviations": {
            name: {"value": item.value, "because": item.because} for name, item in model.deviations.items()
        },
        "departures": [
            {"what": item.what, "published": item.published, "here": item.here, "because": item.because}
            for item in model.departures
        ],
        "quirks": list(model.quirks),
        "dead_parameters": list(model.dead_parameters),
        "encoder": list(model.encoder),
        "explained": {
            "encoder": list(model.explained.encoder),
            "decoder": model.explained.decoder,
            "forms": dict(model.explained.forms),
        },
        "random_at_inference": model.random_at_inference,
        "requires": list(model.requires),
    }


def executor_facts(executor: ExecutorDeclaration, state: str) -> dict[str, Any]:
    """Return everything that an executor's declaration says; `state` is whether it can be used here."""
    return {
        "name": executor.name,
        "help": executor.help,
        "state": state,
        "options": {name: _option(option) for name, option in executor.options.items()},
        "requires": list(executor.requires),
    }


def _option(option: Option) -> dict[str, Any]:
    limits = {"minimum": option.minimum, "maximum": option.maximum, "multiple": option.multiple}
    return {
        "type": option.type.__name__,
        "default": option.default,
        "choices": list(option.choices),
        **{name: value for name, value in limits.items() if value is not None},
        "help": option.help,
    }


def print_declarations(found: Sequence[dict[str, Any]]) -> None:
    """Print what `facts` returned, one table per declaration."""
    from rich.table import Table
    from rich.text import Text

    screen = console()
    if not screen.is_terminal:
        # A file or a log has no width of its own, and sentences would be broken at 80 columns.
        screen.width = 160
    for index, data in enumerate(found):
        if index:
            screen.print()
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, style="bold")
        table.add_column(overflow="fold")
        for key, value in data.items():
            first, *others = _lines(key, value) or ["none declared"]
            table.add_row(_TITLES.get(key, key.replace("_", " ")), Text(first))
            for line in others:
                table.add_row("", Text(line))
        screen.print(table)


def _lines(key: str, value: Any) -> list[str]:
    """Return the lines that a fact takes, none where there is nothing to say."""
    if key == "parameters":
        return ["; ".join(f"{number:,} ({count})" for count, number in value.items())] if value else []
    if key == "image_sizes":
        multiple = f"multiples of {value['multiple']}, " * (value["multiple"] > 1)
        return [f"{multiple}from {value['minimum']} pixels on"]
    if key == "options":
        return [_option_line(name, item) for name, item in value.items()]
    if key == "small":
        return [", ".join(f"{name} {_word(item)}" for name, item in value.items())] if value else []
    if key == "explained":
        parts = {"encoder": value["encoder"], "decoder": [value["decoder"]] if value["decoder"] else []}
        return [f"{part}: {', '.join(names)}" for part, names in parts.items() if names]
    if key == "deviations":
        return [f"{name}: {_word(item['value'])}, because {item['because']}" for name, item in value.items()]
    if key == "departures":
        return [
            f"{item['what']}: published: {item['published']}; here: {item['here']}, because {item['because']}"
            for item in value
        ]
    if key == "weights":
        return [" or ".join(names) for names in value]
    if key == "quirks":
        return list(value)
    if isinstance(value, list):
        return [", ".join(value)] if value else []
    return [_word(value)] if value not in (None, "") else []


def _option_line(name: str, item: dict[str, Any]) -> str:
    allowed = [", ".join(_word(choice) for choice in item["choices"])] if item["choices"] else [item["type"]]
    words = {"minimum": "at least", "maximum": "at most", "multiple": "a multiple of"}
    allowed += [f"{word} {item[limit]:g}" for limit, word in words.items() if limit in item]
    default = "not given" if item["default"] is None else _word(item["default"])
    return f"{name} ({', '.join(allowed)}; default: {default}): {item['help']}"


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
