"""Ctrl-C: one sentence, exit code 130, no traceback of any process, nothing lost."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from ganbench import interrupts


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def starting(process, study):
    """Tell whether the workers exist, which takes seconds less than that they train."""
    work = children(process.pid)
    return len(work) == 1 and len(children(work[0])) == 2


def training(process, study):
    return list(study.glob("populations/*/series.jsonl"))


@pytest.mark.parametrize("moment", [starting, training])
def test_interrupt_is_one_sentence_and_loses_nothing(tiny, tmp_path, moment):
    overrides = [text for text in tiny if not text.startswith(("steps", "normalization"))]
    command = [sys.executable, "-m", "ganbench", "run", *overrides, "steps=100000", "normalization=none,layer"]
    with subprocess.Popen(
        [*command, "--out", tmp_path / "study", "--workers", "2"],
        start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # tests that run in the background of a shell are started with the interrupt ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        try:
            deadline = time.monotonic() + 60
            while not moment(process, tmp_path / "study"):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            subprocess.run(["kill", "-INT", "--", f"-{process.pid}"], check=True)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 128 + signal.SIGINT
    assert err == "Interrupted; repeat the command to go on.\n"


# ------------------------------------------------------------------------------------------ within a process


@pytest.fixture
def free(monkeypatch):
    """No signal has arrived yet, and whoever handles it now handles it again afterwards."""
    monkeypatch.setattr(interrupts, "_arrived", [])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def arrives(at=None):
    """Tell whether a signal interrupts."""
    if at is not None:
        interrupts.time.now = at
    try:
        interrupts.handle(signal.SIGINT, None)
    except KeyboardInterrupt:
        return True
    return False


def test_signals_that_belong_together_interrupt_once(free, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(interrupts, "time", clock)
    assert interrupts.ONCE_SECONDS == 1.0
    # each counts from the one before it, whether that interrupted or not
    assert [arrives(at) for at in (10.0, 10.5, 11.25, 12.25, 12.25, 20.0)] == [True, False, False, True, False, True]


def test_a_signal_that_is_ignored_stays_ignored(free):
    for before, after in ((signal.SIG_IGN, signal.SIG_IGN), (signal.SIG_DFL, interrupts.handle)):
        signal.signal(signal.SIGINT, before)
        interrupts.install()
        assert signal.getsignal(signal.SIGINT) is after


def test_a_block_knows_whether_a_signal_arrived_in_it(free):
    arrives()
    with interrupts.watched() as interrupted:
        assert signal.getsignal(signal.SIGINT) is interrupts.handle
        assert interrupted() is False, "the one before it does not count"
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupted() is True
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(ZeroDivisionError), interrupts.watched():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_in_another_thread_no_signal_is_waited_for(free):
    seen = []

    def block():
        with interrupts.watched() as interrupted:
            seen.append(interrupted())
            arrives()
            seen.append((interrupted(), signal.getsignal(signal.SIGINT) is signal.default_int_handler))

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert seen == [False, (False, True)]


def test_only_a_signal_makes_a_keyboard_interrupt_the_users(free):
    for error in (ValueError(), SystemExit(), GeneratorExit()):
        assert interrupts.is_raised_by_code(error)
    assert not interrupts.is_raised_by_code(KeyboardInterrupt()), "it is not handled here: nobody can tell"
    interrupts.install()
    assert interrupts.is_raised_by_code(KeyboardInterrupt())
    arrives()
    assert not interrupts.is_raised_by_code(KeyboardInterrupt())
    assert interrupts.is_raised_by_code(ValueError())
