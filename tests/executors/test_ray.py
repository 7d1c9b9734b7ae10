"""Ray itself, where it is installed: the same tables without a shared disk, after kills, and when its head is gone.

A cluster is this machine. What only Ray is asked for stands in test_clusters.py, through a stand-in of its package.
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from overriding import over
from same import equal

from ganbench import api
from ganbench.errors import Exit
from ganbench.executors.remote import Post
from ganbench.results.store import ATTEMPTS

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

GRID = ["problem=ring8", "seeds=2", "batch_size=16", "samples=64", "neighbours=32", "network.mlp.width=8", "steps=20",
        "probe_every=10", "loss=hinge", "normalization=none,spectral"]  # fmt: skip
LONG = over([*GRID, "steps=1000", "probe_every=20"])
PATIENCE = 300.0


@pytest.fixture(autouse=True)
def as_others(monkeypatch):
    """Ray's workers have the priority of other processes: beside other work they would come to nothing."""
    monkeypatch.setenv("RAY_worker_niceness", "0")


@pytest.fixture
def apart(monkeypatch):
    """No machine but this one has the study's directory: workers look for it where it is not."""
    letter = Post.letter
    monkeypatch.setattr(Post, "letter", lambda post, task: letter(post, task) | {"study": "/not/here"})


def in_a_while(holds):
    until = time.monotonic() + PATIENCE
    while not (found := holds()):
        assert time.monotonic() < until, "in vain"
        time.sleep(0.02)
    return found


def has_checkpoint(study):
    """Tell whether an attempt has one beyond its start: there is one at every probe, which it follows."""
    files = (study / ATTEMPTS).glob("*/*/populations/*/checkpoint.pt")
    return any(len((file.parent / "series.jsonl").read_text().splitlines()) > 2 for file in files)


def at_work():
    """The processes of Ray that are at a task of this one: they are called after its function."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes()
            variables = (place / "environ").read_bytes()
        except OSError:
            continue
        if words.startswith(b"ray::there") and f"GANBENCH_TEST={os.getpid()}".encode() in variables.split(b"\0"):
            found.append(int(place.name))
    return found


@pytest.fixture
def marked(monkeypatch):
    """Ray's processes inherit by what they are told from those of others."""
    monkeypatch.setenv("GANBENCH_TEST", str(os.getpid()))
    monkeypatch.setenv("GANBENCH_CHECKPOINT_SECONDS", "-1")


def meanwhile(action):
    """Do something beside the training, and return what is to be called at its end."""
    failures = []

    def acted():
        try:
            action()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=acted)
    thread.start()

    def joined():
        thread.join(PATIENCE)
        assert not failures, failures

    return joined


def test_ray_gives_the_same_tables(tmp_path):
    study = api.run(None, [*GRID, "executor=ray"], out=tmp_path / "study")
    equal(study, api.run(None, GRID, out=tmp_path / "here", workers=1))


@pytest.mark.usefixtures("apart")
def test_without_a_shared_disk_files_come_back(tmp_path, monkeypatch):
    taken, take = [], Post.take
    monkeypatch.setattr(Post, "take", lambda post, task, answer: taken.append(answer) or take(post, task, answer))
    study = api.run(None, [*GRID, "executor=ray"], out=tmp_path / "study")
    assert ["files" in answer for answer in taken] == [True, True]
    equal(study, api.run(None, GRID, out=tmp_path / "here", workers=1))


@pytest.mark.usefixtures("marked")
@pytest.mark.parametrize("disk", ["shared", "apart"])
def test_a_ray_worker_that_is_killed_costs_no_bit(tmp_path, request, disk):
    """On a shared disk it is killed when it has a checkpoint, from which the next goes on; else amid its work."""
    if disk == "apart":
        request.getfixturevalue("apart")
    study, killed = tmp_path / "study", []

    def kill():
        if disk == "shared":
            in_a_while(lambda: has_checkpoint(study))
        pid = in_a_while(at_work)[0]
        time.sleep(0.0 if disk == "shared" else 3.0)
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)

    joined = meanwhile(kill)
    found = api.run(None, [*LONG, "executor=ray"], out=study)
    joined()
    assert killed
    equal(found, api.run(None, LONG, out=tmp_path / "straight", workers=1))


# ------------------------------------------------------------------------------------------ the head


class Head:
    """A cluster of one machine as processes of their own, at an address that stays."""

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address, self.log, self.process = f"127.0.0.1:{self.port}", folder / "head.log", None

    def start(self):
        words = ["start", "--head", "--block", f"--port={self.port}", "--num-cpus=2", "--include-dashboard=false",
                 "--disable-usage-stats", "--object-store-memory=100000000"]  # fmt: skip
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "ray.scripts.scripts", *words]
            self.process = subprocess.Popen(command, start_new_session=True, stdout=log, stderr=log)
        in_a_while(self.answers)

    def answers(self):
        return b"Ray runtime started" in self.log.read_bytes()

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.write_bytes(b"")


@pytest.fixture
def head(tmp_path, monkeypatch):
    # Ray lets nobody in without a token: one of this test's own
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    head = Head(tmp_path)
    head.start()
    yield head
    with suppress(ProcessLookupError):
        head.kill()


@pytest.mark.usefixtures("marked")
def test_a_head_that_is_gone_ends_the_command_with_a_sentence_and_it_goes_on_when_repeated(tmp_path, head):
    """Ray's own head keeps nothing beyond its end: another one at its address is another cluster.

    The command is a process of its own, since Ray ends whoever was connected for too long.
    """
    study, resumed = tmp_path / "study", []
    words = [*LONG, "executor=ray", f"executor.address={head.address}"]
    command = [sys.executable, "-m", "ganbench", "run", *words, "--out", str(study)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    in_a_while(lambda: has_checkpoint(study) or process.poll() is not None)
    assert process.poll() is None, process.communicate()[0]
    head.kill()
    said, _ = process.communicate(timeout=PATIENCE)
    assert "Error: Cannot go on: the head of the Ray cluster is gone; repeat the command when it is back" in said
    assert process.returncode == Exit.USAGE
    found = api.run(
        None, LONG, out=study, workers=1,
        watch=lambda name, event: resumed.append(event["step"]) if event["event"] == "resumed" else None,
    )  # fmt: skip
    assert max(resumed) > 0, "what its workers had is taken over"
    equal(found, api.run(None, LONG, out=tmp_path / "straight", workers=1))
