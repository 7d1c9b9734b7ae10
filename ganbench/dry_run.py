"""What a plan would train, and about how long that would take. Imports nothing heavy until it is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from ganbench.plan import Plan


def size_of(plan: Plan) -> str:
    """Return how large a plan is, in words."""
    runs, seeds, skipped = len(plan.runs), len(plan.seeds), len(plan.skipped)
    return (
        f"{escape(plan.name)}: {runs} runs of {counted(len(plan.variants), 'variant')}, {counted(seeds, 'seed')} each"
        f"{f', {skipped} skipped' if skipped else ''}"
    )


def counted(number: int, noun: str) -> str:
    """Return a number of things, in words."""
    return f"{number} {noun}{'s' * (number != 1)}"


def show_plan(
    plan: Plan,
    device: str,
    workers: int | None,
    folder: Path | None,
    consoles: tuple[Console, Console],
    *,
    shard: str | None = None,
) -> None:
    """Print what a plan, or a shard of it, would train and how long that takes; consoles: of output, and of errors."""
    from ganbench import api
    from ganbench.executors.local import choose
    from ganbench.executors.work import trial

    out, err = consoles
    out.print(size_of(plan), soft_wrap=True)
    work = api.remaining(plan, device, folder, shard)
    left, whole = sum(map(len, work.values())), sum(map(len, api.remaining(plan, device, None, shard).values()))
    for line in _told(left, whole, folder, shard):
        out.print(escape(line), soft_wrap=True)
    if not left:
        return
    count = min(choose(plan, device, workers).workers, len(work))
    table = Table("population", "runs", "steps", "minutes", box=None, padding=(0, 2, 0, 0))
    total, peak, looped = 0.0, 0, set[str]()
    with err.status("Timing a few steps of each population ..."):
        for name, runs in work.items():
            cost = trial(runs, device)
            total, peak, looped = total + cost.seconds, max(peak, cost.peak_bytes), looped | set(cost.looped)
            table.add_row(name, str(len(runs)), str(runs[0].variant.steps), f"{cost.seconds / 60:.1f}")
    out.print(table)
    if looped:
        out.print(f"not vectorised, run one GAN after another: {escape(', '.join(sorted(looped)))}", soft_wrap=True)
    for reason, times in Counter(reason for _, reason in plan.skipped).items():
        out.print(f"skipped, {counted(times, 'variant')}: {escape(reason)}", soft_wrap=True)
    out.print(
        f"About {_duration(total / count)} of training on {device} with {counted(count, 'worker')}, probes and report "
        f"apart; up to {peak / 2**30:.1f} GiB of memory a worker.",
        soft_wrap=True,
    )


def _told(left: int, whole: int, folder: Path | None, shard: str | None) -> Iterator[str]:
    """Yield how many runs a shard has, and how many of its runs or of the plan's are left to do."""
    if shard:
        yield f"Of these shard {shard} has {counted(whole, 'run')}."
    if not left:
        why = f"all runs have ended in {folder}" if whole else "there are more shards than populations"
        yield f"Nothing is left to do: {why}."
    elif left < whole:
        yield f"{whole - left} runs have ended in {folder}; left are:"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds > 90 else f"{seconds:.0f} seconds"
