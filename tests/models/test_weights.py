"""Weights files are read without running code and loaded whole, or the job fails saying why."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bench_core import Architecture, PublishedFile
from bench_core.errors import PluginError, WeightsError
from bench_core.files.hashes import sha256_of
from bench_core.weights.files import find_files
from bench_core.weights.load import load_strictly, read_checkpoint, sum_over_rgb


def _module() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


NAMES = tuple(_module().state_dict())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


@pytest.mark.parametrize(
    "wrap", [lambda t: t, lambda t: {"state_dict": t, "epoch": 3}, lambda t: {"model": t}]
)
def test_tensors_are_found_flat_or_wrapped(path: Path, wrap: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = _module().state_dict()
    torch.save(wrap(tensors), path)
    found = read_checkpoint(path)
    assert list(found) == list(tensors)
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_safetensors_are_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.arange(3)}, path)
    assert torch.equal(read_checkpoint(path)["a"], torch.arange(3))


class _Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("evil"),))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 but no archive",
        b"<html>404</html>",
        pickle.dumps({"a": 1}, protocol=2),
        pickle.dumps(_Evil(), protocol=2),
    ],
    ids=["empty", "broken zip", "a web page", "plain pickle", "code"],
)
def test_foreign_files_fail_clearly_and_run_nothing(
    path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        read_checkpoint(path)
    assert caught.value.place == str(path)
    assert caught.value.fix
    assert not (tmp_path / "evil").exists()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kept=st.floats(0, 0.999))
def test_truncated_files_fail_clearly(path: Path, kept: float) -> None:
    torch.save(_module().state_dict(), path)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(WeightsError):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "content", [torch.zeros(3), [torch.zeros(3)], {}, {"epoch": 3}, {"state_dict": {"a": 1}}]
)
def test_checkpoints_without_named_tensors_fail(path: Path, content: object) -> None:
    torch.save(content, path)
    with pytest.raises(WeightsError, match="not a mapping of names to tensors"):
        read_checkpoint(path)


def test_a_file_that_is_not_there_names_what_to_set(path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        read_checkpoint(path)
    assert "SEGTRIAL_WEIGHTS" in (caught.value.fix or "")


def test_loading_reports_file_hash_and_counts(path: Path) -> None:
    torch.manual_seed(1)
    tensors = _module().state_dict()
    torch.save(tensors, path)
    module = _module()
    report = load_strictly(module, read_checkpoint(path), source="imagenet", file=path, notes=["a note"])
    assert (report.source, report.file, report.loaded, report.total) == ("imagenet", "weights.pth", 9, 9)
    assert (report.sha256, report.notes) == (sha256_of(path), ("a note",))
    assert all(torch.equal(module.state_dict()[name], tensors[name]) for name in NAMES)


@given(
    missing=st.sets(st.sampled_from(NAMES)),
    unexpected=st.sets(st.sampled_from(["head.weight", "fc.bias", "0.gamma"])),
    reshaped=st.sets(st.sampled_from(["0.weight", "1.bias", "2.weight"])),
    may_miss=st.sets(st.sampled_from(NAMES)),
    may_have=st.sets(st.sampled_from(["head", "fc.", "0.gamma"])),
)
@settings(deadline=None)
def test_nothing_off_the_declared_lists_is_ever_ignored(
    missing: set[str], unexpected: set[str], reshaped: set[str], may_miss: set[str], may_have: set[str]
) -> None:
    module = _module()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    tensors = {name: torch.full_like(tensor, 7) for name, tensor in before.items() if name not in missing}
    tensors |= {name: torch.zeros(1) for name in unexpected}
    tensors |= {name: torch.zeros(5, 5) for name in reshaped - missing}
    allowed = {"head": "head.weight", "fc.": "fc.bias", "0.gamma": "0.gamma"}
    wrong = (missing - may_miss) | (unexpected - {allowed[name] for name in may_have}) | (reshaped - missing)
    loads_something = len(missing) < len(NAMES)
    if not wrong and loads_something:
        report = load_strictly(
            module, tensors, allowed_missing=tuple(may_miss), allowed_unexpected=tuple(may_have)
        )
        assert report.loaded == len(NAMES) - len(missing)
        after = module.state_dict()
        assert all((after[name] == 7).all() for name in set(NAMES) - missing)
        assert all(torch.equal(after[name], before[name]) for name in missing)
        return
    with pytest.raises(WeightsError) as caught:
        load_strictly(module, tensors, allowed_missing=tuple(may_miss), allowed_unexpected=tuple(may_have))
    if wrong:
        assert any(name in caught.value.message for name in wrong)
    assert all(torch.equal(module.state_dict()[name], before[name]) for name in NAMES)


def test_allowed_prefixes_end_at_a_dot() -> None:
    module = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in range(11)))
    tensors = {name: tensor for name, tensor in module.state_dict().items() if name != "10.weight"}
    with pytest.raises(WeightsError, match=r"1 missing \(10\.weight\)"):
        load_strictly(module, tensors, allowed_missing=["1"])


def test_many_differences_are_counted_and_the_first_named() -> None:
    with pytest.raises(WeightsError, match=r"9 missing \(0\.weight, 0\.bias, 1\.weight, and 6 more\)"):
        load_strictly(_module(), {"x": torch.zeros(1)})


def test_a_stem_for_one_channel_is_the_sum_over_rgb() -> None:
    rgb, gray = nn.Conv2d(3, 4, 3), nn.Conv2d(1, 4, 3)
    tensors, notes = sum_over_rgb(gray.state_dict(), rgb.state_dict())
    load_strictly(gray, tensors)
    image = torch.randn(1, 1, 8, 8)
    torch.testing.assert_close(gray(image), rgb(image.repeat(1, 3, 1, 1)))
    assert notes == ("weight summed over red, green and blue for one input channel",)
    assert sum_over_rgb(rgb.state_dict(), rgb.state_dict())[1] == ()


def net(*files: PublishedFile, **more: Any) -> Architecture:
    return Architecture(
        name="net",
        family="x",
        runner="torch",
        version=1,
        pretrained=("imagenet", "none"),
        weights=lambda source, options: files,
        **more,
    )


def test_search_order_of_weights_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, packaged = tmp_path / "mine.pth", tmp_path / "packaged.pth"
    packaged.touch()
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(folder))
    model = net(PublishedFile(name="net.pth", packaged=packaged))
    assert find_files(model, "imagenet", {}) == (packaged,)
    (folder / "net.pth").touch()
    assert find_files(model, "imagenet", {}) == (folder / "net.pth",)
    with pytest.raises(WeightsError) as caught:
        find_files(model, "imagenet", {}, given)
    assert caught.value.place == str(given)
    given.touch()
    assert find_files(model, "imagenet", {}, given) == (given,)
    with pytest.raises(WeightsError) as caught:
        find_files(net(PublishedFile(name="other.pth")), "imagenet", {})
    assert str(folder / "other.pth") in (caught.value.cause or "")
    copied = net(PublishedFile(name="other.pth", copies=(PublishedFile(name="net.pth"),)))
    assert find_files(copied, "imagenet", {}) == (folder / "net.pth",)
    (folder / "other.pth").touch()
    assert find_files(copied, "imagenet", {}) == (folder / "other.pth",)
    elsewhere = net(PublishedFile(name="net.pth", folder=tmp_path / "alone"))
    with pytest.raises(WeightsError, match=r"net\.pth is not there"):
        find_files(elsewhere, "imagenet", {})


def test_of_several_files_the_users_own_is_the_one_that_it_resembles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEGTRIAL_WEIGHTS", raising=False)
    names = ("resnet50-0676ba61.pth", "swin_tiny_patch4_window7_224.pth")
    model = net(*(PublishedFile(name=name) for name in names))
    resnet, swin = (tmp_path / name for name in names)
    own = tmp_path / "swin_tiny_mine.pth"
    own.touch()
    with pytest.raises(WeightsError, match=r"resnet50-0676ba61\.pth is not there"):
        find_files(model, "imagenet", {}, own)
    resnet.touch()
    assert find_files(model, "imagenet", {}, own) == (resnet, own)
    swin.touch()
    assert find_files(model, "imagenet", {}, resnet) == (resnet, swin)
    unlike = tmp_path / "mine.pth"
    unlike.touch()
    with pytest.raises(WeightsError, match="does not say which"):
        find_files(model, "imagenet", {}, unlike)


def test_weights_for_a_network_without_any_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.pth"
    file.touch()
    model = replace(net(), weights=None)
    assert find_files(model, "none", {}) == ()
    with pytest.raises(WeightsError, match="no pretrained weights for net from scratch"):
        find_files(model, "none", {}, file)
    with pytest.raises(WeightsError, match="no pretrained weights for net"):
        find_files(model, "other", {})
    with pytest.raises(WeightsError, match="declares no weights file"):
        find_files(model, "imagenet", {})
    assert find_files(model, "imagenet", {}, file) == (file,)


def test_only_published_files_are_taken_for_a_declaration() -> None:
    wrong = replace(net(), weights=lambda source, options: ["net.pth"])  # type: ignore[list-item]
    with pytest.raises(PluginError, match=r"returned 'net\.pth'"):
        find_files(wrong, "imagenet", {})


@pytest.mark.parametrize(
    "name",
    [
        *("../net.pth", "/net.pth", "a/net.pth", "a\\net.pth", "C:net.pth", "..", ".", "", " "),
        *("net\0.pth", "net\n.pth", "\ud800.pth", "\u2028.pth"),
        *("nul", "aux.pth", "n" * 300, "net.", " net.pth"),
    ],
)
def test_names_of_files_lead_nowhere_else(name: str) -> None:
    with pytest.raises(PluginError, match="cannot be the name of a weights file"):
        PublishedFile(name=name)


@pytest.mark.parametrize("name", ["R50+ViT-B_16.npz", "mit_b0.pth", "é.pth", "a b.pth", ".hidden"])
def test_plain_names_are_taken(name: str) -> None:
    assert PublishedFile(name=name).name == name
