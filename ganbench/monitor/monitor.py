"""`Monitor`: watches two networks in anybody's training loop, says what happens to them, and writes a study."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Set
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch

from ganbench import registry
from ganbench.analysis.game import GameFinding, game_findings
from ganbench.analysis.verdicts import VERDICTS, Verdict, View, judge_series, view
from ganbench.errors import UserError
from ganbench.monitor.checks import check, probes_to_wait, telling, verdict_names
from ganbench.monitor.doctor import Fault, Visit
from ganbench.monitor.forwards import Forward, Loop, Networks, loop_of
from ganbench.monitor.inputs import Latent, Real
from ganbench.monitor.isolation import is_main_process
from ganbench.monitor.losses import Told as Number
from ganbench.monitor.losses import ToldLosses
from ganbench.monitor.probes import Columns, Probes
from ganbench.monitor.probing import Features, LoopProber, Sizes, Target
from ganbench.monitor.record import LoopSettings, Record
from ganbench.monitor.saying import at_exit, line_of, so_far, text_of
from ganbench.monitor.sinks import Sink, Sinks
from ganbench.monitor.telling import Told, ToldProber, Unmeasured
from ganbench.monitor.watched import Loss
from ganbench.problems.base import Problem
from ganbench.registry import playing


class TrainingStopped(Exception):  # noqa: N818 - named after what happened, as StopIteration is
    """Raised by `Monitor.step` on a verdict in `stop_on`: has `verdict`, `onset` (a step or None) and `evidence`."""

    def __init__(self, verdict: Verdict, step: int, out: Path) -> None:
        self.verdict, self.onset, self.evidence = verdict.verdict, verdict.onset, verdict.evidence
        self.step, self.out = step, out
        since = "" if verdict.onset is None else f" since step {verdict.onset}"
        meaning = VERDICTS[verdict.verdict].partition(";")[0]
        super().__init__(
            f"Training stopped at step {step}: {verdict.verdict}{since} ({meaning}). "
            f"{verdict.evidence} The study is in '{out}': ganbench report {out}"
        )


class Monitor:
    """Watch a training loop of your own: one line to begin, one line an iteration, no inheritance, no trainer.

        monitor = Monitor(generator, discriminator, real=loader, latent=64, out="reports/mine", stop_on={"diverged"})
        for ...:
            monitor.step(d_loss=d_loss, g_loss=g_loss)
        monitor.close()

    Every `every` steps it measures fixed latents' samples and diagnoses the game, without changing one bit of the
    training: random states, training flags, buffers, gradients and parameters stay as they are. `verdict` is what holds
    (None before the first probe after training began), `verdicts` all that hold, `series` a row a probe.

    generator, discriminator: plain modules, latents -> samples and samples -> [n] or [n, 1]; wrappers of
        DistributedDataParallel and torch.compile are looked through. A sigmoid module at the end of D is left out.
        Neither: what there is to see is told to `step`.
    real: real samples as D gets them: a tensor [n, *shape], a DataLoader (its first batches are taken, labels ignored)
        or a callable n -> samples. Half of them are the oracle. Images are in [-1, 1] unless there are `features`.
    latent: the dimension of a standard normal, or a callable n -> latents [n, ...].
    problem: a registered problem's name or a Problem, which knows its modes; None: made from the real samples.
    features: samples [n, *shape] -> [n, d], the space to measure in; None: fixed convolutions for images, or the data.
    loss: a registered loss's name, or (real_logits, fake_logits) -> (d_loss, g_loss); None leaves out the diagnostics
        that need it, and d_loss and g_loss are the averages of what is reported.
    out: the study's directory; loops that differ in `variant` (default: the generator's class) or `seed` may share it;
        a loop that is repeated without a seed gets the next number.
    stop_on: verdicts that end training by raising TrainingStopped, or by calling `on_verdict(verdict)` once if given,
        when they have held for `patience` probes (five times as many where samples never were twice as diverse as now:
        on its way up a generator is narrow); "diverged" at once.
    mode: "eval", or "train" to measure the networks with the flags that the loop gave them.
    log: takes the console's line of each probe; None: silence. sinks: trackers that get each probe too, see
        ganbench.monitor.sinks.
    start: the step that a checkpoint goes on from; what was recorded after it is forgotten. fresh: replace a finished
        run. samples, neighbours, batch_size, diagnostics: how much a probe measures (see docs/monitor.md).

    On other ranks than 0 it does nothing. Raises UserError for what cannot be watched.
    """

    examined: ClassVar[Callable[[Monitor], Any] | None] = None
    """Called when a doctor's visit is over: what `ganbench doctor SCRIPT` waits for."""
    elsewhere: ClassVar[Path | None] = None
    """Where studies are written instead of `out`, for as long as only the doctor is asked."""
    _visit: Visit | None = None
    _told: ToldProber | None = None
    _prober: LoopProber | ToldProber

    def __init__(
        self,
        generator: Networks | None = None,
        discriminator: Networks | None = None,
        real: Real | None = None,
        latent: Latent | None = None,
        *,
        out: str | Path,
        given: str | int | None = None,
        g_forward: Forward | None = None,
        d_forward: Forward | None = None,
        problem: str | Problem | None = None,
        features: Features | None = None,
        loss: str | Loss | None = None,
        variant: str | None = None,
        seed: int | None = None,
        every: int = 500,
        stop_on: Iterable[str] = (),
        patience: int = 2,
        on_verdict: Callable[[Verdict], Any] | None = None,
        mode: str = "eval",
        samples: int = 1000,
        neighbours: int = 500,
        batch_size: int = 64,
        diagnostics: str = "cheap",
        start: int = 0,
        fresh: bool = False,
        doctor: bool = True,
        log: Callable[[str], Any] | None = print, sinks: Iterable[Sink] = (),
    ) -> None:  # fmt: skip
        counts = {"samples": samples, "neighbours": neighbours, "batch_size": batch_size}
        check(mode, diagnostics, every=every, patience=patience, **counts)
        self.every, self.patience, self.on_verdict, self.stop_on = every, patience, on_verdict, verdict_names(stop_on)
        self.out, self.steps = Monitor.elsewhere or Path(out), start
        self._begin_books(log, sinks)
        settings = LoopSettings(variant, seed, every, Sizes(**counts, diagnostics=diagnostics), start, fresh)
        if self._watching and (loop := loop_of(generator, discriminator, real, latent, given, (g_forward, d_forward))):
            self._watch(loop, settings, doctor, problem=problem, features=features, loss=loss, mode=mode)
        elif self._watching:
            self._listen(settings, real=real, problem=problem, features=features, loss=loss)

    def _watch(
        self,
        loop: Loop,
        settings: LoopSettings,
        doctor: bool,
        *,
        problem: str | Problem | None,
        features: Features | None,
        loss: str | Loss | None,
        mode: str,
    ) -> None:
        players, sizes = loop.players, settings.sizes
        device = next((own.device for own in players[0].parameters()), torch.device("cpu"))
        target = Target(loop.real, problem, features, sizes, device, loop.given)
        self._prober = LoopProber(*players, target, loop.latent, sizes, loss=loss, mode=mode, forwards=loop.forwards)
        record = Record(self.out, target, players, loss, settings)
        if doctor:
            self._visit = Visit(*loop.called, loop.real, *self._prober.inputs)
        self._open(record)
        if self.steps == 0:
            self._probe()

    def _listen(self, settings: LoopSettings, *, loss: str | Loss | None, **measured: Any) -> None:
        """Begin without networks: all that is known is what steps tell."""
        self._prober = self._told = ToldProber(settings.sizes, loss=loss, **measured)
        self._open(Record(self.out, self._told.target or Unmeasured(), (), loss, settings))

    def _open(self, record: Record) -> None:
        self._record = record
        for row in record.rows:
            self._probes.append(row)
        self._probed_at, self._probed = time.perf_counter(), -1
        at_exit(self)

    def _begin_books(self, log: Callable[[str], Any] | None, sinks: Iterable[Sink]) -> None:
        # who asks the doctor alone is told by whoever asked
        self._log = (lambda _: None) if log is None or Monitor.elsewhere else log
        self._watching, self._sinks = is_main_process(), Sinks(() if Monitor.elsewhere else sinks, self._log)
        self.verdicts: tuple[Verdict, ...] = ()
        self._probes = Probes()
        self._held: dict[str, int] = {}
        self._stopped_on: set[str] = set()
        self._unsaid: list[str] = []
        self._names: set[str] = set()
        self._losses = ToldLosses()
        self._clock = {"train": 0.0, "probe": 0.0}

    @property
    def verdict(self) -> Verdict | None:
        """The verdict that counts, with `verdict`, `onset`, `evidence` and `failed`; None before there is one."""
        return self.verdicts[0] if self.verdicts else None

    @property
    def series(self) -> pd.DataFrame:
        """One row a probe: step, and a column a measurement."""
        return self._probes.table()

    @property
    def findings(self) -> tuple[GameFinding, ...]:
        """What the game does since some step, the likeliest fault first, each with evidence and what usually helps."""
        return game_findings(self._probes.arrays())

    def step(
        self, *, d_loss: Number = None, g_loss: Number = None, real_logits: Any = None, fake_logits: Any = None,
        real: Any = None, fake: Any = None, **scalars: Number,
    ) -> None:  # fmt: skip
        """Tell that an iteration is over, with its losses (numbers or tensors of one element); probe if it is time.

        A loss may be a mapping of its terms, whose sum counts. Other numbers are recorded as columns, as averages too.
        Where no networks are attached: D's scores [n, ...] of real and of fake samples (a list: one a scale), and
        samples of both, as often as they are at hand; what is not told is not judged.
        """
        self.steps += 1
        if not self._watching:
            return
        if told := Told(real_logits, fake_logits, real, fake):
            if self._told is None:
                raise UserError("Scores and samples are read off the networks that Monitor was given: leave them out.")
            self._told.tell(told)
        if self._visit is not None and self._visit.open and self._visit.step():
            self._say_faults()
        # without networks the first step is all that is known of the begin
        first = self._told is not None and self._probed < 0 and not self._told.sampled
        due = self.steps % self.every == 0 or first
        if new := scalars.keys() - self._names:
            self._name(new)
        if self._losses.add(self.steps, d_loss, g_loss, scalars) or due:
            self._look()
        if due and self._watching:
            self._probe()

    def _name(self, new: Set[str]) -> None:
        """Check names that have not been told before."""
        if taken := sorted({name.partition(".")[0] for name in new} & set(registry.measures())):
            raise UserError(f"'{taken[0]}' is measured already; give the number another name.")
        self._names |= new

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is wrong with the loop's wiring by what was seen of its first iterations, the certain first."""
        return () if self._visit is None else self._visit.faults()

    def check(self) -> tuple[Fault, ...]:
        """Say what is wrong with the wiring by what was seen so far, and return it; the rest follows by itself."""
        found = self.faults
        for fault in found:
            self._log(f"ganbench: {fault}")
        if not found and self._visit is not None:
            seen = self._visit.trace.steps
            self._log(f"ganbench: nothing wrong with the wiring in {seen} iterations" + (
                ", still watching" if self._visit.open else ""))  # fmt: skip
        return found

    def _say_faults(self) -> None:
        faults = self.faults
        for fault in faults:
            self._log(f"ganbench: {fault}")
        self._record.keep_faults(faults)
        if Monitor.examined is not None:
            Monitor.examined(self)

    def close(self) -> None:
        """Probe a last time and mark the run as done; it can be called again."""
        if self._watching:
            self._look(last=True)
        if self._watching and self._probed != self.steps and (self._told is None or self.steps):
            self._probe()
        if self._watching:
            self._finish()

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None:
            self.close()
        elif error is not None:
            self.ended_by(error)

    def ended_by(self, error: BaseException, *, late: bool = False) -> None:
        """Record what ended the loop: many a loop raises by itself when it meets a NaN; else it stays unfinished.

        late: at the program's end, when nobody is left to be stopped.
        """
        if not self._watching or isinstance(error, TrainingStopped):
            return
        self._losses.read()
        since, broken = self._losses.broken_since, self._broken()
        if not broken and (since is None or not isinstance(error, Exception)):
            return
        if late:  # nobody is left to be stopped
            self.stop_on = frozenset()
        told = f"{type(error).__name__} at step {self.steps + 1}: {error}"
        self._diverged(since or self.steps + 1, f"{self._losses.complaint}; {told}" if since else told)

    def _broken(self) -> bool:
        try:
            return bool(self._prober.broken())
        except RuntimeError:  # a device that failed answers nothing more
            return False

    def _look(self, *, last: bool = False) -> None:
        """Read the losses since the last look, and tell divergence from one overflow that a GradScaler skips."""
        self._losses.read()
        since = self._losses.broken_since
        if since is None:
            return
        if self._losses.broken_throughout or last or self._prober.broken():
            self._diverged(since, self._losses.complaint)

    def _probe(self) -> None:
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        if self._visit is not None:
            self._visit.pause(True)
        try:
            self._measure()
        finally:
            if self._visit is not None:
                self._visit.pause(False)

    def _measure(self) -> None:
        began, passed = time.perf_counter(), self.steps - max(self._probed, 0)
        spent = began - self._probed_at
        probe = self._prober.probe(early=self._probed < 0 and self.steps % self.every != 0)
        if probe.broken:
            self._diverged(self._losses.broken_since or self.steps, f"not finite: {probe.broken}")
            return
        columns = {**self._reported(), **probe.columns}
        if self._probed >= 0:
            self._clock["train"] += spent
        if self._told is not None and self._told.target is not None and probe.picture.size:
            self._record.measure_against(self._told.target)
        columns["seconds_per_step"] = spent / passed if self._probed >= 0 and passed else math.nan
        self._probes.append({"step": self.steps, **columns})
        self._record.append(self.steps, columns, probe.picture)
        self._probed = self.steps
        self._probed_at = time.perf_counter()
        self._clock["probe"] += self._probed_at - began
        seen = view(series := self._probes.arrays())
        told = telling(series, seen)
        if self.steps > 0:
            self._judge(series, told, seen)
        self._say(columns, series, told, seen)

    def _say(self, columns: dict[str, float], series: Columns, told: Columns, seen: View | None) -> None:
        """Say a probe: one line on the console, and to every sink."""
        findings = game_findings(series) if self.steps > 0 else ()
        verdict = so_far(self.verdict, told, seen)
        self._log(line_of(self.steps, columns, seen, verdict, findings))
        self._sinks.probe(self.steps, columns, text_of(verdict, findings))
        if self.steps >= self.every and (unsaid := self._prober.missing()) != self._unsaid:
            self._unsaid = unsaid
            for what in unsaid:
                self._log(f"ganbench: nothing is said {what}")

    def _reported(self) -> dict[str, float]:
        """Return what the loop itself tells; diagnostics of the same name on the probe batch take precedence."""
        norm = self._prober.gradient_norm()
        told = {**self._losses.averages(), playing("gradient")[0]: norm}
        return {name: value for name, value in told.items() if not math.isnan(value)}

    def _judge(self, series: Columns, told: Columns, seen: View | None, step: int | None = None) -> None:
        known = self._record.problem
        if step is None and seen is None:
            return  # without samples there is nothing to judge
        self.verdicts = judge_series(series, known["oracle"], known["modes"], diverged_step=step)
        names = [verdict.verdict for verdict in self.verdicts]
        self._held = {name: self._held.get(name, 0) + 1 for name in names}
        if step is not None:
            return
        wait = probes_to_wait(told, seen, self.patience)
        for verdict in self.verdicts:
            if verdict.verdict in self.stop_on and self._held[verdict.verdict] >= wait:
                self._stop(verdict)

    def _diverged(self, step: int, complaint: str) -> None:
        self._judge(self._probes.arrays(), {}, None, step)
        found = self.verdicts[0]
        told = Verdict(found.verdict, found.onset, f"{complaint[0].upper()}{complaint[1:]}. {found.evidence}")
        self.verdicts = (told, *self.verdicts[1:])
        self._finish(step)
        if "diverged" in self.stop_on:
            self._stop(told)

    def _stop(self, verdict: Verdict) -> None:
        if self.on_verdict is None:
            self._finish()
            raise TrainingStopped(verdict, self.steps, self.out)
        if verdict.verdict not in self._stopped_on:
            self._stopped_on.add(verdict.verdict)
            self.on_verdict(verdict)

    def _finish(self, diverged_step: int = -1) -> None:
        if self._watching:
            self._watching = False
            if self._probed < 0:  # a run without a probe would count as damaged
                self._record.append(self.steps, {**self._reported(), "seconds_per_step": math.nan}, np.empty(0))
            if self._visit is not None and self._visit.open:
                self._visit.close()
                self._say_faults()
            self._record.finish(self._clock, diverged_step)
            self._sinks.close()
