"""Weights files: read without running code, loaded strictly, reported with their hash."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from bench_core.errors import WeightsError
from bench_core.files.bounded import BoundError, open_regular
from bench_core.files.hashes import sha256_of
from bench_core.weights.checkpoint import check_checkpoint, most_bytes
from bench_core.weights.files import WEIGHTS_FOLDER

_WRAPPERS = ("state_dict", "model")
_NAMED = 3


@dataclass(frozen=True)
class WeightsReport:
    """What was loaded into a network, recorded with each result."""

    source: str
    """The pretrained source's name, "imagenet" for example."""
    file: str
    sha256: str
    loaded: int
    """Tensors that came from the file."""
    total: int
    """Tensors of the network's state."""
    notes: tuple[str, ...] = ()
    """Differences worth a footnote."""


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return the named tensors of a checkpoint (.pth, .safetensors), flat or under `state_dict` or `model`.

    Never unpickles code, and takes no more memory than the file's size explains. Raises WeightsError if the
    file is missing, truncated, foreign, hostile or holds no tensors.
    """
    if not path.is_file():
        raise WeightsError(
            "weights file does not exist",
            place=str(path),
            fix=f"correct the model's `weights:`, or put the file into the folder ${WEIGHTS_FOLDER}",
        )
    try:
        content = _read(path)
    except BoundError as error:
        raise WeightsError(
            "weights file claims what no weights need",
            place=str(path),
            cause=str(error),
            fix="fetch it again from its publisher",
        ) from error
    except Exception as error:  # torch.load raises nearly anything for bytes that are not a checkpoint
        raise WeightsError(
            "weights file cannot be read",
            place=str(path),
            cause=f"truncated, not a PyTorch checkpoint, or it needs code to load ({_first_line(error)})",
            fix="fetch it again, or save its tensors alone: torch.save(model.state_dict(), path)",
        ) from error
    return _named_tensors(content, path)


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path, device="cpu")
    with open_regular(path) as file:
        return load_bounded(file)


def load_bounded(file: BinaryIO) -> Any:
    """Return what torch.save wrote: tensors on the CPU and plain data, never code.

    Raises BoundError where the content claims more memory than its size explains, ValueError where it is not
    what torch.save writes, OSError where it cannot be read.
    """
    check_checkpoint(file, _registered())
    start = file.tell()
    size = file.seek(0, 2) - start
    file.seek(start)
    try:
        with warnings.catch_warnings():
            # Of bytes that are damaged it says that its makers should be told.
            warnings.simplefilter("ignore")
            content = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(_refusal(error)) from error
    _check_tensors(content, most_bytes(size))
    return content


MOST_REPEATED = 1024**3
"""Bytes that tensors may take together that repeat what was stored of them (views with a stride of 0)."""


def _registered() -> frozenset[str]:
    """Return the classes that torch.serialization.safe_globals allows at present, as pickles write them."""
    named = [
        entry[1] if isinstance(entry, tuple) else f"{entry.__module__}.{entry.__qualname__}"
        for entry in torch.serialization.get_safe_globals()
    ]
    return frozenset(" ".join(name.rsplit(".", 1)) for name in named)


def _check_tensors(content: Any, most: int) -> None:
    """Raise BoundError where tensors are not plain ones, or claim more than was stored."""
    storages: dict[int, int] = {}
    repeated = 0
    for tensor in _tensors(content):
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise BoundError(f"it holds a tensor of kind {tensor.layout} on {tensor.device}")
        storage = tensor.untyped_storage()
        claimed = tensor.numel() * tensor.element_size()
        if claimed > storage.nbytes():
            repeated += claimed
        if repeated > MOST_REPEATED:
            raise BoundError(f"a tensor of shape {list(tensor.shape)} has {storage.nbytes()} bytes only")
        storages[storage.data_ptr()] = storage.nbytes()
    if sum(storages.values()) > most:
        raise BoundError(f"its tensors take {sum(storages.values())} bytes, more than {most}")


def _tensors(content: Any) -> Iterator[Tensor]:
    """Yield every tensor in nested containers, each container once."""
    seen: set[int] = set()
    queue = [content]
    while queue:
        item = queue.pop()
        if isinstance(item, Tensor):
            yield item
        elif isinstance(item, Mapping | list | tuple | set) and id(item) not in seen:
            seen.add(id(item))
            queue += item.values() if isinstance(item, Mapping) else item


def _named_tensors(content: Any, path: Path) -> dict[str, Tensor]:
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content:
        raise _holds_no_tensors(path, f"it holds {type(content).__name__}")
    strangers = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if strangers:
        raise _holds_no_tensors(path, f"not tensors: {_some(strangers)}")
    return {str(name): value for name, value in content.items()}


def _holds_no_tensors(path: Path, cause: str) -> WeightsError:
    return WeightsError(
        "weights file is not a mapping of names to tensors",
        place=str(path),
        cause=cause,
        fix="save the network's state_dict(), flat or under the key `state_dict` or `model`",
    )


def load_strictly(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    allowed_missing: Sequence[str] = (),
    allowed_unexpected: Sequence[str] = (),
    source: str = "",
    file: Path | None = None,
    notes: Sequence[str] = (),
) -> WeightsReport:
    """Load every tensor into the module, or nothing: raise WeightsError naming what does not fit.

    `allowed_missing` and `allowed_unexpected` are name prefixes (up to a dot) that the model declares;
    nothing else is ignored, a shape that differs least of all.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in tensors and not _allowed(name, allowed_missing)]
    unexpected = [name for name in tensors if name not in own and not _allowed(name, allowed_unexpected)]
    shapes = [
        f"{name} is {tuple(tensors[name].shape)}, not {tuple(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    place = str(file) if file else source
    problems = [
        f"{len(names)} {kind} ({_some(names)})"
        for kind, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
        if names
    ]
    if problems:
        raise WeightsError(
            f"weights do not fit {type(module).__name__}: " + ", ".join(problems),
            place=place or None,
            cause=f"the file has {len(tensors)} tensors, the network {len(own)}",
            fix="give the file that belongs to this architecture and these options, or `pretrained: none`",
        )
    found = {name: tensor for name, tensor in tensors.items() if name in own}
    if not found:
        raise WeightsError(f"weights fill no tensor of {type(module).__name__}", place=place or None)
    # Some encoders override load_state_dict to rename or drop tensors: what was checked is what is loaded.
    nn.Module.load_state_dict(module, found, strict=False)
    return WeightsReport(
        source=source,
        file=file.name if file else "",
        sha256=sha256_of(file) if file else "",
        loaded=len(found),
        total=len(own),
        notes=tuple(notes),
    )


def sum_over_rgb(
    own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Sum first convolutions over RGB where the network `own` takes one channel; return notes on what was.

    The sum computes on a gray image what the original computes on three equal channels.
    """
    stems = [
        name
        for name, tensor in tensors.items()
        if name in own
        and tensor.ndim == 4
        and tensor.shape[1] == 3
        and own[name].shape == (tensor.shape[0], 1, *tensor.shape[2:])
    ]
    changed = {name: tensors[name].sum(dim=1, keepdim=True) for name in stems}
    notes = tuple(f"{name} summed over red, green and blue for one input channel" for name in stems)
    return {**tensors, **changed}, notes


def _allowed(name: str, prefixes: Sequence[str]) -> bool:
    return any(name == prefix or name.startswith(prefix.rstrip(".") + ".") for prefix in prefixes)


def _some(names: Sequence[str]) -> str:
    more = f", and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _refusal(error: Exception) -> str:
    """Return why torch.load refuses, without its advice to load the file with all the code in it."""
    found = re.search(r"WeightsUnpickler error:\s*(\S.*?)(?=\. |\.?$)", str(error), re.MULTILINE)
    if found:
        return found[1]
    if isinstance(error, pickle.UnpicklingError):
        return "its content is not what torch.save writes"
    return f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
