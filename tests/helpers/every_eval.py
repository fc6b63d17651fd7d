"""What Every Eval Ever 0.3.0 asks of a record, put down here as far as our records go."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

TEXT: dict[str, Any] = {"type": "string"}
TEXTS: dict[str, Any] = {"type": "object", "additionalProperties": TEXT}
NUMBER: dict[str, Any] = {"type": "number"}
BOUND: dict[str, Any] = {"anyOf": [NUMBER, {"enum": ["Infinity", "-Infinity"]}]}


def closed(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


SCHEMA = closed(
    {
        "schema_version": {"const": "0.3.0"},
        "evaluation_id": {"type": "string", "pattern": r"^[^/]+/[^/]+/[^/]+/\d+$"},
        "retrieved_timestamp": {"type": "string", "pattern": r"^\d+$"},
        "source_metadata": closed(
            {
                "source_type": {"enum": ["documentation", "evaluation_run"]},
                "source_organization_name": TEXT,
                "evaluator_relationship": {"enum": ["first_party", "third_party", "collaborative", "other"]},
            },
            source_name=TEXT,
            source_organization_url=TEXT,
        ),
        "eval_library": closed({"name": TEXT, "version": TEXT}),
        "model_info": closed(
            {
                "name": TEXT,
                "id": {"type": "string", "pattern": "^[^/]+/[^/]+$"},
                "additional_details": TEXTS | {"required": ["deployment_type", "model_availability"]},
            },
            developer=TEXT,
        ),
        "evaluation_results": {
            "type": "array",
            "items": closed(
                {
                    "evaluation_name": TEXT,
                    "source_data": closed(
                        {"dataset_name": TEXT, "source_type": {"const": "other"}}, additional_details=TEXTS
                    ),
                    "metric_config": closed(
                        {"lower_is_better": {"type": "boolean"}, "min_score": BOUND, "max_score": BOUND},
                        score_type={"const": "continuous"},
                        evaluation_description=TEXT,
                        metric_id=TEXT,
                        metric_name=TEXT,
                        metric_kind=TEXT,
                        metric_unit=TEXT,
                    ),
                    "score_details": closed(
                        {"score": NUMBER},
                        details=TEXTS,
                        uncertainty=closed(
                            {}, standard_deviation=NUMBER, num_samples={"type": "integer", "minimum": 1}
                        ),
                    ),
                },
                evaluation_result_id=TEXT,
            ),
        },
    },
    evaluation_timestamp=TEXT,
    detailed_evaluation_results=closed(
        {
            "format": {"const": "jsonl"},
            "file_path": {
                "type": "string",
                "pattern": r"^data/[^/]+/[^/]+/[^/]+/[0-9a-f-]{36}_samples\.jsonl$",
            },
            "hash_algorithm": {"const": "sha256"},
            "checksum": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "total_rows": {"type": "integer"},
        }
    ),
)
SAMPLE = closed(
    {
        "schema_version": {"const": "0.3.0"},
        "evaluation_id": TEXT,
        "model_id": TEXT,
        "evaluation_name": TEXT,
        "sample_id": TEXT,
        "interaction_type": {"const": "single_turn"},
        "input": closed({"raw": TEXT, "reference": {"type": "array", "items": TEXT}}),
        "output": closed({"raw": {"type": "array", "items": TEXT}}),
        "answer_attribution": {"type": "array", "maxItems": 0},
        "evaluation": closed({"score": NUMBER, "is_correct": {"type": "boolean"}}),
    },
    evaluation_result_id=TEXT,
    metadata=TEXTS,
)


def schemas(name: str = "eval") -> list[dict[str, Any]]:
    """Return ours, and the published one where the package every-eval-ever is installed."""
    ours = {"eval": SCHEMA, "instance_level_eval": SAMPLE}[name]
    found = importlib.util.find_spec("every_eval_ever")
    if found is None or found.origin is None:
        return [ours]
    path = Path(found.origin).parent / "schemas" / f"{name}.schema.json"
    return [ours, json.loads(path.read_text(encoding="utf-8"))]
