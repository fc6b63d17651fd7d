"""Archives: what is packed is read like a store, and whatever somebody makes of one ends in words."""

from __future__ import annotations

import json
import random
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench_core.analysis.study_digest import study_digest
from bench_core.cli.reading import reading
from bench_core.errors import StoreError
from bench_core.export.pack import Packed, pack
from bench_core.files.bounded import BoundError
from bench_core.files.zip_contents import check_contents
from bench_core.plan.expand import make_plan
from bench_core.plan.load import load_plan
from bench_core.store import archive as container
from bench_core.store import folder as files
from bench_core.store.store import Store
from tests.helpers.archives import added, rewritten
from tests.helpers.bench import call_bench
from tests.helpers.fake_study import PLUGIN, fake_counts, fake_result, write_study
from tests.helpers.forgeries import counts, halved, sealed
from tests.helpers.verified_study import STOPPING, Finished

TRUST = "--trust-code"


def packed(study: Finished, target: Path, store: Path | None = None, **more: bool) -> Packed:
    plan = make_plan(study.loaded.spec, study.loaded.registry)
    return pack(study.loaded, plan, Store(store or study.store), target, **more)


@pytest.fixture(scope="module")
def study(verified_study: Finished) -> Finished:
    return verified_study


@pytest.fixture(scope="module")
def archive(study: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(study, tmp_path_factory.mktemp("packed") / "study.zip").path


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield where archives are unpacked, and fail where anything stays there."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    assert not list(folder.iterdir())


def said(*words: str | Path) -> Any:
    done = call_bench(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_all_but_weights_and_images_is_packed_and_equal_stores_give_equal_bytes(
    study: Finished, archive: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(archive) as file:
        names, spec = set(file.namelist()), file.read("spec.yaml").decode()
        manifest = json.loads(file.read("manifest.json"))
    assert str(study.path.parent) not in spec
    kept = {f"results/{path.relative_to(study.store)}": path for path in study.store.rglob("*")}
    jobs = {name for name, path in kept.items() if name.startswith("results/jobs/") and path.is_file()}
    out = {name for name in jobs if name.endswith(("best.pt", "cases.npz"))}
    assert len(out) == 30 and jobs - out <= names and not out & names
    assert set(manifest["left_out"]) == out
    for name in out:
        fact = manifest["left_out"][name]
        assert fact["bytes"] == kept[name].stat().st_size
        assert (fact["kind"] == "weights") == name.endswith("best.pt")
    assert packed(study, tmp_path / "again.zip").path.read_bytes() == archive.read_bytes()
    whole = packed(study, tmp_path / "whole.zip", images=True, weights=True)
    assert not whole.manifest.left_out and out < set(whole.manifest.files)
    assert whole.manifest.study == manifest["study"]
    again = call_bench("export", "--archive", archive, study.path, "--set", STOPPING, "--store", study.store)
    assert again.returncode == 2 and "exists already" in again.stderr


def test_commands_read_an_archive_as_they_read_its_store(
    study: Finished, archive: Path, tmp_path: Path, scratch: Path
) -> None:
    spec = (study.path, "--set", STOPPING, "--store", study.store)
    job = "evaluate/heavy/dots/fold-1"
    here, there = said("verify", archive, TRUST), said("verify", *spec)
    assert here["ok"] and here["complete"] and here["study_digest"] == there["study_digest"]
    reports = (
        said("report", archive, TRUST, "--out", tmp_path / "a"),
        said("report", *spec, "--out", tmp_path / "b"),
    )
    assert reports[0]["study_digest"] == reports[1]["study_digest"] == here["study_digest"]
    tables = sorted((tmp_path / "a" / "tables").iterdir())
    assert len(tables) > 20
    for table in tables:
        assert table.read_bytes() == (tmp_path / "b" / "tables" / table.name).read_bytes()
    page = (tmp_path / "a" / "report.html").read_text()
    macros = (tmp_path / "a" / "tables" / "numbers.tex").read_text()
    assert f"\\segtrialset{{study/digest}}{{{here['study_digest']}}}" in macros
    assert "name the spec, and the store with --store" in call_bench("verify", study.store).stderr
    assert here["study_digest"] in page and str(scratch) not in page
    asked = "compare", "heavy", "dots-net"
    assert said(*asked, archive, TRUST)["answers"] == said(*asked, *spec)["answers"]
    shown = said("show", job, "--store", archive), said("show", job, "--store", study.store)
    assert shown[0]["metrics"] == shown[1]["metrics"] and str(scratch) not in json.dumps(shown[0])
    named = call_bench("verify", archive, TRUST, "--digest", here["study_digest"])
    other = call_bench("verify", archive, TRUST, "--digest", "0" * 64)
    assert (named.returncode, other.returncode) == (0, 1) and "its study digest is" in other.stdout
    assert call_bench("verify", archive, TRUST, "--store", study.store).returncode == 2
    for digest in ("", "zz"):
        assert "64 hexadecimal digits" in call_bench("verify", archive, TRUST, "--digest", digest).stderr


def test_code_of_an_archive_is_run_only_when_it_is_trusted(
    archive: Path, tmp_path: Path, scratch: Path
) -> None:
    ran = tmp_path / "ran"

    def edit(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        members["plugins/0/plugin.py"] += f"\nPath({str(ran)!r}).touch()\n".encode()

    other = rewritten(archive, tmp_path / "other.zip", edit)
    for command in (["verify"], ["report", "--out", tmp_path / "out"], ["compare", "heavy", "dots-net"]):
        done = call_bench(*command, other)
        assert done.returncode == 2 and "plugins/0/plugin.py" in done.stderr and TRUST in done.stderr
    assert call_bench("show", "evaluate/heavy/dots/fold-1", "--store", other).returncode == 0
    assert not ran.exists()
    assert call_bench("verify", other, TRUST).returncode == 1 and ran.exists(), "another plugin is found"


def test_a_forged_store_is_found_in_its_archive_too(
    study: Finished, archive: Path, tmp_path: Path, scratch: Path
) -> None:
    store = tmp_path / "results"
    shutil.copytree(study.store, store, ignore=shutil.ignore_patterns("cache"))
    folder = store / "jobs" / study.job("evaluate/heavy/dots/fold-2").digest
    counts(folder, lambda found, rows: halved(found, rows))
    sealed([folder])
    forged = packed(study, tmp_path / "forged.zip", store).path
    found = json.loads(call_bench("verify", forged, TRUST, "--json").stdout)
    assert {item["name"] for item in found["checks"] if item["findings"]} == {"label maps"}
    digest = container.read_manifest(archive).study
    found = json.loads(call_bench("verify", forged, TRUST, "--digest", digest, "--json").stdout)
    assert {item["name"] for item in found["checks"] if item["findings"]} == {"label maps", "digest"}

    # Whoever changes an archive itself and not the digest in it, too.
    def edit(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        for name in members:
            if name.startswith(f"results/jobs/{folder.name}/") and (folder / Path(name).name).exists():
                members[name] = (folder / Path(name).name).read_bytes()
        manifest["left_out"] = {}

    changed = rewritten(
        packed(study, tmp_path / "w.zip", images=True, weights=True).path, tmp_path / "x.zip", edit
    )
    found = json.loads(call_bench("verify", changed, TRUST, "--json").stdout)
    assert "digest" in {item["name"] for item in found["checks"] if item["findings"]}


def test_a_damaged_job_is_told_and_left_out(study: Finished, tmp_path: Path, scratch: Path) -> None:
    store = tmp_path / "results"
    shutil.copytree(study.store, store, ignore=shutil.ignore_patterns("cache"))
    folder = store / "jobs" / study.job("evaluate/heavy/dots/fold-2").digest
    (folder / files.COUNTS).write_text("id")
    done = call_bench(
        "export", "--archive", tmp_path / "a.zip", study.path, "--set", STOPPING, "--store", store
    )
    assert done.returncode == 1 and "packed 14 of 15 jobs" in done.stdout and files.COUNTS in done.stderr
    assert said("verify", tmp_path / "a.zip", TRUST)["jobs"] == {"done": 14, "planned": 15}
    (folder / files.COUNTS).unlink()
    (folder / files.COUNTS).symlink_to("/etc/passwd")
    assert (
        "counts.csv"
        in call_bench(
            "export", "--archive", tmp_path / "b.zip", study.path, "--set", STOPPING, "--store", store
        ).stderr
    )


def info(name: str, mode: int = 0, kind: int = zipfile.ZIP_STORED) -> zipfile.ZipInfo:
    found = zipfile.ZipInfo(name)
    found.external_attr, found.compress_type, found.create_system = mode << 16, kind, 3
    return found


JOB = "results/jobs/" + "0" * 32
ODD_MEMBERS: dict[str, zipfile.ZipInfo | str] = {
    "absolute": "/etc/evil",
    "above": "results/jobs/../../../evil",
    "drive": "C:/evil",
    "backslash": "results\\..\\..\\evil",
    "link": info(f"{JOB}/counts.csv", stat.S_IFLNK | 0o777),
    "pipe": info(f"{JOB}/counts.csv", stat.S_IFIFO | 0o666),
    "folder": f"{JOB}/",
    "twice": "spec.yaml",
    "twice in capitals": "SPEC.yaml",
    "in a file": "spec.yaml/more",
    "not listed": f"{JOB}/counts.csv",
    "of no kind": "results/running/x",
    "device": f"{JOB}/aux.txt",
    "control": f"{JOB}/a\x1b[2Jb",
    "deep": f"{JOB}/{'a/' * 20}b",
    "other compression": info(f"{JOB}/counts.csv", kind=zipfile.ZIP_LZMA),
}


@pytest.mark.parametrize("name", ODD_MEMBERS)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_out_of_place_is_refused(
    archive: Path, tmp_path: Path, scratch: Path, name: str
) -> None:
    refused(added(archive, tmp_path / "odd.zip", ODD_MEMBERS[name]), "the archive is damaged")
    assert {path.name for path in tmp_path.iterdir()} == {"odd.zip", "scratch"}


def in_manifest(**values: Any) -> Callable[[dict[str, bytes], dict[str, Any]], None]:
    return lambda members, manifest: manifest.update(values)


def in_spec(old: str, new: str) -> Callable[[dict[str, bytes], dict[str, Any]], None]:
    def edit(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        text = members["spec.yaml"].decode()
        assert old in text
        members["spec.yaml"] = text.replace(old, new, 1).encode()

    return edit


def left_out(name: str) -> Callable[[dict[str, bytes], dict[str, Any]], None]:
    """Claim that a file was left out which archives always hold."""

    def edit(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        found = next(member for member in members if member.endswith(name))
        fact = manifest["files"][found]
        del members[found]
        manifest["left_out"][found] = fact | {"kind": "images"}

    return edit


def smaller(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
    fact = next(iter(manifest["left_out"].values()))
    fact["bytes"] -= 1


BOMB = b"a: &a [x]\n" + b"".join(
    b"%c: &%c [%b]\n" % (letter, letter, b",".join([b"*%c" % (letter - 1)] * 9)) for letter in range(98, 110)
)
EDITS: dict[str, tuple[Callable[[dict[str, bytes], dict[str, Any]], object], str]] = {
    "format": (in_manifest(format=99), "the archive has format 99"),
    "no study": (in_manifest(study="x"), "study"),
    "negative": (in_manifest(planned=-1), "planned"),
    "nan": (in_manifest(planned=float("nan")), "NaN is not a number"),
    "endless": (in_manifest(done=10**400), "more than 64 bits"),
    "nested": (in_manifest(tools=json.loads("[" * 100 + "]" * 100)), "nested more than"),
    "counts left out": (left_out("counts.csv"), "cannot be left out"),
    "label maps left out": (left_out("predictions.npz"), "cannot be left out"),
    "other size left out": (smaller, "is not what its job left"),
    "no spec": (lambda members, manifest: members.pop("spec.yaml"), "it holds no spec.yaml"),
    "extends": (in_spec("name: small", "name: small\nextends: /etc/passwd"), "leads out of the archive"),
    "variable": (in_spec("name: small", 'name: small\ndescription: "${HOME}"'), "a variable of this machine"),
    "own plugin": (in_spec("plugins/0/plugin.py", "/tmp/evil.py"), "not a plugin of the archive"),
    "root": (in_spec("- name: dots\n", "- name: dots\n  root: /etc\n"), "a folder of this machine"),
    "folds": (in_spec("- name: dots\n", "- name: dots\n  folds: /etc/passwd\n"), "not a file of folds"),
    "weights": (in_spec("- name: dots-net\n", "- name: dots-net\n  weights: w.pt\n"), "file of this machine"),
    "model": (in_spec("- name: dots-net\n", "- name: hf:/etc/x.json\n"), "a file of this machine"),
    "no YAML": (lambda members, manifest: members.update({"spec.yaml": b"\xff"}), "spec.yaml"),
    "aliases": (lambda members, manifest: members.update({"spec.yaml": BOMB}), "spec.yaml"),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_what_an_archive_says_of_itself_is_checked(
    archive: Path, tmp_path: Path, scratch: Path, name: str
) -> None:
    edit, message = EDITS[name]
    refused(rewritten(archive, tmp_path / "edited.zip", edit), message, (1, 2))


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>"])
def test_a_download_that_went_wrong_is_a_damaged_archive_and_no_spec(
    tmp_path: Path, scratch: Path, content: bytes
) -> None:
    path = tmp_path / "study.zip"
    path.write_bytes(content)
    refused(path, "the archive is damaged")


def test_what_is_in_an_archive_is_what_its_manifest_lists(
    archive: Path, tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def longer(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        members["plan.json"] += b" "

    other = rewritten(archive, tmp_path / "a.zip", longer, fitting=False)
    refused(other, "plan.json is not as the manifest has it")
    missing = rewritten(archive, tmp_path / "b.zip", lambda m, _: m.pop("plan.json"), fitting=False)
    refused(missing, "is in the manifest and not in the archive")
    bomb = rewritten(archive, tmp_path / "c.zip", lambda m, _: m.update({f"{JOB}/log.txt": bytes(10**7)}))
    monkeypatch.setattr(container, "SMALL", 10**6)
    monkeypatch.setattr(container, "MOST_RATIO", 20)
    refused(bomb, "claim to unpack to")
    monkeypatch.setattr(container, "MOST_MEMBERS", 5)
    refused(archive, "more than 5")


def refused(path: Path, message: str, codes: tuple[int, ...] = (2,)) -> None:
    done = call_bench("verify", path)
    assert done.returncode in codes and message in done.stderr, done.stderr
    assert "fix:" in done.stderr and "Traceback" not in done.stderr and "\x1b" not in done.stderr


@settings(
    max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)
@given(seed=st.integers(0, 2**32), length=st.sampled_from([0, 1, 4, 64]), cut=st.booleans())
def test_no_byte_of_an_archive_ends_in_a_traceback(
    archive: Path, tmp_path: Path, scratch: Path, seed: int, length: int, cut: bool
) -> None:
    content, draw = bytearray(archive.read_bytes()), random.Random(seed)
    # The table of contents is where most of what a reader believes is said.
    place = draw.randrange(len(content)) if draw.random() < 0.5 else len(content) - draw.randrange(20_000)
    content[place : place + length] = b"" if cut else draw.randbytes(length)
    broken = tmp_path / "broken.zip"
    broken.write_bytes(bytes(content))
    for words in (["verify", broken], ["show", "heavy", "--store", broken]):
        done = call_bench(*words)
        assert done.returncode in (1, 2) and "Traceback" not in done.stdout + done.stderr


SPEC_ON_A_BASE = """\
version: 1
extends: base.yaml
name: portable
description: "costs $$5"
plugins: [own/study_plugin.py]
models: [{name: ring, pretrained: imagenet, because: it has them, weights: own/ring.pt}, "hf:own/model.json"]
datasets: [{name: moles, root: "${PLACE_OF_DATA}/moles", folds: own/folds.csv}, polyps]
"""
BASE = """\
protocol:
  image_size: 96
  pretrained: none
  learning_rate: 1e-3
  evaluate: {folds: 3, epochs: 20}
"""
MODEL = {
    "architectures": ["SegformerForSemanticSegmentation"],
    "model_type": "segformer",
    "hidden_sizes": [8, 16, 24, 32],
    "depths": [1, 1, 1, 1],
}


def test_whatever_a_spec_names_is_packed_and_leads_to_the_same_jobs(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study" / "own").mkdir(parents=True)
    spec, own = tmp_path / "study" / "spec.yaml", tmp_path / "study" / "own"
    spec.write_text(SPEC_ON_A_BASE)
    spec.with_name("base.yaml").write_text(BASE)
    (own / "study_plugin.py").write_text(f"import beside\n{PLUGIN}")
    (own / "beside.py").write_text("THERE = True\n")
    (own / "model.json").write_text(json.dumps(MODEL))
    (own / "folds.csv").write_text("id,fold\n" + "".join(f"a{number},{number % 3}\n" for number in range(9)))
    monkeypatch.setenv("PLACE_OF_DATA", str(tmp_path / "nowhere"))
    monkeypatch.syspath_prepend(str(own))
    loaded, plan = load_plan(spec, ["protocol.batch_size=2"])
    store = Store(tmp_path / "results", create=True)
    job = plan.jobs[0]
    store.write(job, fake_result(job, fake_counts(job)), fake_counts(job))
    done = pack(loaded, plan, store, tmp_path / "a.zip")
    assert set(done.manifest.code) == {
        "plugins/0/study_plugin.py", "plugins/0/beside.py", "models/1/model.json",
    }  # fmt: skip
    assert "folds/0/folds.csv" in done.manifest.files
    monkeypatch.delenv("PLACE_OF_DATA")
    shutil.rmtree(tmp_path / "study")
    with reading(done.path, Path("results"), trust_code=True) as source:
        again, found = load_plan(source.spec)
        assert [item.digest for item in found.jobs] == [item.digest for item in plan.jobs]
        assert study_digest(again.spec, found, source.store) == done.manifest.study
        assert again.spec.description == "costs $5" and again.spec.models[0].weights is None
        assert again.spec.datasets[0].root == str(source.spec.parent / "data" / "moles")
        assert str(tmp_path / "nowhere") not in source.spec.read_text()


def test_a_file_that_a_spec_does_not_name_cannot_be_packed_and_is_missed(
    tmp_path: Path, scratch: Path
) -> None:
    """A plugin that reads a file beside it would not load elsewhere: packing says so."""
    plugin = PLUGIN + "\nopen(__file__.replace('study_plugin.py', 'table.txt')).read()\n"
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "table.txt").touch()
    study = write_study(tmp_path / "study", keep=lambda job: job.stage == "search", plugin=plugin)
    with pytest.raises(StoreError, match="cannot be packed") as found:
        pack(study.loaded, study.plan, study.store, tmp_path / "a.zip")
    assert found.value.fix and "table.txt" in str(found.value) and not (tmp_path / "a.zip").exists()


def test_an_archive_of_very_many_members_is_bounded_by_its_table_of_contents(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as file:
        for number in range(70_000):
            file.writestr(zipfile.ZipInfo(str(number)), b"")
    with (tmp_path / "many.zip").open("rb") as many:
        check_contents(many)
        with pytest.raises(BoundError, match="table of contents is too large"):
            check_contents(many, 10**6)
    content = (tmp_path / "many.zip").read_bytes()
    place = content.rindex(b"PK\6\7")
    (tmp_path / "many.zip").write_bytes(content[: place + 8] + b"\xff" * 8 + content[place + 16 :])
    with (tmp_path / "many.zip").open("rb") as many, pytest.raises(BoundError, match="leads nowhere"):
        check_contents(many)
    # A record that claims less, at the file's beginning, where the end leads to: zipfile does not follow it.
    record = content[place - 56 : place]
    small = record[:40] + (100).to_bytes(8, "little") + record[48:]
    (tmp_path / "many.zip").write_bytes(small + content[: place + 8] + bytes(8) + content[place + 16 :])
    with (tmp_path / "many.zip").open("rb") as many, pytest.raises(BoundError, match="leads nowhere"):
        check_contents(many, 10**6)
