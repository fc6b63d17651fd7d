"""RO-Crate: the metadata describe the folder, another library reads them, and the archive in it verifies."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from urllib.parse import unquote

import pytest
from click.testing import CliRunner, Result
from rocrate.rocrate import ROCrate

from bench_core.cli.main import bench
from bench_core.errors import StoreError
from bench_core.export.crate import parse_author, parse_license
from tests.helpers.fake_study import Study, write_study

ORCID = "https://orcid.org/0000-0002-1825-0097"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    keep = lambda job: job.stage == "evaluate" and job.fold.index < 2  # noqa: E731
    parts = "analyses: [summary]\n"
    return write_study(tmp_path_factory.mktemp("study"), keep=keep, models="[wide, ring]", more=parts)


def export(study: Study, out: Path, *words: str) -> Result:
    common = ["--store", str(study.store.path), "--out", str(out), "--license", "CC-BY-4.0"]
    arguments = ["export", "ro-crate", str(study.loaded.path), *common, *words]
    return CliRunner().invoke(bench, arguments, env={"SOURCE_DATE_EPOCH": "1800000000"})


def test_another_library_reads_what_the_folder_holds(study: Study, tmp_path: Path) -> None:
    out = tmp_path / "crate"
    done = export(study, out, "--author", f"Ada \u202eLovelace={ORCID}", "--author", "Söhne", "--json")
    assert done.exit_code == 0, done.output
    digest = json.loads(done.output)["study_digest"]
    crate = ROCrate(str(out))
    root = crate.root_dataset
    assert crate.name == "fake-study" and root["license"].id == "https://spdx.org/licenses/CC-BY-4.0"
    assert crate.metadata["conformsTo"] == "https://w3id.org/ro/crate/1.2"
    assert [author.id for author in root["author"]] == [ORCID, "#author-2"]
    assert root["identifier"]["value"] == digest
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    parts = {unquote(part.id): part for part in root["hasPart"]}
    assert set(parts) == there - {"ro-crate-metadata.json"}
    assert {"report.html", "study.zip", "spec.yaml", "tables/study-mdsc.csv"} <= set(parts)
    for name, part in parts.items():
        content = (out / name).read_bytes()
        assert part["contentSize"] == str(len(content))
        assert part["sha256"] == hashlib.sha256(content).hexdigest()
    data = {item["name"]: item for item in root["isBasedOn"]}
    assert set(data) == {"Moles'26", "Polyps & more", "Hearts"}
    assert data["Hearts"]["license"]["name"] == "CC BY 4.0"
    run = crate.get("#run")
    assert {tool["name"]: tool["softwareVersion"] for tool in run["instrument"]}["torch"] == "2.14.1"
    assert "precision" in crate.get("#model-wide")["description"]


def test_every_reference_leads_somewhere_and_equal_results_give_equal_files(
    study: Study, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        assert export(study, tmp_path / name).exit_code == 0
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.*")} for name in ("a", "b")]
    assert files[0] == files[1]
    text = (tmp_path / "a" / "ro-crate-metadata.json").read_text()
    assert "\u202e" not in text
    graph = json.loads(text)["@graph"]
    known = {entity["@id"] for entity in graph}
    assert len(known) == len(graph)

    def references(value: object) -> list[str]:
        if isinstance(value, dict):
            own = [value["@id"]] if set(value) == {"@id"} else []
            return own + [found for item in value.values() for found in references(item)]
        return [found for item in value for found in references(item)] if isinstance(value, list) else []

    used = {found for entity in graph for item in entity.values() for found in references(item)}
    assert {item for item in used - known if not item.startswith(("https://", "http://"))} == set()
    assert {item for item in known - used if item not in ("ro-crate-metadata.json",)} == set()
    done = CliRunner().invoke(bench, ["verify", str(tmp_path / "a" / "study.zip"), "--trust-code", "--json"])
    assert json.loads(done.stdout)["study_digest"] == next(
        entity["value"] for entity in graph if entity["@id"] == "#study-digest"
    )


def test_nothing_is_overwritten_and_nothing_half_written(study: Study, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").write_text("precious")
    assert isinstance(export(study, tmp_path / "mine").exception, StoreError)
    empty = ["export", "ro-crate", str(study.loaded.path), "--store", str(tmp_path / "none")]
    done = CliRunner().invoke(bench, [*empty, "--license", "MIT", "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, StoreError)
    assert {path.name for path in tmp_path.iterdir()} <= {"mine", "none"}
    assert CliRunner().invoke(bench, empty).exit_code == 2


def test_licenses_and_authors_are_read_strictly() -> None:
    assert parse_license("https://example.org/terms") == "https://example.org/terms"
    assert parse_author(f"A B = {ORCID}").url == ORCID
    for wrong in ("my license", "", "javascript:x", 'https://x"y'):
        with pytest.raises(ValueError):
            parse_license(wrong)
    for wrong in ("", f"={ORCID}", "A=orcid"):
        with pytest.raises(ValueError):
            parse_author(wrong)
