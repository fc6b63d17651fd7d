"""The files that a network is written to, and how each is read back."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from bench_core.deploy.draws import Draws
from bench_core.deploy.placeless import strip_onnx, strip_program, strip_torchscript

Run = Callable[[Tensor], Tensor]
"""Images [B, C, S, S] to logits [B, K, S, S], on the CPU."""
ABOUT = "segtrial.json"
"""Name under which a file holds what is said of it."""


@dataclass(frozen=True)
class Network:
    """What is exported: a network in evaluation mode on the CPU, and images [N, C, S, S] to try it with."""

    module: nn.Module
    images: Tensor
    draws: Draws

    def run(self, images: Tensor) -> Tensor:
        """Return logits with the draws that stay the same."""
        with torch.no_grad(), self.draws.fixed():
            found: Tensor = self.module(images)
        return found


@dataclass(frozen=True)
class Format:
    """A kind of file."""

    file: str
    write: Callable[[Network, Path, str], object]
    """Network, path, and what is said of it (JSON), which goes into the file where that is possible."""
    read: Callable[[Path, Network], tuple[Run, str]]
    """Return what runs the file, and what that is: package and version. The network lends its code to files
    that hold none."""
    needs: tuple[str, ...] = ()
    """Importable modules beyond PyTorch."""


def write_state_dict(network: Network, path: Path, about: str) -> None:
    """Write the tensors by their names, and nothing else."""
    torch.save({name: tensor.clone() for name, tensor in network.module.state_dict().items()}, path)


def read_state_dict(path: Path, network: Network) -> tuple[Run, str]:
    """Load the tensors into the network's code."""
    import copy

    from bench_core.weights.load import read_checkpoint

    module = copy.deepcopy(network.module)
    module.load_state_dict(read_checkpoint(path))
    return Network(module.eval(), network.images, network.draws).run, _torch()


def write_torchscript(network: Network, path: Path, about: str) -> None:
    """Write what torch.jit.trace follows of one image."""
    with _quiet(), torch.no_grad(), network.draws.fixed():
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            network.module, network.images[:1], check_trace=False
        )
        with TemporaryDirectory(dir=path.parent) as beside:
            whole = Path(beside, path.name)
            torch.jit.save(traced, whole, _extra_files={ABOUT: about})
            strip_torchscript(whole, path)


def read_torchscript(path: Path, network: Network) -> tuple[Run, str]:
    """Run the file by PyTorch alone."""
    with _quiet():
        loaded = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]

    def run(images: Tensor) -> Tensor:
        with torch.no_grad():
            found: Tensor = loaded(images)
        return found

    return run, _torch()


def write_torch_export(network: Network, path: Path, about: str) -> None:
    """Write a torch.export program; for a batch of any size where that can be, else of one image."""
    with _quiet():
        torch.export.save(exported(network), path, extra_files={ABOUT: about})


def read_torch_export(path: Path, network: Network) -> tuple[Run, str]:
    """Run the file by PyTorch alone."""
    with _quiet():
        module = torch.export.load(path).module()

    def run(images: Tensor) -> Tensor:
        with torch.no_grad():
            found: Tensor = module(images)
        return found

    return run, _torch()


def write_onnx(network: Network, path: Path, about: str) -> None:
    """Write an ONNX model by way of torch.export, attention in its plain form."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    # The fused kernel lays its result out in another order than the plain form that it is decomposed into. A
    # loop that gradients go through is not decomposed.
    with _quiet(), torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        program = torch.onnx.export(
            exported(network), dynamo=True, input_names=["images"], output_names=["logits"], verbose=False
        )
    assert program is not None
    strip_onnx(program.model)
    program.model.metadata_props[ABOUT] = about
    program.save(path)


def read_onnx(path: Path, network: Network) -> tuple[Run, str]:
    """Run the file by ONNX Runtime, or where that is missing by ONNX's reference evaluator."""
    try:
        import onnxruntime
    except ModuleNotFoundError:
        from onnx.reference import ReferenceEvaluator

        evaluator = ReferenceEvaluator(str(path))
        by = f"onnx {metadata.version('onnx')} (reference evaluator)"
        return lambda images: torch.from_numpy(evaluator.run(None, {"images": images.numpy()})[0]), by
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    by = f"onnxruntime {metadata.version('onnxruntime')}"
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0]), by


def exported(network: Network) -> Any:
    """Return the torch.export program for a batch of any size where that can be, else of one image."""
    two = torch.cat([network.images[:1]] * 2)
    batch = torch.export.Dim("batch", min=1, max=1024)
    problem: Exception | None = None
    ways: Sequence[tuple[Tensor, Any]] = ((two, ({0: batch},)), (network.images[:1], None))
    for example, shapes in ways:
        try:
            with torch.no_grad(), network.draws.fixed():
                program = torch.export.export(network.module, (example,), dynamic_shapes=shapes, strict=False)
                return strip_program(program)
        except Exception as error:  # The exporter raises almost anything at code that it cannot follow.
            problem = error
    assert problem is not None
    raise problem


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what exporters print of their own concerns."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _torch() -> str:
    return f"torch {torch.__version__}"


FORMATS = {
    "state-dict": Format("weights.pt", write_state_dict, read_state_dict),
    "torchscript": Format("network.torchscript.pt", write_torchscript, read_torchscript),
    "torch-export": Format("network.pt2", write_torch_export, read_torch_export),
    "onnx": Format("network.onnx", write_onnx, read_onnx, ("onnx", "onnxscript")),
}
