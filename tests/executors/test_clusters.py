"""What Dask, Ray and Slurm are asked for, through stand-ins of their packages: clusters, jobs, answers, refusals."""

import socket
import sys
from asyncio import CancelledError
from pathlib import Path
from types import SimpleNamespace

import pytest

from ganbench import executing, registry
from ganbench.errors import UserError
from ganbench.executors import dask, ray, slurm
from ganbench.executors.dask import Dask
from ganbench.executors.ray import Ray
from ganbench.executors.slurm import Slurm

LETTER = {"asked": {"name": "it"}, "number": 1}


@pytest.fixture
def pumped(monkeypatch):
    """What was asked to be done, by which engine; nothing is done."""
    found = []
    for module in (dask, ray, slurm):
        monkeypatch.setattr(module, "pump", lambda tasks, engine: found.append((tasks, engine)))
    return found


@pytest.mark.parametrize(("executor", "module", "told"), [
    (Dask("", "", 1), "distributed", "The executor 'dask' needs Dask: pip install 'ganbench[dask]' for "),
    (Ray("", 0.0, 1), "ray", "The executor 'ray' needs Ray: pip install 'ganbench[ray]' for "),
    (Slurm("", 1, 1, 0, 1, "slurm", 1.0), "submitit",
     "The executor 'slurm' needs submitit: pip install 'ganbench[slurm]' for "),
])  # fmt: skip
def test_a_package_that_is_missing_is_named(monkeypatch, executor, module, told):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError) as refused:
        executor.run(None)
    assert str(refused.value) == f"{told}{sys.executable}."


# ------------------------------------------------------------------------------------------ by name


@pytest.mark.parametrize(("name", "settings", "found"), [
    ("dask", {}, Dask("", "", 1)),
    ("dask", {"address": "a", "scheduler_file": "f", "workers": 3}, Dask("a", "f", 3)),
    ("ray", {}, Ray("", 0.0, 1)), ("ray", {"address": "auto", "gpus": 0.5, "workers": 3}, Ray("auto", 0.5, 3)),
    ("slurm", {}, Slurm("", 240, 4, 0, 500, "slurm", 5.0)),
    ("slurm", {"partition": "p", "minutes": 7, "memory_gb": 8, "gpus": 2, "jobs": 9, "cluster": "local",
               "seconds": 0.5}, Slurm("p", 7, 8, 2, 9, "local", 0.5)),
])  # fmt: skip
def test_an_executor_is_made_of_its_settings(name, settings, found):
    assert registry.get("executor", name)(**settings) == found


@pytest.mark.parametrize(("executor", "workers"), [
    (Dask("", "", 3), 3), (Ray("", 0.0, 4), 4), (Slurm("", 240, 4, 0, 5, "slurm", 5.0), 5)
])  # fmt: skip
def test_an_executor_tells_its_workers(executor, workers):
    assert executor.workers == workers


@pytest.mark.parametrize("key", ["minutes", "memory_gb", "jobs"])
def test_a_count_is_from_one_to_a_hundred_thousand(key):
    for value in (1, 100_000):
        taken = executing.taken({}, {"executor": "slurm", f"executor.{key}": value})
        assert taken == {"name": "slurm", key: value}
    for value in (0, 100_001):
        with pytest.raises(UserError, match=rf"^The key 'executor.{key}' must be "):
            executing.taken({}, {"executor": "slurm", f"executor.{key}": value})


# ------------------------------------------------------------------------------------------ Dask


class Opened:
    """A client or a cluster: notes what it was made with, and that it was closed."""

    def __init__(self, *words, **more):
        self.made, self.open, self.status = (words, more), True, "running"
        self.topics = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.open = False

    def subscribe_topic(self, topic, handler):
        self.topics[topic] = handler


@pytest.fixture
def distributed(monkeypatch):
    """The package, and what was made of it."""
    made = []

    def maker(kind):
        return lambda *words, **more: made.append((kind, Opened(*words, **more))) or made[-1][1]

    package = SimpleNamespace(made=made, Client=maker("client"), LocalCluster=maker("cluster"))
    monkeypatch.setitem(sys.modules, "distributed", package)
    return package


@pytest.mark.parametrize(("executor", "made"), [
    (Dask("tcp://h:1", "", 1), ((("tcp://h:1",)), {"timeout": 30})),
    (Dask("", "s.json", 1), ((), {"scheduler_file": "s.json", "timeout": 30})),
    (Dask("tcp://h:1", "s.json", 1), ((), {"scheduler_file": "s.json", "timeout": 30})),
])  # fmt: skip
def test_a_dask_cluster_is_asked_for_at_its_address_or_by_its_file(distributed, pumped, executor, made):
    executor.run("tasks")
    ((kind, client),) = distributed.made
    ((tasks, engine),) = pumped
    assert (kind, client.made, client.open) == ("client", made, False)
    assert (tasks, engine.client) == ("tasks", client)


def test_a_dask_cluster_of_this_machine_has_as_many_workers_of_one_thread(distributed, pumped):
    Dask("", "", 3).run("tasks")
    (_, cluster), (_, client) = distributed.made
    assert cluster.made == ((), {"n_workers": 3, "threads_per_worker": 1, "dashboard_address": None})
    assert client.made == ((cluster,), {})
    assert not cluster.open
    assert not client.open


@pytest.mark.parametrize(("executor", "at"), [
    (Dask("tcp://h:1", "", 1), "tcp://h:1"), (Dask("tcp://h:1", "s.json", 1), "s.json")
])  # fmt: skip
def test_a_dask_scheduler_that_is_not_there_is_one_sentence(distributed, monkeypatch, executor, at):
    def nobody(*_, **__):
        raise OSError("Timed out")

    monkeypatch.setattr(distributed, "Client", nobody)
    with pytest.raises(UserError) as refused:
        executor.run(None)
    assert str(refused.value) == f"There is no Dask scheduler at '{at}': OSError: Timed out."


@pytest.mark.parametrize("status", ["running", "connecting", "closed"])
def test_a_dask_scheduler_that_goes_away_for_good_is_one_sentence(distributed, monkeypatch, status):
    def broken(tasks, engine):
        engine.client.status = status
        raise RuntimeError("no")

    monkeypatch.setattr(dask, "pump", broken)
    with pytest.raises(Exception, match="no") as raised:
        Dask("tcp://h:1", "", 1).run(None)
    if status == "closed":
        assert isinstance(raised.value, UserError)
        told = "Cannot go on: the Dask scheduler is gone; repeat the command when it is back (RuntimeError: no)."
        assert str(raised.value) == told
    else:
        assert isinstance(raised.value, RuntimeError), "our own fault is told as one"


def test_two_tasks_are_out_for_each_thread_that_was_there_last():
    client = Opened()
    engine = dask._Cluster(client)

    def gone():
        raise OSError

    client.nthreads = gone
    assert engine.room() == 2
    client.nthreads = lambda: {"a": 4, "b": 1}
    assert engine.room() == 10
    client.nthreads = gone
    assert engine.room() == 10


def test_dask_is_sent_the_earlier_first_and_each_once():
    client, sent = Opened(), []
    client.submit = lambda *words, **more: sent.append((words, more)) or len(sent)
    engine = dask._Cluster(client)
    assert engine.submit(["a", "b"]) == [1, 2]
    assert engine.submit(["c"]) == [3]
    assert [words for words, _ in sent] == [(dask.on_worker, letter) for letter in "abc"]
    # two letters may be the same, and a higher priority goes first
    assert [more for _, more in sent] == [{"pure": False, "priority": -number} for number in (1, 2, 3)]


class Future:
    def __init__(self, status, result=None):
        self.status, self.outcome, self.job_id, self.cancelled = status, result, "7_1", False

    def done(self):
        return self.status != "pending"

    def result(self):
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome

    def cancel(self, *, check=True):
        assert not check, "one that has ended meanwhile is no error"
        self.cancelled = True


def test_dask_answers_within_a_second_and_tells_what_is_lost(distributed):
    fine, lost, out = Future("finished", {"x": 1}), Future("error", RuntimeError("killed")), Future("pending")
    asked = []

    def wait(*words, **more):
        asked.append((words, more))
        return SimpleNamespace(done=[fine, lost])

    distributed.wait = wait
    found = list(dask._Cluster(Opened()).ended([fine, lost, out]))
    assert found == [(fine, {"x": 1}), (lost, "the cluster lost it (RuntimeError: killed)")]
    assert asked == [(([fine, lost, out],), {"timeout": 1.0, "return_when": "FIRST_COMPLETED"})]


@pytest.mark.parametrize("error", [TimeoutError(), CancelledError()])
def test_dask_answers_what_has_ended_where_nothing_can_be_waited_for(distributed, error):
    def wait(*_, **__):
        raise error

    distributed.wait = wait
    futures = [Future(s, CancelledError()) for s in ("error", "cancelled", "lost", "pending")]
    futures.append(Future("finished", {"x": 1}))
    lost = "the cluster lost it (CancelledError)"
    assert dict(dask._Cluster(Opened()).ended(futures)) == {
        **dict.fromkeys(futures[:3], lost), futures[4]: {"x": 1}
    }  # fmt: skip


def test_dask_hears_what_workers_tell_once(distributed, monkeypatch):
    client, logged = Opened(), []
    engine = dask._Cluster(client)
    monkeypatch.setattr(dask, "there", lambda letter, emit: emit({"event": "progress"}) or {"letter": letter})
    distributed.get_worker = lambda: SimpleNamespace(log_event=lambda *words: logged.append(words))
    assert dask.on_worker(LETTER) == {"letter": LETTER}
    ((topic, message),) = logged
    # Dask hands a subscriber what was logged with its time before it
    client.topics[topic]((0.0, message))
    assert list(engine.heard()) == [("it", {"event": "progress"})]
    assert list(engine.heard()) == []


def test_dask_is_told_what_is_given_up_if_anything():
    client, given_up = Opened(), []
    client.cancel = given_up.append
    engine = dask._Cluster(client)
    engine.cancel([])
    assert given_up == []
    engine.cancel(["a", "b"])
    assert given_up == [["a", "b"]]


# ------------------------------------------------------------------------------------------ Ray


@pytest.fixture
def fake_ray(monkeypatch):
    """The package: notes what it is asked for, in order."""
    log = []

    def remote(**resources):
        return lambda function: SimpleNamespace(remote=lambda letter: (resources, function, letter))

    package = SimpleNamespace(
        log=log, remote=remote, init=lambda **words: log.append(("init", words)), cancel=lambda h: log.append(h),
        shutdown=lambda: log.append("shutdown"), cluster_resources=lambda: {"CPU": 3.0, "GPU": 1.0},
        get_runtime_context=lambda: SimpleNamespace(gcs_address="h:1"),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "ray", package)
    return package


@pytest.mark.parametrize(("executor", "asked"), [
    (Ray("auto", 0.0, 2), {"address": "auto", "log_to_driver": False}),
    (Ray("", 0.0, 2), {"address": "local", "log_to_driver": False, "num_cpus": 2}),
])  # fmt: skip
def test_ray_is_begun_and_ended(fake_ray, pumped, executor, asked):
    executor.run("tasks")
    ((tasks, engine),) = pumped
    assert fake_ray.log == [("init", asked), "shutdown"]
    assert (tasks, engine.ray, engine.head) == ("tasks", fake_ray, "h:1")


def test_a_ray_client_that_does_not_know_its_head_looks_for_none(fake_ray, pumped, monkeypatch):
    monkeypatch.setattr(fake_ray, "get_runtime_context", lambda: SimpleNamespace())
    Ray("ray://h:1", 0.0, 1).run("tasks")
    ((_, engine),) = pumped
    assert (engine.head, engine.room()) == ("", 6)


def test_ray_is_ended_where_the_command_is(fake_ray, monkeypatch):
    def interrupted(tasks, engine):
        raise KeyboardInterrupt

    monkeypatch.setattr(ray, "pump", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Ray("", 0.0, 1).run(None)
    assert fake_ray.log[-1] == "shutdown"


def test_a_ray_cluster_that_is_not_there_is_one_sentence(fake_ray, monkeypatch):
    def nobody(**_):
        raise ConnectionError("nobody answers")

    monkeypatch.setattr(fake_ray, "init", nobody)
    with pytest.raises(UserError) as refused:
        Ray("ray://h:1", 0.0, 1).run(None)
    assert str(refused.value) == "There is no Ray cluster at 'ray://h:1': ConnectionError: nobody answers."


def test_ray_has_a_task_on_a_processor_and_a_share_of_a_gpu(fake_ray, monkeypatch):
    engine = ray._Cluster(fake_ray, 0.5)
    resources = {"num_cpus": 1, "num_gpus": 0.5, "max_retries": 3}
    assert engine.submit(["a", "b"]) == [(resources, ray.there, letter) for letter in "ab"]
    assert engine.room() == 6
    monkeypatch.setattr(fake_ray, "cluster_resources", dict)
    assert engine.room() == 2
    engine.cancel(["a", "b"])
    assert fake_ray.log == ["a", "b"]


def test_ray_answers_within_a_second_and_tells_what_is_lost(fake_ray):
    fine, lost, out = Future("finished", {"x": 1}), Future("error", RuntimeError("killed")), Future("pending")
    asked = []

    def wait(*words, **more):
        asked.append((words, more))
        return [fine, lost], [out]

    fake_ray.wait, fake_ray.get = wait, Future.result
    found = list(ray._Cluster(fake_ray, 0.0).ended([fine, lost, out]))
    assert found == [(fine, {"x": 1}), (lost, "the cluster lost it (RuntimeError: killed)")]
    assert asked == [(([fine, lost, out],), {"num_returns": 1, "timeout": 1.0})]


def test_a_ray_head_that_is_gone_is_waited_for_and_asked_nothing_and_then_it_is_one_sentence(fake_ray, monkeypatch):
    class Clock:
        now, slept = 100.0, 0

        def monotonic(self):
            return self.now

        def sleep(self, seconds):
            self.now, self.slept = self.now + seconds, self.slept + 1

    monkeypatch.setattr(ray, "time", clock := Clock())
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        engine = ray._Cluster(fake_ray, 0.0, f"127.0.0.1:{listening.getsockname()[1]}")
        clock.now = 150.0
        assert engine.room() == 6, "it is there, whatever has passed"
    for asked in ("cluster_resources", "wait", "get"):
        monkeypatch.setattr(fake_ray, asked, None, raising=False)
    assert engine.room() == 6, "as many as before"

    def waited_for():
        while True:
            assert list(engine.ended(["a"])) == [], "nobody counts as lost, to be sent again"

    with pytest.raises(UserError) as refused:
        waited_for()
    assert str(refused.value).startswith(
        "Cannot go on: the head of the Ray cluster is gone; repeat the command when it is back (ConnectionRefusedError"
    )
    assert clock.slept == 31, "half a minute, of the minute after which Ray ends this process"


# ------------------------------------------------------------------------------------------ Slurm


class Submitit:
    """Stands for submitit's executor and its package."""

    def __init__(self, broken=False):
        self.broken, self.made, self.asked, self.arrays = broken, None, {}, []

    def AutoExecutor(self, folder, cluster):  # noqa: N802
        if self.broken:
            raise RuntimeError("Could not detect slurm")
        self.made = (folder, cluster)
        return self

    def update_parameters(self, **asked):
        self.asked = asked

    def map_array(self, function, letters):
        self.arrays.append((function, letters))
        return (Future("pending") for _ in letters)


@pytest.mark.parametrize(("executor", "asked"), [
    (Slurm("", 240, 4, 0, 500, "slurm", 5.0),
     {"timeout_min": 240, "cpus_per_task": 1, "mem_gb": 4, "slurm_array_parallelism": 500,
      "slurm_job_name": "ganbench"}),
    (Slurm("p", 7, 8, 2, 9, "slurm", 5.0),
     {"timeout_min": 7, "cpus_per_task": 1, "mem_gb": 8, "gpus_per_node": 2, "slurm_partition": "p",
      "slurm_array_parallelism": 9, "slurm_job_name": "ganbench"}),
    (Slurm("p", 7, 8, 0, 9, "local", 5.0), {"timeout_min": 7, "cpus_per_task": 1, "mem_gb": 8}),
])  # fmt: skip
def test_slurm_is_asked_for_jobs_in_the_studys_folder(monkeypatch, pumped, tmp_path, executor, asked):
    package = Submitit()
    monkeypatch.setitem(sys.modules, "submitit", package)
    monkeypatch.chdir(tmp_path)
    tasks = SimpleNamespace(store=SimpleNamespace(path=Path("study")))
    executor.run(tasks)
    assert package.made == (tmp_path / "study" / "slurm", executor.cluster)
    assert package.asked == asked
    ((given, engine),) = pumped
    assert (given, engine.executor, engine.room(), engine.seconds) == (tasks, package, executor.jobs, 5.0)


def test_where_there_is_no_slurm_it_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "submitit", Submitit(broken=True))
    tasks = SimpleNamespace(store=SimpleNamespace(path=tmp_path))
    with pytest.raises(UserError) as refused:
        Slurm("", 1, 1, 0, 1, "slurm", 1.0).run(tasks)
    assert str(refused.value) == "There is no Slurm here: RuntimeError: Could not detect slurm."


def test_letters_go_to_slurm_as_one_array_of_jobs_that_may_be_preempted(monkeypatch):
    package = Submitit()
    handles = slurm._Queue(package, 5, 1.0).submit(["a", "b"])
    assert len(handles) == 2
    ((job, letters),) = package.arrays
    assert letters == ["a", "b"]
    monkeypatch.setattr(slurm, "there", lambda letter: {"answer": letter})
    assert job("a") == {"answer": "a"}
    again = SimpleNamespace(DelayedSubmission=lambda *words: words)
    monkeypatch.setitem(sys.modules, "submitit", SimpleNamespace(helpers=again))
    monkeypatch.setitem(sys.modules, "submitit.helpers", again)
    assert job.checkpoint("a") == (job, "a"), "what is queued in its place is the same job"


def test_slurm_is_looked_at_again_after_a_while_and_what_was_killed_is_named(monkeypatch):
    slept = []
    monkeypatch.setattr(slurm.time, "sleep", slept.append)
    queue = slurm._Queue(None, 5, 2.5)
    fine, out = Future("finished", {"x": 1}), Future("pending")
    killed = Future("failed", RuntimeError("out of time"))
    assert list(queue.ended([out])) == []
    assert slept == [2.5]
    told = "its Slurm job 7_1 did not end (RuntimeError: out of time)"
    assert list(queue.ended([fine, out, killed])) == [(fine, {"x": 1}), (killed, told)]
    assert slept == [2.5], "where something has ended nobody waits"
    queue.cancel([fine, out])
    assert (fine.cancelled, out.cancelled, killed.cancelled) == (True, True, False)
