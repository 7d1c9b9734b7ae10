"""A baseline: a study's per-seed values, frozen in one JSON file to gate against."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ganbench.errors import Exit, UserError
from ganbench.files import replace_file
from ganbench.plan import check_margins
from ganbench.results.reading import Unreadable, is_count, is_number, parse_json

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
        content = asdict(self)
        text = json.dumps({"schema": SCHEMA, "sealed": _seal(content), **content}, indent=1)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with replace_file(file) as target:
                target.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"Cannot write the baseline '{file}': {error.strerror or error}.") from error


def load_baseline(file: Path) -> Baseline:
    """Read a baseline; UserError where there is none, IncompatibleBaselineError where it is damaged or newer."""
    if file.is_fifo():
        raise UserError(f"Cannot read the baseline '{file}': it is a pipe.")
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"Cannot read the baseline '{file}': {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise IncompatibleBaselineError(
            f"The baseline '{file}' is damaged or not a baseline; make it again."
        ) from error
    return read_baseline(text, str(file))


def read_baseline(text: str, name: str) -> Baseline:
    """Return the baseline of a file's text; IncompatibleBaselineError, with its name, where it is damaged or newer."""
    try:
        data = parse_json(text)
        schema = data["schema"]
    except (ValueError, KeyError, TypeError, Unreadable) as error:
        raise IncompatibleBaselineError(
            f"The baseline '{name}' is damaged or not a baseline; make it again."
        ) from error
    if not is_number(schema) or schema != SCHEMA:
        told = schema if is_number(schema) else "of another kind"
        raise IncompatibleBaselineError(
            f"The baseline '{name}' has schema {told}; this version of ganbench reads {SCHEMA}. "
            "Use the version that wrote it, or make it again."
        )
    try:
        baseline = _parse(data)
        # baselines of earlier versions do not have it
        if data.get("sealed", _seal(data)) != _seal(data):
            raise ValueError("it has been changed since it was written, and says what no study has shown")
        return baseline
    except (UserError, KeyError, ValueError, TypeError, AttributeError, Unreadable) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")[:200]
        raise IncompatibleBaselineError(f"The baseline '{name}' is damaged: {why}. Make it again.") from error


def _seal(content: Mapping[str, Any]) -> str:
    """Return a hash of what a baseline says, however its file lays it out."""
    said = {field.name: content.get(field.name) for field in fields(Baseline)}
    return hashlib.sha256(json.dumps(json.loads(json.dumps(said)), sort_keys=True).encode()).hexdigest()


def _parse(data: Mapping[str, Any]) -> Baseline:
    variants = tuple(map(_variant, _list(data["variants"], "variants")))
    if not variants:
        raise ValueError("it has no variants")
    labels = [variant.label for variant in variants]
    made = [json.dumps([variant.settings, variant.hypers], sort_keys=True) for variant in variants]
    for label, content in zip(labels, made, strict=True):
        if labels.count(label) > 1 or made.count(content) > 1:
            raise ValueError(f"it has the variant '{label}' twice")
    swept = _list(data["swept"], "swept")
    for what, held in (("suite", [data["suite"]]), ("swept", swept)):
        if not all(isinstance(text, str) for text in held):
            raise ValueError(f"'{what}' is no text")
    measured, source = _mapping(data["measured"], "measured"), _mapping(data["source"], "source")
    margins = check_margins(_mapping(data["margins"], "margins"))
    return Baseline(data["suite"], measured, tuple(swept), variants, margins, source)


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"'{what}' is no list")
    return value


def _mapping(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"'{what}' is no mapping")
    return value


def _variant(row: Any) -> BaselineVariant:
    label = _mapping(row, "variants")["label"]
    if not isinstance(label, str):
        raise ValueError("a variant's label is no text")
    settings, hypers = _mapping(row["settings"], "settings"), _mapping(row["hypers"], "hypers")
    for key, value in {**settings, **hypers}.items():
        if isinstance(value, list | dict):
            raise ValueError(f"the variant '{label}' has {key} = {str(value)[:40]}")
    runs = tuple(map(_result, _list(row["runs"], "runs")))
    seeds = [run.seed for run in runs]
    if not runs:
        raise ValueError(f"the variant '{label}' has no results")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"the variant '{label}' has a seed twice")
    return BaselineVariant(label, settings, hypers, runs)


def _result(row: object) -> SeedResult:
    result = SeedResult(**_mapping(row, "runs"))
    scored = is_number(result.score) and 0 <= result.score <= 1
    if not is_count(result.seed) or not isinstance(result.failed, bool) or not scored:
        seed, failed, score = (str(value)[:40] for value in (result.seed, result.failed, result.score))
        raise ValueError(f"seed {seed} has failed = {failed} and score = {score}")
    if not isinstance(result.verdict, str):
        raise ValueError(f"the verdict of seed {result.seed} is no text")
    return result
