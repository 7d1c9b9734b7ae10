"""A study without training: runs with a scripted fate, in the interface that the analysis and the report read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ganbench.claims import Claim
from ganbench.registry import Measure, measures

PROBES = 18
STEPS = 4000
ORACLE = {
    "ring8": {
        "modes_hit": 8,
        "modes_covered": 8,
        "high_quality": 0.989,
        "mode_kl": 0.0014,
        "precision": 0.997,
        "recall": 0.997,
        "density": 1.0,
        "coverage": 0.96,
        "frechet": 0.0005,
        "sliced_wasserstein": 0.02,
    },
    "grid25": {
        "modes_hit": 25,
        "modes_covered": 25,
        "high_quality": 0.989,
        "mode_kl": 0.0048,
        "precision": 0.997,
        "recall": 0.996,
        "density": 1.0,
        "coverage": 0.96,
        "frechet": 0.004,
        "sliced_wasserstein": 0.05,
    },
    "line": {
        "modes_hit": 5,
        "modes_covered": 5,
        "high_quality": 0.997,
        "mode_kl": 0.001,
        "precision": 0.99,
        "recall": 0.99,
        "density": 1.0,
        "coverage": 0.96,
        "frechet": 0.0004,
        "sliced_wasserstein": 0.02,
    },
    "digits": {
        "classes_covered": 10,
        "class_kl": 0.005,
        "confident": 0.95,
        "precision": 0.82,
        "recall": 0.81,
        "density": 0.98,
        "coverage": 0.94,
        "frechet": 0.6,
        "frechet_pixels": 0.3,
        "frechet_classifier": 0.9,
        "sliced_wasserstein": 0.1,
    },
    "user": {"precision": 0.9, "recall": 0.9, "coverage": 0.95, "frechet": 0.1},
}
MODES = {"ring8": 8, "grid25": 25, "line": 5, "digits": 10}
SHARE, POSITIVE = (0.0, 1.0), (0.0, float("inf"))
MEASURES = {
    "modes_hit": Measure("Modes with at least one sample within 3 standard deviations", "up", (0, 1e4), "modes"),
    "modes_covered": Measure("Modes that hold at least a tenth of their fair share", "up", (0, 1e4), "modes"),
    "classes_covered": Measure("Digit classes that hold at least a tenth of their fair share", "up", (0, 10), ""),
    "high_quality": Measure("Share of samples within 3 standard deviations of a mode", "up", SHARE),
    "mode_kl": Measure("Divergence of the mode histogram from the true weights", "down", POSITIVE, "nats"),
    "class_kl": Measure("Divergence of the class histogram from the true weights", "down", POSITIVE, "nats"),
    "confident": Measure("Share of samples that the classifier is sure about", "up", SHARE),
    "precision": Measure("Share of fakes inside the real k-NN balls (Kynkaanniemi 2019)", "up", SHARE),
    "recall": Measure("Share of reals inside the fake k-NN balls (Kynkaanniemi 2019)", "up", SHARE),
    "density": Measure("Real k-NN balls around each fake, over k (Naeem 2020)", "up", POSITIVE),
    "coverage": Measure("Share of real k-NN balls that hold a fake (Naeem 2020)", "up", SHARE),
    "frechet": Measure("Frechet distance between Gaussian fits (Heusel 2017)", "down", POSITIVE),
    "sliced_wasserstein": Measure("Mean Wasserstein distance of random projections", "down", POSITIVE),
    "d_loss": Measure("Loss of the discriminator"),
    "g_gradient_norm": Measure("Norm of the generator's gradient", None, POSITIVE),
    "saturation": Measure("Share of fakes with under 1 % of the derivative where D is undecided", None, SHARE),
    "d_ranking": Measure("Probability that a real logit is above a fake one", None, SHARE),
    "d_spectral_norm": Measure("Largest spectral norm of the discriminator's layers", None, POSITIVE),
    "seconds_per_step": Measure("Training time of one step", "down", POSITIVE, "s"),
}
DECLARED = measures()
MEASURES |= {
    name: replace(measure, blind=DECLARED[name].blind, scale=DECLARED[name].scale, role=DECLARED[name].role)
    for name, measure in MEASURES.items()
    if name in DECLARED
}
COLUMNS = list(dict.fromkeys([*(k for v in ORACLE.values() for k in v), "d_loss", "g_gradient_norm", "saturation",
                              "d_ranking", "d_spectral_norm", "seconds_per_step"]))  # fmt: skip


@dataclass
class FakeStudy:
    """What the analysis and the report read of a study."""

    path: Path
    runs: pd.DataFrame
    series: pd.DataFrame
    name: str = "stability"
    description: str = "Losses, normalizations and regularizers on two mixtures and on digits."
    variants: tuple[()] = ()
    damage: tuple[()] = ()
    axes: list[str] = field(default_factory=lambda: ["problem", "loss", "normalization", "regularizer"])
    tuned: list[str] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    oracle: dict[str, dict[str, float]] = field(default_factory=lambda: ORACLE)
    modes: dict[str, int] = field(default_factory=lambda: MODES)
    measures: dict[str, Measure] = field(default_factory=lambda: MEASURES)
    legends: dict[str, str] = field(default_factory=lambda: {"loss.hinge": "Hinge loss (Lim 2017)."})
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, Any] = field(
        default_factory=lambda: {
            "ganbench": "0.1.0", "torch": "2.13.0", "python": "3.13", "device": "cpu", "git": "0123abc",
            "plan": "9f2e11", "suite": "suites/stability.yaml", "command": "ganbench run suite=stability seeds=5",
            "started": "2026-01-02T03:04:05", "finished": "2026-01-02T04:04:05", "seconds": 3600.0, "threads": 2,
            "plugins": {"loss.hinge": "aa11", "loss.wgan": "bb22"}, "files": [],
        }
    )  # fmt: skip

    def faults(self, run: str) -> list[dict[str, Any]]:
        return []

    def centres(self, problem: str) -> tuple[NDArray[np.float64], float] | None:
        if problem == "ring8":
            angle = 2 * np.pi * np.arange(8) / 8
            return 2 * np.stack([np.cos(angle), np.sin(angle)], 1), 0.05
        if problem == "grid25":
            return np.array(list(product(range(-4, 5, 2), repeat=2)), dtype=float), 0.05
        return (np.linspace(-2, 2, 5)[:, None], 0.05) if problem == "line" else None

    def real_samples(self, problem: str) -> NDArray[np.float64]:
        return self._draw(problem, 99, 1.0, np.random.default_rng(0))

    def samples(self, run: str) -> dict[int, NDArray[np.float64]]:
        row = self.runs.set_index("run").loc[run]
        table = self.series[self.series["run"] == run].set_index("step")
        rng = np.random.default_rng(len(table))
        count, quality = {
            "digits": ("classes_covered", "precision"),
            "user": ("seconds_per_step", "precision"),
        }.get(row["problem"], ("modes_covered", "high_quality"))
        if quality not in table or count not in table:
            return {}
        return {
            int(step): self._draw(row["problem"], int(values[count]), float(values[quality]), rng)
            for step, values in table.iterrows()
            if not np.isnan(values[quality])
        }

    def pictures(self, run: str) -> dict[str, NDArray[np.float64]]:
        drawn = self.samples(run)
        if not drawn or (images := drawn[max(drawn)]).ndim != 4:
            return {}
        return {"neighbours": images[8:16], "interpolations": images[:32].reshape(4, 8, *images.shape[1:])}

    def _draw(self, problem: str, covered: int, quality: float, rng: np.random.Generator) -> NDArray[np.float64]:
        if problem == "digits":
            grid = np.linspace(-1, 1, 8)
            blobs = [np.cos(k * grid)[:, None] * np.sin((k + 1) * grid)[None] for k in range(max(1, min(covered, 10)))]
            pick = rng.integers(0, len(blobs), 64)
            noise = (1.2 - quality) * rng.normal(size=(64, 8, 8))
            return np.clip(np.stack(blobs)[pick] + 0.6 * noise, -1, 1)[:, None]
        known = self.centres(problem)
        if known is None:
            return rng.normal(size=(200, 2))
        centres, std = known
        pick = rng.integers(0, max(1, min(covered, len(centres))), 500)
        wide = np.where(rng.random((500, 1)) < quality, 1.0, 15.0)
        return centres[pick] + std * wide * rng.normal(size=(500, centres.shape[1]))


def scripted(fate: str, problem: str = "ring8", *, onset: int = 9, seed: int = 0, probes: int = PROBES) -> pd.DataFrame:
    """Return the probes of one run whose fate sets in at probe number `onset`: step and every column."""
    rng = np.random.default_rng(seed)
    steps = np.linspace(0, STEPS, probes).astype(int)
    oracle = ORACLE[problem]
    total = MODES.get(problem, 10)
    time = np.arange(probes)
    quality, share = 0.97 - 0.95 * np.exp(-time / (onset / 5)), np.clip(time / (onset / 2), 0.05, 1.0)
    late = time >= onset
    norm, saturation = 0.5 + 0.1 * rng.random(probes), 0.05 + 0.1 * rng.random(probes)
    if fate == "collapsed":
        share = np.full(probes, 1 / total)
    elif fate == "late collapse":
        share = np.where(late, 1 / total, share)
    elif fate == "oscillating":
        quality = np.where((time >= onset) & ((time - onset) % 2 == 0), 0.2, quality)
    elif fate == "dropping modes":
        share = np.where(late, 0.6, share)
    elif fate == "vanished":
        quality, share = np.where(late, 0.05, 0.3), np.full(probes, 0.2)
        norm, saturation = np.where(late, 1e-6, norm), np.where(late, 0.99, saturation)
    elif fate == "never learned":
        quality, share = np.full(probes, 0.2), np.full(probes, 0.3)
    elif fate == "unconverged":
        quality = np.minimum(quality, 0.65)
    elif fate == "degraded":
        quality = np.where(late, 0.2, quality)
    quality = np.clip(quality + 0.01 * rng.normal(size=probes), 0, 1)
    table = pd.DataFrame({"step": steps, **{name: np.full(probes, np.nan) for name in COLUMNS}})
    for name, perfect in oracle.items():
        if name in ("modes_covered", "modes_hit", "classes_covered"):
            table[name] = np.round(perfect * share)
        elif name in ("recall", "coverage"):
            table[name] = perfect * share * (0.6 + 0.4 * quality)
        elif name in ("high_quality", "precision", "density", "confident"):
            table[name] = perfect * quality
        else:
            table[name] = perfect + 8 * (1.02 - quality) ** 2 + 3 * (1 - share) + 0.002 * rng.random(probes)
    table["d_loss"] = 1.2 + 0.1 * rng.normal(size=probes)
    table["g_gradient_norm"], table["saturation"] = norm, saturation
    table["d_ranking"] = np.clip(0.95 - 0.4 * quality * share + 0.02 * rng.normal(size=probes), 0, 1)
    table["d_spectral_norm"] = 1 + 0.2 * time + rng.random(probes)
    table["seconds_per_step"] = 0.001 * (1 + 0.1 * rng.random(probes))
    if fate == "diverged":
        table.loc[late, COLUMNS] = np.nan
    return table


def study_of(fates: list[tuple[dict[str, Any], str]], path: Path, **settings: Any) -> FakeStudy:
    """Return a study with a run for each (settings of the run, fate); skipped and unfinished fates have no probes."""
    rows, tables = [], []
    for number, (given, fate) in enumerate(fates):
        row: dict[str, Any] = {
            "problem": "ring8",
            "network": "mlp",
            "loss": "hinge",
            "normalization": "none",
            "g_normalization": "none",
            "regularizer": "none",
            "optimizer": "adam",
            "seed": 0,
            "steps": STEPS,
            "reason": "",
            "diverged_step": None,
        }
        row.update(given)
        parts = [k for k in row if k not in ("seed", "reason", "diverged_step", "onset", "probes", "steps")]
        variant = ".".join(str(row[k]) for k in parts)
        onset, probes = row.pop("onset", 9), row.pop("probes", PROBES)
        row.update(run=f"r{number:04d}", variant=variant, seconds=4.0 + number % 3)
        row["status"] = fate if fate in ("skipped", "pending", "running", "failed", "diverged") else "done"
        if fate in ("skipped", "pending", "failed"):
            row["seconds"] = 0.0
            row["reason"] = row["reason"] or ("" if fate == "pending" else f"because it is {fate}")
        else:
            table = scripted(fate, row["problem"], onset=onset, seed=number, probes=probes)
            if fate == "diverged":
                row["diverged_step"] = int(table["step"].iloc[onset]) - 1
            tables.append(table.assign(run=row["run"]))
        rows.append(row)
    runs = pd.DataFrame(rows).astype({"seed": "Int64", "diverged_step": "Int64"})
    series = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["run", "step", *COLUMNS])
    return FakeStudy(path, runs, series, **settings)


def large(path: Path, seeds: int = 5, problems: tuple[str, ...] = ("ring8", "grid25", "digits")) -> FakeStudy:
    """Return a realistic study: 6 losses x 7 normalizations x 2 regularizers x seeds on each problem."""
    losses = ("minimax", "nonsaturating", "hinge", "least_squares", "wasserstein", "relativistic")
    norms = ("none", "batch", "layer", "instance", "group", "spectral", "weight")
    rng = np.random.default_rng(1)
    risk = {"minimax": 0.5, "wasserstein": 0.6, "least_squares": 0.35}
    how = {"minimax": "vanished", "wasserstein": "never learned", "least_squares": "diverged"}
    fates: list[tuple[dict[str, Any], str]] = []
    for problem, loss, norm, regularizer in product(problems, losses, norms, ("none", "r1")):
        given = {"problem": problem, "loss": loss, "normalization": norm, "regularizer": regularizer}
        if norm == "batch" and regularizer == "r1":
            why = "r1 penalizes every sample by itself, and batch normalization of the discriminator mixes samples"
            fates.append(({**given, "seed": None, "reason": why}, "skipped"))
            continue
        chance = risk.get(loss, 0.2) * {"r1": 0.1, "none": 1.4}[regularizer] * {"spectral": 0.4}.get(norm, 1.0)
        for seed in range(seeds):
            bad = rng.random() < chance
            fate = rng.choice([how.get(loss, "collapsed"), "collapsed", "dropping modes"]) if bad else "converged"
            if not bad and rng.random() < 0.1:
                fate = "unconverged"
            if rng.random() < 0.002:
                fate = "failed"
            fates.append(({**given, "seed": seed, "onset": int(rng.integers(4, 15))}, str(fate)))
    return study_of(fates, path)
