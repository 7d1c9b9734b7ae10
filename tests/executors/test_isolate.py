"""A piece of work in a process of its own: what is kept of its output, how its end is told, when it is late."""

import importlib.util
import os
import select
import signal
import sys
import threading
import time
import types
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganbench.executors import isolate
from ganbench.executors.isolate import OUTPUT_BYTES, _Tail, _Watch, _words, can_fork, run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are split")


def did(work, **more):
    """How a piece of work ended, and what it emitted."""
    events = []
    return run(work, events.append, **more), events


def wait_until_gone(pid):
    deadline = time.monotonic() + 30
    while True:
        assert time.monotonic() < deadline, "it lives"
        try:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return
        except OSError:
            return
        time.sleep(0.01)


# ------------------------------------------------------------------------------------------ output


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 40_000), max_size=8))
def test_of_much_output_the_first_and_the_last_half_are_kept(sizes):
    whole = b"".join(number.to_bytes(4, "big") for number in range(sum(sizes) // 4 + 1))[: sum(sizes)]
    tail, place, half = _Tail(), 0, OUTPUT_BYTES // 2
    for size in sizes:
        tail.add(whole[place : place + size])
        place += size
    lost = max(0, len(whole) - OUTPUT_BYTES)
    cut = f"\n... {lost} bytes left out ...\n".encode()
    assert tail.text() == (whole[:half] + cut + whole[-half:] if lost else whole)


def test_64_kib_are_kept():
    assert OUTPUT_BYTES == 65536
    ending, _ = did(lambda emit: os.write(1, b"a" * 40_000) and os.write(2, b"b" * 40_000) and None)
    assert ending.output == b"a" * 32768 + b"\n... 14464 bytes left out ...\n" + b"b" * 32768


def test_output_of_every_kind_is_kept_and_that_of_this_process_is_not_repeated(monkeypatch):
    with open(1, "w", closefd=False) as out, open(2, "w", closefd=False) as error:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", error)
        print("written before", end="")
        print("written before", end="", file=sys.stderr)

        def work(emit):
            print("[out]", end="")
            print("[error]", end="", file=sys.stderr)
            emit({"read": os.read(0, 10).decode()})

        ending, events = did(work)
        assert sorted(ending.output.decode().replace("]", "] ").split()) == ["[error]", "[out]"]
        assert events == [{"read": ""}], "there is nobody to answer"


# ------------------------------------------------------------------------------------------ the end


def test_work_that_comes_to_its_end():
    ending, events = did(lambda emit: [emit({"step": step}) for step in range(3)])
    assert ending == isolate.Ending("the process ended itself with exit status 0", b"")
    assert events == [{"step": 0}, {"step": 1}, {"step": 2}]


def test_events_larger_than_a_pipe_come_whole():
    ending, events = did(lambda emit: [emit({"text": "x" * 300_000}), emit({"text": "y"})])
    assert [len(event["text"]) for event in events] == [300_000, 1]
    assert ending.reason.endswith("exit status 0")


def test_what_is_written_in_pieces_is_written_once(monkeypatch):
    written = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, content: written.append((descriptor, content[:3])) or 3)
        isolate._write(7, b"abcdefgh")
    assert written == [(7, b"abc"), (7, b"def"), (7, b"gh")]


def test_a_process_that_nobody_listens_to_ends():
    read, write = os.pipe()
    os.close(read)
    if not (pid := os.fork()):
        signal.alarm(10)
        isolate._write(write, b"x")
        os._exit(5)
    os.close(write)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize(("heard", "times"), [(0, 1), (1, 2), (3, 4), (63, 64), (64, 64), (1000, 64)])
def test_what_is_left_of_the_work_is_read_to_its_end_or_to_a_limit(heard, times):
    listened = []

    class Scripted(_Watch):
        def _listen(self, seconds, stop=None):
            listened.append(stop)
            return len(listened) <= heard

    if not (pid := os.fork()):
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    watch = Scripted(pid, 0, 0, lambda event: None, 0.0, 60.0)
    assert watch.run(7).reason == "the process ended itself with exit status 0"
    assert listened == [None] * times, "it has ended, and nothing else is watched"


def test_an_error_is_printed_and_told(monkeypatch):
    def work(emit):
        raise ValueError("planted")

    with open(2, "w", closefd=False) as error:
        monkeypatch.setattr(sys, "stderr", error)
        ending, events = did(work)
    assert ending.reason == "the process ended itself with exit status 1"
    assert b"ValueError: planted" in ending.output
    assert events == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_is_named(number):
    ending, _ = did(lambda emit: os.kill(os.getpid(), number))
    hint = " (out of memory?)" if number == signal.SIGKILL else ""
    assert ending.reason == f"the process was ended by the signal {number.name}{hint}"


def test_the_words_of_every_status():
    assert _words(0) == "the process ended itself with exit status 0"
    assert _words(7 << 8) == "the process ended itself with exit status 7"
    assert _words(6) == "the process was ended by the signal SIGABRT"
    assert _words(9) == "the process was ended by the signal SIGKILL (out of memory?)"
    assert _words(40) == "the process was ended by the signal 40"
    assert 40 not in set(signal.Signals)


def test_a_child_of_the_work_that_goes_on_with_it_emits_nothing_and_ends():
    def work(emit):
        pid = os.fork()
        emit({"parent": bool(pid)})
        if pid:
            emit({"status": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])})

    assert did(work)[1] == [{"parent": True}, {"status": 0}]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the process table of Linux")
def test_what_the_work_started_ends_with_it():
    def work(emit):
        if not (pid := os.fork()):
            time.sleep(1000)
        emit({"pid": pid, "group": os.getpgid(0) == os.getpid()})

    ending, events = did(work)
    assert ending.reason.endswith("exit status 0")
    assert events[0]["group"]
    wait_until_gone(events[0]["pid"])


def test_what_left_the_group_and_writes_for_ever_keeps_nobody_waiting():
    def work(emit):
        if not (pid := os.fork()):
            os.setsid()
            with suppress(OSError):
                while True:
                    os.write(1, b"x" * 1000)
            os._exit(0)
        emit({"pid": pid})

    ending, events = did(work)
    try:
        assert ending.reason.endswith("exit status 0")
        assert isolate.DRAINED == 64
        # as large as a pipe at most: not all that it might write
        assert len(ending.output) <= OUTPUT_BYTES + 100
    finally:
        with suppress(ProcessLookupError):
            os.kill(events[0]["pid"], signal.SIGKILL)


def test_a_process_whose_parent_is_another_than_it_thinks_ends():
    for parent, status in ((os.getpid(), 5), (os.getpid() + 1, 0)):
        if not (pid := os.fork()):
            isolate.die_with_parent(parent)
            os._exit(5)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == status


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks it of Linux")
def test_work_ends_with_the_process_that_began_it():
    read, write = os.pipe()
    if not (pid := os.fork()):
        os.close(read)

        def work(emit):
            os.write(write, f"{os.getpid()}\n".encode())
            time.sleep(1000)

        run(work, lambda event: None)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as said:
        inner = int(said.readline())
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    wait_until_gone(inner)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the process table of Linux")
def test_the_end_of_a_watched_file_ends_the_work_and_this_process():
    stop, kept = os.pipe(), os.pipe()
    if not (pid := os.fork()):
        os.close(stop[1])

        def work(emit):
            os.write(kept[1], f"{os.getpid()}\n".encode())
            time.sleep(1000)

        run(work, lambda event: None, stop=stop[0])
        os._exit(3)
    os.close(kept[1])
    with os.fdopen(kept[0]) as said:
        inner = int(said.readline())
    os.close(stop[1])
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    wait_until_gone(inner)
    os.close(stop[0])


def test_no_descriptor_stays_open_and_other_threads_are_no_warning():
    waiting = threading.Event()
    thread = threading.Thread(target=waiting.wait)
    thread.start()
    try:
        did(lambda emit: None)
        before = sorted(os.listdir("/dev/fd"))
        did(lambda emit: None)
        assert sorted(os.listdir("/dev/fd")) == before
        with pytest.raises(ZeroDivisionError):
            run(lambda emit: emit({}), lambda event: 1 / 0)
        assert sorted(os.listdir("/dev/fd")) == before
    finally:
        waiting.set()
        thread.join()


# ------------------------------------------------------------------------------------------ late or silent


def test_work_that_takes_too_long_or_hangs_is_ended():
    ending, events = did(lambda emit: [emit({}), time.sleep(1000)], limit=0.2)
    assert ending.reason == "it took longer than its time limit of 0.2 seconds"
    assert events == [{}]
    ending, _ = did(lambda emit: time.sleep(1000), silence=0.2)
    assert ending.reason == "it gave no sign of life for 0.2 seconds"


class Clock:
    """A clock that stands still until it is set, and notes who sleeps."""

    def __init__(self):
        self.now, self.slept = 100.0, []
        self.sleep = self.slept.append

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(isolate, "time", clock)
    return clock


def watch(limit, silence, events=0, output=0, emit=None):
    return _Watch(0, events, output, emit or (lambda event: None), limit, silence)


@pytest.mark.parametrize(("limit", "silence", "now", "heard", "told"), [
    (5.0, 60.0, 105.0, 0, ""), (5.0, 60.0, 105.5, 0, "limit of 5 seconds"), (0.0, 60.0, 105.5, 0, ""),
    (0.0, 5.0, 105.0, 0, ""), (0.0, 5.0, 105.5, 0, "no sign of life for 5 seconds"), (0.0, 5.0, 105.5, 103.0, ""),
    (5.0, 5.0, 105.5, 0, "limit of 5 seconds"), (5.0, 60.0, 105.5, 105.5, "limit of 5 seconds"),
])  # fmt: skip
def test_a_limit_is_of_all_and_silence_of_the_time_since_the_last_event(clock, limit, silence, now, heard, told):
    one = watch(limit, silence)
    one.heard, clock.now = heard or one.heard, now
    assert one._late().endswith(told)
    assert bool(one._late()) == bool(told)


def test_the_default_silence(monkeypatch):
    for text, seconds in ((None, 600.0), ("7.5", 7.5)):
        monkeypatch.delenv("GANBENCH_HEARTBEAT_SECONDS", raising=False)
        if text:
            monkeypatch.setenv("GANBENCH_HEARTBEAT_SECONDS", text)
        spec = importlib.util.spec_from_file_location("ganbench_tests_isolate", isolate.__file__)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        assert seconds == module.HEARTBEAT_SECONDS
    taken = []

    class Watched(_Watch):
        def __init__(self, *arguments):
            taken.append(arguments[-2:])
            super().__init__(*arguments)

    monkeypatch.setattr(isolate, "_Watch", Watched)
    did(lambda emit: None)
    did(lambda emit: None, limit=50.0, silence=70.0)
    assert taken == [(0.0, isolate.HEARTBEAT_SECONDS), (50.0, 70.0)]


def test_what_is_heard(clock):
    (events, speak), (output, say), heard = os.pipe(), os.pipe(), []
    one = watch(0.0, 1.0, events, output, heard.append)
    assert not one._listen(0.0)
    assert clock.slept == [], "nothing is ready: it waited where it listens"
    clock.now = 101.0
    os.write(say, b"words")
    assert one._listen(0.0)
    assert (one.heard, one.tail.text(), heard) == (100.0, b"words", [])
    os.write(speak, b'{"step": 1}\n{"step": 2}\n{"st')
    assert one._listen(0.0)
    assert (one.heard, heard) == (101.0, [{"step": 1}, {"step": 2}])
    os.write(speak, b'ep": 3}\n')
    os.write(say, b" more")
    assert one._listen(0.0)
    assert (one.tail.text(), heard[2:]) == (b"words more", [{"step": 3}])
    os.close(speak)
    os.close(say)
    for seconds in (0.25, 0.0):
        assert not one._listen(seconds)
    # what is closed is always ready: it sleeps a little instead, and never longer than it was to listen
    assert 0 < clock.slept[0] <= 0.25
    assert clock.slept[1:] == [0.0]
    os.close(events)
    os.close(output)


def test_it_listens_for_as_long_as_it_is_told(monkeypatch):
    waits = []
    fake = types.SimpleNamespace(select=lambda read, write, odd, seconds: waits.append((read, seconds)) or ([], [], []))
    monkeypatch.setattr(isolate, "select", fake)
    one = watch(0.0, 1.0, 5, 6)
    one._listen(0.25)
    one._listen(0.5, 7)
    one._listen(0.5, 0)
    assert waits == [([5, 6], 0.25), ([5, 6, 7], 0.5), ([5, 6, 0], 0.5)]
    assert select.select is not fake.select


@pytest.mark.parametrize(("gpu", "fine"), [(None, True), (False, True), (True, False)])
def test_a_process_with_a_gpu_is_not_split(monkeypatch, gpu, fine):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    if gpu is not None:
        cuda = types.SimpleNamespace(is_available=lambda: gpu)
        monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=cuda))
    assert can_fork() is fine
