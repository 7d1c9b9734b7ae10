"""A run from Python: two losses with and without R1 on a ring of Gaussians, what came out, and a report.

Repeating it goes on where it ended, and trains nothing twice.
"""

import ganbench

seeds, steps, probe_every = 5, 2000, 100

study = ganbench.run(
    problem="ring8",
    loss=["nonsaturating", "wasserstein"],
    regularizer=["none", "r1"],
    seeds=seeds,
    steps=steps,
    probe_every=probe_every,
    out="reports/from-python",
)

# a row a variant: failures over seeds with their interval, then its typical scores
ranking = study.ranking()
print(ranking[["label", "failures", "seeds", "failure_low", "failure_high"]].to_string(index=False))

# a row a run: its verdict, since which step, on what evidence
for row in study.runs.itertuples():
    print(f"{row.run}: {row.verdict}. {row.evidence}")

# a row a probe: every metric and diagnostic
last = study.series.groupby("run").tail(1)
print(last[["run", "step", "modes_covered", "frechet"]].to_string(index=False))

print(study.report())
