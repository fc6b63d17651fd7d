"""What plugins declare of networks: architectures, their weights files, sources of names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_core.declarations.entry import Entry
from bench_core.declarations.layers import Layers
from bench_core.errors import PluginError
from bench_core.files.names import name_problem
from bench_core.options import Option


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """A protocol setting that a model cannot take, what it takes instead, and why."""

    value: Any
    because: str


@dataclass(frozen=True, kw_only=True)
class Departure:
    """Where the network trained here departs from the published one; printed wherever its numbers are."""

    what: str
    published: str
    here: str
    because: str


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """A weights file that a network reads: what it is called, who publishes it, and what is known of it.

    Raises PluginError for a name that is not the plain name of a file.
    """

    name: str
    """Under which it lies in $SEGTRIAL_WEIGHTS."""
    url: str = ""
    """Where `bench weights get` has it from; "" where no program may or can fetch it."""
    sha256: str = ""
    """Hexadecimal, whole or its first digits; if not given, those that the name ends in by custom."""
    license: str = ""
    """Of the weights, in their publisher's words; "" where none is known. Never that of a library."""
    page: str = ""
    """Where a reader finds it, in words: "the page of NVlabs/SegFormer"."""
    copies: tuple[PublishedFile, ...] = ()
    """The same weights under other names, in the order in which they are looked for."""
    folder: Path | None = None
    """The one folder in which it lies, where it belongs to something else there; None: the usual places."""
    packaged: Path | None = None
    """A copy that an installed package carries, taken where the usual places have none."""
    fix: str = ""
    """What to do if it is missing, where that is neither a download nor a page: a package to install."""

    def __post_init__(self) -> None:
        if problem := name_problem(self.name):
            raise PluginError(
                f"{self.name!r} cannot be the name of a weights file",
                cause=problem,
                fix="declare the plain name of a file, without folders",
            )

    @property
    def known_sha256(self) -> str:
        """What its publisher says of its SHA-256, nothing perhaps."""
        named = re.search(r"-([0-9a-f]{8})\.\w+$", self.name)
        return self.sha256.lower() or (named[1] if named else "")

    @property
    def everywhere(self) -> tuple[PublishedFile, ...]:
        """The file and its copies."""
        return (self, *self.copies)


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What an architecture's builder receives."""

    name: str = ""
    """The architecture's, so that one builder can serve every name of a source."""
    in_channels: int
    num_classes: int
    """Channels of the logits: 1 for binary tasks, otherwise classes with background."""
    image_size: int
    pretrained: str
    """One of the architecture's `pretrained` sources, "none" included."""
    weights_files: tuple[Path, ...] = ()
    """The files to fill the network from, one per file that `Architecture.weights` returned and in its order;
    empty from scratch. They are there."""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def weights_file(self) -> Path | None:
        """The file of an architecture that reads a single one, None from scratch."""
        return self.weights_files[0] if self.weights_files else None


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network that a spec can name.

    `build(request)` returns a module mapping images [B, C, H, W] (normalized float) to logits [B, K, H, W];
    it may set `module.weights_report` (bench_core.weights.load.WeightsReport) to say what was loaded, and
    `module.network_notes`, a tuple of sentences, for what a reader of its numbers must know.
    """

    name: str
    family: str
    runner: str
    version: int
    """Part of every job's identity: raise it when the numbers of this model change."""
    build: Entry | None = None
    """None while the builder is not there yet; then `unavailable` says why and a run is refused up front.
    Also None for a model that is not a network, under a runner with a procedure of its own."""
    unavailable: str | None = None
    title: str = ""
    paper: str = ""
    year: int | None = None
    """Of the publication that `paper` names."""
    license: str = ""
    """That of the public weights, not of the code, for files that declare none of their own."""
    pretrained: tuple[str, ...] = ("none",)
    """Weights sources on offer, the usual one first, for example ("imagenet", "none")."""
    parameters: Mapping[int, int] = field(default_factory=dict)
    """Declared parameter counts by logit channels at default options and 3 input channels."""
    size_multiple: int = 1
    size_minimum: int = 1
    batch_minimum: int = 1
    """Images that a training batch needs: 2 where a layer normalizes a single pixel over the batch."""
    options: Mapping[str, Option] = field(default_factory=dict)
    small: Mapping[str, Any] = field(default_factory=dict)
    """Options under which the network's behavior can be tried in seconds on a CPU: `bench test --small`."""
    deviations: Mapping[str, Deviation] = field(default_factory=dict)
    """Protocol fields (plus "pretrained") that this model always takes differently."""
    departures: tuple[Departure, ...] = ()
    quirks: tuple[str, ...] = ()
    """Oddities of the published network or code that are kept here, one sentence each."""
    dead_parameters: tuple[str, ...] = ()
    """Name prefixes of parameters that never receive a gradient."""
    encoder: tuple[str, ...] = ()
    """Names of the encoder's modules, one for each group of layers, from its input on: ("stem", "stages.0").
    Their parameters may learn at rates of their own (`encoder_factor`, `layer_decay` of a protocol)."""
    content: str = ""
    """Hash of the user's own files that define the network, for names that are places; part of identity."""
    explained: Layers = field(default_factory=Layers)
    """Layers of which class activation maps are made; no digest counts them."""
    random_at_inference: bool = False
    requires: tuple[str, ...] = ()
    """Importable modules that the builder needs beyond the runner's own."""
    install: str = ""
    """What brings them: an extra of segtrial, such as "timm", or a whole command. If not given, the extras
    that bring these modules are named."""
    weights: Callable[[str, Mapping[str, Any]], Sequence[PublishedFile]] | None = None
    """Gets a pretrained source other than "none" and the options; returns the files that the builder reads.

    Asked before any job starts, without looking for the files: the core does that. Raises WeightsError where
    there are none for these options. Imports no framework.
    """

    @property
    def display(self) -> str:
        """The name as tables print it."""
        return self.title or self.name


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """A family of names `prefix:...` that resolve to architectures without being listed one by one."""

    prefix: str
    runner: str
    help: str
    resolve: Callable[[str], Architecture]
    """Gets the whole name; raises UnknownNameError with the nearest valid name. Imports no framework."""
    names: Callable[[], Sequence[str]] = lambda: ()
    """Examples or the full list, for `bench list models`."""
    file_suffix: str | None = None
    """Files that end so reach `resolve` by absolute path, looked for from the spec's folder."""
