"""Workers that are split off: when they may be, what they are told and say, and what they leave to their parent."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from ganbench.executors import forked
from ganbench.files import is_held, locked

pytestmark = pytest.mark.skipif(not forked.sys.platform.startswith("linux"), reason="only there they are split off")


@pytest.mark.parametrize(("of_a_command", "files", "threads", "allowed"), [
    ([], [], 1, True), ([], [], 2, False), ([], ["mine.py"], 1, False),
    ([True], [], 2, True), ([True], ["mine.py"], 1, True),
])  # fmt: skip
def test_where_workers_may_be_split_off(monkeypatch, of_a_command, files, threads, allowed):
    monkeypatch.setattr(forked, "of_a_command", of_a_command)
    monkeypatch.setattr(threading, "active_count", lambda: threads)
    monkeypatch.setattr(forked, "can_fork", lambda: True)
    assert forked.is_allowed(files) is allowed
    monkeypatch.setattr(forked, "can_fork", lambda: False)
    assert not forked.is_allowed(files), "a GPU's threads do not survive it"


def test_none_is_split_off_from_another_thread(monkeypatch):
    monkeypatch.setattr(forked, "of_a_command", [True])
    found = []
    thread = threading.Thread(target=lambda: found.append(forked.is_allowed([])))
    thread.start()
    thread.join()
    assert found == [False]


def test_one_hears_what_it_is_asked_and_tells_with_one_thread_and_without_the_lock(tmp_path):
    def work(events):
        import torch

        asked = os.read(0, 100)
        os.write(events, asked + f"{torch.get_num_threads()} {os.environ['OMP_NUM_THREADS']}\n".encode())
        os.read(0, 100)

    lock = tmp_path / "lock"
    with locked(lock, "taken"):
        process = forked.start(work, [], lock)
        print("so", file=process.stdin, flush=True)
        assert [process.stdout.readline() for _ in range(2)] == ["so\n", "1 1\n"]
        assert is_held(lock), "its own end of it is closed, not the parent's"
    try:
        assert not is_held(lock)
    finally:
        process.kill()
        assert process.wait() == -signal.SIGKILL == process.wait()
        process.kill()  # nothing, where it has ended
        process.stdin.close()
        process.stdout.close()


def test_work_that_raises_ends_with_a_code():
    process = forked.start(lambda events: 1 / 0, [], __file__)
    assert process.stdout.readline() == ""
    assert process.wait() == 1
    process.stdin.close()
    process.stdout.close()


INTERRUPTED = """
import os, signal, torch
from pathlib import Path
from ganbench.executors import forked

# a library's own hook, amid which the interrupt of the whole group comes
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGINT))
process = forked.start(lambda events: os.write(events, b"works\\n"), [], Path("lock"))
print(process.stdout.readline().strip(), process.wait(), signal.pthread_sigmask(signal.SIG_BLOCK, []))
"""


def test_an_interrupt_amid_the_split_is_left_to_the_parent(tmp_path):
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("works 0 set()\n", "")
