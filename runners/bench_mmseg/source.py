"""`mmseg:<config>`: the network of any config of MMSegmentation's zoo, or of a config file of the user's."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from bench_core import Architecture, Departure, Deviation, ModelSource, PublishedFile
from bench_core.errors import BenchError, UnknownNameError
from bench_core.files.paths import expand
from bench_core.plugins.nearest import nearest_names
from bench_mmseg import zoo
from bench_mmseg.config_file import ConfigFile, read_config, read_packaged

PREFIX = "mmseg"
EXAMPLE = "segformer_mit-b0_8xb2-160k_ade20k-512x512"
REQUIRES = ("mmengine", "mmcv", "mmseg")


def resolve(name: str) -> Architecture:
    """Return the architecture of mmseg:<config>; raise UnknownNameError with the nearest name.

    Where mmseg is not installed any name is taken, and a run is refused by the packages that it requires.
    """
    text = name.removeprefix(f"{PREFIX}:")
    path, packaged = place_of(name)
    if packaged:
        return _declare(name, path, _model(name, path, read_packaged(path)))
    if path.is_file():
        config = _read(name, path)
        return _declare(name, path, _model(name, path, config.values), config.content)
    is_place = text.startswith((".", "/", "~"))
    if text and not is_place and not zoo.zoo_configs():
        return _declare(name, Path(text), None)
    raise UnknownNameError(
        f"unknown model {name!r}",
        cause=f"there is no file {path.absolute()}"
        if is_place
        else "no such config in the zoo, and no such file",
        fix=f"did you mean '{PREFIX}:{_nearest(_stem(text))}'?",
    )


def place_of(name: str) -> tuple[Path, bool]:
    """Return where the config that a name means lies, and whether it is one of the zoo's."""
    text = name.removeprefix(f"{PREFIX}:")
    packaged = _in_zoo(text)
    return (expand(text, f"the file of model {name!r}"), False) if packaged is None else (packaged, True)


def _stem(text: str) -> str:
    return text.rpartition("/")[2].removesuffix(".py")


def _nearest(stem: str) -> str:
    known = zoo.zoo_configs()
    begun = [name for name in known if stem and name.startswith(stem)]
    return next(iter(nearest_names(stem, begun or known)), EXAMPLE)


def _in_zoo(text: str) -> Path | None:
    found = zoo.zoo_configs().get(_stem(text))
    folder = text.rpartition("/")[0]
    return found if found is not None and folder in ("", found.parent.name) else None


def _read(name: str, path: Path) -> ConfigFile:
    try:
        return read_config(path)
    except BenchError as error:
        raise UnknownNameError(
            f"the config of {name!r} cannot be read",
            cause=f"{error.place}: {error.message}" if error.place else error.message,
            fix=error.fix or f"fix it until mmengine.Config.fromfile reads it, or use {PREFIX}:{EXAMPLE}",
        ) from error


def _model(name: str, path: Path, values: Mapping[str, Any]) -> Mapping[str, Any]:
    model = values.get("model")
    if not isinstance(model, Mapping):
        raise UnknownNameError(
            f"the config of {name!r} has no model",
            cause=f"{path} sets {', '.join(sorted(values)[:8]) or 'nothing'}",
            fix="name a config whose `model` is a dict",
        )
    return model


def _declare(name: str, path: Path, found: Mapping[str, Any] | None, content: str = "") -> Architecture:
    """Describe what a `model` part builds; None stands for a zoo that is not installed."""
    model = found or {}
    own = bool(content)
    checkpoint = zoo.checkpoint_of(model)
    step, smallest = zoo.size_limits(model)
    return Architecture(
        name=name,
        title=f"{zoo.short_name(_stem(str(path)))} (mmseg)",
        family="generic",
        runner="mmseg",
        version=1,
        build="bench_mmseg.build:build",
        unavailable=zoo.why_not(model),
        paper="" if own else zoo.paper_of(path.parent),
        pretrained=("imagenet", "none") if checkpoint or found is None else ("none",),
        size_multiple=step,
        size_minimum=smallest,
        batch_minimum=zoo.batch_minimum(model),
        deviations=_deviations(model),
        departures=_departures(found),
        quirks=_quirks(model),
        content=content,
        explained=zoo.explained(model),
        random_at_inference=zoo.is_random(model),
        requires=REQUIRES,
        install="mmseg",
        weights=partial(_weights, checkpoint),
    )


def _departures(model: Mapping[str, Any] | None) -> tuple[Departure, ...]:
    auxiliary = model.get("auxiliary_head") if model is not None else "where the config has them"
    departures = []
    if auxiliary:
        heads = auxiliary if isinstance(auxiliary, list | tuple) else [auxiliary]
        kinds = [str(head.get("type")) if isinstance(head, Mapping) else str(head) for head in heads]
        departures.append(
            Departure(
                what="auxiliary heads",
                published=", ".join(dict.fromkeys(kinds)),
                here="left out",
                because="they take part in training alone, and the protocol has one loss",
            )
        )
    cascade = model.get("decode_head") if model is not None else None
    if isinstance(cascade, list | tuple) and len(cascade) > 1:
        departures.append(
            Departure(
                what="intermediate supervision",
                published=f"a loss on each of {len(cascade)} heads in a row",
                here="one, on the last head's logits",
                because="the protocol has one loss",
            )
        )
    departures.append(
        Departure(
            what="losses",
            published="the config's own",
            here="the protocol's, on the logits at image size",
            because="every model of a study is trained alike",
        )
    )
    return tuple(departures)


def _quirks(model: Mapping[str, Any]) -> tuple[str, ...]:
    if "MSCAN" not in zoo.components(model):
        return ()
    return (
        "On a CPU the gradient of a batch of one image is wrong in PyTorch 2.14, since MSCAN's lie in memory "
        "like transposed tokens where they reach its batch normalizations; of two images on it is right.",
    )


def _deviations(model: Mapping[str, Any]) -> dict[str, Deviation]:
    if "LightHamHead" not in zoo.components(model):
        return {}
    because = "LightHamHead iterates products and quotients of sums over all pixels; half is too short"
    return {"precision": Deviation(value="fp32", because=because)}


def _weights(
    checkpoint: zoo.Checkpoint | None, source: str, options: Mapping[str, Any]
) -> tuple[PublishedFile, ...]:
    return zoo.weights_of(checkpoint)


SOURCE = ModelSource(
    prefix=PREFIX,
    runner="mmseg",
    help=f"MMSegmentation's zoo: {PREFIX}:<config>, for example {PREFIX}:{EXAMPLE}; or {PREFIX}:<path> of a "
    "config file of your own",
    resolve=resolve,
    names=lambda: tuple(f"{PREFIX}:{config}" for config in zoo.zoo_configs()),
    file_suffix=".py",
)
