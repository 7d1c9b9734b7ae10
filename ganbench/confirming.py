"""Whether the best of a study are as good on seeds that did not choose them.

The best of many variants owes part of its place to luck: the more there are, the more. New seeds of the leaders alone
know nothing of the choice, so what they show has no such bias.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ganbench import api, registry
from ganbench.errors import UserError
from ganbench.identity.environment import code_digest
from ganbench.plan import OWN_NAME, Plan
from ganbench.suite import MOST_SEEDS
from ganbench.versions import drifted, versions_of

TOP, SEEDS = 5, 20


@dataclass(frozen=True)
class Confirmation:
    """The plan that trains the leaders of a study on new seeds, and what the study had shown of each, a row a variant.

    shown: variant, label (as the study calls it), shown_failures, shown_seeds.
    """

    plan: Plan
    folder: Path
    shown: pd.DataFrame
    changed: list[str]
    """Plug-ins, or ganbench itself, whose code is no longer what the study was trained with."""


def confirmation(study: api.Study, top: int = TOP, seeds: int = SEEDS, out: str | Path | None = None) -> Confirmation:
    """Return how the first `top` variants of each problem of a study are confirmed on so many new seeds.

    out: the directory of the new study (default: that of the study with "-confirmed" behind it). UserError for numbers
    below one, a study without a finished run, and loops that ganbench only watched.
    """
    for name, number in (("top", top), ("seeds", seeds)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise UserError(f"{name} must be a number of at least 1, got {number!r}.")
    if seeds > MOST_SEEDS:
        raise UserError(f"seeds must be at most {MOST_SEEDS}, got {seeds}.")
    plan = study.plan
    if any(OWN_NAME in dict(variant.hypers) for variant in plan.variants):
        raise UserError(f"'{study.path}' is of training loops that ganbench only watched: train them on new seeds.")
    ranking = study.ranking()
    if ranking.empty:
        raise UserError(f"The study '{study.path}' has no finished run yet, so nothing leads.")
    leaders = ranking.groupby("problem", sort=False).head(top)
    chosen = set(leaders["variant"])
    variants = tuple(variant for variant in plan.variants if variant.id in chosen)
    first = max(plan.seeds) + 1
    asked = replace(
        plan,
        name=f"{plan.name}-confirmed",
        description=f"The leaders of the study '{plan.name}' ({plan.hash}), up to {top} a problem, on new seeds.",
        variants=variants, skipped=(), listed=(), claims=(), seeds=tuple(range(first, first + seeds)),
        versions=versions_of(variants, plan.asked_spaces), code=code_digest(),
        plugin_files=tuple(registry.loaded_files()),
    )  # fmt: skip
    shown = leaders[["variant", "label", "failures", "seeds"]]
    shown = shown.rename(columns={"failures": "shown_failures", "seeds": "shown_seeds"})
    folder = Path(out) if out else study.path.with_name(f"{study.path.resolve().name}-confirmed")
    return Confirmation(asked, folder, shown, drifted(replace(plan, variants=variants)))


def confirm(
    study: str | Path,
    *,
    top: int = TOP,
    seeds: int = SEEDS,
    plugins: Sequence[str | Path] = (),
    out: str | Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    watch: api.Watch | None = None,
    tell: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Train the leaders of a study on new seeds and return a row for each, as `confirmed` does; see `confirmation`.

    The new study is one like others, beside the old one. Repeating the call goes on where the last one ended.
    """
    for file in plugins:
        registry.load_file(str(file))
    asked = confirmation(api.load(study), top, seeds, out)
    trained = api.execute_plan(asked.plan, out=asked.folder, device=device, workers=workers, watch=watch, tell=tell)
    return confirmed(asked, trained)


def confirmed(asked: Confirmation, trained: api.Study) -> pd.DataFrame:
    """Return a row for each leader, the best on new seeds first within its problem.

    Columns: problem, variant, label; shown_failures, shown_seeds: by which it was chosen; failures, seeds,
    failure_rate with failure_low and failure_high (Wilson, 95 %) on the new seeds, which say what it is worth.
    """
    ranking = trained.ranking()
    if ranking.empty:
        raise UserError(f"No run of '{trained.path}' has finished, so nothing is confirmed.")
    columns = ["problem", "variant", "label", "shown_failures", "shown_seeds", "failures", "seeds", "failure_rate"]
    found = ranking.drop(columns="label").merge(asked.shown, on="variant", how="left")
    return found[[*columns, "failure_low", "failure_high"]]
