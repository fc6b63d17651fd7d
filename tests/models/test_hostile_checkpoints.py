"""Checkpoints that claim more than they hold are refused before memory is taken; honest ones are read."""

from __future__ import annotations

import copy
import io
import pickle
import re
import struct
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from bench_core.errors import WeightsError
from bench_core.weights.checkpoint import LITTLE
from bench_core.weights.load import read_checkpoint

PROTOCOL = b"\x80\x02"
A_TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n("
    b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ"
    b"K\x00"
)
"""The beginning of a tensor on the one number of the storage "0"; shape, strides and the rest follow."""


def archive(
    path: Path, content: bytes, *, method: int = zipfile.ZIP_STORED, numbers: bytes = bytes(4)
) -> None:
    """Write an archive as PyTorch does, with this data.pkl and one storage."""
    with zipfile.ZipFile(path, "w", method, compresslevel=1) as file:
        file.writestr("archive/data.pkl", content)
        file.writestr("archive/byteorder", "little")
        file.writestr("archive/data/0", numbers)
        file.writestr("archive/version", "3\n")


def saved_with(path: Path, method: int, numbers: bytes) -> None:
    shape = struct.pack("<i", len(numbers) // 4)
    content = PROTOCOL + b"}X\x01\x00\x00\x00w" + A_TENSOR.replace(b"K\x01tQ", b"J" + shape + b"tQ")
    content += b"J" + shape + b"\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtRs."
    archive(path, content, method=method, numbers=numbers)


def expanding(path: Path) -> None:
    saved_with(path, zipfile.ZIP_DEFLATED, bytes(2 * LITTLE))


def overlapping(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({}, 2))
        file.writestr("archive/data/0", bytes(LITTLE // 16))
        for number in range(1, 40):
            again = copy.copy(file.filelist[-1])
            again.filename = again.orig_filename = f"archive/data/{number}"
            file.filelist.append(again)


def uncounted(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data/0", b"")
    content = path.read_bytes()
    contents, end = content.index(b"PK\1\2"), content.index(b"PK\5\6")
    many = 100_001 * content[contents:end]
    # The count of members stays 1, which zipfile does not look at.
    sizes = struct.pack("<LL", len(many), contents)
    path.write_bytes(content[:contents] + many + content[end : end + 12] + sizes + content[end + 20 :])


def a_bytearray(path: Path) -> None:
    archive(path, PROTOCOL + b"}X\x01\x00\x00\x00wcbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85Rs.")


def repeating(path: Path) -> None:
    torch.save({"w": torch.zeros(1).expand(100_000, 100_000)}, path)


def copying(path: Path) -> None:
    view = A_TENSOR + b"(J\xa0\x86\x01\x00J\xa0\x86\x01\x00t(K\x00K\x00t\x89ccollections\nOrderedDict\n)RtR"
    copied = b"ctorch._utils\n_rebuild_device_tensor_from_cpu_tensor\n(" + view
    copied += b"ctorch\nfloat64\nX\x03\x00\x00\x00cpu\x89tR"
    archive(path, PROTOCOL + b"}X\x01\x00\x00\x00w" + copied + b"s.")


def many_objects(path: Path) -> None:
    archive(path, PROTOCOL + b"}X\x01\x00\x00\x00w](" + b"}" * 3_000_000 + b"es.")


def long_names(path: Path) -> None:
    archive(path, PROTOCOL + b"}X\x00\x00\x00\x02" + b"w" * 2**25 + b"K\x00s.")


def sparse(path: Path) -> None:
    torch.save({"w": torch.sparse_coo_tensor(torch.tensor([[0]]), torch.ones(1), (10**12,))}, path)


def elsewhere(path: Path) -> None:
    torch.save({"w": torch.empty(10**6, 10**6, device="meta")}, path)


def legacy(path: Path) -> None:
    torch.save({"w": torch.zeros(1).expand(10**6, 10**5)}, path, _use_new_zipfile_serialization=False)


def legacy_bytearray(path: Path) -> None:
    torch.save({}, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    empty = PROTOCOL + b"}q\x00."
    assert whole.count(empty) == 1
    evil = PROTOCOL + b"}X\x01\x00\x00\x00wcbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85Rs."
    path.write_bytes(whole.replace(empty, evil))


HOSTILE = (
    expanding,
    overlapping,
    uncounted,
    a_bytearray,
    repeating,
    copying,
    many_objects,
    long_names,
    sparse,
    elsewhere,
    legacy,
    legacy_bytearray,
)


@pytest.mark.parametrize("write", HOSTILE, ids=lambda write: write.__name__)
def test_a_file_that_claims_too_much_is_refused(tmp_path: Path, write: Any) -> None:
    path = tmp_path / "weights.pth"
    write(path)
    with pytest.raises(WeightsError, match="claims what no weights need") as caught:
        read_checkpoint(path)
    assert caught.value.place == str(path) and caught.value.cause and caught.value.fix


@pytest.mark.parametrize("write", [expanding, overlapping, a_bytearray, copying, many_objects, long_names])
def test_what_would_take_memory_is_refused_before_it_is_loaded(
    tmp_path: Path, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "load", lambda *arguments, **more: pytest.fail("it was loaded"))
    write(tmp_path / "weights.pth")
    with pytest.raises(WeightsError):
        read_checkpoint(tmp_path / "weights.pth")


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


@pytest.mark.parametrize("new", [True, False], ids=["archive", "legacy"])
@pytest.mark.parametrize("kind", ["plain", "parameters", "half", "views", "training"])
def test_honest_files_are_read(tmp_path: Path, kind: str, new: bool) -> None:
    tensors: dict[str, Any] = dict(network().state_dict())
    content: Any = tensors
    if kind == "parameters":
        content = tensors = dict(network().named_parameters())
    elif kind == "half":
        content = tensors = {name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()}
    elif kind == "views":
        whole = torch.randn(10, 10)
        content = tensors = OrderedDict(rows=whole[2:4], turned=whole.t(), scalar=whole[0, 0])
    elif kind == "training":
        own = network()
        optimizer = torch.optim.AdamW(own.parameters())
        own(torch.randn(2, 3, 8, 8)).sum().backward()
        optimizer.step()
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 3])
        assert isinstance(schedule.state_dict()["milestones"], Counter)
        tensors = own.state_dict()
        states = {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
        content = {"state_dict": tensors, "epoch": 3, "meta": {"lr": 1e-3, "note": "é"}, **states}
    path = tmp_path / "weights.pth"
    torch.save(content, path, _use_new_zipfile_serialization=new)
    found = read_checkpoint(path)
    assert list(found) == list(tensors)
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_an_archive_that_was_compressed_again_is_read(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    numbers = torch.randn(1000).numpy().tobytes()
    saved_with(path, zipfile.ZIP_DEFLATED, numbers)
    assert read_checkpoint(path)["w"].numpy().tobytes() == numbers


@pytest.mark.parametrize("new", [True, False], ids=["archive", "legacy"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.floats(0, 0.9999), st.integers(0, 255)), min_size=1, max_size=8))
def test_changed_bytes_are_refused_or_harmless(
    tmp_path: Path, new: bool, changes: list[tuple[float, int]]
) -> None:
    stream = io.BytesIO()
    torch.save(network().state_dict(), stream, _use_new_zipfile_serialization=new)
    content = bytearray(stream.getvalue())
    for place, value in changes:
        content[int(place * len(content))] = value
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    try:
        found = read_checkpoint(path)
    except WeightsError:
        return
    assert sum(tensor.numel() for tensor in found.values()) < len(content)


@pytest.mark.filterwarnings("error")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 0.9999), value=st.integers(0, 255))
def test_a_changed_pickle_is_refused_without_the_advice_to_run_its_code(
    tmp_path: Path, place: float, value: int
) -> None:
    stream = io.BytesIO()
    torch.save({"w": torch.ones(3), "b": torch.zeros(2, 2)}, stream)
    with zipfile.ZipFile(stream) as file:
        members = {name: bytearray(file.read(name)) for name in file.namelist()}
    content = members["archive/data.pkl"]
    content[int(place * len(content))] = value
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w") as file:
        for name, held in members.items():
            file.writestr(name, bytes(held))
    try:
        read_checkpoint(path)
    except WeightsError as error:
        told = str(error)
        assert "weights_only" not in told and "file an issue" not in told and "pytorch.org" not in told
        assert not re.search(r"code to load \(\d*\)", told)
