"""`ganbench history` over the commits of a file and over several files, and `ganbench baseline --update`."""

import subprocess
from dataclasses import replace

import pytest
from overriding import over
from typer.testing import CliRunner

import ganbench
from ganbench import checking, history
from ganbench.cli import app
from ganbench.errors import UserError
from ganbench.history import histories
from ganbench.results import baselines
from ganbench.results.baseline import Baseline, BaselineVariant, SeedResult, load_baseline

TINY = [
    "problem=ring8", "loss=hinge,wasserstein", "steps=20", "batch_size=16", "probe_every=10", "samples=64",
    "neighbours=32", "network.mlp.width=8",
]  # fmt: skip


def baseline(failures, started="2026-01-01T00:00:00+00:00", torch="2.13.0", labels=("ring8: hinge", "ring8: minimax")):
    """A baseline of variants of 20 seeds, of which so many of the first failed and none of the second."""

    def runs(count):
        return tuple(SeedResult(s, "collapsed" if s < count else "converged", s < count, 0.0 if s < count else 0.9)
                     for s in range(20))  # fmt: skip

    variants = tuple(BaselineVariant(label, {"problem": "ring8", "loss": label.split()[-1]}, {}, runs(count))
                     for label, count in zip(labels, (failures, 0), strict=True))  # fmt: skip
    return Baseline("s", {"samples": 64}, (), variants, source={"started": started, "torch": torch, "device": "CPU"})


def invoke(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def git(folder, *words):
    subprocess.run(["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e@x", *words], check=True)


@pytest.fixture
def repository(tmp_path):
    """A repository that has kept a baseline four times; with the third torch and failures became others."""
    git(tmp_path, "init", "-q")
    for number, (failures, torch) in enumerate([(1, "2.12.0"), (2, "2.12.0"), (15, "2.13.0"), (15, "2.13.0")]):
        baseline(failures, f"2026-01-0{number + 1}T00:00:00+00:00", torch).save(tmp_path / "b.json")
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-q", "-m", str(number))
    return tmp_path


def test_the_commits_of_a_file_are_its_history(repository):
    hinge, minimax = histories([repository / "b.json"])
    assert (hinge.variant, minimax.variant) == ("ring8: hinge", "ring8: minimax")
    assert [row[2] for row in hinge.rows] == ["1/20", "2/20", "15/20", "15/20"]
    assert "changed: failures 3 of 40 to 15 of 20" in hinge.rows[2][4]
    assert "torch 2.12.0 -> 2.13.0" in hinge.rows[2][4]
    assert hinge.rows[3][4] == "the same, seed by seed"
    assert hinge.sentence == f"Another since {hinge.rows[2][0]} ({hinge.rows[2][1]})."
    assert minimax.sentence.startswith("No change is shown (4 baselines in 1 states;")
    # as it is now counts too, where it is another
    baseline(15, "2026-01-09T00:00:00+00:00").save(repository / "b.json")
    assert [row[0] for row in histories([repository / "b.json"], ["minimax"])[0].rows][-1] == "as it is"


def test_of_a_folder_it_is_the_file_of_this_machine(repository, monkeypatch):
    monkeypatch.setattr(history, "environment", lambda device: {"device": "Mine", "torch": "2.13.0"})
    (repository / "folder").mkdir()
    own = repository / "folder" / "mine-torch-2.13.0.json"
    baseline(3).save(own)
    baseline(9, "2027-01-01T00:00:00+00:00").save(repository / "folder" / "other.json")
    assert histories([repository / "folder"])[0].rows[0][2] == "3/20"


def test_a_commit_that_does_not_read_is_left_out(repository):
    (repository / "b.json").write_text("{}")
    git(repository, "commit", "-q", "-a", "-m", "broken")
    baseline(15, "2026-01-08T00:00:00+00:00").save(repository / "b.json")
    git(repository, "commit", "-q", "-a", "-m", "mended")
    assert len(histories([repository / "b.json"])[0].rows) == 5


def test_several_files_are_in_the_order_of_their_making(tmp_path):
    for name, day, failures in (("new", 3, 15), ("old", 1, 0), ("middle", 2, 0)):
        baseline(failures, f"2026-01-0{day}T00:00:00+00:00").save(tmp_path / f"{name}.json")
    files = [tmp_path / f"{name}.json" for name in ("new", "old", "middle")]
    (hinge,) = histories(files, ["hinge"])
    assert [row[0] for row in hinge.rows] == ["old.json", "middle.json", "new.json"]
    assert hinge.sentence == "Another since new.json (2026-01-03)."
    done = invoke("history", *files, "--variant", "hinge")
    assert done.exit_code == 0, done.output
    assert "Another since new.json" in done.output
    assert "minimax" not in done.output


def test_a_file_outside_of_any_repository_is_one_baseline(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    baseline(1).save(tmp_path / "b.json")
    assert len(histories([tmp_path / "b.json"])[0].rows) == 1
    with pytest.raises(UserError, match=r"^Unknown variant 'hing ge'\. Did you mean 'ring8: hinge'\?"):
        histories([tmp_path / "b.json"], ["hing ge"])
    with pytest.raises(UserError, match=r"^Cannot read the baseline"):
        histories([tmp_path / "none.json"])


# ---------------------------------------------------------------------------------------------- folders


def test_a_folder_has_a_file_for_each_machine_and_torch(tmp_path):
    folder = tmp_path / "baselines"
    sources = [{"device": "AMD EPYC 7B13", "torch": "2.13.0+cpu"}, {"device": "AMD EPYC 7B13", "torch": "2.12.0"},
               {"device": "NVIDIA H100 80GB HBM3", "torch": "2.13.0+cu128"}]  # fmt: skip
    places = [baselines.place(folder, source) for source in sources]
    assert [place.name for place in places] == [
        "amd-epyc-7b13-torch-2.13.0+cpu.json", "amd-epyc-7b13-torch-2.12.0.json",
        "nvidia-h100-80gb-hbm3-torch-2.13.0+cu128.json",
    ]  # fmt: skip
    for day, place in enumerate(places[1:], 1):
        baseline(1, f"2026-01-0{day}T00:00:00+00:00").save(place)
    assert baselines.chosen(folder, sources[1]) == places[1]
    # none of this machine: the one that was made last
    assert baselines.chosen(folder, sources[0]) == places[2]
    (folder / "zz.json").write_text("{}")
    assert baselines.chosen(folder, sources[0]) == places[2]
    # a name that ends in .json is a file
    assert baselines.place(tmp_path / "b.json", sources[0]) == tmp_path / "b.json" == (
        baselines.chosen(tmp_path / "b.json", sources[0]))  # fmt: skip
    with pytest.raises(UserError, match=r"^There is no baseline in '.*nowhere': make one with `ganbench baseline"):
        baselines.chosen(tmp_path / "nowhere", sources[0])


# ---------------------------------------------------------------------------------------------- update


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return ganbench.run(None, over([*TINY, "seeds=5"]), out=tmp_path_factory.mktemp("studies") / "five", workers=1)


def test_a_baseline_is_replaced_when_asked_to_and_the_difference_is_told(study, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    file = tmp_path / "b.json"
    assert invoke("baseline", study.path, "-o", file).exit_code == 0
    old = load_baseline(file)
    better = [replace(v, runs=tuple(replace(r, verdict="converged", failed=False, score=0.95) for r in v.runs))
              if "hinge" in v.label else v for v in old.variants]  # fmt: skip
    replace(old, variants=tuple(better)).save(file)
    before = file.read_bytes()
    done = invoke("baseline", study.path, "-o", file)
    assert isinstance(done.exception, UserError)
    assert str(done.exception) == f"'{file}' is a baseline already, and was left as it is: --update replaces it."
    assert file.read_bytes() == before
    assert "! ring8: hinge: failures 0/5 to 5/5 (+100 points" in done.output
    assert "= 1 of 2 variants give the same results" in done.output
    done = invoke("baseline", study.path, "-o", file, "--update")
    assert done.exit_code == 0, done.output
    assert "told apart" in done.output
    assert load_baseline(file) == old


def test_a_baseline_that_does_not_read_is_replaced_too(study, tmp_path):
    (tmp_path / "b.json").write_text("[")
    done = invoke("baseline", study.path, "-o", tmp_path / "b.json", "--update")
    assert (done.exit_code, "does not read" in done.output) == (0, True)
    assert load_baseline(tmp_path / "b.json").suite == study.name


def test_a_check_takes_the_baseline_of_its_machine(study, tmp_path):
    folder = tmp_path / "baselines"
    checking.make_baseline(study.path, folder, {})
    (own,) = folder.iterdir()
    assert own.name == baselines.file_name(study.provenance)
    replace(load_baseline(own), source={"device": "Another", "torch": "1.0", "started": "2099"}).save(folder / "z.json")
    result = checking.check_studies([study.path], checking.Request(folder, canary=True))
    assert (result.verdict, result.notes) == ("pass", ("Every result equals the baseline's, seed by seed.",))
    own.unlink()
    notes = checking.check_studies([study.path], checking.Request(folder)).notes
    assert any(note.startswith("torch is ") and note.endswith("in the baseline 1.0.") for note in notes)
