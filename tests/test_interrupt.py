"""Ctrl-C: one sentence, exit code 130, no traceback of any process, nothing lost."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


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
