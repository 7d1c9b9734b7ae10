"""Slurm through stand-ins of its commands: an array of jobs, and preemption with and without notice."""

import os
import subprocess
import threading
import time

import pytest
from fake_slurm import Jobs, install
from overriding import over
from same import equal

from ganbench import api
from ganbench.results.store import ATTEMPTS

pytestmark = pytest.mark.slow

GRID = ["problem=ring8", "seeds=2", "batch_size=16", "samples=64", "neighbours=32", "network.mlp.width=8", "steps=20",
        "probe_every=10", "loss=hinge", "normalization=none,spectral"]  # fmt: skip
LONG = over([*GRID, "steps=2000", "probe_every=20"])
WORDS = ["executor=slurm", "executor.seconds=0.2"]
PATIENCE = 240.0


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Slurm's commands on the path, and what they keep; nothing of it outlives the test."""
    monkeypatch.setenv("PATH", os.pathsep.join([install(tmp_path / "slurm"), os.environ["PATH"]]))
    jobs = Jobs(tmp_path / "slurm")
    yield jobs
    for job in jobs.open():
        subprocess.run(["scancel", job], check=False)


def in_a_while(holds):
    until = time.monotonic() + PATIENCE
    while not (found := holds()):
        assert time.monotonic() < until, "in vain"
        time.sleep(0.02)
    return found


@pytest.mark.filterwarnings("ignore")
def test_an_array_of_jobs_gives_the_same_tables(slurm, tmp_path):
    pytest.importorskip("submitit")
    equal(api.run(None, [*GRID, *WORDS], out=tmp_path / "study"), api.run(None, GRID, out=tmp_path / "here", workers=1))
    assert slurm.names == ["1_0", "1_1"]
    assert [slurm.starts(job) for job in slurm.names] == [1, 1]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("notice", [True, False])
def test_a_job_that_is_preempted_is_queued_again_and_goes_on(slurm, tmp_path, monkeypatch, notice):
    """With notice submitit queues it again; without one the scheduler does, by --requeue or its own rules."""
    pytest.importorskip("submitit")
    monkeypatch.setenv("GANBENCH_CHECKPOINT_SECONDS", "-1")
    straight = api.run(None, LONG, out=tmp_path / "straight", workers=1)
    seen = []

    def disturb():
        in_a_while(lambda: list((tmp_path / "study" / ATTEMPTS).glob("*/*/populations/*/checkpoint.pt")))
        job = slurm.open()[0]
        if notice:
            for name in ("TERM", "USR2"):
                subprocess.run(["scancel", job, "--signal", name], check=True)
        else:
            slurm.preempt(job)
        seen.append(job)

    thread = threading.Thread(target=disturb)
    thread.start()
    study = api.run(None, [*LONG, *WORDS], out=tmp_path / "study")
    thread.join()
    assert slurm.starts(seen[0]) == 2
    equal(study, straight)
