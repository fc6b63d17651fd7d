"""Records of Every Eval Ever: valid in its schema, with the numbers of the study's table."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import statistics
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from bench_core.cli.main import bench
from bench_core.errors import StoreError
from bench_core.report.compose import compose
from bench_core.report.delimited import plain_rows
from tests.helpers.every_eval import schemas
from tests.helpers.fake_study import Study, write_study

PATH = re.compile(
    r"data/fake-study/[^/]+/(broad|ring)/"
    r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.json"
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    keep = lambda job: job.stage == "evaluate" and job.fold.index < 2  # noqa: E731
    folder = tmp_path_factory.mktemp("study")
    return write_study(folder, keep=keep, models="[broad, ring]", more="analyses: [summary]\n")


def export(study: Study, out: Path, *words: str) -> dict[str, dict]:
    common = ["--store", str(study.store.path), "--out", str(out), "--organization", "Klinik & Söhne \u202e"]
    arguments = ["export", "every-eval-ever", str(study.loaded.path), *common, *words]
    done = CliRunner().invoke(
        bench, arguments, env={"SOURCE_DATE_EPOCH": "1800000000"}, catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return {path.relative_to(out).as_posix(): json.loads(path.read_text()) for path in out.rglob("*.json")}


def test_records_are_valid_and_say_what_the_table_says(study: Study, tmp_path: Path) -> None:
    records = export(study, tmp_path / "one", "--relationship", "third_party")
    assert len(records) == 2 and all(PATH.fullmatch(path) for path in records), records.keys()
    tables = {table.name: table for table in compose(study.evidence(), study.loaded.registry).tables}
    for path, record in records.items():
        for schema in schemas():
            jsonschema.validate(record, schema)
        assert record["model_info"]["id"] == "/".join(path.split("/")[2:4])
        assert "\u202e" not in (tmp_path / "one" / path).read_text()
        assert record["retrieved_timestamp"] == "1800000000"
        found = {item["evaluation_result_id"]: item for item in record["evaluation_results"]}
        assert len(found) == len(record["evaluation_results"]) == 3 * 4 * 2
        label = record["model_info"]["additional_details"]["label"]
        for metric in ("mdsc", "mprecision"):
            row = next(row for row in plain_rows(tables[f"study-{metric}"]) if row["model"] == label)
            for dataset in ("moles", "polyps", "hearts"):
                scored = found[f"{dataset}/{metric}/fold_mean"]["score_details"]
                assert scored["score"] == row[f"{dataset}_mean"]
                assert float(scored["details"]["std_over_folds"]) == row[f"{dataset}_std"]
                assert (scored["details"]["folds"], scored["details"]["folds_planned"]) == ("2", "5")


def test_the_mean_over_images_is_that_of_the_exported_scores(study: Study, tmp_path: Path) -> None:
    words = ["export", "scores", str(study.loaded.path), "--store", str(study.store.path)]
    assert CliRunner().invoke(bench, [*words, "--out", str(tmp_path / "scores")]).exit_code == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "scores" / "scores.csv").read_text())))
    for record in export(study, tmp_path / "eee").values():
        label = record["model_info"]["additional_details"]["label"]
        for item in record["evaluation_results"]:
            dataset, metric, view = item["evaluation_result_id"].split("/")
            if view == "fold_mean":
                continue
            values = [
                float(row["value"])
                for row in rows
                if (row["model"], row["dataset"], row["metric"], row["class"]) == (label, dataset, metric, "")
                and row["value"]
            ]
            assert item["metric_config"]["metric_name"].startswith("per-image ")
            spread = item["score_details"]["uncertainty"]
            assert item["score_details"]["score"] == pytest.approx(statistics.fmean(values), abs=1e-12)
            assert spread["num_samples"] == len(values)
            assert spread["standard_deviation"] == pytest.approx(statistics.stdev(values), abs=1e-12)


def test_equal_results_give_equal_files_and_none_an_error(study: Study, tmp_path: Path) -> None:
    assert export(study, tmp_path / "a") == export(study, tmp_path / "b")
    words = ["export", "every-eval-ever", str(study.loaded.path), "--store", str(tmp_path / "none")]
    done = CliRunner().invoke(bench, [*words, "--organization", "x", "--out", str(tmp_path / "c")])
    assert isinstance(done.exception, StoreError) and not (tmp_path / "c").exists()
    assert CliRunner().invoke(bench, words).exit_code == 2


def test_records_of_images_join_the_scores_that_are_their_means(study: Study, tmp_path: Path) -> None:
    records = export(study, tmp_path / "one", "--correct", "0.5")
    plain = export(study, tmp_path / "two")
    assert records.keys() == plain.keys(), "the UUID is that of the record without images"
    for path, record in records.items():
        details = record.pop("detailed_evaluation_results")
        assert record == plain[path]
        for schema in schemas():
            jsonschema.validate({**record, "detailed_evaluation_results": details}, schema)
        content = (tmp_path / "one" / details["file_path"]).read_bytes()
        assert details["file_path"] == path.replace(".json", "_samples.jsonl")
        assert details["checksum"] == hashlib.sha256(content).hexdigest()
        lines = [json.loads(line) for line in content.splitlines()]
        assert len(lines) == details["total_rows"] and lines
        for schema in schemas("instance_level_eval"):
            for line in lines[:20]:
                jsonschema.validate(line, schema)
        scores: dict[str, list[float]] = {}
        for line in lines:
            score = line["evaluation"]["score"]
            assert line["evaluation"]["is_correct"] == (score >= 0.5)
            assert line["evaluation_id"] == record["evaluation_id"]
            scores.setdefault(line["evaluation_result_id"], []).append(score)
        means = {
            item["evaluation_result_id"]: item["score_details"]
            for item in record["evaluation_results"]
            if item["evaluation_result_id"].endswith("/image_mean")
        }
        assert scores.keys() == means.keys()
        for name, values in scores.items():
            assert statistics.fmean(values) == pytest.approx(means[name]["score"])
            assert len(values) == means[name]["uncertainty"]["num_samples"]
    assert not any((tmp_path / "two").rglob("*.jsonl"))
