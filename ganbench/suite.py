"""From a suite file and overrides to a plan: resolve, validate, freeze. Nothing here needs torch to be fast."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ganbench import registry
from ganbench.errors import UserError, unknown
from ganbench.identity import code_digest
from ganbench.plan import AXES, NUMBER_AXES, PLUGIN_AXES, UNCOVERED, Plan, Variant, check_margins, kind_of

LATENTS = ("normal", "uniform")
SHARED = ("description", "seeds", "probe_every", "samples", "neighbours", "diagnostics", "margins")
HYPER = re.compile(r"^([a-z_]+)\.(\w+)\.(\w+)$")


class _Loader(yaml.SafeLoader):
    """YAML that reads 1e-4 as a number: YAML 1.1 asks for a dot, and nobody writes one."""


_Loader.yaml_implicit_resolvers = {key: list(value) for key, value in yaml.SafeLoader.yaml_implicit_resolvers.items()}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_yaml(text: str, what: str) -> Any:
    """Parse YAML; UserError names `what` and the line where it is unreadable."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it is not YAML"
        raise UserError(f"Cannot read {what}{where}: {problem}.") from error


class Settings(BaseModel):
    """The keys of a suite file. Every axis takes one value or a list of values; a list is a sweep."""

    model_config = ConfigDict(extra="forbid", strict=True)

    description: str = ""
    problem: list[str] = ["ring8"]
    network: list[str] = ["mlp"]
    loss: list[str] = ["nonsaturating"]
    normalization: list[str] = ["none"]
    g_normalization: list[str] = ["none"]
    regularizer: list[str] = ["none"]
    optimizer: list[str] = ["adam"]
    update: list[str] = ["alternating"]
    trick: list[str] = ["none"]
    latent: list[str] = ["normal"]
    seeds: list[int] = [0, 1, 2, 3, 4]
    steps: list[int] = [2000]
    batch_size: list[int] = [128]
    critic_steps: list[int] = [1]
    generator_steps: list[int] = [1]
    latent_dim: list[int] = [8]
    probe_every: int = Field(500, ge=1)
    samples: int = Field(1000, ge=16)
    neighbours: int = Field(500, ge=16)
    diagnostics: str = "cheap"
    margins: dict[str, float] = {}
    hypers: dict[str, list[Any]] = {}
    per_problem: dict[str, dict[str, Any]] = {}

    @field_validator(*AXES, mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        # YAML reads a bare `none` as text but `null` or `~` as nothing; both mean the plug-in none
        values = value if isinstance(value, list) else [value]
        return ["none" if item is None else item for item in values]

    @field_validator("seeds", mode="before")
    @classmethod
    def _counted(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            if value < 1:
                raise ValueError(f"needs at least 1 seed, got {value}")
            if value > 10_000:
                raise ValueError(f"takes at most 10000 seeds, got {value}")
            return list(range(value))
        return value

    @field_validator(*AXES, "seeds", mode="after")
    @classmethod
    def _distinct(cls, value: list[Any]) -> list[Any]:
        if not value:
            raise ValueError("is empty, so the grid has no runs")
        if len(set(value)) < len(value):
            raise ValueError(f"names the same value twice in {value}")
        return value

    @field_validator(*NUMBER_AXES, mode="after")
    @classmethod
    def _positive(cls, value: list[int]) -> list[int]:
        if min(value) < 1:
            raise ValueError(f"must be at least 1, got {min(value)}")
        return value

    @field_validator("seeds", mode="after")
    @classmethod
    def _natural(cls, value: list[int]) -> list[int]:
        if min(value) < 0:
            raise ValueError(f"must not be negative, got {min(value)}")
        return value

    @field_validator("margins", mode="before")
    @classmethod
    def _shares(cls, value: Any) -> Any:
        return check_margins(value) if isinstance(value, dict) else value

    @field_validator("critic_steps", "generator_steps", mode="after")
    @classmethod
    def _few(cls, value: list[int]) -> list[int]:
        if max(value) > 100:
            raise ValueError(f"must be at most 100, got {max(value)}")
        return value


def suite_folder() -> Path:
    """Return the folder of the shipped suites: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    return next((d for d in (package / "suites", package.parent / "suites") if d.is_dir()), package / "suites")


def suite_names() -> list[str]:
    """Return the names of the shipped suites."""
    return sorted(file.stem for file in suite_folder().glob("*.yaml"))


def suite_file(name_or_file: str) -> Path:
    """Return the file of a shipped suite or of a path; UserError names the nearest suite."""
    shipped = suite_folder() / f"{name_or_file}.yaml"
    if shipped.is_file():
        return shipped
    if Path(name_or_file).suffix in (".yaml", ".yml"):
        if Path(name_or_file).is_file():
            return Path(name_or_file)
        raise UserError(f"There is no suite file '{name_or_file}'.")
    raise unknown("suite", name_or_file, suite_names())


def read_suite(name_or_file: str) -> tuple[str, dict[str, Any]]:
    """Return a suite's name and its raw keys."""
    file = suite_file(name_or_file)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read the suite '{file}': {error}.") from error
    data = read_yaml(text, f"the suite '{file.name}'")
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise UserError(f"The suite '{file.name}' must be a mapping of keys to values.")
    return file.stem, data


def parse_overrides(overrides: Iterable[str]) -> dict[str, Any]:
    """Turn `key=value`, `key=a,b,c` and `key=[a, b]` into a dictionary of values and lists."""
    parsed: dict[str, Any] = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise UserError(
                f"Cannot read '{override}': an override is written key=value, for example loss=hinge,minimax."
            )
        text = f"[{text}]" if "," in text and not text.lstrip().startswith(("[", "{", '"', "'")) else text
        parsed[key.strip()] = read_yaml(text, f"the value of '{key}'")
    return parsed


def resolve(suite: str | None, overrides: Sequence[str] = ()) -> Plan:
    """Make the plan of a suite (or of the defaults alone) under overrides; UserError says what does not fit."""
    name, base = read_suite(suite) if suite else ("custom", {})
    changes = parse_overrides(overrides)
    base["margins"] = _margins(base) | _margins(changes)
    problems = changes.get("problem", base.get("problem", Settings.model_fields["problem"].default))
    per_problem = base.pop("per_problem", None) or {}
    if not isinstance(per_problem, dict) or not all(isinstance(part, dict) for part in per_problem.values()):
        raise UserError("The key 'per_problem' must map a problem's name to the keys that differ there.")
    for problem in per_problem:
        registry.get("problem", problem)
    _check_hypers({**base, **changes})

    variants: dict[Variant, None] = {}
    skipped: dict[Variant, str] = {}
    listed = problems if isinstance(problems, list) else [problems]
    if len(set(map(str, listed))) < len(listed):
        raise UserError(f"The key 'problem' names the same value twice in {listed}.")
    if not listed:
        raise UserError("The key 'problem' is empty, so the grid has no runs.")
    common = None
    for problem in listed:
        settings = _settings({**base, **per_problem.get(problem, {}), **changes, "problem": problem})
        shared = settings.model_dump(include=set(SHARED))
        if common is not None and shared != common:
            raise UserError(f"The keys {', '.join(SHARED[1:])} hold for a whole suite, not for '{problem}'.")
        common = shared
        for variant in _expand(settings):
            reason = impossible(variant)
            if reason:
                skipped[variant] = reason
            else:
                variants[variant] = None
    assert common is not None
    used = {key for variant in (*variants, *skipped) for key, _ in variant.hypers}
    for key in changes:
        if HYPER.match(key) and key not in used:
            raise UserError(f"The key '{key}' changes nothing: no variant of this plan uses it.")
    if not variants:
        reason = next(iter(skipped.values()), "the grid is empty")
        raise UserError(f"The plan has no runs: every combination is skipped ({reason}).")
    return Plan(
        name=name,
        variants=tuple(variants),
        skipped=tuple(skipped.items()),
        **{**common, "seeds": tuple(common["seeds"])},
        versions=_versions(variants),
        code=code_digest(),
        legends={f"{kind}.{name}": registry.get(kind, name).legend for kind, name in _used((*variants, *skipped))},
        plugin_files=tuple(registry.loaded_files()),
    )


def _margins(data: dict[str, Any]) -> dict[str, Any]:
    """Take the gate's margins out of a suite's keys or of overrides: `margins: {score: 0.1}` or `margins.score=0.1`."""
    whole = data.pop("margins", None) or {}
    if not isinstance(whole, dict):
        raise UserError(f"The key 'margins' maps names to numbers, for example margins.score=0.1; got {whole!r}.")
    single = {key: data.pop(key) for key in list(data) if key.startswith("margins.")}
    return {**whole, **{key.removeprefix("margins."): value for key, value in single.items()}}


def _settings(data: dict[str, Any]) -> Settings:
    hypers = {key: value for key, value in data.items() if "." in key}
    plain = {key: value for key, value in data.items() if "." not in key}
    for key in plain:
        if key not in Settings.model_fields or key in ("hypers", "per_problem"):
            raise unknown(
                "key", key, [*(f for f in Settings.model_fields if f not in ("hypers", "per_problem")), "suite"]
            )
    listed = {key: value if isinstance(value, list) else [value] for key, value in hypers.items()}
    try:
        settings = Settings.model_validate({**plain, "hypers": listed})
    except ValidationError as error:
        raise _plain_error(error) from error
    for axis in PLUGIN_AXES:
        for name in getattr(settings, axis):
            registry.get(kind_of(axis), name)
    for latent in settings.latent:
        if latent not in LATENTS:
            raise unknown("latent distribution", latent, LATENTS)
    if settings.diagnostics not in registry.COSTS:
        raise unknown("class of diagnostics", settings.diagnostics, registry.COSTS)
    return settings


def _plain_error(error: ValidationError) -> UserError:
    first = error.errors()[0]
    key = str(first["loc"][0])
    if first["type"] == "value_error":
        return UserError(f"The key '{key}' {first['ctx']['error']}.")
    if first["type"] == "greater_than_equal":
        return UserError(f"The key '{key}' must be at least {first['ctx']['ge']}, got {first['input']}.")
    return UserError(f"The key '{key}' has the wrong type: {first['msg'].lower()}, got {first['input']!r}.")


def _check_hypers(data: Mapping[str, Any]) -> None:
    for key, value in data.items():
        if "." in key:
            match = HYPER.match(key)
            if not match:
                raise UserError(f"Cannot read the key '{key}': a hyper-parameter is written kind.plugin.name.")
            kind, name, hyper = match.groups()
            plugin = registry.get(kind, name)
            if hyper not in plugin.hypers:
                raise unknown(f"hyper-parameter of the {kind} '{name}'", hyper, plugin.hypers)
            for item in value if isinstance(value, list) else [value]:
                _check_type(key, plugin.hypers[hyper], item)
            if isinstance(value, list) and len(set(value)) < len(value):
                raise UserError(f"The key '{key}' names the same value twice in {value}.")
            if value == []:
                raise UserError(f"The key '{key}' is empty, so the grid has no runs.")


def _check_type(key: str, default: Any, value: Any) -> None:
    wanted = type(default)
    if isinstance(value, float) and value != value:
        raise UserError(f"The key '{key}' must be a number, got nan.")
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return
    if (default is not None and not isinstance(value, wanted)) or isinstance(value, bool) is not isinstance(
        default, bool
    ):
        raise UserError(f"The key '{key}' has the wrong type: it takes {wanted.__name__}, got {value!r}.")


def _expand(settings: Settings) -> Iterable[Variant]:
    _check_hypers(settings.hypers)
    for values in itertools.product(*(getattr(settings, axis) for axis in AXES)):
        plain = dict(zip(AXES, values, strict=True))
        choices: dict[str, list[Any]] = {}
        for axis in PLUGIN_AXES:
            kind, name = kind_of(axis), plain[axis]
            for hyper, default in registry.get(kind, name).hypers.items():
                key = f"{kind}.{name}.{hyper}"
                given = settings.hypers.get(key, [default])
                choices[key] = [float(v) if isinstance(default, float) else v for v in given]
        for point in itertools.product(*choices.values()):
            yield Variant(**plain, hypers=tuple(zip(choices, point, strict=True)))


def impossible(variant: Variant) -> str:
    """Return why a combination cannot be trained, or an empty text. Every plug-in declares its own needs."""
    provided = {
        "G": _provided(variant, ("problem", "network", "g_normalization")),
        "D": _provided(variant, ("problem", "network", "normalization")),
    }
    provided["D"] -= _withheld(variant)
    if variant.critic_steps == variant.generator_steps == 1:
        provided["D"].add("one_turn_each")
    for axis in PLUGIN_AXES:
        plugin = registry.get(kind_of(axis), getattr(variant, axis))
        # a network is both players'
        players = {"g_normalization": "G", "network": "GD"}.get(axis, "D")
        for need, reason in plugin.needs.items():
            for player in players:
                if need not in provided[player]:
                    return f"{plugin.name} with {_blocker(variant, need, axis, player)}: {reason}"
    return ""


def _provided(variant: Variant, axes: Iterable[str]) -> set[str]:
    return {what for axis in axes for what in registry.get(kind_of(axis), getattr(variant, axis)).provides}


def _withheld(variant: Variant) -> set[str]:
    return set(registry.get("trick", variant.trick).meta.get("withholds", ()))


def _blocker(variant: Variant, need: str, axis: str, player: str) -> str:
    """Name the part of a variant that fails to provide what another needs: the one whose siblings do provide it."""
    if need == "one_turn_each":
        return f"critic_steps {variant.critic_steps} and generator_steps {variant.generator_steps}"
    if need in _withheld(variant):
        return f"trick {variant.trick}"
    norm = "g_normalization" if player == "G" else "normalization"
    for other in (norm, "network", "problem"):
        if other != axis and any(need in plugin.provides for plugin in registry.plugins(kind_of(other))):
            return f"{other} {getattr(variant, other)}"
    return "this variant"


def _used(variants: Iterable[Variant]) -> list[tuple[str, str]]:
    return sorted({pair for variant in variants for pair in variant.plugins()})


def _versions(variants: Iterable[Variant]) -> dict[str, str]:
    used = set(_used(variants))
    measured = {(kind, plugin.name) for kind in ("metric", "diagnostic") for plugin in registry.plugins(kind)}
    return {f"{kind}.{name}": _version(registry.get(kind, name), variants) for kind, name in sorted(used | measured)}


def _version(plugin: registry.Plugin, variants: Iterable[Variant]) -> str:
    key = (plugin.kind, plugin.name)
    chosen = [variant.hypers_of(*key) for variant in variants if key in variant.plugins()] or [dict(plugin.hypers)]
    # what cannot be covered is of this plan alone: nothing that was trained with it is used again
    return plugin.version_with(chosen) or f"{UNCOVERED}{secrets.token_hex(6)}"
