"""Work on other machines: the same tables, whatever is lost, done twice, or comes back; and who must not do it."""

import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from overriding import over
from same import equal

from ganbench import api, executing
from ganbench.errors import UserError
from ganbench.executors import remote, serving, work
from ganbench.executors.dask import Dask
from ganbench.executors.local import Local, choose
from ganbench.executors.remote import Engine, Post, pump, there
from ganbench.executors.slurm import Slurm
from ganbench.registry import register
from ganbench.results.store import ATTEMPTS, Store
from ganbench.suite import resolve

GRID = ["problem=ring8", "seeds=2", "batch_size=16", "samples=64", "neighbours=32", "network.mlp.width=8", "steps=20",
        "probe_every=10", "loss=hinge", "normalization=none,spectral"]  # fmt: skip


class Here:
    """Stands for a worker process: does the job in this one."""

    def __init__(self, study, device, files):
        self.study, self.device = study, device

    def perform(self, asked, take):
        store, last = Store(self.study), []
        plan = store.read_plan()

        def emit(event):
            (last if event["event"] in ("finished", "failed") else told).append(event)

        told = []
        torch.set_num_threads(1)
        work.perform(store, plan, work.Job.named(plan, asked), self.device, emit)
        for event in told:
            take(event)
        return last[-1]


@dataclass
class Mail(Engine):
    """Does letters one after another; some are lost, after they were done, and some come twice."""

    workers = 1
    apart: bool = False
    lost: int = 0
    twice: bool = False
    letters: list = field(default_factory=list)
    places: list = field(default_factory=list)

    def run(self, tasks):
        pump(tasks, self)

    def room(self):
        return 2

    def submit(self, letters):
        self.letters += letters
        return list(range(len(self.letters) - len(letters), len(self.letters)))

    def ended(self, handles):
        for handle in handles:
            # letters are sent as bytes: nothing of this process goes with one
            letter = self.letters[handle] | ({"study": "/not/here"} if self.apart else {})
            answer = there(letter)
            if self.twice:
                answer = there(letter)
            self.places.append(answer.get("place"))
            if self.lost:
                self.lost -= 1
                yield handle, "its machine is gone"
            else:
                yield handle, answer


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    return api.run(None, GRID, out=tmp_path_factory.mktemp("local") / "study", workers=1)


@pytest.fixture
def here(monkeypatch):
    monkeypatch.setattr(remote, "Server", Here)


@pytest.mark.slow
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("engine", [Mail(), Mail(apart=True), Mail(twice=True)], ids=["shared", "apart", "twice"])
def test_another_machine_gives_the_same_tables(engine, local, tmp_path):
    study = api.run(None, GRID, out=tmp_path / "study", executor=engine)
    equal(study, local)
    assert study.oracle == local.oracle
    assert [place is None for place in engine.places] == [engine.apart] * 2, "without a shared disk files come back"
    assert not (study.path / ATTEMPTS).exists()
    assert sorted(path.name for path in study.path.iterdir()) == sorted(path.name for path in local.path.iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_what_was_done_before_its_word_got_lost_is_not_done_again(local, tmp_path):
    engine = Mail(lost=1)
    study = api.run(None, GRID, out=tmp_path / "study", executor=engine)
    equal(study, local)
    names = [letter["asked"]["name"] for letter in engine.letters]
    assert len(names) == 3
    assert len(set(names)) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_what_is_lost_for_good_is_failed_with_its_reason_and_done_when_repeated(local, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "there", None)

    class Gone(Mail):
        def ended(self, handles):
            yield from ((handle, "its machine is gone") for handle in handles)

    study = api.run(None, GRID, out=tmp_path / "study", executor=Gone())
    assert set(study.runs["status"]) == {"failed"}
    assert set(study.runs["reason"]) == {"its machine is gone"}
    equal(api.run(None, GRID, out=tmp_path / "study", executor=Mail()), local)


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_who_has_another_version_is_refused_by_name(tmp_path, monkeypatch):
    class Older(Mail):
        def submit(self, letters):
            return super().submit([{**letter, "ganbench": "0.0.1"} for letter in letters])

    with pytest.raises(UserError, match=r"^The worker on .+ cannot train this plan: it has ganbench .+, not 0\.0\.1\."):
        api.run(None, GRID, out=tmp_path / "study", executor=Older())
    assert set(api.load(tmp_path / "study").runs["status"]) == {"pending"}, "nobody failed"


# ------------------------------------------------------------------------------------------ who is asked for


@pytest.mark.parametrize(("base", "changes", "found"), [
    ({}, {}, {}),
    ({"executor": "local"}, {}, {}),
    ({}, {"executor": "dask", "executor.address": "tcp://h:8786"}, {"name": "dask", "address": "tcp://h:8786"}),
    ({"executor": "dask", "executor.dask.workers": 3}, {}, {"name": "dask", "workers": 3}),
    ({"executor": "dask", "executor.address": "a"}, {"executor.address": "b"}, {"name": "dask", "address": "b"}),
    ({"executor": "dask", "executor.address": "a"}, {"executor": "slurm"}, {"name": "slurm"}),
    ({"executor": "dask", "executor.address": "a"}, {"executor": "local"}, {}),
])  # fmt: skip
def test_a_suite_and_a_command_name_an_executor(base, changes, found):
    assert executing.taken(base, changes) == found
    assert base == changes == {}


@pytest.mark.parametrize(("changes", "told"), [
    ({"executor": "dusk"}, "Unknown executor 'dusk'. Did you mean 'dask'?"),
    ({"executor": "dask", "executor.adress": "x"}, "Unknown setting of the executor 'dask' 'adress'. Did you mean 'ad"),
    ({"executor": ["dask"]}, "The key 'executor' takes one name"),
    ({"executor": "dask", "executor.address": 5}, "The key 'executor.address' takes str, got 5."),
    ({"executor": "dask", "executor.workers": 0}, "The key 'executor.workers' must be at least 1"),
    ({"executor": "slurm", "executor.minutes": True}, "The key 'executor.minutes' takes int, got True."),
])  # fmt: skip
def test_what_no_executor_takes_is_refused(changes, told):
    with pytest.raises(UserError) as refused:
        executing.taken({}, changes)
    assert str(refused.value).startswith(told)


def test_an_executor_has_no_part_in_ids_and_hashes(tmp_path):
    plain, named = resolve(None, GRID), resolve(None, [*GRID, "executor=dask", "executor.address=tcp://h:1"])
    assert named.hash == plain.hash
    assert [run.id for run in named.runs] == [run.id for run in plain.runs]
    assert "executor" not in plain.to_dict()
    store = Store(tmp_path / "study")
    store.begin(named)
    assert store.read_plan() == named
    assert choose(named, "cpu") == Dask("tcp://h:1", "", 1)
    assert choose(resolve(None, [*GRID, "executor.workers=3"]), "cpu") == Local(3)
    assert isinstance(choose(resolve(None, [*GRID, "executor=slurm"]), "cpu"), Slurm)
    with pytest.raises(UserError, match=r"^The executor 'dask' has its own workers: leave --workers out"):
        choose(named, "cpu", 2)


def test_an_executor_of_ones_own_is_named_like_the_others(own_registry):
    @register("executor")
    def mine(*, machines: int = 2):
        """My own."""
        return machines

    assert choose(resolve(None, [*GRID, "executor=mine", "executor.machines=4"]), "cpu") == 4


# ------------------------------------------------------------------------------------------ Dask


@pytest.fixture
def apart(monkeypatch):
    """No worker finds the study's directory: it looks for it where it is not."""
    letter, take, taken = Post.letter, Post.take, []
    monkeypatch.setattr(Post, "letter", lambda post, task: letter(post, task) | {"study": "/not/here"})
    monkeypatch.setattr(Post, "take", lambda post, task, answer: taken.append(answer) or take(post, task, answer))
    return taken


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("disk", [pytest.param("shared", marks=pytest.mark.slow), "apart"])
def test_dask_gives_the_same_tables(local, tmp_path, request, disk):
    distributed = pytest.importorskip("distributed")
    taken = request.getfixturevalue("apart") if disk == "apart" else []
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        words = [*GRID, "executor=dask", f"executor.address={cluster.scheduler_address}"]
        try:
            study = api.run(None, words, out=tmp_path / "study")
        finally:
            serving.close()
    equal(study, local)
    assert ["files" in answer for answer in taken] == [True] * (2 * (disk == "apart"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("disk", ["shared", "apart"])
def test_a_dask_worker_that_is_killed_costs_no_bit(tmp_path, monkeypatch, request, disk):
    distributed = pytest.importorskip("distributed")
    if disk == "apart":
        request.getfixturevalue("apart")
    monkeypatch.setenv("GANBENCH_CHECKPOINT_SECONDS", "-1")
    grid = [*GRID, "steps=600", "probe_every=20"]
    grid.remove("steps=20")
    grid.remove("probe_every=10")
    killed = []

    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:

        def watch(name, event):
            if event["event"] == "progress" and event["step"] > 40 and not killed:
                worker = next(iter(cluster.workers.values()))
                killed.append(worker.pid)
                worker.process.process._process.kill() if hasattr(worker.process, "process") else worker.kill()

        words = [*grid, "executor=dask", f"executor.address={cluster.scheduler_address}"]
        study = api.run(None, words, out=tmp_path / "study", watch=watch)
    straight = api.run(None, grid, out=tmp_path / "straight", workers=1)
    assert killed
    equal(study, straight)


class Apart:
    """A Dask scheduler and a worker as processes of their own, at an address that stays."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        self.processes = []

    def start(self):
        port = self.address.rpartition(":")[2]
        worker = ["worker", self.address, "--no-nanny", "--nthreads", "1"]
        for words in (["scheduler", "--host", "127.0.0.1", "--port", port], worker):
            command = [sys.executable, "-m", f"distributed.cli.dask_{words[0]}", *words[1:], "--no-dashboard"]
            self.processes.append(subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL))

    def kill(self):
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes.clear()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_dask_scheduler_that_is_restarted_costs_no_bit(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setenv("GANBENCH_CHECKPOINT_SECONDS", "-1")
    grid = over([*GRID, "steps=600", "probe_every=20"])
    cluster, restarted = Apart(), []

    def watch(name, event):
        if event["event"] == "progress" and event["step"] > 40 and not restarted:
            restarted.append(name)
            cluster.kill()
            cluster.start()

    cluster.start()
    try:
        words = [*grid, "executor=dask", f"executor.address={cluster.address}"]
        study = api.run(None, words, out=tmp_path / "study", watch=watch)
    finally:
        cluster.kill()
    assert restarted
    equal(study, api.run(None, grid, out=tmp_path / "straight", workers=1))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_dask_scheduler_that_is_gone_for_good_ends_the_command_and_it_goes_on_when_repeated(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setenv("GANBENCH_CHECKPOINT_SECONDS", "-1")
    grid = over([*GRID, "steps=600", "probe_every=20"])
    cluster, resumed = Apart(), []

    def gone(name, event):
        if event["event"] == "progress" and event["step"] > 40:
            cluster.kill()

    def again(name, event):
        resumed.extend([event["step"]] if event["event"] == "resumed" else [])

    cluster.start()
    words = [*grid, "executor=dask", f"executor.address={cluster.address}"]
    told = r"^Cannot go on: the Dask scheduler is gone; repeat the command when it is back"
    with pytest.raises(UserError, match=told):
        api.run(None, words, out=tmp_path / "study", watch=gone)
    study = api.run(None, grid, out=tmp_path / "study", workers=1, watch=again)
    assert max(resumed) > 0, "what the attempts had is taken over"
    equal(study, api.run(None, grid, out=tmp_path / "straight", workers=1))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_submitit_on_this_machine_gives_the_same_tables(local, tmp_path):
    pytest.importorskip("submitit")
    words = [*GRID, "executor=slurm", "executor.cluster=local", "executor.seconds=0.2"]
    equal(api.run(None, words, out=tmp_path / "study"), local)


def test_the_files_of_a_job_are_all_that_comes_back(tmp_path):
    place = tmp_path / "place"
    for name in ("populations/a/runs.json", "problems/p.json", "plan.yaml"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(name)
    assert remote._read_all(place) == {
        "populations/a/runs.json": b"populations/a/runs.json", "problems/p.json": b"problems/p.json",
    }  # fmt: skip
    assert Path(place / "plan.yaml").exists()
