"""The command as a program: whatever a plug-in or the system does to it, its exit code says what happened."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

import ganbench
from ganbench import cli, supervise
from ganbench.errors import Exit

ROOT = Path(ganbench.__file__).parents[1]
# beside the tests: the package may be an installed one
BASELINE = Path(__file__).parents[1] / "reports" / "baselines" / "smoke.json"
GRID = ["problem=ring8", "seeds=1", "batch_size=16", "samples=64", "neighbours=32", "network.mlp.width=8", "steps=20",
        "probe_every=10"]  # fmt: skip
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the process table of Linux")

LOSS = '''
import ctypes, os, signal, sys, time
from ganbench import register

{at_import}

@register("loss")
def mine(real, fake):
    """A hinge of the user's own."""
    {body}
    return (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean(), -fake.mean()
'''


def plugin(folder, at_import="pass", body="pass"):
    file = folder / "mine.py"
    file.write_text(LOSS.format(at_import=at_import, body=body))
    return file


def started(folder, *arguments, out=subprocess.PIPE, err=subprocess.PIPE, **changes):
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "ganbench", *map(str, arguments)], cwd=folder, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **changes}, start_new_session=True,
        stdout=out, stderr=err,
        # tests that run in the background of a shell are started with the interrupt ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def ended(folder, *arguments, **changes):
    """Run a command and return its exit code and what it says on standard error."""
    # files, whose end comes with the command's: pipes end with the last process that holds them
    with (folder / "err.txt").open("w+") as err:
        process = started(folder, *arguments, out=subprocess.DEVNULL, err=err, **changes)
        try:
            process.wait(timeout=120)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        err.seek(0)
        return process.returncode, err.read()


AT_IMPORT = {
    "exit 0": ("os._exit(0)", Exit.INTERNAL, "the program was ended from inside, with exit status 0"),
    "exit 1": ("os._exit(1)", Exit.INTERNAL, "with exit status 1"),
    "segfault": ("ctypes.string_at(0)", Exit.INTERNAL, "by the signal SIGSEGV"),
    "terminate": ("os.kill(os.getpid(), signal.SIGTERM)", Exit.INTERNAL, "by the signal SIGTERM"),
    "a copy stays": ("if os.fork() == 0: time.sleep(1000)\nos._exit(0)", Exit.INTERNAL, "with exit status 0"),
    "sys.exit": ("sys.exit(0)", Exit.USAGE, "raised SystemExit at import: 0"),
    "interrupt": ("raise KeyboardInterrupt", Exit.USAGE, "raised KeyboardInterrupt at import"),
}


@pytest.mark.parametrize("how", AT_IMPORT)
def test_a_plugin_cannot_end_the_command_with_a_code_of_its_choice(tmp_path, how):
    text, code, said = AT_IMPORT[how]
    got, err = ended(tmp_path, "list", "loss", "--plugin", plugin(tmp_path, text))
    assert (got, said in err, len(err.splitlines())) == (code, True, 1), err


def test_check_too_says_that_it_was_ended_from_inside(tmp_path):
    file = plugin(tmp_path, "os._exit(0)")
    got, err = ended(tmp_path, "check", "suite=smoke", "--baseline", BASELINE, "--plugin", file)
    assert (got, "ended from inside, with exit status 0" in err) == (Exit.INTERNAL, True), err


BUG = """
import ganbench.registry
def broken(kind):
    raise ZeroDivisionError("of all things")
ganbench.registry.plugins = broken
"""


def test_an_internal_error_is_a_sentence_with_a_code_of_its_own(tmp_path):
    file = plugin(tmp_path, f"exec({BUG!r})")
    got, err = ended(tmp_path, "list", "loss", "--plugin", file, TMPDIR=str(tmp_path))
    assert got == Exit.INTERNAL
    assert err.startswith("Internal error: ZeroDivisionError: of all things. This is a bug of ganbench")
    assert len(err.splitlines()) == 1
    (details,) = tmp_path.glob("ganbench-*.txt")
    assert "Traceback" in details.read_text()
    _, err = ended(tmp_path, "list", "loss", "--plugin", file, TMPDIR=str(tmp_path), GANBENCH_TRACEBACK="1")
    assert "Traceback" in err


def of_group(group):
    """The processes of a session that live."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
            if int(session) == group and state != "Z":
                found.append(int(stat.parent.name))
    return found


def until(condition, process):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)


def gone(group):
    deadline = time.monotonic() + 60
    while of_group(group) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not of_group(group)


SIGNALS = {
    # to the one process that was started, as `timeout` and CI systems do it
    "interrupt": (signal.SIGINT, Exit.INTERRUPTED, "Interrupted; repeat the command to go on.\n"),
    "terminate": (signal.SIGTERM, 128 + signal.SIGTERM, ""),
    "kill": (signal.SIGKILL, -signal.SIGKILL, ""),
}


@pytest.mark.parametrize("which", SIGNALS)
@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_signal_to_the_command_ends_all_of_it(tmp_path, which, workers):
    number, code, said = SIGNALS[which]
    long = [text for text in GRID if not text.startswith("steps")]
    with started(tmp_path, "run", *long, "steps=1000000", "--out", "study", "--workers", workers) as process:
        try:
            until(lambda: list(tmp_path.glob("study/populations/*/series.jsonl")), process)
            os.kill(process.pid, number)
            _, err = process.communicate(timeout=60)
            assert (process.returncode, err) == (code, said)
            assert gone(process.pid)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_a_key_that_reaches_the_whole_group_interrupts_a_check_once(tmp_path):
    file = plugin(tmp_path, "open('there', 'w').close(); time.sleep(1000)")
    with started(tmp_path, "check", "suite=smoke", "--baseline", BASELINE, "--plugin", file) as process:
        until((tmp_path / "there").exists, process)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (Exit.INTERRUPTED, "Interrupted; repeat the command to go on.\n")


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_loss_that_exits_turns_the_gate_red(tmp_path, own_registry, workers):
    """The loss of the baseline, with `sys.exit(0)` planted where the checks before training see nothing of it."""
    from ganbench import api, checking

    five = [*(text for text in GRID if not text.startswith(("seeds", "steps"))), "loss=mine", "seeds=5", "steps=60"]
    file, baseline = plugin(tmp_path), tmp_path / "baseline.json"
    api.run(None, five, plugins=[file], out=tmp_path / "study", workers=2)
    checking.make_baseline(tmp_path / "study", baseline, {})
    # before it trains a population calls it some sixty times
    plugin(tmp_path, body="mine.calls = getattr(mine, 'calls', 0) + 1\n    if mine.calls > 110: sys.exit(0)")
    got, err = ended(tmp_path, "check", *five, "--baseline", baseline, "--plugin", file, "--workers", workers)
    assert got == Exit.FAILED, err


def test_a_module_in_the_working_directory_reaches_no_worker(tmp_path):
    (tmp_path / "queue.py").write_text("raise SystemExit(0)\n")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "helper.py").write_text("MARGIN = 1.0\n")
    # and what the command itself can import, its workers can
    path = os.pathsep.join([str(ROOT), str(tmp_path / "there")])
    file = plugin(tmp_path, "from helper import MARGIN")
    command = ("run", *GRID, "loss=mine", "--out", "study", "--workers", "2", "--plugin", file)
    assert ended(tmp_path, *command, PYTHONPATH=path) == (Exit.OK, "")


REFUSED = {
    "integer": ("return real.mean().long(), fake.mean().long()", "gives D a loss of type int64, not real numbers"),
    "complex": ("return real.mean() + 0j, fake.mean() + 0j", "gives D a loss of type complex64, not real numbers"),
    "detached": ("return real.mean().detach(), -fake.mean()", "gives D no gradient"),
    "constant for G": ("return fake.mean() - real.mean(), 0 * fake.mean()", "gives G no gradient"),
    "not a number": ("return real.mean() * float('nan'), -fake.mean()", "gives D the loss nan on ordinary logits"),
    "none": ("return None, None", "gives D a NoneType, not one number a batch"),
    "wrong shape": ("return real, fake", "gives D a tensor of shape (16,), not one number a batch"),
    "a number": ("return 1.0, 2.0", "gives D a float, not one number a batch"),
    "hang": ("time.sleep(1000)", "it gave no sign of life for 8 seconds"),
    "exit": ("os._exit(0)", "the process ended itself with exit status 0"),
    "kill": ("os.kill(os.getpid(), signal.SIGKILL)", "the process was ended by the signal SIGKILL"),
}


@pytest.mark.parametrize("how", REFUSED)
def test_a_loss_that_cannot_train_is_refused_before_training(own_registry, tmp_path, how):
    from ganbench import api
    from ganbench.errors import UserError

    body, said = REFUSED[how]
    with pytest.raises(UserError) as refused:
        api.run(
            None, [*GRID, "loss=mine,hinge", "time_limit=8"], plugins=[plugin(tmp_path, body=body)],
            out=tmp_path / "study", workers=2,
        )  # fmt: skip
    assert said in str(refused.value)
    assert "mine" in str(refused.value) or how in ("hang", "exit", "kill")
    assert not (tmp_path / "study").exists()


# ------------------------------------------------------------------------------------------ the code of the end


@pytest.mark.parametrize(("delivered", "status", "passed_on", "code", "said"), [
    (bytes([0]), 9, set(), 0, ""), (bytes([5]), 0, set(), 5, ""), (bytes([255]), 0, {15}, 255, ""),
    (b"", signal.SIGTERM, {signal.SIGTERM}, 128 + signal.SIGTERM, ""),
    (b"", signal.SIGINT, {signal.SIGTERM, signal.SIGINT}, 128 + signal.SIGINT, ""),
    (b"", signal.SIGTERM, {signal.SIGINT}, Exit.INTERNAL, "by the signal SIGTERM"),
    (b"", signal.SIGKILL, set(), Exit.INTERNAL, "by the signal SIGKILL"),
    (b"", 0, {signal.SIGTERM}, Exit.INTERNAL, "with exit status 0"),
    (b"", 3 << 8, set(), Exit.INTERNAL, "with exit status 3"),
])  # fmt: skip
def test_the_code_is_what_was_delivered_else_why_nothing_was(delivered, status, passed_on, code, said, capsys):
    assert supervise._code(delivered, status, passed_on) == code
    err = capsys.readouterr().err
    whole = f"Error: the program was ended from inside, {said}: a plug-in, or the system.\n"
    assert err == (whole if said else "")


def test_what_is_delivered_is_one_byte_or_nothing_without_waiting():
    read, write = os.pipe()
    os.set_blocking(read, False)
    assert supervise._delivered(read) == b""
    os.write(write, bytes([7, 8]))
    assert supervise._delivered(read) == bytes([7])
    os.close(write)
    assert supervise._delivered(read) == bytes([8])
    assert supervise._delivered(read) == b""
    os.close(read)


@pytest.mark.parametrize(("ends", "code"), [
    (None, 0), (SystemExit(), 0), (SystemExit(0), 0), (SystemExit(3), 3), (SystemExit(259), 3), (SystemExit(-1), 255),
    (SystemExit("words"), Exit.INTERNAL), (ZeroDivisionError(), Exit.INTERNAL), (KeyboardInterrupt(), Exit.INTERNAL),
])  # fmt: skip
def test_the_work_delivers_its_code_whatever_ends_it(monkeypatch, ends, code):
    def main():
        if ends is not None:
            raise ends

    monkeypatch.setattr(cli, "main", main)
    read, write = os.pipe()
    with suppress(SystemExit, ZeroDivisionError, KeyboardInterrupt) if ends is None else pytest.raises(type(ends)):
        supervise._work(write)
    os.close(write)
    assert os.read(read, 10) == bytes([code])
    os.close(read)


def test_a_process_that_was_split_off_delivers_nothing(monkeypatch):
    owner = os.getpid()
    pids = iter([owner, owner + 1])
    monkeypatch.setattr(cli, "main", lambda: None)
    monkeypatch.setattr(supervise.os, "getpid", lambda: next(pids))
    read, write = os.pipe()
    supervise._work(write)
    monkeypatch.undo()
    os.close(write)
    assert os.read(read, 10) == b""
    os.close(read)


# ------------------------------------------------------------------------------------------ the standard streams


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        # whoever reads has gone: not 1, which is a regression
        ("list | head -1 > {out}", 130, ""),
        ("list > /dev/full", 2, "Error: Cannot write: No space left on device.\n"),
        # printed at once and flushed at the end
        ("completion bash > /dev/full", 2, "Error: Cannot write: No space left on device.\n"),
        ("list losses 2> /dev/full", 2, ""),
        ("list loss >&-", 0, ""),
        ("list loss <&- >&- 2>&-", 0, ""),
        ("list losses >&- 2>&-", 2, ""),
    ],
)
def test_a_stream_that_takes_nothing_is_no_bug(tmp_path, words, code, said):
    command = f"{sys.executable} -P -m ganbench {words.format(out=tmp_path / 'out')}"
    done = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (code, said)
    # what is closed is not taken by the next file that is opened
    assert {file.name for file in tmp_path.iterdir()} <= {"out"}


def test_what_an_encoding_does_not_have_is_spelt_out(tmp_path):
    place = os.fsencode(tmp_path) + b"/\xc3\xbc\xe9"
    done = subprocess.run(
        [sys.executable, "-P", "-m", "ganbench", "status", place], capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}, check=False, timeout=120,
    )  # fmt: skip
    said = done.stderr.decode("ascii")
    assert (done.returncode, said.count("\n")) == (2, 1)
    assert said.endswith("/\\xfc\\udce9' (no plan.yaml).\n")


def test_where_no_file_can_be_left_a_bug_is_still_told(monkeypatch, capsys):
    from ganbench import console

    monkeypatch.setattr("tempfile.NamedTemporaryFile", lambda *a, **k: (_ for _ in ()).throw(OSError(28, "full")))
    console.tell_bug(RuntimeError("what"))
    told = capsys.readouterr().err
    assert told.startswith("Internal error: RuntimeError: what. This is a bug of ganbench")
    assert told.endswith("with what GANBENCH_TRACEBACK=1 prints.\n")
