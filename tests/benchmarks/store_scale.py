"""How long a large study takes to load, and what memory: by its table, by its populations' arrays, by its lines alone.

    python tests/benchmarks/store_scale.py RUNS [FOLDER [table|arrays|lines ...]]    makes a study and measures it
    python tests/benchmarks/store_scale.py --load STUDY table|arrays|lines           measures one, in this process

Nothing is trained: 200 probes of 60 columns are made up for one population, written by the code that training writes
with, and copied for the others, so that every file has the size that it would have. Each load is a process of its own,
since the most memory that a process had in use is told once; files have just been written, so that no disk is measured.
What plug-ins import, torch and scipy, takes the same at every size and is told apart.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PROBES, COLUMNS, SEEDS, EVERY = 200, 60, 5, 10
LOSSES = "hinge,least_squares,minimax,nonsaturating,relativistic_pairing,wasserstein"
NORMS = "none,layer,group,instance,weight,spectral,batch"
ROUNDS = 3


def make(runs: int, folder: Path) -> None:
    """Lay out a complete study of about so many runs."""
    from ganbench.executors.work import populations
    from ganbench.files import write_text
    from ganbench.registry import measures
    from ganbench.results import tables
    from ganbench.results.store import Store
    from ganbench.results.study import Study
    from ganbench.suite import resolve

    rates = -(-runs // (len(LOSSES.split(",")) * len(NORMS.split(",")) * SEEDS))
    steps = (PROBES - 1) * EVERY
    plan = resolve(None, [
        "problem=ring8", f"loss={LOSSES}", f"normalization={NORMS}", f"seeds={SEEDS}", f"steps={steps}",
        f"probe_every={EVERY}", f"optimizer.adam.d_lr={','.join(str(round(1e-4 * (1 + i), 5)) for i in range(rates))}",
    ])  # fmt: skip
    store = Store(folder)
    store.begin(plan)
    names = [name for name, measure in measures().items() if measure.direction is not None]
    names = list(dict.fromkeys([*names, *measures(), *(f"column_{i}" for i in range(COLUMNS))]))[:COLUMNS]
    corners = 2 * np.stack([np.cos(a := np.arange(8) * np.pi / 4), np.sin(a)], axis=1)
    description = {"oracle": dict.fromkeys(names, 1.0), "modes": 8, "centres": corners.tolist(), "std": 0.02}
    store.problem("ring8").write(description, np.repeat(corners, 16, axis=0))
    first: dict[int, Path] = {}
    for name, of in populations(plan, "cpu").items():
        population = store.population(name)
        if len(of) in first:
            shutil.copytree(first[len(of)], population.path)
            write_text(population.path / "runs.json", json.dumps([run.id for run in of]))
            continue
        population.begin(of)
        for at, values in enumerate(_probes(names, len(of))):
            population.append(at * EVERY, values, np.zeros((len(of), 8, 2), dtype=np.float16))
        population.finish({"train": 1.0, "probe": 1.0}, [-1] * len(of))
        first[len(of)] = population.path
    store.log_session({"command": "made up", "wall_seconds": 1.0})
    tables.keep(folder, Study(folder).layout)


def _probes(names: list[str], runs: int) -> list[dict[str, list[float]]]:
    """Return values between 0 and 1 that rise, as float32 has them, which is what most of a study's numbers are."""
    draw = np.random.default_rng(0)
    rise = np.linspace(0.2, 0.9, PROBES)[:, None, None] + 0.1 * draw.random((PROBES, len(names), runs))
    return [dict(zip(names, probe.tolist(), strict=True)) for probe in rise.astype(np.float32).astype(float)]


def load(study: Path, how: str) -> dict[str, float]:
    """Load a study in this process. Works with earlier versions of the package, which have lines only."""
    wall, processor = time.perf_counter(), time.process_time()
    from ganbench import registry
    from ganbench.results import study as results
    from ganbench.results.population import PopulationFolder

    for kind in registry.KINDS:
        registry.load(kind)
    imports = {"imports_wall_s": time.perf_counter() - wall, "imports_processor_s": time.process_time() - processor}
    imports["imports_gb"] = _peak_gb()
    if how != "table" and hasattr(results, "tables"):
        results.tables.kept = lambda *_: None
    if how == "lines":
        PopulationFolder._kept = lambda *_: None
    wall, processor = time.perf_counter(), time.process_time()
    known = results.Study(study)
    rows, probes = len(known.runs), known.series.shape
    took = {"wall_s": time.perf_counter() - wall, "processor_s": time.process_time() - processor}
    took["peak_gb"] = _peak_gb()
    found = {"runs": rows, "done": int((known.runs["status"] == "done").sum()), "probes": probes[0]}
    found |= {key: round(value, 2) for key, value in {**took, **imports}.items()}
    # what every number costs once it is asked for
    found["sum"] = float(known.series.iloc[:, 2:].sum().sum())
    return {**found, "then_gb": round(_peak_gb(), 2)}


def _peak_gb() -> float:
    """Return the most memory that this program had in use: `ru_maxrss` begins with the peak of who has started it."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024 / 1e9


def _measured(study: Path, how: str) -> list[dict[str, float]]:
    command = [sys.executable, __file__, "--load", str(study), how]
    return [
        json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(ROUNDS)
    ]


def _bytes(study: Path, pattern: str) -> float:
    return sum(file.stat().st_size for file in study.glob(f"populations/*/{pattern}")) / 1e9


if __name__ == "__main__":
    if sys.argv[1] == "--load":
        print(json.dumps(load(Path(sys.argv[2]), sys.argv[3])))
    else:
        folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(tempfile.mkdtemp(prefix="ganbench-scale-"))
        study = folder / sys.argv[1]
        if not study.exists():
            make(int(sys.argv[1]), study)
        print(", ".join(f"{what} {_bytes(study, what):.2f} GB" for what in ("series.jsonl", "columns.npy")))
        for how in sys.argv[3:] or ("table", "arrays", "lines"):
            for one in _measured(study, how):
                print(how, one)
        if len(sys.argv) <= 2:
            shutil.rmtree(folder)
