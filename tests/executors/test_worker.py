"""A worker by itself: the files it is given are loaded before it says that it is ready, and what changed is told."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from ganbench import registry
from ganbench.executors import isolate, work, worker
from ganbench.identity import environment
from ganbench.results.store import Store
from ganbench.suite import resolve

LOSS = '''"""Mine."""
from torch.nn.functional import softplus
from ganbench import register
print("imported")

@register("loss")
def of_a_file(real_logits, fake_logits):
    """Softplus."""
    return (softplus(-real_logits) + softplus(fake_logits)).mean(), softplus(-fake_logits).mean()
'''


def talk(store, file, line=""):
    """What a worker says until it is ready, or has ended the job of a line; standard input stays open for so long."""
    words = [sys.executable, "-m", "ganbench.executors.worker", str(store.path), "cpu", str(file)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        said = []
        process.stdin.write(line)
        process.stdin.flush()
        for answer in process.stdout:
            said.append(json.loads(answer))
            if said[-1]["event"] in (("finished", "failed") if line else ("ready", "unfit")):
                break
        process.stdin.close()
        assert process.wait(60) == 0
    return said


def test_a_worker_does_the_jobs_that_it_is_given_with_the_files_that_it_is_given(own_registry, tiny, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(LOSS)
    registry.load_file(file)
    plan, store = resolve(None, [*tiny, "loss=of_a_file"]), Store(tmp_path / "study")
    store.begin(plan)
    ((name, runs),) = work.populations(plan, "cpu").items()
    events = talk(store, file, json.dumps(work.Job(name, tuple(runs)).asked) + "\n")
    assert (events[0], events[-1]) == ({"event": "ready"}, {"event": "finished"})
    assert store.todo(plan, {name: runs}) == {}


@pytest.mark.slow
def test_a_worker_that_is_not_as_the_plan_says_so_and_ends(own_registry, tiny, tmp_path):
    file, store = tmp_path / "mine.py", Store(tmp_path / "study")
    file.write_text(LOSS)
    registry.load_file(file)
    store.begin(resolve(None, [*tiny, "loss=of_a_file"]))
    file.write_text(LOSS.replace("softplus(-fake_logits).mean()", "softplus(-fake_logits).mean() * 2"))
    assert talk(store, file) == [{"event": "unfit", "error": "loss.of_a_file changed since the command began"}]


@pytest.mark.parametrize(("key", "word"), [("torch", "torch"), ("device", "device"), ("code", "code of ganbench")])
def test_a_worker_with_another_torch_device_or_ganbench_says_so(tiny, tmp_path, key, word):
    plan, store = resolve(None, tiny), Store(tmp_path / "study")
    store.begin(plan)
    own = environment("cpu")
    store.log_environment(own)
    assert worker._unfit(store, plan, "cpu") == ""
    store.log_environment({**own, key: "another"})
    assert worker._unfit(store, plan, "cpu") == f"it has another {word} (another, now {own[key]})"


# ------------------------------------------------------------------------------------------ within a process


@pytest.mark.parametrize(("said", "output", "until", "told", "kept"), [
    # what is no end is passed on as it comes, an end when the process is gone
    ([{"event": "progress"}, {"event": "finished"}], b"", 0, [{"event": "progress"}, {"event": "finished"}], []),
    ([{"event": "finished"}], b"words", 0, [{"event": "finished"}], ["words"]),
    ([{"event": "finished"}], b"words", 5, [{"event": "finished"}], []),
    ([{"event": "failed", "error": "e", "guilty": ["a"]}], b"w\xff", 0,
     [{"event": "failed", "error": "e", "guilty": ["a"], "output": "w\ufffd"}], []),
    ([], b"", 0, [{"event": "failed", "error": "it ended so", "details": "", "output": ""}], []),
    ([{"event": "progress"}], b"words", 5,
     [{"event": "progress"}, {"event": "failed", "error": "it ended so", "details": "", "output": "words"}], []),
])  # fmt: skip
def test_every_job_has_one_event_at_its_end(monkeypatch, said, output, until, told, kept):
    asked, texts, events = {}, [], []

    def run(work, emit, **more):
        asked.update(more)
        for event in said:
            emit(event)
        return isolate.Ending("it ended so", output)

    monkeypatch.setattr(isolate, "run", run)
    store = SimpleNamespace(population=lambda name: SimpleNamespace(keep_output=lambda text: texts.append(text)))
    job = work.Job("it", (), until)
    worker._isolated(store, SimpleNamespace(time_limit=7.5), job, "cpu", events.append)
    assert events == told
    assert texts == kept
    assert asked == {"limit": 7.5, "stop": 0}, "it ends with the standard input, which the parent holds"


@pytest.mark.parametrize("killed", [False, True])
def test_who_was_killed_by_another_is_told_as_that(monkeypatch, killed):
    monkeypatch.setattr(isolate, "run", lambda work, emit, **more: isolate.Ending("it ended so", b"", killed))
    events = []
    worker._isolated(None, SimpleNamespace(time_limit=0.0), work.Job("it", ()), "cpu", events.append)
    assert events == [
        {"event": "failed", "error": "it ended so", "details": "", "output": ""} | ({"killed": True} if killed else {})
    ]


def test_the_lines_of_standard_input_are_read_as_they_come():
    before = os.dup(0)
    read, write = os.pipe()
    os.dup2(read, 0)
    try:
        lines = worker._lines()
        os.write(write, b"one\ntwo\nthr")
        assert [next(lines), next(lines)] == [b"one", b"two"]
        os.write(write, b"ee\nhalf")
        assert next(lines) == b"three"
        os.close(write)
        assert list(lines) == [], "half a line is none"
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(read)
