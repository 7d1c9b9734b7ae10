"""A baseline: a study's per-seed values, frozen in one JSON file to gate against."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ganbench.errors import Exit, UserError
from ganbench.files import replace_file
from ganbench.plan import check_margins

SCHEMA = 1


class IncompatibleBaselineError(UserError):
    """A baseline that a study cannot be held against (exit code 4)."""

    exit_code = Exit.INCOMPATIBLE


@dataclass(frozen=True)
class SeedResult:
    """What one run scored: its seed, verdict, whether that is a failure, and its score (see analysis.seeds)."""

    seed: int
    verdict: str
    failed: bool
    score: float


@dataclass(frozen=True)
class BaselineVariant:
    """One variant of a baseline: its name in words, its settings and hyper-parameters, and a result for each seed."""

    label: str
    settings: Mapping[str, Any]
    hypers: Mapping[str, Any]
    runs: tuple[SeedResult, ...]


@dataclass(frozen=True)
class Baseline:
    """Per-seed values of a study with what is needed to tell whether another one can be held against it.

    `measured` is what scores depend on besides the variants (samples, neighbours); `swept` names the hyper-parameters
    that tell variants apart; `source` says where it comes from (plan hash, versions, device).
    """

    suite: str
    measured: Mapping[str, Any]
    swept: tuple[str, ...]
    variants: tuple[BaselineVariant, ...]
    margins: Mapping[str, float] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)

    def save(self, file: Path) -> None:
        """Write the file; UserError where it cannot be written."""
        text = json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with replace_file(file) as target:
                target.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"Cannot write the baseline '{file}': {error.strerror or error}.") from error


def load_baseline(file: Path) -> Baseline:
    """Read a baseline; UserError where there is none, IncompatibleBaselineError where it is damaged or newer."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        schema = data["schema"]
    except OSError as error:
        raise UserError(f"Cannot read the baseline '{file}': {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise IncompatibleBaselineError(
            f"The baseline '{file}' is damaged or not a baseline; make it again."
        ) from error
    if schema != SCHEMA:
        raise IncompatibleBaselineError(
            f"The baseline '{file}' has schema {schema}; this version of ganbench reads {SCHEMA}. "
            "Use the version that wrote it, or make it again."
        )
    try:
        return _parse(data)
    except (UserError, KeyError, ValueError, TypeError, AttributeError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise IncompatibleBaselineError(f"The baseline '{file}' is damaged: {why}. Make it again.") from error


def _parse(data: Mapping[str, Any]) -> Baseline:
    variants = tuple(
        BaselineVariant(v["label"], dict(v["settings"]), dict(v["hypers"]), tuple(map(_result, v["runs"])))
        for v in data["variants"]
    )
    for variant in variants:
        if not variant.runs:
            raise ValueError(f"the variant '{variant.label}' has no results")
    margins = check_margins(data["margins"])
    return Baseline(data["suite"], dict(data["measured"]), tuple(data["swept"]), variants, margins, data["source"])


def _result(row: Mapping[str, Any]) -> SeedResult:
    result = SeedResult(**row)
    if not isinstance(result.failed, bool) or not 0 <= result.score <= 1:
        raise ValueError(f"seed {result.seed} has failed = {result.failed} and score = {result.score}")
    return result
