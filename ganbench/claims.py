"""Claims: statements of the literature, or of anybody, that a suite puts on trial; each is data under its key `claims`.

A claim says what is compared (`treatment` with `control`), where (`suite`: what differs from the suite's own keys), by
which number of a run (`measure`), in which direction (`expected`) and from which size on it counts (`margin`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ganbench import registry
from ganbench.errors import UserError, quoted, unknown
from ganbench.kinds import kind_of
from ganbench.plan import MEASURING, Variant, axes, plugin_axes

EXPECTED = ("higher", "lower", "same")
RATES = ("failed", "survived", "verdict")
"""Measures that a run has or has not."""
SCORES = ("final", "best", "worst_after_best", "mean", "below_best", "change", "time_to", "correlation")
"""Measures that are a number of a column: see docs/claims.md."""
NEEDED = ("says", "source", "treatment", "control", "measure", "expected", "margin")
KEYS = (*NEEDED, "suite", "published", "explained")
REFUSED = ("description", "seeds", *MEASURING, "margins", "time_limit", "allow", "claims", "per_problem", "per_model")
"""What holds for a whole suite, and so for no claim of it alone."""
MOST = 100
"""Claims of one suite."""
LONGEST = 1000
_NAME = re.compile(r"^\w{1,60}$")


@dataclass(frozen=True)
class Pairs:
    """Variants that share all settings but those compared, by their ids; no control where a number stands for it."""

    treatment: tuple[str, ...]
    control: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A claim as a plan holds it: its texts, what is measured, and the variants that are compared, setting by setting.

    `measure` is one of RATES or SCORES, `of` its column (its verdicts, joined by "+"), `reaches` what `time_to` waits
    for; `log` says that decades of the column are counted. `number` stands in place of a control, where there is none.
    """

    name: str
    says: str
    source: str
    treatment: str
    control: str
    measure: str
    of: str
    reaches: float
    log: bool
    expected: str
    margin: float
    number: float | None
    published: str
    explained: str
    pairs: tuple[Pairs, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that `from_dict` reads back, without what is not given."""
        pairs = [{key: list(ids) for key, ids in asdict(pair).items() if ids} for pair in self.pairs]
        return {key: value for key, value in asdict(self).items() if value not in ("", None)} | {"pairs": pairs}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Claim:
        """Read a claim back; ValueError for what is none."""
        given: dict[str, Any] = dict.fromkeys(("control", "of", "published", "explained"), "") | {"number": None}
        given |= data
        kinds = {"reaches": float, "log": bool, "margin": float, "number": float | None, "pairs": list}
        if set(given) != set(cls.__dataclass_fields__):
            raise ValueError("a claim has other keys")
        if not all(isinstance(value, kinds.get(key, str)) for key, value in given.items()):
            raise ValueError("a claim has a wrong value")
        if given["measure"] not in (*RATES, *SCORES) or given["expected"] not in EXPECTED or not given["pairs"]:
            raise ValueError("a claim measures nothing that is known")
        return cls(**{**given, "pairs": tuple(map(_pairs, given["pairs"]))})


def _pairs(data: Any) -> Pairs:
    these, those = (data.get("treatment"), data.get("control", [])) if isinstance(data, dict) else (None, None)
    for side in (these, those):
        if not isinstance(side, list) or not all(isinstance(one, str) for one in side):
            raise ValueError("a claim compares no variants")
    if not these:
        raise ValueError("a claim compares nothing")
    return Pairs(tuple(these), tuple(those or ()))


def is_filed(value: object) -> bool:
    """Tell whether a value is a list of claims as plans hold them."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        return False
    try:
        return len([Claim.from_dict(one) for one in value]) == len(value)
    except (TypeError, ValueError):
        return False


# ---- as a suite writes them


@dataclass(frozen=True)
class Draft:
    """A claim as a suite writes it, checked as far as it goes without the variants of its grid."""

    name: str
    given: Mapping[str, Any]

    @property
    def grids(self) -> list[dict[str, Any]]:
        """Each of the claim's grids: the keys that differ from the suite's own, as if given on the command line."""
        given = self.given.get("suite", {})
        return given if isinstance(given, list) else [given]

    def on(self, variants: Iterable[Variant]) -> Claim:
        """Return the claim about variants of its grid; UserError where they do not have what it compares."""
        known, given = list(variants), self.given
        treatment, control = given["treatment"], given["control"]
        of_numbers = not isinstance(control, Mapping)
        kind, of, reaches, log = _measure(self.name, given["measure"])
        pairs = _matched(self.name, known, treatment, None if of_numbers else control)
        return Claim(
            name=self.name, says=_line(given["says"]), source=_line(given["source"]), treatment=_told(treatment),
            control="" if of_numbers else _told(control), measure=kind, of=of, reaches=reaches, log=log,
            expected=given["expected"], margin=float(given["margin"]), number=float(control) if of_numbers else None,
            published=_line(given.get("published", "")), explained=_line(given.get("explained", "")), pairs=pairs,
        )  # fmt: skip


def bound(
    drafts: Sequence[Draft], made: Iterable[Iterable[Variant]], skipped: Mapping[Variant, str]
) -> tuple[Mapping[str, Any], ...]:
    """Return drafts as a plan holds them; made: the variants of every grid of every draft, in their order."""
    grids, claims = iter(made), []
    for draft in drafts:
        variants = dict.fromkeys(variant for _ in draft.grids for variant in next(grids))
        claims.append(draft.on([variant for variant in variants if variant not in skipped]).to_dict())
    return tuple(claims)


def taken(base: dict[str, Any], changes: dict[str, Any]) -> list[Draft]:
    """Take the claims out of a suite's keys; those of a suite that overrides name where they do: `claims=NAME,NAME`."""
    given, wanted = base.pop("claims", None), changes.pop("claims", None)
    if given is not None and not (isinstance(given, dict) and all(isinstance(name, str) for name in given)):
        raise UserError(f"The key 'claims' maps names to claims, got {quoted(given)}.")
    drafts = {name: _draft(name, claim) for name, claim in (given or {}).items()}
    if len(drafts) > MOST:
        raise UserError(f"The key 'claims' has {len(drafts)} claims, and a suite holds at most {MOST}.")
    if wanted is None:
        return list(drafts.values())
    names = wanted if isinstance(wanted, list) else [wanted]
    for name in names:
        if not isinstance(name, str) or name not in (*drafts, "none"):
            raise unknown("claim", name, (*drafts, "none"))
    return [draft for name, draft in drafts.items() if name in names]


def _draft(name: str, given: Any) -> Draft:
    if not _NAME.match(name):
        raise UserError(f"A claim is named by letters, digits and underscores, got {quoted(name)}.")
    if not isinstance(given, dict):
        raise UserError(f"The claim '{name}' maps keys to values, got {quoted(given)}.")
    for key in given:
        if key not in KEYS:
            raise unknown(f"key of the claim '{name}'", key, KEYS)
    for key in NEEDED:
        if given.get(key) in (None, ""):
            raise UserError(f"The claim '{name}' has no '{key}': a claim needs {', '.join(NEEDED)}.")
    for key in ("says", "source", "published", "explained"):
        if not isinstance(given.get(key, ""), str | int | float) or len(str(given.get(key))) > LONGEST:
            raise UserError(f"The '{key}' of the claim '{name}' is a text of at most {LONGEST} characters.")
    if given["expected"] not in EXPECTED:
        raise unknown(f"expectation of the claim '{name}'", given["expected"], EXPECTED)
    if not _is_number(given["margin"]) or given["margin"] <= 0:
        raise UserError(f"The margin of the claim '{name}' must be a number above 0, got {quoted(given['margin'])}.")
    _check_sides(name, given)
    _check_grids(name, given.get("suite", {}))
    _measure(name, given["measure"])
    return Draft(name, given)


def _check_sides(name: str, given: Mapping[str, Any]) -> None:
    for key in ("treatment", "control"):
        if not isinstance(side := given[key], dict) and not (key == "control" and _is_number(side)):
            what = "maps settings to their levels" + (", or is a number" if key == "control" else "")
            raise UserError(f"The '{key}' of the claim '{name}' {what}; got {quoted(side)}.")
        if side == {}:
            raise UserError(f"The '{key}' of the claim '{name}' is empty, so it compares nothing.")
        for setting in side if isinstance(side, dict) else ():
            if not isinstance(setting, str):
                raise UserError(f"The '{key}' of the claim '{name}' names settings by texts, got {quoted(setting)}.")


def _check_grids(name: str, given: Any) -> None:
    grids = given if isinstance(given, list) else [given]
    if not grids or not all(isinstance(grid, dict) and all(isinstance(key, str) for key in grid) for grid in grids):
        what = "maps keys of a suite to values, or is a list of such grids"
        raise UserError(f"The 'suite' of the claim '{name}' {what}; got {quoted(given)}.")
    for key in (key for grid in grids for key in grid):
        if key in REFUSED:
            raise UserError(f"The key '{key}' holds for a whole suite, not for the claim '{name}' alone.")


def _measure(name: str, given: Any) -> tuple[str, str, float, bool]:
    """Return the measure of a claim, its column (its verdicts), the value that is reached, and whether by decades."""
    parts = dict(given) if isinstance(given, dict) else {str(given): None}
    reaches, scale = parts.pop("reaches", None), parts.pop("scale", "linear")
    kind = next(iter(parts), None)
    if kind not in (*RATES, *SCORES):
        raise unknown(f"measure of the claim '{name}'", kind, (*RATES, *SCORES))
    of = parts.pop(kind)
    if parts or scale not in ("linear", "log10") or (kind in RATES and scale != "linear"):
        raise UserError(f"The claim '{name}' has one measure, with 'scale: log10' for decades; got {quoted(given)}.")
    if (kind == "time_to") is not _is_number(reaches):
        raise UserError(f"The claim '{name}': 'reaches' is the number that 'time_to' waits for; got {quoted(given)}.")
    number = float(reaches) if reaches is not None else 0.0
    if kind in ("failed", "survived"):
        return kind, "", number, False
    if kind == "verdict":
        verdicts = [str(one).replace(" ", "_") for one in (of if isinstance(of, list) else [of])]
        for one in verdicts:
            registry.get("verdict", one)
        return kind, "+".join(verdicts), number, False
    known = registry.playing("loss") if kind == "correlation" else registry.measures()
    if not isinstance(of, str) or of not in known:
        raise unknown(f"column of the claim '{name}'", of, known)
    return kind, str(of), number, scale == "log10"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _line(text: object) -> str:
    return " ".join(str(text).split())


def _told(side: Mapping[str, Any]) -> str:
    """Return the levels of a side in one line: "normalization layer or group, steps 500"."""
    return ", ".join(f"{key.rsplit('.', 1)[-1]} {' or '.join(map(str, _levels(value)))}" for key, value in side.items())


def _levels(value: Any) -> list[Any]:
    # YAML reads a bare `none` as text but `null` as nothing; both mean the plug-in none
    return ["none" if one is None else one for one in (value if isinstance(value, list) else [value])]


# ---- what is compared


def _matched(
    name: str, variants: Sequence[Variant], treatment: Mapping[str, Any], control: Mapping[str, Any] | None
) -> tuple[Pairs, ...]:
    """Return the variants of both sides, matched by all that is not compared; UserError where that leaves none."""
    compared = {*treatment, *(control or {})}
    sides: dict[tuple[Any, ...], tuple[list[str], list[str]]] = {}
    for place, side in enumerate([treatment] if control is None else [treatment, control]):
        for variant in _having(name, variants, side):
            of = sides.setdefault(_others(variant, compared), ([], []))
            if variant.id in of[0]:
                raise UserError(f"The claim '{name}' compares a variant with itself: its two sides overlap.")
            of[place].append(variant.id)
    whole = [(these, those) for these, those in sides.values() if these and (those or control is None)]
    pairs = [Pairs(tuple(these), tuple(those)) for these, those in whole]
    if not pairs:
        raise UserError(f"The claim '{name}' has no pair: the two sides differ in more settings than it compares.")
    return tuple(pairs)


def _having(name: str, variants: Sequence[Variant], side: Mapping[str, Any]) -> list[Variant]:
    """Return the variants that have one of a side's levels in each of its settings; UserError where none does."""
    found = list(variants)
    for key, value in side.items():
        seen = {variant: {**variant.values, **dict(variant.hypers)}.get(key) for variant in variants}
        if key not in axes() and all(one is None for one in seen.values()):
            names = {key for variant in variants for key, _ in variant.hypers}
            raise unknown(f"setting of the claim '{name}'", key, (*axes(), *names))
        for level in _levels(value):
            if level not in seen.values():
                here = sorted({str(one) for one in seen.values()})
                raise UserError(
                    f"The claim '{name}' compares {key} {level}, but its runs have {', '.join(here[:12])}; "
                    "an override that takes it away goes with claims=NAME,NAME of others."
                )
        found = [variant for variant in found if seen[variant] in _levels(value)]
    if not found:
        raise UserError(f"The claim '{name}' compares {_told(side)}, but no variant of its grid has that.")
    return found


def _others(variant: Variant, compared: set[str]) -> tuple[Any, ...]:
    """Return what two variants have to share to be compared: what is not compared, and belongs to nothing compared."""
    of = {kind_of(axis) for axis in compared if axis in plugin_axes()}
    settings = {**variant.values, **{key: value for key, value in variant.hypers if key.split(".")[0] not in of}}
    return tuple(sorted((key, repr(value)) for key, value in settings.items() if key not in compared))
