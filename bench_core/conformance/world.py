"""What steps, procedures and parts of reports are tried on: drawn images, a small network, a rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bench_core.data.samples import Sample, UInt8Array
from bench_core.declarations import (
    IGNORE,
    Architecture,
    BuildRequest,
    Dataset,
    DatasetRequest,
    Layers,
    RunnerDeclaration,
    Task,
)
from bench_core.options import Option
from bench_core.plugins.registry import Registry

if TYPE_CHECKING:
    from torch import nn

    from bench_core.protocol.outcome import Outcome
    from bench_core.protocol.session import Session

DATASET, RULE, NETWORK = "trial-ground", "trial-rule", "trial-network"
"""Names of the dataset, of the model that trains nothing, and of the network."""
SIDE = 32
SIZES = ((SIDE, SIDE), (24, 40), (33, 21))
PROBE = "trial-probe"
"""An element of HTML that no page has; names that hold it show who escapes them."""
HOSTILE = f"<{PROBE}>&amp;\"'"
_CLASSES = {"one": ("core",), "two": ("core", "rim"), "hostile": (f"=core{HOSTILE}", "100%_rim|{#}\\")}


class Ground:
    """Bright blocks on noise: one image per group, attributes, and a spacing where `kind` is not one."""

    def __init__(self, request: DatasetRequest) -> None:
        self._kind = str(request.options["kind"])
        self._numbers = range(request.options["first"], request.options["first"] + request.options["count"])
        self._hidden = frozenset(request.options["hidden"])

    def samples(self) -> list[Sample]:
        """Return the samples; those of the kind `hostile` have names that a page must escape."""
        hostile = self._kind == "hostile"
        found = []
        for number in self._numbers:
            name = f"case {number:02d} {HOSTILE}" if hostile else f"case-{number:02d}"
            attributes: dict[str, str | float] = {"side": "left" if number % 2 else "right"}
            if hostile:
                attributes = {f"age {HOSTILE}": 30.0 + number, "site": f"=A{number % 2}{HOSTILE}"}
            spacing = None if self._kind == "one" else (0.5, 0.25)
            found.append(Sample(name, name, (), attributes=attributes, spacing=spacing))
        return found

    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        """Return image and mask; that of a hidden sample is empty."""
        number = int(sample.id[5:7])
        random = np.random.default_rng([7, number])
        height, width = (SIDE, SIDE) if self._kind == "one" else SIZES[number % len(SIZES)]
        mask = np.zeros((height, width), np.uint8)
        for label in range(len(_CLASSES[self._kind]), 0, -1):
            # Of some images the second structure is missing, and the outer one is drawn first.
            if label == 2 and number % 4 == 0:
                continue
            high, wide = height // (3 if label == 2 else 4), width // (2 if label == 2 else 4)
            top, left = int(random.integers(1, height - high)), int(random.integers(1, width - wide))
            mask[top : top + high, left : left + wide] = label
        image = random.integers(0, 60, (height, width, 1), dtype=np.uint8) + 90 * mask[:, :, None]
        if self._kind != "one":
            mask[0, :3] = IGNORE
        if sample.id in self._hidden:
            mask[mask != IGNORE] = 0
        return image, mask


def fit_rule(session: Session, options: Mapping[str, Any]) -> Outcome:
    """Label by fixed levels of brightness."""
    from bench_core.protocol.outcome import Outcome

    levels = [0.3, 0.65][: len(session.task.classes)]
    maps = (
        (sample, np.digitize(image.mean(dim=0).cpu().numpy(), levels).astype(np.uint8))
        for batch in session.images(session.test)
        for sample, image in zip(batch.ids, batch.images, strict=True)
    )
    return Outcome(predictions=session.accept(session.test, maps))


def build_network(request: BuildRequest) -> nn.Module:
    """Return two convolutions."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(request.in_channels, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, request.num_classes, 1),
    )


def with_world(registry: Registry) -> Registry:
    """Return what plugins declare and beside it the dataset, the network and the rule of every trial."""
    ground = Dataset(
        name=DATASET,
        title="Drawn blocks",
        version=1,
        task=lambda options: Task(
            classes=_CLASSES[options["kind"]], channels=1, ignore=options["kind"] != "one"
        ),
        open=Ground,
        license="CC0-1.0",
        needs_root=False,
        options={
            "kind": Option(type=str, default="one", choices=tuple(_CLASSES), help="what is drawn"),
            "count": Option(type=int, default=9, minimum=6, help="images"),
            "first": Option(type=int, default=0, minimum=0, maximum=80, help="number of the first image"),
            "hidden": Option(type=list, default=[], counts=False, help="images whose masks are empty"),
        },
    )
    rule = RunnerDeclaration(
        name=RULE, fit=fit_rule, help="labels by fixed levels of brightness", protocol="own", version=1
    )
    models = (
        Architecture(
            name=RULE, family="baseline", runner=RULE, version=1, title=f"Rule {HOSTILE}", paper=HOSTILE
        ),
        Architecture(
            name=NETWORK,
            family="own",
            runner="torch",
            version=1,
            build=build_network,
            title="Two convolutions",
            explained=Layers(encoder=("1",), decoder="2"),
        ),
    )
    return replace(
        registry,
        datasets={**registry.datasets, DATASET: ground},
        runners={**registry.runners, RULE: rule},
        models={**registry.models, **{model.name: model for model in models}},
    )
