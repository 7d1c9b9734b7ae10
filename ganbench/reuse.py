"""What may be read back instead of trained: only what the same plan, code, torch and device made, and that is said."""

from __future__ import annotations

from datetime import UTC, datetime

from ganbench import registry
from ganbench.errors import UserError
from ganbench.identity import differences, environment
from ganbench.plan import Plan
from ganbench.results.store import Store

WAYS = {
    "run": "--fresh trains it again, --continue-anyway goes on and records the mix, another --out keeps both",
    "check": "without --reuse it is trained anew",
}
"""What can be done about a study that something else has trained, by the job that asks."""


def refuse_uncovered(store: Store, plan: Plan, *, fresh: bool) -> None:
    """Raise UserError where a study exists that was made with plug-ins whose identity cannot be covered."""
    if plan.uncovered and store.exists() and not fresh:
        key = plan.uncovered[0]
        why = registry.get(*key.split(".", 1)).identity.uncovered
        raise UserError(
            f"What was trained with the {key.replace('.', ' ', 1)} is never reused ({why}): start over with --fresh, "
            f"or choose another --out than '{store.path}'."
        )


def enter(store: Store, device: str, by: str, *, anyway: bool = False) -> None:
    """Record what trains a study from now on; UserError where something else has begun it, unless `anyway`."""
    now, known = environment(device), store.environments()
    differs = differences(known[-1], now) if known else []
    if differs and store.populations() and not anyway:
        raise UserError(f"The study '{store.path}' was trained by {' and '.join(differs)}: {WAYS[by]}.")
    if differs or not known:
        store.log_environment({**now, "by": by, "since": datetime.now(UTC).isoformat(timespec="seconds")})


def sentence(store: Store, planned: int, waiting: int) -> str:
    """Say how many runs of a study are reused, and when and by what they were trained."""
    environments = store.environments()
    session = (store.sessions() or environments)[-1]
    when = session.get("finished") or session.get("since") or "an unknown date"
    by = " ".join(filter(None, ["ganbench", session.get("ganbench"), session.get("git_revision")]))
    mixed = f", in {len(environments)} environments" if len(environments) > 1 else ""
    left = f"; {waiting} to train" if waiting else ", nothing is left to train"
    machine = f"torch {environments[-1]['torch']} on {environments[-1]['device']}"
    return f"Reused {planned - waiting} of {planned} runs, trained until {when} by {by}, {machine}{mixed}{left}."


def made_by_checks(store: Store) -> bool:
    """Tell whether nothing but checks has trained a study: a check may then start it over."""
    environments = store.environments()
    return bool(environments) and all(record.get("by") == "check" for record in environments)
