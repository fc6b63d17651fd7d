"""`bench weights`: what is listed, what is fetched, and that a run fetches nothing unless it is told to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.bench import call_bench as bench
from tests.helpers.file_server import FileServer, serving

CONTENT = b"weights" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
PLUGIN = """
from bench_core import Architecture, Option, PublishedFile, hookimpl

def weights(source, options):
    name = f"dots-{options['size']}.pth"
    return [PublishedFile(name=name, url="ADDRESS/" + name)]

def build(request):
    raise NotImplementedError

@hookimpl
def bench_models():
    sizes = {"size": Option(type=str, default="s", choices=("s", "l"), help="how large")}
    return [Architecture(name="dots-net", family="x", runner="torch", version=1, build=build, license="MIT",
                         pretrained=("imagenet", "none"), options=sizes, weights=weights)]
"""
SPEC = """
version: 1
name: dots
plugins: [./dots.py]
models:
  - dots-net
  - {name: dots-net, label: large, options: {size: l}}
  - {name: dots-net, label: scratch, pretrained: none, because: to compare}
datasets: [{name: isic2018, root: ./nowhere}]
protocol: {image_size: 64, learning_rate: 1e-3, evaluate: {folds: 3, epochs: 1}}
"""


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(CONTENT) as files:
        yield files


@pytest.fixture
def spec(server: FileServer, tmp_path: Path) -> Path:
    (tmp_path / "dots.py").write_text(PLUGIN.replace("ADDRESS", server.address))
    (tmp_path / "spec.yaml").write_text(SPEC)
    return tmp_path / "spec.yaml"


def test_a_spec_s_files_are_listed_fetched_once_and_checked(
    spec: Path, server: FileServer, tmp_path: Path
) -> None:
    folder = tmp_path / "weights"
    place = {"SEGTRIAL_WEIGHTS": str(folder)}
    listed = json.loads(bench("weights", "list", spec, "--json", **place).stdout)
    assert [(row["names"], row["file"], row["models"], row["license"]) for row in listed] == [
        (["dots-s.pth"], None, ["dots-net"], "MIT"),
        (["dots-l.pth"], None, ["dots-net"], "MIT"),
    ]
    assert listed[0]["url"] == f"{server.address}/dots-s.pth"
    assert server.ranges == []
    fetched = bench("weights", "get", spec, **place)
    assert fetched.returncode == 0, fetched.stderr
    assert fetched.stdout.count(DIGEST) == fetched.stdout.count("(recorded here, not published)") == 2
    assert (folder / "dots-l.pth").read_bytes() == CONTENT
    again = bench("weights", "get", spec, **place)
    assert again.returncode == 0 and again.stdout.count("present") == 2 and len(server.ranges) == 2
    present = bench("weights", "list", spec, **place).stdout.splitlines()
    assert all(f"present {folder}" in line for line in present) and len(present) == 2
    assert all("hash recorded here, not published" in line for line in present)
    (folder / "dots-s.pth").write_bytes(b"damaged")
    damaged = bench("weights", "get", spec, **place)
    assert damaged.returncode == 2
    assert "not what it was" in damaged.stderr and "Traceback" not in damaged.stderr


def test_a_run_fetches_nothing_unless_it_is_told_to(spec: Path, server: FileServer, tmp_path: Path) -> None:
    place = {"SEGTRIAL_WEIGHTS": str(tmp_path / "weights"), "SEGTRIAL_STORE": str(tmp_path / "results")}
    refused = bench("run", spec, "--only", "model=dots-net", **place)
    assert refused.returncode == 2
    assert "bench weights get dots-s.pth" in refused.stderr
    assert server.ranges == []
    told = bench("run", spec, "--only", "model=large", "--json", **place, SEGTRIAL_DOWNLOAD="1")
    assert server.ranges == [None]
    assert (tmp_path / "weights" / "dots-l.pth").read_bytes() == CONTENT
    assert told.stdout == "" and f"sha256 {DIGEST}" in told.stderr
    # The data are still not there, and only that is said.
    assert told.returncode == 2 and "isic2018" in told.stderr and "dots-net" not in told.stderr


def test_a_file_that_is_named_is_not_another_publisher_s(tmp_path: Path) -> None:
    (tmp_path / "mit_b3.pth").write_bytes(CONTENT)
    place = {"SEGTRIAL_WEIGHTS": str(tmp_path)}
    copy = "mit_b3_20220624-13b1141c.pth"
    (row,) = json.loads(bench("weights", "list", copy, "--json", **place).stdout)
    assert (row["names"], row["file"], row["sha256"]) == ([copy], None, "13b1141c")
    assert row["url"].endswith(copy)
    (row,) = json.loads(bench("weights", "list", "mit_b3.pth", "--json", **place).stdout)
    assert (row["names"], row["file"]) == (["mit_b3.pth"], str(tmp_path / "mit_b3.pth"))


def test_declared_models_are_listed_by_model_and_by_file() -> None:
    done = bench("weights", "list", "--json")
    assert done.returncode == 0, done.stderr
    rows = {name: row for row in json.loads(done.stdout) for name in row["names"]}
    assert "segformer" in rows["mit_b3.pth"]["models"]
    assert rows["mit_b0.pth"]["file"] is None and "$SEGTRIAL_WEIGHTS" in rows["mit_b0.pth"]["how"]
    assert rows["vgg13_bn-abd245e5.pth"]["url"].startswith("https://")
    one = bench("weights", "list", "mscan_t.pth").stdout.splitlines()
    assert len(one) == 1 and "missing" in one[0] and "Apache-2.0" in one[0]
    assert "no weights files" in bench("weights", "list", "u-kan").stdout


def test_what_cannot_be_fetched_says_why(tmp_path: Path) -> None:
    no_folder = bench("weights", "get", "vgg13_bn-abd245e5.pth")
    assert no_folder.returncode == 2
    assert "export SEGTRIAL_WEIGHTS=" in no_folder.stderr
    unknown = bench("weights", "get", "segformr", SEGTRIAL_WEIGHTS=str(tmp_path))
    assert unknown.returncode != 0 and "did you mean 'segformer'?" in unknown.stderr
    assert "Traceback" not in no_folder.stderr + unknown.stderr


@pytest.mark.parametrize("name", ["../outside.pth", "/tmp/outside.pth", "a/b.pth", "x\\\\y.pth", "n\\0.pth"])
def test_a_declared_name_that_leads_elsewhere_is_one_error_and_writes_nothing(
    spec: Path, server: FileServer, tmp_path: Path, name: str
) -> None:
    plugin = spec.with_name("dots.py")
    plugin.write_text(plugin.read_text().replace("""f"dots-{options['size']}.pth\"""", f'"{name}"'))
    assert name in plugin.read_text()
    before = set(tmp_path.rglob("*"))
    done = bench("weights", "get", spec, SEGTRIAL_WEIGHTS=str(tmp_path / "weights"))
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert "cannot be the name of a weights file" in done.stderr and "dots-net" in done.stderr
    assert server.ranges == [] and set(tmp_path.rglob("*")) - before <= {tmp_path / "__pycache__"}


def test_a_license_that_nobody_declares_is_not_known(spec: Path, tmp_path: Path) -> None:
    plugin = spec.with_name("dots.py")
    plugin.write_text(plugin.read_text().replace('license="MIT",', ""))
    (row, _) = json.loads(bench("weights", "list", spec, "--json").stdout)
    assert (row["license"], row["hash"]) == ("not known", "hash not published")
