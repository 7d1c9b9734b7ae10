"""One bad variant costs itself: whatever a loss does to its process, its neighbours end as if it had not been there."""

from pathlib import Path

import pandas as pd
import pytest
from overriding import over

import ganbench
from ganbench import api
from ganbench.training import grouping, loop

ROOT = Path(ganbench.__file__).parents[1]
GRID = ["problem=ring8", "seeds=2", "batch_size=16", "samples=64", "neighbours=32", "network.mlp.width=8", "steps=60",
        "probe_every=20", "loss=hinge,wasserstein,mine"]  # fmt: skip

LOSS = '''
import os, sys, signal, time, warnings, random, ctypes
import numpy as np
import torch
from ganbench import register

CALLS = 0

@register("loss")
def mine(real, fake):
    """A hinge that turns bad in the middle of its training."""
    global CALLS
    CALLS += 1
    d_loss, g_loss = (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean(), -fake.mean()
    if CALLS > {after}:
        {body}
    return d_loss, g_loss
'''

# what the loss does, and a part of the reason that is told; None where it does no harm to anybody, its own run included
ENDS = {
    "raise": ("raise ValueError('boom')", "ValueError: boom"),
    "wrong shape": ("d_loss = real", "its loss of D is (2, 16)"),
    "too few": ("return d_loss", ""),
    "complex": ("d_loss = d_loss + 0j", "complex64, not one number a run"),
    "none": ("return None", "TypeError"),
    "integer": ("d_loss = d_loss.long()", "int64, not one number a run"),
    "exit 0": ("sys.exit(0)", "SystemExit: 0"),
    "exit 1": ("sys.exit(1)", "SystemExit: 1"),
    "interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "generator exit": ("raise GeneratorExit", "GeneratorExit"),
    "_exit 0": ("os._exit(0)", "the process ended itself with exit status 0"),
    "_exit 3": ("os._exit(3)", "the process ended itself with exit status 3"),
    "segfault": ("ctypes.string_at(0)", "ended by the signal SIGSEGV"),
    "abort": ("os.abort()", "ended by the signal SIGABRT"),
    "terminate": ("os.kill(os.getpid(), signal.SIGTERM)", "ended by the signal SIGTERM"),
    "kill": ("os.kill(os.getpid(), signal.SIGKILL)", "ended by the signal SIGKILL"),
    "hang": ("time.sleep(1000)", "longer than its time limit"),
    "endless loop": ("while True: pass", "longer than its time limit"),
    "recursion": ("f = lambda: f(); f()", "RecursionError"),
    "memory": ("torch.empty(10**15)", "not enough memory"),
    "huge error": ("raise ValueError('x' * 10**7)", "ValueError: xxx"),
    "surrogate": ("raise RuntimeError('\\\\ud800')", "RuntimeError: \\ud800"),
    "control characters": ("raise RuntimeError('\\\\x1b[31m\\\\n\\\\0')", "RuntimeError"),
    "error without text": ("E = type('E', (Exception,), {'__str__': lambda s: 1 / 0}); raise E", "E"),
    "default dtype": ("torch.set_default_dtype(torch.float64)", "it changed the default dtype"),
    "grad mode": ("torch.set_grad_enabled(False)", "it changed the grad mode"),
    "threads": ("torch.set_num_threads(7)", "it changed the number of threads"),
    "patched torch": ("torch.relu = torch.sigmoid", "it changed torch.relu"),
    "patched tensor": ("torch.Tensor.mean = lambda *a, **k: 0", "it changed Tensor.mean"),
    "warnings": ("warnings.simplefilter('error')", "it changed the warnings' filters"),
}
HARMLESS = {
    "seeds": "torch.manual_seed(0); np.random.seed(0); random.seed(0)",
    "chdir": "os.chdir('/')",
    "chmod": "os.umask(0o777)",
    "environment": "os.environ.clear()",
    "fork": "os.fork() if CALLS % 20 == 0 else None",
    "closed stdout": "try:\n    os.close(1); os.close(2)\nexcept OSError:\n    pass\nsys.stdout = None",
    "much output": "print('x' * 10**5) if CALLS < 200 else None",
    "not a number": "d_loss = d_loss * float('nan')",
}
QUICK = ["raise", "default dtype"]


def write(folder, body, after):
    file = folder / "mine.py"
    file.write_text(LOSS.replace("{after}", str(after)).replace("{body}", body.replace("\n", "\n        ")))
    return file


def train(file, out, *more):
    return api.run(None, over([*GRID, "time_limit=8", *more]), plugins=[file], out=out, workers=2)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """A study that never had the loss."""
    overrides = [text.replace(",mine", "") for text in GRID]
    return api.run(None, overrides, out=tmp_path_factory.mktemp("clean") / "study", workers=2)


def same(study, clean):
    """Tell whether the innocent runs of a study are those of a clean one, bit for bit, samples too."""
    innocent = set(clean.runs["run"])
    mine = study.series[study.series["run"].isin(innocent)].reset_index(drop=True)
    columns = [name for name in clean.series if name != "seconds_per_step"]
    pd.testing.assert_frame_equal(mine[columns], clean.series[columns], check_exact=True)
    for run in innocent:
        left, right = study.samples(run), clean.samples(run)
        assert left.keys() == right.keys()
        assert all((left[step] == right[step]).all() for step in left)
    rows = study.runs.set_index("run").loc[sorted(innocent)]
    assert set(rows["status"]) == {"done"}


def statuses(study):
    return study.runs[study.runs["loss"] == "mine"]


def poisoned(kind, body, reason, clean, tmp_path):
    # the checks before training call it some sixty times
    study = train(write(tmp_path, body, 110), tmp_path / "study")
    same(study, clean)
    mine = statuses(study)
    assert set(mine["status"]) == {"failed"}, kind
    assert all(reason in text for text in mine["reason"]), set(mine["reason"])
    again = train(tmp_path / "mine.py", tmp_path / "study")
    same(again, clean)
    return study


@pytest.mark.parametrize("kind", QUICK)
def test_a_loss_that_turns_bad_costs_itself(own_registry, clean, tmp_path, kind):
    poisoned(kind, *ENDS[kind], clean, tmp_path)


@pytest.mark.parametrize(("seeds", "resumed"), [(2, []), (16, [40])])
def test_the_innocent_go_on_where_that_gives_them_the_same_bits(own_registry, tmp_path, monkeypatch, seeds, resumed):
    """At sizes that fill no register, where bits depend on a run's place; with a checkpoint at every probe."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", loop.CHECKPOINT_SECONDS)
    monkeypatch.setitem(grouping.FEWEST, "cpu", 1)  # as one population
    odd = [f"seeds={seeds}", "batch_size=50", "network.mlp.width=33", "update=alternating"]
    grid = [*(text for text in GRID if not text.startswith(("seeds", "batch_size", "network"))), *odd]
    clean = api.run(None, [text.replace(",mine", "") for text in grid], out=tmp_path / "clean", workers=2)
    file = write(tmp_path, "raise ValueError('boom')", 160)
    file.write_text(
        f"import ganbench.training.loop\nganbench.training.loop.CHECKPOINT_SECONDS = -1.0\n{file.read_text()}"
    )
    events = []
    study = api.run(
        None, grid, plugins=[file], out=tmp_path / "study", workers=2, watch=lambda name, event: events.append(event)
    )
    same(study, clean)
    assert set(statuses(study)["reason"]) == {"ValueError: boom"}
    assert [event["step"] for event in events if event["event"] == "resumed"] == resumed


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in ENDS if kind not in QUICK])
def test_thirty_poisons_cost_themselves(own_registry, clean, tmp_path, kind):
    poisoned(kind, *ENDS[kind], clean, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", HARMLESS)
def test_what_dies_with_the_process_harms_nobody(own_registry, clean, tmp_path, kind):
    study = train(write(tmp_path, HARMLESS[kind], 110), tmp_path / "study")
    same(study, clean)
    assert set(statuses(study)["status"]) == {"diverged" if kind == "not a number" else "done"}
    outputs = list((tmp_path / "study").glob("populations/*/output.txt"))
    assert all(file.stat().st_size < 70_000 for file in outputs)
    assert bool(outputs) == (kind == "much output")
