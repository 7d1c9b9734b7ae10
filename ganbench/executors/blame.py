"""Who is to blame for a population that failed: its variants are tried one at a time, and the innocent go on together.

They go on in a population of their own, as if the guilty had never been asked for: from the last checkpoint where that
gives them the same bits, else from the start. Where there was not enough memory nobody is to blame: a population goes
on in halves, as often as it takes, and only a run that is alone has failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ganbench.executors.work import Job, cost, name_of
from ganbench.files import writing_to
from ganbench.plan import Plan, Run, Variant
from ganbench.results.store import Store
from ganbench.training import checkpoint
from ganbench.training.players import arithmetic

MARGIN = 200
"""Steps that a trial goes on beyond the last sign of life of the population that failed."""


LANES = 16
"""Numbers of 4 bytes in the widest vector register, and in a line of the cache."""


@dataclass(frozen=True)
class Failure:
    """What went wrong: in a sentence and in detail, at about which step, whose runs it was where that is known, and
    what was printed until then. memory: there was not enough of it, as an error says; killed: that may be so, since the
    process was killed by somebody else, as a system does that runs out of it."""

    error: str
    details: str = ""
    step: int = 0
    guilty: tuple[str, ...] = ()
    output: str = ""
    memory: bool = False
    killed: bool = False

    @property
    def is_less_for_fewer(self) -> bool:
        """Whether fewer runs at once may have what all of them had not."""
        return self.memory or self.killed


@dataclass
class _Case:
    """A population that failed and is being looked into."""

    job: Job
    failure: Failure
    waiting: set[Variant]
    reasons: dict[Variant, Failure] = field(default_factory=dict)


class Schedule:
    """The jobs of a study: what is still to be done, and what follows from what was done.

    tell: called with the name of a population and a sentence where one goes on with fewer runs at once.
    """

    def __init__(
        self,
        store: Store,
        plan: Plan,
        todo: Mapping[str, Sequence[Run]],
        tell: Callable[[str, str], None] = lambda name, text: None,
    ) -> None:
        self.store, self.plan, self.tell = store, plan, tell
        order = sorted(todo, key=lambda name: cost(list(todo[name])), reverse=True)
        self.waiting = [Job(name, tuple(todo[name])) for name in order]
        self._cases: dict[str, _Case] = {}

    def next(self) -> Job | None:
        """Return the next job, None where there is none now."""
        return self.waiting.pop(0) if self.waiting else None

    def ended(self, job: Job, failure: Failure | None) -> Iterator[tuple[str, str]]:
        """Take note of how a job ended; return the failures that are final: names of populations, and why.

        Raises UserError where that cannot be written: a disk that is full ends the command, and blames nobody.
        """
        with writing_to(self.store.path):
            return self._ended(job, failure)

    def _ended(self, job: Job, failure: Failure | None) -> Iterator[tuple[str, str]]:
        if job.until:
            return self._tried(job, failure)
        if failure is None:
            return iter(())
        variants = set(_by_variant(job.runs))
        blameless = failure.memory and not failure.guilty
        if len(job.runs) > 1 and (blameless or (len(variants) == 1 and failure.is_less_for_fewer)):
            self._go_on(job, _halves(job.runs), failure)
            self.store.population(job.name).remove()
            return iter(())
        folder = self.store.population(job.name)
        if not folder.runs():
            # whoever was asked to do it never began: without its runs the failure would be nobody's
            folder.begin(job.runs)
        told = self._record(job.name, failure)
        if len(variants) == 1:
            return iter([(job.name, told)])
        case = _Case(job, failure, variants)
        if failure.guilty:
            case.reasons = {run.variant: failure for run in job.runs if run.id in failure.guilty}
            return self._decide(case)
        until = min(failure.step + MARGIN, job.runs[0].variant.steps)
        self._cases[job.name] = case
        self.waiting[:0] = [Job(job.name, tuple(runs), until) for runs in _by_variant(job.runs).values()]
        return iter(())

    def _tried(self, job: Job, failure: Failure | None) -> Iterator[tuple[str, str]]:
        case, variant = self._cases[job.name], job.runs[0].variant
        case.waiting.discard(variant)
        if failure:
            case.reasons[variant] = failure
        return iter(()) if case.waiting else self._decide(self._cases.pop(job.name))

    def _decide(self, case: _Case) -> Iterator[tuple[str, str]]:
        """Part a population: the innocent together, each of the guilty alone; all alone where nobody is to blame.

        A variant that lacked memory in its own trial goes on in halves, and one that did beside others by itself.
        """
        by_variant, job = _by_variant(case.job.runs), case.job
        innocent = [run for run in job.runs if run.variant not in case.reasons]
        parts = list(by_variant.values()) if not case.reasons else [innocent] * bool(innocent)
        for runs in parts:
            self._part(job, runs)
            self.waiting.insert(0, Job(name_of(runs), tuple(runs)))
        told = []
        for variant, failure in case.reasons.items():
            runs, was_alone = by_variant[variant], not case.failure.guilty
            if was_alone and failure.is_less_for_fewer and len(runs) > 1:
                self._go_on(job, _halves(runs), failure)
                continue
            if not was_alone and failure.memory:
                self._go_on(job, [runs], failure)
                continue
            name = name_of(runs)
            self.store.population(name).begin(runs)
            told.append((name, self._record(name, failure)))
        self.store.population(job.name).remove()
        return iter(told)

    def _go_on(self, job: Job, parts: Sequence[Sequence[Run]], failure: Failure) -> None:
        """Have some runs of a population go on with fewer at once, and say so; a command that is repeated does too."""
        for runs in parts:
            name = name_of(runs)
            self._part(job, runs)
            if not self.store.population(name).runs():
                self.store.population(name).begin(runs)
            self.waiting.insert(0, Job(name, tuple(runs)))
        sizes = " and ".join(str(len(runs)) for runs in parts)
        at_once = len(job.runs) if len(parts) == 1 else sum(map(len, parts))
        self.tell(job.name, f"{job.name}: {failure.error}, with {at_once} runs at once; {sizes} of them go on apart.")

    def _record(self, name: str, failure: Failure) -> str:
        """Record the failure of a population with its output, and return how it is told."""
        folder, error = self.store.population(name), failure.error
        if failure.output:
            folder.keep_output(failure.output)
            error += f"; its output is in '{folder.output}'"
        folder.fail(error, failure.details)
        return error

    def _part(self, job: Job, runs: Sequence[Run]) -> None:
        """Give some runs of a population a folder of their own, with what was recorded of them so far."""
        source, target = self.store.population(job.name), self.store.population(name_of(runs))
        places = {run.id: row for row, run in enumerate(job.runs)}
        rows = [places[run.id] for run in runs]
        # with other numbers in common the optimizer computes otherwise: then only the start is the same
        alike = arithmetic(job.runs) == arithmetic(runs) and _computed_alike(rows, len(job.runs))
        if alike and source.runs() == [run.id for run in job.runs]:
            with target.made_whole() as unfinished:
                source.part(unfinished, rows)
                checkpoint.part(source.checkpoint, unfinished.checkpoint, rows)


def _halves(runs: Sequence[Run]) -> tuple[Sequence[Run], Sequence[Run]]:
    """Return the first half of at least two runs, which is the larger one, and the second."""
    half = -(-len(runs) // 2)
    return runs[:half], runs[half:]


def _computed_alike(rows: Sequence[int], runs: int) -> bool:
    """Tell whether some rows of so many runs have the same bits when they train without the others.

    How a sum is split depends on where a run's numbers lie in a vector register: places that move by whole registers,
    the end of all included, change nothing, and any others may.
    """
    return all((row - place) % LANES == 0 for place, row in enumerate([*rows, runs]))


def units(store: Store, work: Mapping[str, list[Run]]) -> dict[str, list[Run]]:
    """Return the populations of a plan as they are trained: those that were parted in their parts."""
    parted = [folder.runs() for folder in store.populations() if folder.id not in work]
    found: dict[str, list[Run]] = {}
    for name, runs in work.items():
        ids = {run.id for run in runs}
        parts = [*_apart([set(part) for part in parted if part and set(part) < ids])]
        for part in [*parts, ids.difference(*parts)]:
            members = [run for run in runs if run.id in part]
            if members:
                found[name_of(members) if len(members) < len(runs) else name] = members
    return found


def _apart(parts: list[set[str]]) -> Iterator[set[str]]:
    """Yield the smallest of parts that overlap: a part may have been parted again."""
    taken: set[str] = set()
    for part in sorted(parts, key=len):
        if not part & taken:
            taken |= part
            yield part


def _by_variant(runs: Sequence[Run]) -> dict[Variant, list[Run]]:
    found: dict[Variant, list[Run]] = {}
    for run in runs:
        found.setdefault(run.variant, []).append(run)
    return found
