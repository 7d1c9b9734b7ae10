"""A study as its readers see it: two pandas tables, samples, oracle values and where all of it came from."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ganbench import registry
from ganbench.arrays import Array
from ganbench.claims import Claim
from ganbench.plan import MEASURING, NOTHING_ALLOWED, OWN_NAME, Plan, Variant, plugin_axes
from ganbench.provenance import environments, mixed
from ganbench.registry import Measure, averaged
from ganbench.repeat import commands
from ganbench.results import tables
from ganbench.results.population import PopulationFolder
from ganbench.results.reading import Damage
from ganbench.results.store import Store
from ganbench.results.tables import Layout, Part

VERIFYING = 4
"""Threads that look through populations; more than disk and cores have use for gain nothing."""
_COSTS = ("seconds", "gflop", "memory_mb")
_UNKNOWN = {"status": "", "reason": "", "diverged_step": None, **dict.fromkeys(_COSTS, float("nan"))}


class Study:
    """Reads a study's directory, finished or not; nothing here writes to it."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.store = Store(self.path)
        self.plan: Plan = self.store.read_plan()

    @property
    def name(self) -> str:
        """The suite's name."""
        return self.plan.name

    @property
    def description(self) -> str:
        """The suite's own description."""
        return self.plan.description

    @cached_property
    def axes(self) -> list[str]:
        """The settings that take more than one value among the variants of a problem, and problem if there are more.

        What differs between problems only (their steps, their networks) tells no two variants apart.
        """
        seen: dict[tuple[str, str], set[Any]] = {}
        for variant in [*self.variants, *(variant for variant, _ in self.plan.skipped)]:
            # in which problem, and with which hyper-parameters of its own, is told by its label
            settings = {key: value for key, value in variant.values.items() if key != "problem"}
            for key, value in (settings | dict(variant.hypers)).items():
                seen.setdefault((self.plan.label(variant), key), set()).add(value)
        # the name of a watched loop is shown even where it is the only one: nothing else is known of it
        keys = dict.fromkeys(key for (_, key), values in seen.items() if len(values) > 1 or key == OWN_NAME)
        return ["problem"] * (len({label for label, _ in seen}) > 1) + list(keys)

    @property
    def tuned(self) -> list[str]:
        """The keys in which the settings of one method differ: variants that differ in no other are one method."""
        return [key for key in self.plan.tuned if key in self.axes]

    @property
    def claims(self) -> list[Claim]:
        """The statements that it puts on trial."""
        return [Claim.from_dict(claim) for claim in self.plan.claims]

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The plan's variants, without those that were skipped."""
        return self.plan.variants

    @property
    def measures(self) -> Mapping[str, Measure]:
        """What each measured column means."""
        return registry.measures()

    @property
    def legends(self) -> dict[str, str]:
        """What each plug-in of the plan is, by kind and name."""
        return dict(self.plan.legends)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row a run: its settings, status, divergence and cost; a skipped combination is one row too."""
        state = self._states()
        rows = []
        for run in self.plan.runs:
            known = state.get(run.id, {"status": "pending"})
            rows.append({"run": run.id, **self._settings(run.variant), "seed": run.seed, **_UNKNOWN, **known})
        for variant, reason in self.plan.skipped:
            known = {"seed": None, **_UNKNOWN, "status": "skipped", "reason": reason}
            rows.append({"run": variant.id, **self._settings(variant), **known})
        table = pd.DataFrame(rows).astype({"seed": "Int64", "diverged_step": "Int64", **dict.fromkeys(_COSTS, float)})
        if self.plan.listed:
            # how long a watched loop trains is known when it has
            reached = self.series.groupby("run")["step"].max()
            table["steps"] = table["run"].map(reached).fillna(0).astype(int)
        return table

    @cached_property
    def damage(self) -> list[Damage]:
        """The files that cannot be used, each with what is lost with it; the rest of the study reads."""
        found = [*self.store.damage(), *(damage for _, damages in self._problems.values() for damage in damages)]
        return found + [damage for folder in self._populations for damage in folder.damage]

    @cached_property
    def series(self) -> pd.DataFrame:
        """One row a run and probe: run, step, and a column a measurement."""
        layout = self.layout
        numbers = tables.kept(self.path, layout)
        return layout.table(layout.numbers() if numbers is None else numbers)

    @property
    def layout(self) -> Layout:
        """Where the numbers of its probes stand in `series`, and where they are read from."""
        # a run that several populations hold is read from one of them
        mine: dict[str, dict[str, int]] = {}
        for run in self.plan.steps_of:
            if run in self._places:
                folder, row = self._places[run]
                mine.setdefault(folder.id, {})[run] = row
        found = [folder for folder in self._populations if folder.id in mine]
        return Layout(self.plan, [Part(folder.id, folder.measured(), mine[folder.id]) for folder in found])

    @cached_property
    def oracle(self) -> dict[str, dict[str, float]]:
        """What a perfect sampler scores, by problem and measure, at the study's sample size.

        An average of G's weights is measured like G itself, and has the same oracle.
        """
        plain = {label: record.get("oracle", {}) for label, (record, _) in self._problems.items()}
        return {
            label: values | {averaged(k): v for k, v in values.items() if averaged(k) in self.series.columns}
            for label, values in plain.items()
        }

    @cached_property
    def modes(self) -> dict[str, int]:
        """Number of modes or classes by problem, for those that have them."""
        return {label: record["modes"] for label, (record, _) in self._problems.items() if record.get("modes")}

    def centres(self, problem: str) -> tuple[Array, float] | None:
        """Return true mode centres [K, d] and their standard deviation, None for a problem without."""
        record, _ = self._problems.get(problem, ({}, []))
        return (np.asarray(record["centres"]), float(record["std"])) if record.get("centres") else None

    def real_samples(self, problem: str) -> Array:
        """Return some real samples [n, *shape]; empty where none was recorded yet."""
        record, _ = self._problems.get(problem, ({}, []))
        real: Array = record.get("real", np.empty((0, 2)))
        return real

    def samples(self, run: str) -> Mapping[int, Array]:
        """Return generated samples [n, *shape] of a run by step, each read when it is asked for."""
        if run not in self._places:
            return {}
        population, row = self._places[run]
        return population.samples(row)

    def faults(self, run: str) -> list[dict[str, Any]]:
        """Return what is wrong with a watched loop's wiring: name, certain, evidence and change of each fault."""
        return self._places[run][0].faults() if run in self._places else []

    def pictures(self, run: str) -> dict[str, Array]:
        """Return what was drawn of a run's images when its training ended, by name; nothing of other runs.

        "interpolations" [strips, frames, c, h, w] between latents; "neighbours" [n, c, h, w], the training image
        nearest to each of its first samples at the last step; "asked" [2, n, c, h, w], the pictures that these were
        given, and one that is right for each.
        """
        if run not in self._places:
            return {}
        population, row = self._places[run]
        return population.pictures(row)

    @cached_property
    def settings(self) -> dict[str, dict[str, Any]]:
        """Every setting of every variant by its id, of the skipped ones too: axes, hyper-parameters, measuring.

        Of a watched loop no more is known than its name and how it is measured.
        """
        measuring = {key: getattr(self.plan, key) for key in MEASURING}
        if self.plan.allow != NOTHING_ALLOWED:
            measuring["allow"] = self.plan.allow
        variants = [*self.variants, *(variant for variant, _ in self.plan.skipped)]
        return {v.id: {**({} if self.plan.listed else v.values), **dict(v.hypers), **measuring} for v in variants}

    @cached_property
    def commands(self) -> dict[str, str]:
        """The command that trains a run again, alone, by run; empty for what no command trains."""
        return commands(self.plan)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Where the numbers come from: versions, device, plan hash, command, times, plug-in versions."""
        sessions = self.store.sessions()
        latest = sessions[-1] if sessions else {}
        clocks = [done["seconds"] for done in self._done.values()]
        # populations of an earlier version, and watched loops, have no count
        costs = [done["cost"] for done in self._done.values() if done.get("cost")]
        counted = {
            "training_gflop": sum(sum(cost["gflop"]) for cost in costs),
            "peak_mb": max((cost["peak_bytes"] / 1e6 for cost in costs), default=0.0),
        }
        return {
            **latest,
            "suite": self.plan.name,
            "plan_hash": self.plan.hash,
            "seeds": list(self.plan.seeds),
            "probe_every": self.plan.probe_every,
            "samples": self.plan.samples,
            "sessions": len(sessions),
            "mixed": mixed([*self.store.environments(), *sessions]),
            "environments": environments(sessions),
            "wall_seconds": sum(session.get("wall_seconds", 0.0) for session in sessions),
            "training_seconds": sum(clock["train"] for clock in clocks),
            "probing_seconds": sum(clock["probe"] for clock in clocks),
            **(counted if costs else {}),
            "plugin_files": list(self.plan.plugin_files),
            "plugin_versions": dict(self.plan.versions),
        }

    @cached_property
    def _populations(self) -> list[PopulationFolder]:
        return self.store.populations()

    @cached_property
    def _places(self) -> dict[str, tuple[PopulationFolder, int]]:
        """The population and row of every run: where it is complete if it is anywhere, and has not failed at best."""
        ranked = sorted(self._populations, key=lambda folder: (folder.id in self._done, not folder.failed()))
        known = self.plan.steps_of
        return {run: (folder, row) for folder in ranked for row, run in enumerate(folder.runs()) if run in known}

    @cached_property
    def _problems(self) -> dict[str, tuple[dict[str, Any], list[Damage]]]:
        """The record of every problem with what is damaged in it; where runs are complete there has to be one."""
        ended = {run for folder in self._populations if folder.id in self._done for run in folder.runs()}
        needed: dict[str, bool] = {}
        for run in self.plan.runs:
            label = self.plan.label(run.variant)
            needed[label] = needed.get(label, False) or run.id in ended
        folders = {label: self.store.problem(label) for label in needed}
        return {label: (folder.read(needed=needed[label]), folder.damage) for label, folder in folders.items()}

    @cached_property
    def _done(self) -> dict[str, dict[str, Any]]:
        """The records of the complete populations whose results are whole."""
        # most of it is hashing, for which no thread needs the interpreter's lock
        with ThreadPoolExecutor(VERIFYING) as pool:
            whole = list(pool.map(lambda folder: folder.verify(self.plan), self._populations))
        known = [folder for folder, sound in zip(self._populations, whole, strict=True) if sound]
        return {folder.id: done for folder in known if (done := folder.done())}

    def _settings(self, variant: Variant) -> dict[str, Any]:
        settings: dict[str, Any] = {"variant": variant.id}
        settings.update({axis: getattr(variant, axis) for axis in plugin_axes()}, problem=self.plan.label(variant))
        settings["steps"] = variant.steps
        hypers = dict(variant.hypers)
        for key in self.axes:
            if key not in settings:
                settings[key] = hypers.get(key) if "." in key else getattr(variant, key)
        return settings

    def _states(self) -> dict[str, dict[str, Any]]:
        of_variant = {variant.id: self.plan.label(variant) for variant in self.plan.variants}
        labels = {run.id: of_variant[run.variant.id] for run in self.plan.runs}
        told = {folder.id: (folder.failed(), len(folder.runs())) for folder in self._populations}
        return {
            run: self._state((folder, row), labels[run], *told[folder.id])
            for run, (folder, row) in self._places.items()
        }

    def _state(
        self, place: tuple[PopulationFolder, int], label: str, failed: dict[str, str] | None, runs: int
    ) -> dict[str, Any]:
        folder, row = place
        done = self._done.get(folder.id)
        record, damage = self._problems[label]
        if done and not record:
            # without an oracle they would be judged by another measure than those of a whole study
            return {"status": "running", "reason": str(damage[0])}
        if done:
            step = done["diverged_step"][row]
            status = {"status": "diverged", "diverged_step": step} if step >= 0 else {"status": "done"}
            return {**status, "seconds": done["seconds"]["train"] / runs, **_cost(done, row)}
        if failed:
            return {"status": "failed", "reason": failed["error"]}
        return {"status": "running", "reason": str(folder.fatal or "")}


def _cost(done: dict[str, Any], row: int) -> dict[str, float]:
    """Return a run's arithmetic and its share of its population's peak; nothing where they were not counted."""
    cost = done.get("cost")
    if not cost:
        return {}
    return {"gflop": cost["gflop"][row], "memory_mb": cost["peak_bytes"] / 1e6 / len(cost["gflop"])}
