"""What plugins declare of work: runners, steps, and the events that listeners hear."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bench_core.declarations.code import call, shown
from bench_core.declarations.datasets import Side
from bench_core.declarations.entry import Entry
from bench_core.declarations.models import Architecture
from bench_core.declarations.results import Metric
from bench_core.errors import PluginError
from bench_core.options import Option, plain_option

_PART = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
Track = Literal["shared", "own-protocol", "zero-shot/auto", "zero-shot/oracle"]
"""How models came to their numbers: only those of one track are ranked and tested against each other.

zero-shot: not trained on the dataset; auto: nothing of the truth is used; oracle: prompts come from it.
"""


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
    track: Track | None = None
    """Of an own procedure: the track of its models, where their entries say nothing; None: own-protocol."""
    version: int = 1
    """Of an own procedure, part of every job's identity: raise it when its numbers change."""
    requires: tuple[str, ...] = ()
    install: str = ""
    """What brings `requires`, as in `Architecture`."""
    options: Mapping[str, Option] = field(default_factory=dict)
    """Shared protocol: settings of the framework under a spec's `runtime.runners`, which must not change any
    number. Own protocol: settings under a model's `options`."""
    several_devices: bool = False
    """Shared protocol: `fit` works in several processes at once, each with a contract that knows its part.
    Only the first is given a folder to write to. Otherwise a job has one device, whatever a spec asks for."""
    unavailable: str | None = None
    """Why `fit` is not there yet: the name is known to specs and plans, and a run is refused up front."""


def without_network(model: Architecture, runner: RunnerDeclaration | None) -> bool:
    """Say whether a model has no network by design: a runner with a procedure of its own builds none."""
    own = runner is not None and runner.protocol == "own"
    return own and model.build is None and model.unavailable is None


@dataclass(frozen=True, kw_only=True)
class Step:
    """Work on finished evaluate jobs that a spec's `steps:` can name; `over` says what one job is of.

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
    over: Literal["job", "folds", "cell"] = "job"
    """folds: one job needs all folds of a model on a dataset together, one for each repeat. Only of a step on
    another dataset, since each fold has test images of its own. cell: one job per model and dataset, which
    needs the first of its evaluate jobs, for what does not depend on the fold."""
    fits: Callable[[Mapping[str, Any], Side, Side], None] | None = None
    """Of a step on another dataset: gets the options that count, the dataset that networks were trained on
    and the one that is looked at; raises ValueError where the two do not go together. None: all do."""
    unseen: bool = False
    """Of a step on another dataset: no network may have been trained on an image of it. What datasets declare
    (`Dataset.same_images`) is refused in the plan; images that are copies of each other are refused before
    the first job, unless the step has an option `overlap` that is "drop": it then leaves those out itself."""
    suits: Callable[[Mapping[str, Any], Architecture], str] | None = None
    """Of a step that needs weights: gets the options that count and a model's declaration; returns "" where
    it works on its networks, or what only a network can tell. Raises ValueError where it cannot work on any.
    Needs no framework. None: it works on all."""
    tries: Entry | None = None
    """Called before the first job for each network of which `suits` leaves something open:
    `tries(network, image, model, options)` gets it untrained, in evaluation mode on the CPU, with an image of
    noise [1, C, S, S], the model's declaration and the options. Raises BenchError where no job could work."""
    options: Mapping[str, Option] = field(default_factory=dict)
    resolve: Callable[[Mapping[str, Any], Mapping[str, Metric]], Mapping[str, Any]] | None = None
    """Gets the complete options and the declared metrics; returns what counts for identity and what `run`
    gets. Raises ValueError for options that do not fit together. None: the options as they are."""
    varying: tuple[str, ...] = ()
    """Names of tables and artifacts that measure the machine, so that no two runs leave the same: nothing
    asks them to be equal. Its values are not among them."""
    parts: Callable[[Mapping[str, Any]], Mapping[str, Mapping[str, Any]]] | None = None
    """Gets the options that count; returns the options of each part of an entry, by a short name. Each part
    is a stage of its own, LABEL-PART, so that what changes the jobs of one leaves those of the others.
    Options that have no effect on a part should be at their defaults in it. None: an entry is one stage."""
    peers: Callable[[Mapping[str, Any]], str | None] | None = None
    """Gets the options of an entry or part; returns the pool ("all": every model) whose models' label maps of
    the same fold each job needs as well (`Session.peers`), or None for no others. Such a job is another one
    as soon as a model joins."""
    siblings: Callable[[Mapping[str, Any]], bool] | None = None
    """Gets the options of an entry or part; returns whether each job needs the networks of the model's other
    folds as well (`Session.siblings`). None: no job does."""
    adapt: Callable[[Mapping[str, Any], Side], Mapping[str, Any]] | None = None
    """Of a step on tested images: gets the options that count and the dataset of the images; returns those
    that count on this dataset. Raises ValueError where it cannot work on it. None: they are the same on
    all."""
    requires: tuple[str, ...] = ()
    """Importable modules that it needs."""
    install: str = ""
    follows: Entry | None = None
    """How `bench verify` asks which of its values follow from its tables and files: `follows(left)` gets a
    bench_core.store.left.Left and returns such values. Raises ValueError for what the step does not write."""
    again: Entry | None = None
    """How `bench verify --data` asks it again: `again(session, options)` is given what `run` was given,
    without a network, and what the job left (`Session.kept`); it leaves the same tables and returns the same
    values and label maps. Raises ValueError for what the step does not leave. It may be `run` itself. With
    `--predict` there is a network, for the images of `Session.drawn`."""
    sampled: str = ""
    """What `again` asks anew of some images alone, with networks: said by `bench verify`."""

    def __post_init__(self) -> None:
        if self.over == "folds" and self.dataset != "other":
            raise ValueError(f"step {self.name!r} is over folds, and not on another dataset")
        if self.peers is not None and self.dataset != "same":
            raise ValueError(f"step {self.name!r} needs peers, and they tested no other dataset")
        if self.siblings is not None and (self.over != "job" or self.needs != "weights"):
            raise ValueError(f"step {self.name!r} needs siblings, and looks at no network of one fold")
        if self.adapt is not None and self.dataset == "other":
            raise ValueError(f"step {self.name!r} adapts to the tested images, and is on another dataset")

    def divided(self, options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the complete options of each part by its name; of an entry that is one stage, under "".

        Raises PluginError where `parts` is broken.
        """
        if self.parts is None:
            return {"": dict(options)}
        function, what = self.parts, f"parts of step {self.name!r}"
        found = call(what, lambda: function(options))
        if not isinstance(found, Mapping) or not found:
            raise PluginError(f"{what} returned {shown(found)}, not a mapping of options by part")
        for name, given in found.items():
            if not isinstance(name, str) or not _PART.fullmatch(name):
                raise PluginError(f"{what} returned a part called {shown(name)}")
            if not isinstance(given, Mapping) or set(given) != set(options):
                raise PluginError(f"{what} returned other options for {name!r} than it got")
        return {name: dict(given) for name, given in found.items()}

    def pool(self, options: Mapping[str, Any]) -> str | None:
        """Return the pool whose label maps each job needs; None for no others. Raises PluginError."""
        if self.peers is None:
            return None
        function, what = self.peers, f"peers of step {self.name!r}"
        found = call(what, lambda: function(options))
        if found is not None and not isinstance(found, str):
            raise PluginError(f"{what} returned {shown(found)}, not the name of a pool")
        return found

    def unsuited(self, options: Mapping[str, Any], model: Architecture) -> tuple[str, str]:
        """Return why it cannot work on a model's networks, and what only a network can tell; "" for neither.

        Raises PluginError as `call`.
        """
        if self.suits is None:
            return "", ""
        function = self.suits
        try:
            what = f"suits of step {self.name!r}"
            left_open = call(what, lambda: function(options, model), expected=(ValueError,))
        except ValueError as error:
            return str(error), ""
        if not isinstance(left_open, str):
            raise PluginError(f"{what} returned {shown(left_open)}, not text")
        return "", left_open

    def across(self, options: Mapping[str, Any]) -> bool:
        """Say whether each job needs the networks of the model's other folds; raises PluginError."""
        if self.siblings is None:
            return False
        function, what = self.siblings, f"siblings of step {self.name!r}"
        found = call(what, lambda: function(options))
        if not isinstance(found, bool):
            raise PluginError(f"{what} returned {shown(found)}, neither True nor False")
        return found

    def misfit(self, options: Mapping[str, Any], trained: Side, there: Side) -> str:
        """Return why two datasets do not go together, empty where they do; raises PluginError as `call`."""
        if self.fits is None:
            return ""
        function = self.fits
        try:
            call(
                f"fits of step {self.name!r}",
                lambda: function(options, trained, there),
                expected=(ValueError,),
            )
        except ValueError as error:
            return str(error)
        return ""

    def resolved(self, options: Mapping[str, Any], metrics: Mapping[str, Metric]) -> dict[str, Any]:
        """Return what counts of complete options and what `run` gets, as plain JSON data.

        Raises ValueError for options that do not fit together, PluginError where `resolve` is broken.
        """
        if self.resolve is None:
            return dict(options)
        function, what = self.resolve, f"resolve of step {self.name!r}"
        return self._plain(what, call(what, lambda: function(options, metrics), expected=(ValueError,)))

    def adapted(self, options: Mapping[str, Any], data: Side) -> dict[str, Any]:
        """Return those of resolved options that count on a dataset; raises as `resolved`."""
        if self.adapt is None:
            return dict(options)
        function, what = self.adapt, f"adapt of step {self.name!r}"
        return self._plain(what, call(what, lambda: function(options, data), expected=(ValueError,)))

    def _plain(self, what: str, found: object) -> dict[str, Any]:
        if not isinstance(found, Mapping):
            raise PluginError(f"{what} returned {shown(found)}, not a mapping of options")
        unknown = [name for name in found if name not in self.options]
        if unknown:
            raise PluginError(f"{what} returned {shown(unknown[0])}, which the step does not declare")
        try:
            return {name: plain_option(name, value) for name, value in found.items()}
        except ValueError as error:
            raise PluginError(f"{what} returned what no job can hold", cause=str(error)) from error


@dataclass(frozen=True, kw_only=True)
class JobEvent:
    """Something that happened in a job, for live views and trackers; nothing is decided by it."""

    kind: Literal["started", "anew", "resumed", "epoch", "progress", "testing", "finished", "failed"]
    """After `started`: `anew` drops what an interrupted attempt left, `resumed` takes it up."""
    digest: str
    epoch: int = 0
    """The epoch that has ended, from 0; the last one that an earlier attempt ended, where it is `resumed`."""
    epochs: int = 0
    """Planned epochs."""
    loss: float | None = None
    """Mean training loss of the epoch."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Of an epoch: on the validation images. Of `finished`: on the test images."""
    message: str = ""
    """Why it failed or starts anew, or what it is doing."""
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
