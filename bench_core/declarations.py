"""What plugins declare: architectures, model sources, datasets, runners, metrics, analyses.

Declarations are plain data that import no framework, so a plan can be made where nothing is installed.
Code is named as "package.module:attribute" and imported only when a job needs it.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from bench_core.errors import MissingDependencyError, PluginError
from bench_core.install import install_modules
from bench_core.names import name_problem
from bench_core.options import Option
from bench_core.plugin_code import call, shown

Entry = Callable[..., Any] | str
"""A callable, or its "package.module:attribute" name, imported when first used."""

IGNORE = 255
"""Mask label of pixels that count neither in the loss nor in a metric; no class has this index."""


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
    cam_layers: tuple[str, ...] = ()
    """Modules of whose outputs class activation maps are made: the encoder's last, then the decoder's.

    Each returns one tensor, maps [B, C, h, w] or square tokens [B, h w, C], and something nonlinear follows:
    behind the last nonlinear step a map is by algebra the logit.
    """
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


@dataclass(frozen=True, kw_only=True)
class DatasetRequest:
    """What a dataset's reader factory receives."""

    root: Path | None
    options: Mapping[str, Any] = field(default_factory=dict)


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
    license: str = ""
    how_to_get: str = ""
    samples: int | None = None
    needs_root: bool = True
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

    def task_for(self, options: Mapping[str, Any]) -> Task:
        """Return the task under these options; ValueError says what is wrong with them."""
        if isinstance(self.task, Task):
            return self.task
        task, what = self.task, f"the task of dataset {self.name!r}"
        found = call(what, lambda: task(options), expected=(ValueError,))
        if not isinstance(found, Task):
            raise PluginError(f"{what} is not a Task", cause=f"its function returned {shown(found)}")
        return found


@dataclass(frozen=True, kw_only=True)
class RunnerDeclaration:
    """What trains and tests jobs under one framework, or by a procedure of its own.

    Under the shared protocol `fit(contract, options)` gets a bench_core.protocol.contract.Contract. With
    `protocol="own"` it gets a bench_core.protocol.session.Session and the complete `options`, a mapping.
    Both return a bench_core.protocol.outcome.Outcome.
    """

    name: str
    fit: Entry
    help: str
    protocol: Literal["shared", "own"] = "shared"
    """own: no search is planned for it, its options are settings that count for identity, and reports say so
    wherever its numbers are."""
    version: int = 1
    """Of an own procedure, part of every job's identity: raise it when its numbers change."""
    requires: tuple[str, ...] = ()
    install: str = ""
    """What brings `requires`, as in `Architecture`."""
    options: Mapping[str, Option] = field(default_factory=dict)
    """Shared protocol: settings of the framework under a spec's `runtime.runners`, which must not change any
    number. Own protocol: settings under a model's `options`."""
    unavailable: str | None = None
    """Why `fit` is not there yet: the name is known to specs and plans, and a run is refused up front."""


def without_network(model: Architecture, runner: RunnerDeclaration | None) -> bool:
    """Say whether a model has no network by design: a runner with a procedure of its own builds none."""
    own = runner is not None and runner.protocol == "own"
    return own and model.build is None and model.unavailable is None


@dataclass(frozen=True, kw_only=True)
class Step:
    """Work on finished evaluate jobs that a spec's `steps:` can name; one job per evaluate job and entry.

    `run(session, options)` gets a bench_core.protocol.session.Session, whose `source` is the finished job,
    and the complete options; it returns a bench_core.protocol.outcome.Outcome.
    """

    name: str
    version: int
    """Part of every job's identity: raise it when the step's numbers change."""
    run: Entry
    help: str
    needs: Literal["weights", "predictions"] = "predictions"
    """What of the finished job it reads; jobs that leave no weights get no step that needs them."""
    dataset: Literal["same", "other"] = "same"
    """other: each entry names a `dataset`, all of whose images are looked at."""
    options: Mapping[str, Option] = field(default_factory=dict)
    resolve: Callable[[Mapping[str, Any], Mapping[str, Metric]], Mapping[str, Any]] | None = None
    """Gets the complete options and the declared metrics; returns what counts for identity and what `run`
    gets. Raises ValueError for options that do not fit together. None: the options as they are."""
    requires: tuple[str, ...] = ()
    """Importable modules that it needs."""
    install: str = ""


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """A part of the report that a spec's `analyses:` can name.

    `section(evidence, options)` gets a bench_core.analysis.evidence.Evidence and the completed options, and
    returns a bench_core.report.blocks.Section; its tables are written in every format.
    """

    name: str
    help: str
    section: Entry
    options: Mapping[str, Option] = field(default_factory=dict)


Unit = Literal["fraction", "px", "mm", "length"]
"""`length`: mm where the spacing of all tested images is known, else pixels of the grid that is tested on."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number per image and class (or per sum of counts) that tables, charts and comparisons can show.

    `needs: counts`: `compute(counts)` maps pixel counts [..., 3] (true positives, false positives, false
    negatives) to scores [...], and is asked for single images and for sums.
    `needs: labels`: `compute(prediction, truth, classes, spacing, ignore, **options)` maps the label maps
    [H, W] of one image to scores [classes] of labels 1 to `classes`; `spacing` is (row, column) in mm per
    pixel or None, `ignore` a mask [H, W] of pixels that count nowhere, or None. The step `measure` calls it.

    NaN is a score that is undefined, and is left out of means; see `empty`. Names are lower-case letters,
    digits and dashes, since tables and columns are called after them; others raise ValueError.
    """

    name: str
    title: str
    """As headings print it: HD95."""
    version: int
    """Part of the identity of the jobs that measure it: raise it when its numbers change."""
    needs: Literal["counts", "labels"]
    compute: Entry
    definition: str
    """One or two sentences that leave no choice open."""
    empty: str
    """What scores a structure that the truth, the prediction or neither of them has."""
    unit: Unit = "fraction"
    better: Literal["higher", "lower"] = "higher"
    class_title: str = ""
    """As headings print it for a single class, where that differs: DSC for mDSC."""
    source: str = ""
    """Where it is defined."""
    options: Mapping[str, Option] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", self.name):
            raise ValueError(f"{self.name!r} is not lower-case letters, digits and dashes")
        for key, known in (
            ("needs", ("counts", "labels")),
            ("unit", get_args(Unit)),
            ("better", ("higher", "lower")),
        ):
            value = getattr(self, key)
            if value not in known:
                raise ValueError(f"{key} of metric {self.name!r} is {value!r}, not {' or '.join(known)}")
        if self.needs == "counts" and self.unit != "fraction":
            raise ValueError(f"metric {self.name!r} is made of pixel counts, so its unit is a fraction")
        if self.needs == "counts" and self.options:
            raise ValueError(f"metric {self.name!r} is made of pixel counts, and these take no options")

    @property
    def of_class(self) -> str:
        """The title for a single class."""
        return self.class_title or self.title


@dataclass(frozen=True, kw_only=True)
class JobEvent:
    """Something that happened in a job, for live views and trackers; nothing is decided by it."""

    kind: Literal["started", "epoch", "progress", "testing", "finished", "failed"]
    digest: str
    epoch: int = 0
    """The epoch that has ended, from 0."""
    epochs: int = 0
    """Planned epochs."""
    loss: float | None = None
    """Mean training loss of the epoch."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Of an epoch: on the validation images. Of `finished`: on the test images."""
    message: str = ""
    """Why it failed, or what it is doing."""
    done: int = 0
    """Units of work behind it: epochs where it trains."""
    total: int = 0
    """Units of work in all; 0 where that is unknown."""
    job: str = ""
    """The job's readable name; this and all below are filled in for listeners."""
    model: str = ""
    """Label of the model."""
    dataset: str = ""
    """Label of the dataset."""
    stage: str = ""
    """search, evaluate or a step."""
    fold: int = 0
    repeat: int = 0
    store: str = ""
    """Path of the folder of results."""


def resolve_entry(entry: Entry) -> Callable[..., Any]:
    """Import what `entry` names; raise PluginError or MissingDependencyError with the module's name."""
    if callable(entry):
        return entry
    module_name, _, attribute = entry.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if missing.split(".")[0] == module_name.split(".")[0]:
            raise PluginError(f"module {module_name!r} does not exist", place=entry) from error
        raise MissingDependencyError(
            f"{module_name} needs the package {missing!r}, which is not installed",
            fix=install_modules([missing]),
        ) from error
    except ImportError as error:
        raise MissingDependencyError(
            f"{module_name} cannot be imported", cause=str(error), fix=_import_fix(str(error))
        ) from error
    try:
        target = getattr(module, attribute)
    except AttributeError as error:
        raise PluginError(f"module {module_name!r} has no {attribute!r}", place=entry) from error
    if not callable(target):
        raise PluginError(f"{entry} is not callable", place=entry)
    result: Callable[..., Any] = target
    return result


def _import_fix(cause: str) -> str:
    if "libGL" in cause or "libgthread" in cause:
        # MMSegmentation asks for opencv-python; the headless wheel holds the same module without a display.
        return "pip install --force-reinstall --no-deps opencv-python-headless"
    return "reinstall the packages that the message names (see `bench doctor`)"
