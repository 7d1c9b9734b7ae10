"""A kill at any write: the study reads, goes on from its checkpoints, and ends as if nothing had happened."""

import json
from pathlib import Path

import pytest
import torch
from overriding import over
from same import equal

from ganbench import api
from ganbench.executors import board, work
from ganbench.files import append_line, earlier
from ganbench.suite import resolve
from ganbench.training import checkpoint, loop
from ganbench.training.building import make_problem
from ganbench.training.population import Population
from ganbench.training.step import train_step

SUITE = ["problem=ring8", "steps=25", "seeds=2", "batch_size=16", "probe_every=10", "samples=64", "neighbours=32",
         "network.mlp.width=8"]  # fmt: skip
PROBES = [0, 10, 20, 25]


class Killed(BaseException):
    """What nothing catches."""


class Writes:
    """Lists what changes files, and kills before the one whose turn it is; from then on nothing changes any more."""

    def __init__(self, monkeypatch):
        self.seen, self.turn, self.torn = [], None, False
        monkeypatch.setattr(work, "told", self.told)
        for name in ("replace", "unlink"):
            monkeypatch.setattr(Path, name, self.watched(getattr(Path, name)))
        for room in ("store", "population"):
            monkeypatch.setattr(f"ganbench.results.{room}.append_line", self.watched(append_line))

    def watched(self, function):
        def change(file, *arguments, **options):
            if self.killed:
                return None
            if file.exists() or function.__name__ == "append_line":
                self.seen.append(
                    (function.__name__, Path(arguments[0] if function.__name__ == "replace" else file).name)
                )
            if self.killed:
                if self.torn:
                    with file.open("a") as stream:
                        stream.write(json.dumps(arguments[0])[:20])
                raise Killed
            return function(file, *arguments, **options)

        return change

    def told(self, error):
        """Let a kill through where all that a plug-in raises is caught."""
        if isinstance(error, Killed):
            raise error
        return str(error)

    @property
    def killed(self):
        return self.turn is not None and len(self.seen) > self.turn

    def kill_before(self, turn, torn=False):
        self.seen, self.turn, self.torn = [], turn, torn

    def let_go(self):
        self.seen, self.turn = [], None


@pytest.fixture
def writes(monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    # how often the status is written depends on the time that a run takes, and every run is to write the same
    monkeypatch.setattr(board, "EVERY_SECONDS", float("inf"))
    return Writes(monkeypatch)


def run(out):
    resumed = []

    def watch(name, event):
        if event["event"] == "resumed":
            resumed.append(event["step"])

    return api.run(overrides=SUITE, out=out, workers=1, watch=watch), resumed


def test_killed_before_every_write(tmp_path, writes):
    straight, _ = run(tmp_path / "straight")
    seen, starts = list(writes.seen), []
    order = [name for _, name in seen if name.startswith(("samples", "series", "checkpoint", "done"))]
    probe = ["series.jsonl", "checkpoint.pt"]
    assert order[1:-1] == [
        "samples-0.npy", *probe, "samples-10.npy", *probe, "samples-20.npy", *probe, "samples-25.npy", probe[0],
        "done.json",
    ], "first what a probe measured, then where to go on from; the end last"  # fmt: skip
    turns = [(turn, False) for turn in range(len(seen))]
    turns += [(turn, True) for turn, (how, _) in enumerate(seen) if how == "append_line"]
    for turn, torn in turns:
        out = tmp_path / f"{turn} {torn}"
        writes.kill_before(turn, torn)
        with pytest.raises(Killed):
            run(out)
        writes.let_go()
        study, resumed = run(out)
        starts += resumed
        equal(study, straight, apart=["memory_mb"])
        lost = torn and seen[turn][1] != "series.jsonl"
        assert [(damage.file.name, damage.why) for damage in study.damage] == [
            (seen[turn][1], "is no record in line 1")
        ] * lost
        (file,) = study.path.glob("populations/*/series.jsonl")
        assert [json.loads(line)["step"] for line in file.read_text().splitlines()] == PROBES, "nothing twice"
    assert set(starts) == {0, 10, 20}


# ------------------------------------------------------------------------------------------ two checkpoints


def build(overrides=()):
    runs = resolve(None, over(["batch_size=8", "steps=100", "seeds=2", "network.mlp.width=8", *overrides])).runs
    return Population(runs, make_problem(runs[0].variant), torch.device("cpu"))


@pytest.fixture
def saved(tmp_path):
    """The checkpoint of a population at step 4, with the one of step 2 before it."""
    population, file = build(), tmp_path / "checkpoint.pt"
    for _ in range(2):
        for _ in range(2):
            train_step(population)
        checkpoint.save(population, {"train": float(population.step)}, file)
    return file


def restored(file, recorded=None, population=None):
    population, clock, told = population or build(), {"train": 0.0}, []
    found = checkpoint.restore(population, clock, file, recorded, told.append)
    return (population.step if found else None), clock["train"], told


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 16
    file.write_bytes(content)


def other_state(change):
    def apply(file):
        state = torch.load(file, weights_only=True)
        change(state)
        torch.save(state, file)

    return apply


SPOILED = {
    "truncated": lambda file: file.write_bytes(file.read_bytes()[:-100]),
    "empty": lambda file: file.write_bytes(b""),
    "one bit": flip,
    "garbage": lambda file: file.write_bytes(bytes(range(256))),
    "a list": lambda file: torch.save([1, 2], file),
    "of other runs": other_state(lambda s: s.update(runs=["a", "b"])),
    "without runs": other_state(lambda s: s.pop("runs")),
    "of other networks": other_state(lambda s: s["players"]["g"].update(flat=torch.zeros(2, 3))),
    "without a player": other_state(lambda s: s["players"].pop("g")),
    "of another type": other_state(lambda s: s["players"]["g"].update(flat=s["players"]["g"]["flat"].double())),
    "a step that is a text": other_state(lambda s: s.update(step="4")),
    "beyond the end": other_state(lambda s: s.update(step=101)),
    "another clock": other_state(lambda s: s.update(clock={"training": 1.0})),
    "no clock": other_state(lambda s: s.update(clock=3)),
    "memory of nothing": other_state(lambda s: s.update(memory={})),
}


def test_the_last_of_two_checkpoints_counts(saved):
    assert restored(saved) == (4, 4.0, [])
    assert restored(saved, recorded={0, 2, 4}) == (4, 4.0, [])


@pytest.mark.parametrize("how", SPOILED)
def test_a_checkpoint_that_cannot_be_used_leaves_it_to_the_one_before(saved, how):
    SPOILED[how](saved)
    step, clock, (told,) = restored(saved)
    assert (step, clock) == (2, 2.0)
    assert told.startswith(f"The checkpoint '{saved}' cannot be used: it ")
    untouched, fresh = build(), build()
    SPOILED[how](earlier(saved))
    step, clock, told = restored(saved, population=untouched)
    assert (step, clock, len(told)) == (None, 0.0, 2)
    for name, player in untouched.players.items():
        assert torch.equal(player.flat, fresh.players[name].flat), "an unusable checkpoint changes nothing"
        assert player.batches == player.descents == 0


def test_a_checkpoint_whose_probes_are_lost_is_not_used(saved):
    assert restored(saved, recorded={0, 2})[:2] == (2, 2.0)
    step, _, told = restored(saved, recorded={0})
    assert step is None
    assert told[0] == f"The checkpoint '{saved}' cannot be used: the probe of its step, 4, is lost."


def test_a_checkpoint_of_other_runs_of_the_same_shape_is_not_used(saved):
    assert restored(saved, population=build(["loss=hinge"]))[0] is None


# ------------------------------------------------------------------------------------------ rewind


@pytest.mark.parametrize(
    ("step", "kept"), [(-1, []), (0, [0]), (9, [0]), (10, [0, 10]), (11, [0, 10]), (19, [0, 10]), (20, [0, 10, 20]),
                       (25, PROBES), (1000, PROBES)],
)  # fmt: skip
def test_rewind_keeps_what_was_recorded_up_to_a_step(tmp_path, step, kept):
    study = api.run(overrides=SUITE, out=tmp_path / "study", workers=1)
    (folder,) = study.store.populations()
    before = folder.series()
    folder.rewind(step)
    assert folder.series() == {at: before[at] for at in kept}
    assert list(folder.samples(0)) == kept
    assert folder.done() is None


@pytest.mark.parametrize("lost", ["series", "samples"])
def test_training_goes_back_to_the_checkpoint_before_the_first_lost_probe(tmp_path, writes, lost):
    straight, _ = run(tmp_path / "straight")
    writes.kill_before(writes.seen.index(("replace", "samples-25.npy")))
    with pytest.raises(Killed):
        run(tmp_path / "study")
    writes.let_go()
    (folder,) = (tmp_path / "study" / "populations").iterdir()
    assert (folder / "earlier-checkpoint.pt").exists()
    if lost == "series":
        lines = (folder / "series.jsonl").read_text().splitlines()
        (folder / "series.jsonl").write_text("\n".join([*lines[:2], "null", *lines[3:], ""]))
    else:
        (folder / "samples-20.npy").write_bytes(b"")
    study, resumed = run(tmp_path / "study")
    assert resumed == [10]
    equal(study, straight, apart=["memory_mb"])
    assert study.damage == []
