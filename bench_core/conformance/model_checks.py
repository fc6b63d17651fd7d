"""What every architecture owes, whoever wrote it: a function a property.

A check returns where the property holds, raises Wrong saying what does not, or NotApplicable saying why there
is nothing to check.
"""

from __future__ import annotations

import copy
import io
import math
import pickle
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_core.activations import Layer, look
from bench_core.conformance.candidate import Candidate, disks, noise
from bench_core.conformance.properties import NotApplicable, Wrong, some
from bench_core.declarations import Form
from bench_core.errors import BenchError

STEPS = 20
FALLS_TO = 0.8
"""What the loss must fall to within STEPS, relative to the first."""


def shapes(channels: int, classes: int) -> Callable[[Candidate], None]:
    """Return a check that logits have the images' size, for even and odd batches and sizes."""

    def check(candidate: Candidate) -> None:
        network = candidate.build(channels, classes)
        for training in (False, True):
            network.train(training)
            for batch, size in ((2, candidate.sizes[0]), (3, candidate.sizes[1])):
                with torch.no_grad():
                    found = network(noise(batch, channels, size))
                expect_logits(found, (batch, classes, size, size), training)
        network.eval()
        with torch.no_grad():
            size = candidate.sizes[0]
            expect_logits(network(noise(1, channels, size)), (1, classes, size, size), False)

    return check


def expect_logits(found: object, shape: tuple[int, ...], training: bool) -> None:
    """Raise Wrong unless `found` is one tensor of finite logits of this shape."""
    when = f"in {'training' if training else 'evaluation'}"
    if not isinstance(found, Tensor):
        raise Wrong(f"{when} it returns {type(found).__name__}, not one tensor of logits")
    if tuple(found.shape) != shape:
        raise Wrong(f"{when} logits are {tuple(found.shape)}, not {shape}")
    if not torch.isfinite(found).all():
        raise Wrong(f"{when} logits are not finite")


def gradients(candidate: Candidate) -> None:
    """Within three steps every parameter gets a gradient but the declared dead ones, which never get any."""
    network = candidate.network.train()
    silent = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    dead = {name for name, _ in network.named_parameters() if candidate.is_dead(name)}
    # Layers that start at zero let no gradient through before they have moved.
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, foreach=True)
    for draw in range(3):
        if draw:
            optimizer.step()
        torch.manual_seed(draw)
        logits = network(noise(3, 3, candidate.ample_size, seed=draw))
        optimizer.zero_grad()
        logits.square().mean().backward()
        for name, parameter in network.named_parameters():
            if parameter.grad is None:
                continue
            if not torch.isfinite(parameter.grad).all():
                raise Wrong(f"the gradient of {name} is not finite")
            if parameter.grad.any():
                silent.discard(name)
        if not silent and not dead:
            break
    if silent - dead:
        raise Wrong(f"no gradient reaches {some(silent - dead)}, not declared in dead_parameters")
    if dead - silent:
        raise Wrong(f"declared dead, but a gradient reaches {some(dead - silent)}")
    if unknown := _of_no_network(candidate, dead):
        raise Wrong(f"no parameter has the declared dead prefix {some(unknown)}, whatever the options")


def _of_no_network(candidate: Candidate, names: Collection[str]) -> list[str]:
    """Return declared dead prefixes of none of these names, nor of parameters under any choice of options."""
    left = list(candidate.architecture.dead_parameters)
    others = candidate.each_choice()
    while left := [prefix for prefix in left if not any(name.startswith(prefix) for name in names)]:
        other = next(others, None)
        if other is None:
            break
        names = [name for name, _ in other.outline().named_parameters()]
    return left


def deterministic(candidate: Candidate) -> None:
    """Evaluation repeats itself bit for bit under its seed, also after a turn in training mode."""
    network, images = candidate.network, noise(2, 3, candidate.sizes[0])
    first = candidate.logits(network, images)
    _expect_equal(candidate.logits(network, images), first, "a second evaluation differs")
    network.train()
    _expect_equal(candidate.logits(network, images), first, "evaluation differs after train() and eval()")


def independent_of_batch(candidate: Candidate) -> None:
    """An image's logits are the same alone and among others."""
    network, images = candidate.network, noise(3, 3, candidate.sizes[0])
    together = candidate.logits(network, images)
    for index in range(3):
        alone = candidate.logits(network, images[index : index + 1])
        _expect_close(alone[0], together[index], "an image's logits depend on its batch")


def seeded_build(candidate: Candidate) -> None:
    """Equal seeds build equal weights, other seeds others."""
    own, again, other = candidate.unchanged, candidate.build().state_dict(), candidate.another.state_dict()
    different = [name for name, tensor in own.items() if not torch.equal(tensor, again[name])]
    if different:
        raise Wrong(f"built twice under one seed it differs in {some(different)}")
    if all(torch.equal(tensor, other[name]) for name, tensor in own.items()):
        raise Wrong("another seed builds the same weights: they are not drawn from torch's global generator")


def saved_weights(candidate: Candidate) -> None:
    """A trained state saved to a file comes back strictly into a network built anew."""
    network = candidate.network.train()
    with torch.no_grad():
        network(noise(3, 3, candidate.sizes[0]))  # so that running statistics differ from fresh ones
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    other = copy.deepcopy(candidate.another)
    other.load_state_dict(torch.load(file, weights_only=True), strict=True)
    images = noise(2, 3, candidate.sizes[0])
    expected = candidate.logits(network, images)
    _expect_equal(candidate.logits(other, images), expected, "a network with its saved weights differs")


def copies(candidate: Candidate) -> None:
    """Deep and pickled copies compute the same."""
    network, images = candidate.network, noise(2, 3, candidate.sizes[0])
    expected = candidate.logits(network, images)
    _expect_equal(candidate.logits(copy.deepcopy(network), images), expected, "a deep copy differs")
    pickled = pickle.loads(pickle.dumps(network))
    _expect_equal(candidate.logits(pickled, images), expected, "a pickled copy differs")


def parameter_counts(candidate: Candidate) -> None:
    """The declared numbers of parameters are those of the network at its default options."""
    declared = candidate.architecture.parameters
    if not declared:
        raise NotApplicable("no parameter count is declared")
    full = replace(candidate, options={})
    for classes, count in declared.items():
        network = full.outline(classes)
        found = sum(parameter.numel() for parameter in network.parameters())
        if found != count:
            raise Wrong(f"with {classes} logit channels it has {found:,} parameters, not {count:,}")


def half_precision(dtype: torch.dtype) -> Callable[[Candidate], None]:
    """Return a check that logits, and in bf16 gradients, are finite under autocast."""

    def check(candidate: Candidate) -> None:
        network = candidate.network.train()
        with torch.autocast("cpu", dtype=dtype):
            logits = network(noise(2, 3, candidate.sizes[0]))
        if not torch.isfinite(logits).all():
            raise Wrong("logits are not finite")
        if dtype == torch.float16:
            return  # its gradients need a scaler, which may take a few steps to find a scale
        logits.float().square().mean().backward()
        for name, parameter in network.named_parameters():
            if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
                raise Wrong(f"the gradient of {name} is not finite")

    return check


def channels_last(candidate: Candidate) -> None:
    """The memory format does not change the logits."""
    network, images = candidate.network, noise(2, 3, candidate.sizes[0])
    expected = candidate.logits(network, images)
    network.to(memory_format=torch.channels_last)
    found = candidate.logits(network, images.to(memory_format=torch.channels_last))
    _expect_close(found, expected, "logits differ in channels-last memory")


def class_activation(candidate: Candidate) -> None:
    """Each declared layer gives maps that vary, and more than the logits themselves.

    Where only linear steps lie between a layer and the logits, its map is by algebra the logit: the gradient
    in it is then the same for every image.
    """
    declared = candidate.architecture.explained
    if not declared.names:
        raise NotApplicable("no layers are declared")
    size = candidate.ample_size * 2
    images, _ = disks(2, size)
    network = _normalized_by(images, candidate.network)
    layers = {name: declared.form(name) for name in declared.names}
    found = _layers_of(network, images, layers)
    others = _layers_of(network, noise(2, 3, size, seed=1), layers)
    for name in layers:
        if name not in found or name not in others:
            raise Wrong(f"the output of {name} takes no part in the logits")
        kept, gradient = found[name], found[name].gradient
        maps = (gradient.mean(dim=(2, 3), keepdim=True) * kept.features).sum(dim=1)
        spread = maps.flatten(1).amax(1) - maps.flatten(1).amin(1)
        if not torch.isfinite(maps).all() or not (spread > 1e-6 * maps.abs().max()).all():
            raise Wrong(f"the map of {name} is constant or not finite")
        close = 1e-6 * float(gradient.abs().max())
        if torch.allclose(gradient, others[name].gradient, rtol=1e-4, atol=close):
            raise Wrong(f"only linear steps follow {name}: its map restates the logits")


def _layers_of(network: nn.Module, images: Tensor, layers: Mapping[str, Form]) -> dict[str, Layer]:
    torch.manual_seed(0)
    try:
        seen = look(network, images, layers)
    except KeyError as error:
        raise Wrong(f"there is no layer {error}") from None
    except ValueError as error:
        raise Wrong(str(error)) from None
    return seen.layers(seen.logits[:, 1].sum())


def _normalized_by(images: Tensor, network: nn.Module) -> nn.Module:
    """Return a network in evaluation whose running statistics are those of images [B, C, H, W].

    Those of an untrained network can let nothing through but a constant.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [module.momentum for module in norms]
    for module in norms:
        module.momentum = 1.0
    with torch.no_grad():
        network.train()(images)
    for module, momentum in zip(norms, momenta, strict=True):
        module.momentum = momentum
    return network.eval()


def learns(candidate: Candidate) -> None:
    """The loss falls on four images of bright disks."""
    network = candidate.network.train()
    images, masks = disks(4, candidate.sizes[0])
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, foreach=True)
    losses = []
    torch.manual_seed(0)
    for _ in range(STEPS):
        loss = functional.cross_entropy(network(images), masks)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    if not all(map(math.isfinite, losses)):
        raise Wrong("the loss is not finite")
    last = sum(losses[-3:]) / 3
    if last >= FALLS_TO * losses[0]:
        raise Wrong(f"in {STEPS} steps the loss goes from {losses[0]:.3f} to {last:.3f} only")


def strict_weights(candidate: Candidate) -> None:
    """A file of weights that is missing or is not the architecture's own is refused with a clear error."""
    sources = [source for source in candidate.architecture.pretrained if source != "none"]
    if not sources:
        raise NotApplicable("no pretrained weights are declared")
    with tempfile.TemporaryDirectory() as folder:
        foreign, missing = Path(folder) / "foreign.pth", Path(folder) / "missing.pth"
        torch.save({"not.a.name.of.it": torch.zeros(3)}, foreign)
        for source in sources:
            for path, what in ((missing, "that does not exist"), (foreign, "of another network")):
                with _refused(f"pretrained: {source} takes a file {what}"):
                    candidate.build(pretrained=source, weights=path)


@contextmanager
def _refused(otherwise: str) -> Iterator[None]:
    try:
        yield
    except BenchError:
        return
    raise Wrong(otherwise)


def _expect_equal(found: Tensor, expected: Tensor, otherwise: str) -> None:
    if not torch.equal(found, expected):
        raise Wrong(f"{otherwise}, by up to {(found - expected).abs().max():.3g}")


def _expect_close(found: Tensor, expected: Tensor, otherwise: str) -> None:
    if not torch.allclose(found, expected, rtol=1e-3, atol=1e-4):
        raise Wrong(f"{otherwise}, by up to {(found - expected).abs().max():.3g}")
