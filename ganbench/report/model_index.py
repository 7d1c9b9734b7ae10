"""Metadata of a model card: a study's variants as Hugging Face's `model-index` has them, for the head of a README."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import yaml

from ganbench.report.context import Context

TASK = {"type": "unconditional-image-generation", "name": "Stability of GAN training"}
"""The nearest of the hub's tasks: it has none for the stability of training."""


def model_index(context: Context) -> str:
    """Return `model-index` as YAML: a model a variant, with its failure rate over seeds and the scores that rank it.

    https://huggingface.co/docs/hub/model-cards: a result names a task, a data set and metrics, whose values are finite
    numbers; what a variant does not have is left out. Metrics are called as ganbench calls them, for none of them is
    the hub's: a Frechet distance here is of a space of its own, and no FID.
    """
    content = {"model-index": [_model(context, row) for row in context.ranking.to_dict("records")]}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)


def _model(context: Context, row: Mapping[Any, Any]) -> dict[str, Any]:
    metrics = [
        _metric("failure_rate", f"Share of {row['seeds']} training seeds that failed", row["failure_rate"]),
        _metric("failure_rate_low", "The same, lower end of Wilson's interval of 95 %", row["failure_low"]),
        _metric("failure_rate_high", "The same, upper end", row["failure_high"]),
    ]
    for key in ("covered", "quality"):
        measure = row[f"{key}_of"]
        if isinstance(measure, str) and math.isfinite(row[key]):
            legend = context.study.measures[measure].legend
            metrics.append(_metric(measure, f"{legend}; median of the final values over seeds", row[key]))
    dataset = {"type": str(row["problem"]), "name": f"{row['problem']} (ganbench)"}
    name = f"{row['problem']}: {row['label']}"
    return {"name": name, "results": [{"task": dict(TASK), "dataset": dataset, "metrics": metrics}]}


def _metric(kind: str, name: str, value: float) -> dict[str, Any]:
    return {"type": kind, "name": name, "value": round(float(value), 6)}
