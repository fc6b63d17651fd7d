"""The processes of one job, each with a device and a part of every batch, and what they exchange.

Every exchange is collective: all processes ask for the same ones in the same order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

_LARGEST = 1 << 28
"""Bytes of one message; longer content takes several."""


@dataclass(eq=False)
class Ranks:
    """Which of its job's processes this one is; without others every exchange hands back what it is given.

    More than one need torch.distributed's default group to be up, with gloo for tensors on the CPU. Tensors
    on a CUDA device travel by nccl with `direct`, otherwise through the CPU.
    """

    rank: int = 0
    world: int = 1
    direct: bool = False
    active: int = 1
    """So many of them, the first ones, have images of the part of a batch that is under way."""
    _groups: dict[int, Any] = field(default_factory=dict)

    @property
    def several(self) -> bool:
        """True where the job has more than one process."""
        return self.world > 1

    @property
    def first(self) -> bool:
        """True in the process that keeps the job's state, trace and results."""
        return self.rank == 0

    def form(self, sizes: Iterable[int]) -> None:
        """Make ready for exchanges of the first n processes, for each n of `sizes`; collective."""
        for size in sorted(set(sizes)):
            if 1 < size < self.world and size not in self._groups:
                self._groups[size] = dist.new_group(list(range(size)))

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the sum of each process's tensor, the same bits in all of them."""
        if not self.several:
            return tensor
        total = self._outgoing(tensor)
        dist.all_reduce(total)
        return total.to(tensor.device)

    def gather_active(self, vector: Tensor) -> Tensor:
        """Return the vectors [n] of all processes that have images of this part, as [active, n]."""
        if self.active < 2:
            return vector.detach()[None]
        given = self._outgoing(vector)
        found = [torch.empty_like(given) for _ in range(self.active)]
        dist.all_gather(found, given, group=self._groups.get(self.active))
        return torch.stack(found).to(vector.device)

    def tell(self, value: Any) -> Any:
        """Return what the first process has as `value`, which JSON can hold; what others have is not read."""
        if not self.several:
            return value
        content = json.dumps(value).encode() if self.first else b""
        return json.loads(self.tell_bytes(content))

    def tell_bytes(self, content: bytes) -> bytes:
        """Return the first process's bytes."""
        if not self.several:
            return content
        length = torch.tensor([len(content)])
        dist.broadcast(length, 0)
        told = _as_tensor(content) if self.first else torch.empty(int(length), dtype=torch.uint8)
        for part in _messages(told):
            dist.broadcast(part, 0)
        return content if self.first else told.numpy().tobytes()

    def collect(self, content: bytes) -> list[bytes] | None:
        """Return each process's bytes in the first process, in their order; None in the others."""
        if not self.several:
            return [content]
        lengths = torch.zeros(self.world, dtype=torch.int64)
        lengths[self.rank] = len(content)
        dist.all_reduce(lengths)
        if not self.first:
            for part in _messages(_as_tensor(content)):
                dist.send(part, 0)
            return None
        found = [content]
        for rank in range(1, self.world):
            taken = torch.empty(int(lengths[rank]), dtype=torch.uint8)
            for part in _messages(taken):
                dist.recv(part, rank)
            found.append(taken.numpy().tobytes())
        return found

    def collect_values(self, value: Any) -> list[Any] | None:
        """Like `collect`, of values that JSON can hold."""
        found = self.collect(json.dumps(value).encode())
        return None if found is None else [json.loads(content) for content in found]

    def copy_first(self, model: nn.Module) -> None:
        """Give every process the first one's parameters and buffers."""
        if self.several:
            self._copy_first([*model.parameters(), *model.buffers()])

    def settle_buffers(self, model: nn.Module, synchronized: bool) -> None:
        """Give every process the first one's buffers.

        Where norms took their running statistics from each process's own images, and not `synchronized` from
        those of all, these become their mean over the processes.
        """
        if not self.several:
            return
        own: list[Tensor] = []
        for module in () if synchronized else model.modules():
            if isinstance(module, _NormBase):
                own += [each for each in (module.running_mean, module.running_var) if each is not None]
        if own:
            flat = torch.cat([each.detach().double().flatten().cpu() for each in own])
            _put(self.sum(flat) / self.world, own)
        settled = {id(each) for each in own}
        self._copy_first([each for each in model.buffers() if id(each) not in settled])

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its sum over the processes; one that nobody has stays None.

        By one sum over all of them, in the order of the parameters.
        """
        if not self.several:
            return
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        device = next((one.device for one in trained), torch.device("cpu"))
        kind = torch.float64 if any(one.dtype == torch.float64 for one in trained) else torch.float32
        there = torch.tensor([one.grad is not None for one in trained], dtype=kind, device=device)
        pieces = [
            torch.zeros(one.numel(), dtype=kind, device=device)
            if one.grad is None
            else one.grad.detach().to(kind).flatten()
            for one in trained
        ]
        total = self.sum(torch.cat([there, *pieces]))
        known, gradients = total[: len(trained)].tolist(), total[len(trained) :]
        for one, given, piece in zip(trained, known, cut(gradients, trained), strict=True):
            if not given:
                one.grad = None
            elif one.grad is None:
                one.grad = piece.view_as(one).to(one.dtype).clone()
            else:
                one.grad.copy_(piece.view_as(one))

    def _outgoing(self, tensor: Tensor) -> Tensor:
        """Return a copy where it can leave from."""
        own = tensor.detach()
        return (
            own.cpu() if own.is_cuda and not self.direct else own.clone(memory_format=torch.contiguous_format)
        )

    def _copy_first(self, tensors: Sequence[Tensor]) -> None:
        pieces = [tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for tensor in tensors]
        whole = torch.cat(pieces).numpy().tobytes() if self.first and pieces else b""
        told = _as_tensor(self.tell_bytes(whole)) if pieces else torch.empty(0, dtype=torch.uint8)
        if not self.first:
            with torch.no_grad():
                for tensor, piece in zip(tensors, cut(told, pieces), strict=True):
                    # A copy, since a piece may not lie where numbers of this type may.
                    tensor.copy_(piece.clone().view(tensor.dtype).view_as(tensor))


ALONE = Ranks()
"""The one process of a job with one device."""


def cut(flat: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return pieces of a vector, as long as each of the tensors has elements."""
    ends = (0, *accumulate(tensor.numel() for tensor in tensors))
    return [flat[start:stop] for start, stop in pairwise(ends)]


def _messages(content: Tensor) -> list[Tensor]:
    return [content[start : start + _LARGEST] for start in range(0, len(content), _LARGEST)]


def _as_tensor(content: bytes) -> Tensor:
    if not content:
        return torch.empty(0, dtype=torch.uint8)
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def _put(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for tensor, piece in zip(tensors, cut(flat, tensors), strict=True):
            tensor.copy_(piece.view_as(tensor))
