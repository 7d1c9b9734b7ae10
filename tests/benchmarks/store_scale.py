"""How long a large study takes to load, and what memory: by its arrays, and by its lines alone.

    python tests/benchmarks/store_scale.py RUNS [FOLDER]        makes a study of so many runs and measures it
    python tests/benchmarks/store_scale.py --load STUDY [lines] measures one that is there, in this process

Nothing is trained: 200 probes of 60 columns are made up once for a population and written for all of them, by the code
that training writes with, so that every file has the size that it would have. Each load is a process of its own, since
the most memory that a process had in use is told once; files have been read before, so that no disk is measured.
"""

from __future__ import annotations

import json
import resource
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
    from ganbench.registry import measures
    from ganbench.results.store import Store
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
    written: dict[int, list[dict[str, list[float]]]] = {}
    for name, of in populations(plan, "cpu").items():
        if len(of) not in written:
            written[len(of)] = _probes(names, len(of))
        population = store.population(name)
        population.begin(of)
        for at, values in enumerate(written[len(of)]):
            population.append(at * EVERY, values, np.zeros((len(of), 8, 2), dtype=np.float16))
        population.finish({"train": 1.0, "probe": 1.0}, [-1] * len(of))
    store.log_session({"command": "made up", "wall_seconds": 1.0})


def _probes(names: list[str], runs: int) -> list[dict[str, list[float]]]:
    """Return values between 0 and 1 that rise, as float32 has them, which is what most of a study's numbers are."""
    draw = np.random.default_rng(0)
    rise = np.linspace(0.2, 0.9, PROBES)[:, None, None] + 0.1 * draw.random((PROBES, len(names), runs))
    return [dict(zip(names, probe.tolist(), strict=True)) for probe in rise.astype(np.float32).astype(float)]


def load(study: Path, *, lines: bool) -> dict[str, float]:
    """Load a study in this process; lines: without its arrays. Works with earlier versions of the package too."""
    from ganbench.results.population import PopulationFolder
    from ganbench.results.study import Study

    if lines and hasattr(PopulationFolder, "_kept"):
        PopulationFolder._kept = lambda *_: None
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, processor = time.perf_counter(), time.process_time()
    known = Study(study)
    rows, probes = len(known.runs), known.series.shape
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "runs": rows, "probes": probes[0], "columns": probes[1] - 2, "wall_s": round(wall, 2),
        "processor_s": round(processor, 2), "peak_gb": round(peak * 1024 / 1e9, 3),
        "imports_gb": round(before * 1024 / 1e9, 3), "done": int((known.runs["status"] == "done").sum()),
    }  # fmt: skip


def _measured(study: Path, *how: str) -> list[dict[str, float]]:
    command = [sys.executable, __file__, "--load", str(study), *how]
    return [
        json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(ROUNDS)
    ]


def _bytes(study: Path, pattern: str) -> float:
    return sum(file.stat().st_size for file in study.glob(f"populations/*/{pattern}")) / 1e9


if __name__ == "__main__":
    if sys.argv[1] == "--load":
        print(json.dumps(load(Path(sys.argv[2]), lines="lines" in sys.argv[3:])))
    else:
        folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(tempfile.mkdtemp(prefix="ganbench-scale-"))
        study = folder / sys.argv[1]
        if not study.exists():
            make(int(sys.argv[1]), study)
        sizes = [f"{what} {_bytes(study, what):.2f} GB" for what in ("series.jsonl", "columns.npy", "samples-*.npy")]
        print(", ".join(sizes))
        for how in ((), ("lines",)):
            for one in _measured(study, *how):
                print("lines" if how else "arrays", one)
        if len(sys.argv) <= 2:
            shutil.rmtree(folder)
