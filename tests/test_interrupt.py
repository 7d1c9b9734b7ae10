"""Ctrl-C: one sentence, exit code 130, no traceback of any process, nothing lost."""

import signal
import subprocess
import sys
import time


def test_interrupt_is_one_sentence_and_loses_nothing(tiny, tmp_path):
    overrides = [text for text in tiny if not text.startswith(("steps", "normalization"))]
    command = [sys.executable, "-m", "ganbench", "run", *overrides, "steps=100000", "normalization=none,layer"]
    with subprocess.Popen(
        [*command, "--out", tmp_path / "study", "--workers", "2"],
        start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 60
        while not list((tmp_path / "study").glob("populations/*/series.jsonl")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        subprocess.run(["kill", "-INT", "--", f"-{process.pid}"], check=True)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGINT
    assert err == "Interrupted; repeat the command to go on.\n"
