"""A full disk ends the command with a sentence that names the place; repeating it goes on, with the same bits."""

import errno
import os

import pytest
from same import equal

from ganbench import api
from ganbench.errors import UserError
from ganbench.executors.base import Task
from ganbench.results import population

GRID = ["problem=ring8", "seeds=2", "batch_size=16", "samples=64", "neighbours=32", "network.mlp.width=8", "steps=8",
        "probe_every=2", "loss=hinge,wasserstein", "normalization=none,spectral"]  # fmt: skip


def test_a_disk_that_is_full_amid_the_training_blames_nobody(tmp_path, monkeypatch):
    straight, room = api.run(None, GRID, out=tmp_path / "straight", workers=1), [6]

    def on_a_small_disk(write):
        def writing(*words):
            if room[0] <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            room[0] -= 1
            write(*words)

        return writing

    with monkeypatch.context() as patch:
        for name in ("append_line", "write_text"):
            patch.setattr(population, name, on_a_small_disk(getattr(population, name)))
        with pytest.raises(UserError, match=r"^Cannot write to '.*study': No space left on device\.$"):
            api.run(None, GRID, out=tmp_path / "study", workers=1)
    assert set(api.load(tmp_path / "study").runs["status"]) <= {"done", "running", "pending"}, "nobody has failed"
    equal(api.run(None, GRID, out=tmp_path / "study", workers=1), straight)


def test_it_is_no_fault_of_a_watcher(tmp_path, monkeypatch):
    """What whoever watches raises is not told as a disk's."""

    def watch(name, event):
        raise OSError("mine")

    monkeypatch.setattr(Task, "perform", lambda task: task.take({"event": "finished"}))
    with pytest.raises(OSError, match=r"^mine$"):
        api.run(None, GRID, out=tmp_path / "study", workers=1, watch=watch)
