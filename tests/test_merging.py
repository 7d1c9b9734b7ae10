"""Shards of a plan, trained apart, are one study: bit for bit what one command gives; what is no part is refused."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from same import equal
from typer.testing import CliRunner

from ganbench import api, merging
from ganbench.cli import app
from ganbench.errors import Exit, UserError
from ganbench.executors.shards import Shard, cut
from ganbench.executors.work import cost, populations
from ganbench.results import planfile
from ganbench.results.population import _seal
from ganbench.results.store import Store
from ganbench.suite import resolve

GRID = ["problem=ring8", "seeds=2", "batch_size=16", "samples=64", "neighbours=32", "network.mlp.width=8", "steps=4",
        "probe_every=2", "loss=hinge", "normalization=none,spectral,layer,batch"]  # fmt: skip
SHARDS = 3


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Three shards of a plan of four populations, the first two of which did more than their share."""
    folder = tmp_path_factory.mktemp("parts")
    for number in range(1, SHARDS + 1):
        api.run(None, GRID, out=folder / f"{number}", workers=1, shard=f"{number}/{SHARDS}")
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return api.run(None, GRID, out=tmp_path_factory.mktemp("whole") / "study", workers=1)


def folders(parts):
    return [parts / str(number) for number in range(1, SHARDS + 1)]


def test_shards_put_together_are_one_run(parts, whole, tmp_path):
    merged = merging.merge(folders(parts), tmp_path / "merged")
    assert merged.missing == ()
    equal(api.load(tmp_path / "merged"), whole)
    assert merged.study.provenance["mixed"] == ""
    # nothing is left to train, and nothing is trained
    again = api.run(None, GRID, out=tmp_path / "merged", workers=1)
    assert set(again.runs["status"]) == {"done"}
    assert len(again.store.sessions()) == SHARDS


@pytest.mark.slow
def test_sixteen_shards_are_one_run(tmp_path):
    grid = [*GRID, "critic_steps=1,2", "latent_dim=2,4", "optimizer.adam.beta1=0.0,0.5"]
    straight = api.run(None, grid, out=tmp_path / "whole", workers=1)
    out = [tmp_path / str(number) for number in range(1, 17)]
    for number, folder in enumerate(out, start=1):
        api.run(None, grid, out=folder, workers=1, shard=f"{number}/16")
    assert all(Store(folder).populations() for folder in out)
    assert merging.merge(out, tmp_path / "merged").missing == ()
    equal(api.load(tmp_path / "merged"), straight)


def test_what_is_missing_is_listed_and_comes_later(parts, whole, tmp_path):
    one, two, three = folders(parts)
    run = CliRunner().invoke
    result = run(app, ["merge", str(one), str(three), "-o", str(tmp_path / "merged")], catch_exceptions=False)
    assert result.exit_code == Exit.FAILED
    assert "Missing of 3 shards: 2." in result.output
    left = len(Shard(2, 3).part(populations(whole.plan, "cpu"))) * 2
    assert f"{left} of 8 runs were not trained." in result.output
    # a part that was merged already changes nothing
    merged = merging.merge([two, one], tmp_path / "merged")
    assert merged.missing == ()
    equal(api.load(tmp_path / "merged"), whole)
    assert len(merged.study.store.sessions()) == SHARDS


def changed(source, target, what):
    """A copy of a study in which one thing is another."""
    shutil.copytree(source, target)
    store = Store(target)
    plan = store.read_plan()
    if what == "plan":
        store.plan_file.write_text(planfile.dump(replace(plan, probe_every=1)))
    elif what == "plug-in":
        store.plan_file.write_text(planfile.dump(replace(plan, versions={**plan.versions, "loss.hinge": "abc"})))
    elif what in ("code", "torch", "device"):
        (line,) = store.environments()
        (target / "environments.jsonl").write_text(json.dumps({**line, what: "another"}) + "\n")
    elif what == "data":
        record = store.problem("ring8").read()
        real = record.pop("real")
        store.problem("ring8").write(record, real + np.float32(1e-3))
    elif what == "oracle":
        record = store.problem("ring8").read()
        real, oracle = record.pop("real"), record["oracle"]
        store.problem("ring8").write({**record, "oracle": dict.fromkeys(oracle, 0.5)}, real)
    else:
        folder = store.populations()[0]
        if what == "series":
            lines = [json.loads(line) for line in (folder.path / "series.jsonl").read_text().splitlines()]
            name = next(name for name in lines[1]["values"] if name != "seconds_per_step")
            lines[1]["values"][name][0] = 0.125
            (folder.path / "series.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        elif what == "samples":
            file = folder.path / "samples-2.npy"
            np.save(file, np.load(file) + 1)
        record = json.loads((folder.path / "done.json").read_text())
        record["series"] = folder._digest()
        record["diverged_step"][0] = 3 if what == "divergence" else record["diverged_step"][0]
        record["sealed"] = _seal(folder.runs(), record)
        (folder.path / "done.json").write_text(json.dumps(record))
    return target


MISMATCHES = {
    "plan": "the plans differ: custom, 8 runs, ",
    "plug-in": "plug-ins or their data differ: loss.hinge",
    "code": "were not trained by the same code of ganbench",
    "torch": "were not trained by the same torch",
    "device": "were not trained by the same device",
    "data": "were not trained on the same data: the problem 'ring8' differs",
    "oracle": "were not trained on the same data: the problem 'ring8' differs",
    "series": " at step 2.",
    "samples": "differs in their samples at step 2",
    "divergence": "differs in the steps at which runs diverged",
}


@pytest.mark.parametrize("what", MISMATCHES)
def test_what_is_no_part_is_refused_by_name(parts, tmp_path, what):
    other = changed(parts / "1", tmp_path / "other", what)
    with pytest.raises(UserError) as refused:
        merging.merge([parts / "1", parts / "2", other], tmp_path / "merged")
    assert refused.value.exit_code == Exit.INCOMPATIBLE
    assert MISMATCHES[what] in str(refused.value)
    assert str(other) in str(refused.value)
    assert not (tmp_path / "merged").exists(), "nothing is written before all is known to fit"


def test_a_mix_is_put_together_where_it_is_meant_and_told(parts, tmp_path):
    other = changed(parts / "1", tmp_path / "other", "torch")
    merged = merging.merge([parts / "2", other], tmp_path / "merged", anyway=True)
    assert "torch" in merged.study.provenance["mixed"]


def test_what_was_never_hashed_is_never_put_together(parts, tmp_path):
    folders = []
    for name in ("a", "b"):
        shutil.copytree(parts / "1", tmp_path / name)
        store = Store(tmp_path / name)
        plan = store.read_plan()
        versions = {**plan.versions, "loss.hinge": f"uncovered-{name}"}
        store.plan_file.write_text(planfile.dump(replace(plan, versions=versions)))
        folders.append(tmp_path / name)
    with pytest.raises(UserError, match=r"what was trained with loss\.hinge is never put together"):
        merging.merge(folders, tmp_path / "merged")


def test_damage_of_a_part_is_told_and_what_is_whole_elsewhere_taken(parts, whole, tmp_path):
    broken = changed(parts / "1", tmp_path / "broken", "none")
    (Store(broken).populations()[0].path / "series.jsonl").write_text("what?\n")
    told = []
    merged = merging.merge([broken, *folders(parts)], tmp_path / "merged", tell=told.append)
    assert len(told) == 1
    assert "series.jsonl' is damaged" in told[0]
    assert merged.missing == ()
    equal(api.load(tmp_path / "merged"), whole)


@pytest.mark.parametrize(("words", "told"), [
    (["{one}", "-o", "{one}"], "is to be merged into itself"),
    (["{one}", "-o", "{foreign}"], "exists and is not a study"),
    (["{foreign}", "-o", "{new}"], "There is no study in"),
])  # fmt: skip
def test_what_cannot_be_merged_is_a_mistake_of_use(parts, tmp_path, words, told):
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").touch()
    names = {"one": parts / "1", "foreign": tmp_path / "foreign", "new": tmp_path / "new"}
    result = CliRunner().invoke(app, ["merge", *(word.format(**names) for word in words)])
    assert isinstance(result.exception, UserError)
    assert result.exception.exit_code == Exit.USAGE
    assert told in str(result.exception)


# ------------------------------------------------------------------------------------------ the cut


def test_the_cut_deals_out_all_once_and_evenly_whatever_the_order():
    plan = resolve(None, [*GRID, "critic_steps=1,2,3"])
    work = populations(plan, "cpu")
    loads = [sum(cost(work[name]) for name in part) for part in cut(work, 4)]
    assert sum(len(part) for part in cut(work, 4)) == len(work) == len(set.union(*cut(work, 4)))
    # Graham's bound for the longest first, against what no cut can beat
    least = max(sum(loads) / 4, max(cost(runs) for runs in work.values()))
    assert max(loads) <= (4 / 3 - 1 / 12) * least
    assert cut(dict(reversed(work.items())), 4) == cut(work, 4)
    parts = [Shard(number, 4).part(work) for number in range(1, 5)]
    assert {name: runs for part in parts for name, runs in part.items()} == work
    assert [len(Shard(number, 50).part(work)) for number in range(1, 51)].count(0) == 50 - len(work)


def test_a_shard_is_read_as_it_is_written():
    assert Shard.read("3/16") == Shard(3, 16)
    assert (str(Shard(3, 16)), Shard(3, 16).suffix) == ("3/16", "-3-of-16")


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "1/0", "a/b", "1/2/3", "-1/4", "1/1000000", "٣/٤"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(UserError, match=r"^A shard is written NUMBER/OF, from 1/16 to 16/16 for sixteen, got "):
        Shard.read(text)


def test_a_shard_has_a_folder_of_its_own_and_more_shards_than_populations_leave_some_empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = resolve(None, GRID)
    assert api.default_folder(plan, "2/3").name == f"{api.default_folder(plan).name}-2-of-3"
    result = CliRunner().invoke(app, ["run", *GRID, "--shard", "9/9"], catch_exceptions=False)
    assert result.exit_code == Exit.OK
    assert "Shard 9/9: 0 of 0 runs ended (there are more shards than populations)." in result.output
    assert not Store(api.default_folder(plan, "9/9")).populations()
