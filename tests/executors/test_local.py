"""Local execution: the numbers do not depend on how a study was trained, and a kill costs nothing but time."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
import torch
from overriding import over

from ganbench import api
from ganbench.errors import UserError
from ganbench.results.store import Store
from ganbench.training import loop

ROOT = Path(__file__).parents[2]
GRID = ["problem=ring8", "seeds=2", "batch_size=16", "samples=64", "neighbours=32", "network.mlp.width=8",
        "loss=hinge,wasserstein", "normalization=none,spectral"]  # fmt: skip
# a checkpoint at every probe, wherever this file is loaded: in the command and in its workers
EAGER = "import ganbench.training.loop\n\nganbench.training.loop.CHECKPOINT_SECONDS = -1.0\n"
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the process table of Linux")


def equal(first, second):
    """Tell whether two studies hold the same numbers, bit for bit; times apart."""
    pd.testing.assert_frame_equal(
        first.series.drop(columns="seconds_per_step"), second.series.drop(columns="seconds_per_step"),
        check_exact=True, check_like=False,
    )  # fmt: skip
    pd.testing.assert_frame_equal(first.runs.drop(columns="seconds"), second.runs.drop(columns="seconds"))
    for run in first.runs["run"]:
        left, right = first.samples(run), second.samples(run)
        assert left.keys() == right.keys()
        assert all((left[step] == right[step]).all() for step in left)


@pytest.fixture
def eager(tmp_path, own_registry, monkeypatch):
    # the file is loaded here too: what it sets is set back
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", loop.CHECKPOINT_SECONDS)
    file = tmp_path / "eager.py"
    file.write_text(EAGER)
    return file


def start(overrides, out, *options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "ganbench", "run", *overrides, "--out", str(out), "--workers", "2", *map(str, options)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True,
    )  # fmt: skip


def until(condition, process, seconds=60):
    ended = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < ended
        time.sleep(0.02)


def probes(out):
    return sum(len(file.read_text().splitlines()) for file in out.glob("populations/*/series.jsonl"))


def children(parent):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_kill_at_any_moment_costs_no_bit(tmp_path, eager):
    overrides = [*GRID, "steps=400", "probe_every=20"]
    out, seed = tmp_path / "killed", time.time_ns() % 1000
    print(f"random.seed({seed})")
    random.seed(seed)
    for least in (1, 6):
        process = start(overrides, out, "--plugin", eager)
        begun = probes(out)
        until(lambda: probes(out) >= begun + least, process)  # noqa: B023
        time.sleep(random.uniform(0, 0.3))
        assert process.poll() is None, "it must be killed in the middle of its work"
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    killed = api.load(out)
    assert set(killed.runs["status"]) <= {"running", "pending", "done"}
    assert len(killed.series), "a study that was killed can be read"
    folders = Store(out).populations()
    assert any(folder.checkpoint.exists() or folder.done() for folder in folders)
    resumed = api.run(None, overrides, plugins=[eager], out=out, workers=2)
    straight = api.run(None, overrides, plugins=[eager], out=tmp_path / "straight", workers=1)
    assert set(resumed.runs["status"]) == {"done"}
    assert resumed.series["step"].nunique() == 21
    equal(resumed, straight)
    assert not list(out.glob("populations/*/checkpoint.pt"))


def test_workers_end_with_their_parent(tmp_path, eager):
    out = tmp_path / "study"
    process = start([*GRID, "steps=100000", "probe_every=50"], out, "--plugin", eager)
    try:
        until(lambda: probes(out) >= 2, process)
        workers = children(process.pid)
        assert len(workers) == 2
        with pytest.raises(UserError, match=r"^Another command is working on the study"):
            api.run(None, over([*GRID, "steps=100000", "probe_every=50"]), plugins=[eager], out=out, workers=1)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        ended = time.monotonic() + 2
        while any(map(lives, workers)) and time.monotonic() < ended:
            time.sleep(0.02)
        assert not any(map(lives, workers))
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    with Store(out).lock():
        pass  # and nobody holds the study any more


def test_number_of_workers_threads_and_probes_changes_no_number(tmp_path, own_registry):
    overrides = [*GRID, "steps=40"]
    two = api.run(None, over([*overrides, "probe_every=20"]), out=tmp_path / "two", workers=2)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        one = api.run(None, over([*overrides, "probe_every=20"]), out=tmp_path / "one", workers=1)
        assert torch.get_num_threads() == 2, "and the caller's setting is given back"
    finally:
        torch.set_num_threads(threads)
    equal(one, two)
    often = api.run(None, over([*overrides, "probe_every=1"]), out=tmp_path / "often", workers=1)
    shared = often.series[often.series["step"].isin([0, 20, 40])].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        shared.drop(columns="seconds_per_step"), one.series.drop(columns="seconds_per_step"), check_exact=True
    )


DYING = """
import os
import sys

from ganbench import register

os.system("echo garbage below Python on standard output")
print("and from Python")

@register("regularizer", acts_on="inputs")
def dying(critic, real, fake, uniform):
    '''Ends the process that it runs in.'''
    if getattr(sys.modules["__main__"].__spec__, "name", "") == "ganbench.executors.worker":
        os._exit(9)
    return real.new_zeros(uniform.shape[:-1])
"""


def test_worker_that_dies_costs_its_population_only(tmp_path, own_registry):
    file = tmp_path / "dying.py"
    file.write_text(DYING)
    events = []
    study = api.run(
        None, over([*GRID, "steps=10", "probe_every=10", "regularizer=none,dying"]), plugins=[file],
        out=tmp_path / "study", workers=2, watch=lambda name, event: events.append((name, event["event"])),
    )  # fmt: skip
    by = study.runs.groupby("regularizer")["status"].agg(set).to_dict()
    assert by == {"none": {"done"}, "dying": {"failed"}}
    reasons = set(study.runs.loc[study.runs["status"] == "failed", "reason"])
    assert reasons == {"the worker process ended with code 9 (out of memory?)"}
    ends = [name for name, event in events if event in ("failed", "finished")]
    assert len(ends) == len(set(ends)) == 4
