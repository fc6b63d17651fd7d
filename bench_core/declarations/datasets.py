"""What plugins declare of data: tasks and datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_core.declarations.code import call, shown
from bench_core.declarations.entry import Entry
from bench_core.errors import PluginError
from bench_core.options import Option

IGNORE = 255
"""Mask label of pixels that count neither in the loss nor in a metric; no class has this index."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is segmented: foreground class names in label order (label 0 is background), image channels."""

    classes: tuple[str, ...]
    channels: int
    ignore: bool = False
    """Whether masks may hold IGNORE."""

    @property
    def binary(self) -> bool:
        """True for one foreground class: one logit channel and binary cross-entropy."""
        return len(self.classes) == 1

    @property
    def logit_channels(self) -> int:
        """K of the logits [B, K, H, W]: 1 for a binary task, otherwise foreground classes + background."""
        return 1 if self.binary else len(self.classes) + 1


@dataclass(frozen=True, kw_only=True)
class DatasetRequest:
    """What a dataset's reader factory receives."""

    root: Path | None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LooseRequest:
    """What a function receives that opens images of no dataset."""

    channels: int
    """Of the images that networks were trained on."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The dataset's, complete."""


@dataclass(frozen=True, kw_only=True)
class FakeRequest:
    """What the function receives that draws a small copy of a published dataset."""

    root: Path
    """An empty folder, which becomes the root of the copy."""
    samples: int
    """Labelled images that are wanted; a layout may need a few more or fewer."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A published score on a dataset of a network that was trained on others, to print beside one's own."""

    model: str
    trained: tuple[str, ...]
    """Names of the declared datasets that it was trained on, all of them together; of one that is known under
    two names, both."""
    value: float
    """In [0, 1]."""
    metric: str
    """Name of a declared metric of pixel counts, as the mean over images."""
    training: str
    """What it was trained on, in words: 900 images of one and 550 of another."""
    source: str
    """Where it is published."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two datasets that a step on another dataset brings together."""

    title: str
    task: Task
    modality: str = ""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset that a spec can name; `open(request)` returns a bench_core.data.samples.Reader."""

    name: str
    version: int
    """Part of every job's identity: raise it when the samples that the reader yields change."""
    task: Task | Callable[[Mapping[str, Any]], Task]
    """Fixed, or computed from the spec entry's options (raises ValueError with a message on bad ones)."""
    open: Entry | None = None
    unavailable: str | None = None
    title: str = ""
    modality: str = ""
    modality_of: Callable[[Mapping[str, Any]], str] | None = None
    """Where options decide on the modality: gets the complete options; None: `modality` is it."""
    license: str = ""
    citation: str = ""
    """The publication to cite, with its DOI or address."""
    how_to_get: str = ""
    samples: int | None = None
    """Labelled images as published."""
    parts: Mapping[str, int] = field(default_factory=dict)
    """Labelled images of each published part; empty where there is one part."""
    same_images: Mapping[str, str] = field(default_factory=dict)
    """Datasets that hold images of this one, and which; a model trained on one is not tested on another."""
    references: tuple[Reference, ...] = ()
    """Published scores of networks that were trained elsewhere."""
    fake: Entry | None = None
    """`(FakeRequest) -> Mapping`: draws a small copy in the published layout and returns its truth as plain
    data: under "samples" one mapping with id, group and what else is known, other keys as needed."""
    needs_root: bool = True
    loose: Entry | None = None
    """`(LooseRequest) -> bench_core.data.loose.LooseReader`: decodes other images as the reader does its own,
    for predictions. None: as a dataset of own files does by default."""
    own_files: bool = False
    """The samples are whatever the user keeps at the root, so that name and version do not tell them apart:
    a spec must give its entry a label, and the label is part of every job's identity."""
    options: Mapping[str, Option] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    """Importable modules that the reader needs."""
    install: str = ""
    """What brings them, as in `Architecture`."""

    @property
    def display(self) -> str:
        """The name as tables print it."""
        return self.title or self.name

    def modality_for(self, options: Mapping[str, Any]) -> str:
        """Return the modality under these options; empty where only the user knows it."""
        if self.modality_of is None:
            return "" if self.own_files else self.modality
        function, what = self.modality_of, f"the modality of dataset {self.name!r}"
        found = call(what, lambda: function(options))
        if not isinstance(found, str):
            raise PluginError(f"{what} is not text", cause=f"its function returned {shown(found)}")
        return found

    def task_for(self, options: Mapping[str, Any]) -> Task:
        """Return the task under these options; ValueError says what is wrong with them."""
        if isinstance(self.task, Task):
            return self.task
        task, what = self.task, f"the task of dataset {self.name!r}"
        found = call(what, lambda: task(options), expected=(ValueError,))
        if not isinstance(found, Task):
            raise PluginError(f"{what} is not a Task", cause=f"its function returned {shown(found)}")
        return found
