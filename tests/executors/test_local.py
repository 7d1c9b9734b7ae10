"""Local execution: the numbers do not depend on how a study was trained, and a kill costs nothing but time."""

import json
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
from same import equal

from ganbench import api
from ganbench.errors import UserError
from ganbench.results.store import ATTEMPTS, Store
from ganbench.training import loop

ROOT = Path(__file__).parents[2]
GRID = ["problem=ring8", "seeds=2", "batch_size=16", "samples=64", "neighbours=32", "network.mlp.width=8",
        "loss=hinge,wasserstein", "normalization=none,spectral"]  # fmt: skip
# a checkpoint at every probe, wherever this file is loaded: in the command and in its workers
EAGER = "import ganbench.training.loop\n\nganbench.training.loop.CHECKPOINT_SECONDS = -1.0\n"
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the process table of Linux")


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
    """The probes that there are, those of attempts that are on their way included."""
    found = 0
    for pattern in ("populations/*/series.jsonl", f"{ATTEMPTS}/*/*/populations/*/series.jsonl"):
        for file in out.glob(pattern):
            with suppress(OSError):  # an attempt moves when it is complete
                found += len(file.read_text().splitlines())
    return found


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


def trainers(process):
    """The processes that train: the children of a command's driver's workers."""
    return [child for driver in children(process.pid) for worker in children(driver) for child in children(worker)]


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# trains a study and writes its report, as the command does, and notes which populations go on from a checkpoint
JOB = """
import sys
from ganbench import api

out, log, *overrides = sys.argv[1:]

def watch(name, event):
    if event["event"] == "resumed":
        with open(log, "a") as file:
            print(name, event["step"], file=file)

if __name__ == "__main__":
    words = {} if any(text.startswith("executor=") for text in overrides) else {"workers": 2}
    api.run(None, overrides, out=out, watch=watch, **words).report()
"""
LONG = [*GRID, "steps=1000", "probe_every=50"]
RUNS = 8


class Killing:
    """Starts a study's job and kills parts of it at drawn moments until it has ended."""

    def __init__(self, folder, draw, moments, words=()):
        self.folder, self.draw, self.moments, self.words = folder, draw, moments, words
        self.process, self.studies, self.kills = None, 0, []
        (folder / "job.py").write_text(JOB)
        self.log = folder / "log"

    @property
    def out(self):
        return self.folder / f"study {self.studies}"

    def begin(self):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        environment["GANBENCH_CHECKPOINT_SECONDS"] = "-1"
        self.process = subprocess.Popen(
            [sys.executable, self.folder / "job.py", self.out, self.log, *LONG, *self.words],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True,
        )  # fmt: skip

    def wait(self, condition):
        ended = time.monotonic() + 180
        while not condition() and self.process.poll() is None:
            assert time.monotonic() < ended
            time.sleep(0.01)
        time.sleep(self.draw.uniform(0, 0.3))

    def trained(self):
        # a worker's kill may have parted a population: runs are counted, not populations
        ended = self.out.glob("populations/*/done.json")
        return sum(len(json.loads(file.with_name("runs.json").read_text())) for file in ended) == RUNS

    def kill(self, target):
        """Wait for a moment of work, or of the report where training has ended, and kill; False where all had ended."""
        if self.process is None:
            self.begin()
        moment = self.draw.choice(self.moments)
        if moment != "report" and self.trained():
            # nothing is left of this study's work: the next moment is another's
            self.end()
            return False
        begun, least = probes(self.out), self.draw.randint(1, 8)
        if moment == "start":
            time.sleep(self.draw.uniform(0, 4))
        elif moment == "work":
            self.wait(lambda: probes(self.out) >= begun + least or self.trained())
        else:
            self.wait(self.trained)
            time.sleep(self.draw.uniform(0, 2))
        if self.process.poll() is not None:
            self.end()
            return False
        workers = [pid for pid in children(self.process.pid) if lives(pid)]
        pid = self.draw.choice(workers) if target == "worker" and workers else self.process.pid
        (os.killpg if target == "group" else os.kill)(pid, signal.SIGKILL)
        self.kills.append((target if pid != self.process.pid or target != "worker" else "driver", self.trained()))
        if target != "worker" or pid == self.process.pid:
            self.end()
        return True

    def end(self):
        self.process.communicate()
        self.process = None
        # a worker's kill has failed its population, and the job has ended without it
        if (self.out / "report.html").exists() and self.trained():
            self.studies += 1

    def finish(self):
        """Let the last study end, and return all that there are."""
        while self.process is not None or (self.out / "plan.yaml").exists():
            if self.process is None:
                self.begin()
            self.end()
        return [api.load(path) for path in sorted(self.folder.glob("study *"))]


def check_kills(folder, kills, moments=("work",), seed=1, words=()):
    killing = Killing(folder, random.Random(seed), moments, words)
    targets = ["group", "worker", "driver"]
    while len(killing.kills) < kills:
        killing.kill(targets[len(killing.kills) % 3])
    studies = killing.finish()
    log = killing.log.read_text() if killing.log.exists() else ""
    resumed = [int(line.split()[1]) for line in log.splitlines()]
    print(f"{kills} kills {killing.kills}, {len(studies)} studies, resumed from checkpoints at {resumed}")
    straight = api.run(None, LONG, out=folder / "straight", workers=1)
    for study in studies:
        assert study.damage == []
        assert set(study.runs["status"]) == {"done"}
        # a run's memory is its share of its population's, which a worker's kill may have parted
        equal(study, straight, apart=["memory_mb"])
        assert not study.series.duplicated(["run", "step"]).any()
        for file in study.path.glob("populations/*/series.jsonl"):
            assert len(file.read_text().splitlines()) == 21, "nothing twice"
    if not words:  # over a cluster it is not told where a job went on
        assert len(resumed) >= kills // 3
        assert max(resumed) > 0
    return killing


def test_kill_at_any_moment_costs_no_bit(tmp_path):
    check_kills(tmp_path, kills=3)


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), ("executor=dask", "executor.workers=2")], ids=["local", "dask"])
def test_fifty_kills_cost_no_bit(tmp_path, words):
    kills = int(os.environ.get("GANBENCH_KILLS", "50"))  # fewer where the machine has other work
    killing = check_kills(tmp_path, kills, moments=("work", "work", "start", "report"), words=words)
    assert kills < 50 or any(report for _, report in killing.kills), "some while the report is written"


def test_workers_end_with_their_parent(tmp_path, eager):
    out = tmp_path / "study"
    process = start([*GRID, "steps=100000", "probe_every=50"], out, "--plugin", eager)
    try:
        until(lambda: probes(out) >= 2, process)
        # either worker may be first to probe: the other is waited for, not supposed
        until(lambda: len(trainers(process)) == 2, process)
        (driver,) = children(process.pid)
        workers, training = children(driver), trainers(process)
        assert len(workers) == 2
        with pytest.raises(UserError, match=r"^Another command is working on the study"):
            api.run(None, over([*GRID, "steps=100000", "probe_every=50"]), plugins=[eager], out=out, workers=1)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        ended = time.monotonic() + 60
        while any(map(lives, [driver, *workers, *training])) and time.monotonic() < ended:
            time.sleep(0.02)
        assert not any(map(lives, [driver, *workers, *training]))
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
import json
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
    assert reasons == {"the process ended itself with exit status 9"}
    ends = [name for name, event in events if event in ("failed", "finished")]
    # two populations end well, and each of the two variants of the others by itself
    assert len(ends) == len(set(ends)) == 6
