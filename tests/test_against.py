"""`ganbench check --against`: both sides trained, the base side from a revision or in another environment."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import ganbench
from ganbench import against, api, base_side, checking
from ganbench.against import Against, _installed_copy, _Side
from ganbench.analysis.pairs import paired, unchanged
from ganbench.cli import app
from ganbench.errors import Exit, UserError
from ganbench.worktree import Repository

LIBRARY = """
from torch import nn


class Generator(nn.Module):
    def __init__(self, latent_dim, size, width):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(latent_dim, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.last = nn.Linear(width, size)

    def forward(self, z):
        return self.last(self.body(z))
"""
PLUGIN = '''
import math

from torch import nn

from ganbench import register
from somelib import Generator


@register("network")
def plain(spec, *, width=8):
    """A generator of this file's against a plain critic."""
    size = math.prod(spec.shape)
    critic = nn.Sequential(nn.Linear(size, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
    body = nn.Sequential(nn.Linear(spec.latent_dim, width), nn.ReLU(), nn.Linear(width, size))
    return body, critic


@register("network")
def from_a_library(spec, *, width=8):
    """A library's generator against the same critic."""
    size = math.prod(spec.shape)
    return Generator(spec.latent_dim, size, width), plain(spec, width=width)[1]
'''
TINY = ["problem=ring8", "steps=20", "batch_size=16", "probe_every=10", "samples=64", "neighbours=32"]
REAL = ["problem=ring8", "regularizer=r1", "steps=1000", "probe_every=250", "samples=500",
        "network.from_a_library.width=64", "network.plain.width=64"]  # fmt: skip
BROKEN = LIBRARY.replace("self.last(", "0 * self.last(")


@pytest.fixture
def forgotten():
    """The library of these tests is imported anew, and left for nobody."""
    sys.modules.pop("somelib", None)
    yield
    sys.modules.pop("somelib", None)


def git(folder, *words):
    asked = ["git", "-c", "user.name=n", "-c", "user.email=e@x", "-c", "commit.gpgsign=false", *words]
    done = subprocess.run(asked, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def library(tmp_path):
    """A repository with a library below src/, and a plug-in file that uses it."""
    root = tmp_path / "repository"
    (root / "src").mkdir(parents=True)
    (root / "src" / "somelib.py").write_text(LIBRARY)
    (root / "plugin.py").write_text(PLUGIN)
    (root / ".gitignore").write_text("checks/\nreports/\n__pycache__/\n")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "one")
    return root


def command(folder, *words, paths=("src",), python=sys.executable, **environment):
    """Run ganbench in a folder by a process of its own; return exit code, output and errors."""
    path = os.pathsep.join([str(Path(ganbench.__file__).parents[1]), *(str(folder / path) for path in paths)])
    done = subprocess.run(
        [python, "-P", "-m", "ganbench", *map(str, words)], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def check(folder, *words, **more):
    return command(folder, "check", "--plugin", "plugin.py", "--workers", "1", *words, **more)


# ------------------------------------------------------------------------------------------ end to end


def test_an_unchanged_tree_passes_at_its_first_look_and_leaves_nothing(library):
    # what no run can reach is no change
    (library / "README.md").write_text("About it.\n")
    words = [*TINY, "network=from_a_library", "--out", "checks", "--against", "main"]
    code, output, errors = check(library, *words)
    assert code == Exit.OK, output + errors
    assert (
        "  note: 1 of 1 variants give the same numbers on both sides, seed by seed: no change reaches them." in output
    )
    assert "5 seeds: 3 pass." in output
    assert "after 5 seeds: pass" in errors
    assert sorted(folder.name for folder in (library / "checks").iterdir()) == ["base-seeds-0-4", "seeds-0-4"]
    assert len(git(library, "worktree", "list").splitlines()) == 1
    assert git(library, "status", "--porcelain") == "?? README.md"


@pytest.mark.slow
def test_a_planted_regression_is_found_and_seeds_go_where_something_differs(library):
    (library / "src" / "somelib.py").write_text(BROKEN)
    words = [*REAL, "network=plain,from_a_library", "--out", "checks", "--against", "HEAD"]
    code, output, errors = check(library, *words)
    assert code == Exit.REGRESSED, output + errors
    assert "ring8: from_a_library: failure rate 100 %" in output
    assert "1 of 2 variants give the same numbers on both sides" in output
    git(library, "commit", "-q", "-a", "-m", "broken")
    # against itself it is unchanged, however bad it is
    code, output, errors = check(library, *words)
    assert code == Exit.OK, output + errors


@pytest.mark.slow
def test_only_what_differs_is_trained_on(library):
    # a change in the last bits: nothing is shown against it, and little for it
    (library / "src" / "somelib.py").write_text(LIBRARY.replace("self.body(z)", "self.body(z * 1.0001)"))
    words = [*TINY, "network=plain,from_a_library", "--out", "checks", "--against", "HEAD"]
    code, output, errors = check(library, *words)
    assert code in (Exit.OK, Exit.INCONCLUSIVE), output + errors
    runs = {folder.name: set(api.load(folder).plan.variants) for folder in (library / "checks").iterdir()}
    assert sorted(runs) == [f"{side}seeds-{seeds}" for side in ("base-", "") for seeds in ("0-4", "10-19", "5-9")]
    assert {name: sorted(v.network for v in variants) for name, variants in runs.items()} == {
        name: ["from_a_library"] if "0-4" not in name else ["from_a_library", "plain"] for name in runs
    }
    assert "custom, 20 seeds:" in output


@pytest.mark.slow
def test_another_place_of_the_code_than_the_path_is_found_or_refused(library, tmp_path):
    (library / "src" / "somelib.py").write_text(BROKEN)
    words = [*TINY, "network=from_a_library", "--against", "HEAD"]
    # installed as `pip install -e` does it: a file beside the packages names the folder
    site = tmp_path / "site"
    site.mkdir()
    (site / "somelib.pth").write_text(f"{library / 'src'}\n")
    (site / "sitecustomize.py").write_text(f"import site; site.addsitedir({str(site)!r})")
    code, output, errors = check(library, *words, "seeds=2", paths=(site,))
    assert code == Exit.INCONCLUSIVE, output + errors
    # a generator that gives nothing and one that does, not the same one twice
    assert "same numbers" not in output
    assert "Another version than in the baseline: network from_a_library" in output
    # a copy, of which there is one for both sides
    copy = tmp_path / "site-packages"
    copy.mkdir()
    (copy / "somelib.py").write_text(BROKEN)
    code, output, errors = check(library, *words, "seeds=2", paths=(copy,))
    assert code == Exit.USAGE, output + errors
    told = " ".join(errors.split())
    assert f"Both sides would import 'somelib' from '{copy / 'somelib.py'}', and 'src/somelib.py' has changed" in told
    # as long as it is what the revision has, nothing is missed
    git(library, "checkout", "-q", "--", "src")
    code, output, errors = check(library, *words, "seeds=5", paths=(copy,))
    assert code == Exit.OK, output + errors
    # a plug-in that goes to its library by a path of its own
    (library / "plugin.py").write_text(f"import sys\nsys.path.insert(0, {str(library / 'src')!r})\n{PLUGIN}")
    git(library, "commit", "-q", "-a", "-m", "by path")
    (library / "src" / "somelib.py").write_text(BROKEN)
    code, output, errors = check(library, *words, "seeds=2", paths=())
    assert code == Exit.USAGE, output + errors
    assert "the library would be held against itself" in " ".join(errors.split())


@pytest.mark.slow
def test_another_environment_is_the_base_side(library, tmp_path):
    other = tmp_path / "installed"
    other.mkdir()
    (other / "somelib.py").write_text(LIBRARY)
    python = tmp_path / "python"
    paths = os.pathsep.join([str(Path(ganbench.__file__).parents[1]), str(other)])
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{paths}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    words = [*TINY, "network=from_a_library", "--against-env", python]
    code, output, errors = check(library, *words, "seeds=5")
    assert code == Exit.OK, output + errors
    assert f"The baseline is the environment of '{python}', trained beside" in output
    (library / "src" / "somelib.py").write_text(BROKEN)
    code, output, errors = check(library, *words, "seeds=2")
    assert code == Exit.INCONCLUSIVE, output + errors
    assert "same numbers" not in output
    (other / "somelib.py").unlink()
    code, output, errors = check(library, *words, "seeds=2")
    assert code == Exit.USAGE
    assert "cannot be trained: The plug-in file" in " ".join(errors.split())


# ------------------------------------------------------------------------------------------ what cannot be done


@pytest.fixture
def refused(monkeypatch, own_registry, forgotten):
    """Return what a check that is refused says, and that it trains nothing."""
    monkeypatch.setenv("COLUMNS", "300")

    def never(*words, **more):
        raise AssertionError("trained")

    monkeypatch.setattr(_Side, "train", never)
    monkeypatch.setattr(api, "execute_plan", never)

    def run(folder, *words):
        monkeypatch.chdir(folder)
        result = CliRunner().invoke(app, ["check", *map(str, words)])
        assert isinstance(result.exception, UserError), result.output
        assert result.exception.exit_code == Exit.USAGE
        return str(result.exception)

    return run


def test_what_cannot_be_compared_is_told_in_a_sentence(library, tmp_path, refused, monkeypatch):
    monkeypatch.syspath_prepend(library / "src")
    suite = [*TINY, "--plugin", "plugin.py", "network=plain"]
    elsewhere = tmp_path / "elsewhere.py"
    elsewhere.write_text("")
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert refused(library, *suite, "--against", "mian").startswith("There is no revision 'mian' in the repository")
    assert refused(library, *suite, "--against", "--all").startswith("There is no revision '--all'")
    assert refused(nowhere, *TINY, "--against", "main").startswith(f"The working directory '{nowhere}' is in no git")
    told = refused(library, *TINY, "--plugin", elsewhere, "--against", "main")
    assert told == (
        f"The plug-in file '{elsewhere}' lies outside of the repository '{library}': it would be the same one at every "
        "revision."
    )
    monkeypatch.setattr(against, "_roots", lambda repository: [])
    assert refused(library, *TINY, "--against", "main").startswith("Nothing that this check trains comes from the rep")
    (library / "new.py").write_text("")
    assert refused(library, *TINY, "--plugin", "new.py", "--against", "main") == (
        "There is no 'new.py' at the revision 'main'."
    )
    (library / "new.yaml").write_text("problem: ring8\n")
    assert refused(library, "suite=new.yaml", "--plugin", "plugin.py", "--against", "main") == (
        "There is no 'new.yaml' at the revision 'main'."
    )
    assert len(git(library, "worktree", "list").splitlines()) == 1


def test_options_that_do_not_go_together_are_told(tmp_path, refused):
    either = "A check is against a baseline's file (--baseline FILE) or a side that is trained beside it (--against REV"
    assert refused(tmp_path, *TINY).startswith(either)
    assert refused(tmp_path, *TINY, "--baseline", "b.json", "--against", "main").endswith("PYTHON): got both.")
    assert refused(tmp_path, "study", "--against", "main").startswith("With --against both sides are trained: give a")
    for option in ("--reuse", "--canary"):
        assert refused(tmp_path, *TINY, "--against", "main", option).startswith(f"{option} is for checks against a fi")


def side(**more):
    return _Side(Against("main"), sys.executable, Path(), None, (), (), Repository(Path("/r")), **more)


def test_an_interpreter_that_cannot_train_is_told(tmp_path):
    order = {"overrides": [], "out": str(tmp_path / "out"), "device": "cpu", "workers": 1, "variants": None}
    asked = replace(side(), against=Against(python="/no/python"), python="/no/python", folder=tmp_path)
    with pytest.raises(
        UserError, match=r"^The base side, the environment of '/no/python', cannot be trained: cannot st"
    ):
        asked.train(order)
    silent = tmp_path / "python"
    silent.write_text("#!/bin/sh\necho no such option >&2\nexit 3\n")
    silent.chmod(0o755)
    with pytest.raises(UserError, match=r"cannot be trained: its process ended with code 3: no such option\.$"):
        replace(asked, python=str(silent)).train(order)


def test_the_base_side_answers_with_its_error(tmp_path, monkeypatch):
    order, answer = tmp_path / "order.json", tmp_path / "answer.json"
    order.write_text('{"overrides": ["loss=hing"], "plugins": []}')
    monkeypatch.setattr(sys, "argv", ["base_side.py", str(order), str(answer)])
    base_side.main()
    assert answer.read_text().startswith("{\"error\": \"Unknown loss 'hing'. Did you mean 'hinge'?")


# ------------------------------------------------------------------------------------------ identity


@pytest.mark.parametrize(("name", "changed", "found"), [
    ("lib.gen", "src/lib/gen.py", "src/lib/gen.py"), ("lib", "packages/lib/__init__.py", "packages/lib/__init__.py"),
    ("lib", "lib.py", "lib.py"), ("lib", "src/lib.py", "src/lib.py"), ("lib", "tools/lib.py", None),
    ("lib.gen", "src/my_lib/gen.py", None), ("gen", "src/lib/gen.py", None), ("lib", "lib/data.json", None),
])  # fmt: skip
def test_an_installed_module_is_known_by_its_place_in_the_repository(name, changed, found):
    assert _installed_copy(name, frozenset({changed, "docs/a.md"})) == found


def test_code_of_one_place_is_refused_only_where_it_has_changed():
    here = {"lib.gen": "/site/lib/gen.py", "numpy": "/site/numpy/__init__.py", "types": "/python/types.py"}
    assert side(changed=frozenset({"src/lib/other.py", "types.py"})).check_apart(here, here) == []
    with pytest.raises(
        UserError, match=r"^Both sides would import 'lib.gen' from '/site/lib/gen.py', and 'src/lib/gen"
    ):
        side(changed=frozenset({"src/lib/gen.py"})).check_apart(here, here)
    # elsewhere on the base side, it is another file
    assert side(changed=frozenset({"src/lib/gen.py"})).check_apart(here | {"lib.gen": "/tree/lib/gen.py"}, here) == []
    # the base side in the working tree itself, whatever the candidate has come to so far
    inside = {"lib.gen": "/r/src/lib/gen.py"}
    with pytest.raises(UserError, match="would be held against itself"):
        side(changed=frozenset({"src/lib/gen.py"})).check_apart(inside, {})
    assert side().check_apart(inside, {}) == []
    # an environment that lies within the repository is no part of it
    venv = {"lib.gen": "/r/.venv/lib/python3.11/site-packages/elsewhere/gen.py"}
    assert side(changed=frozenset({"src/lib/x.py"})).check_apart(venv, venv) == []


def test_an_environment_has_to_differ_in_something():
    env = replace(side(), against=Against(python="p"), repository=None)
    own = {"torch": "/a/site-packages/torch/__init__.py", "lib": "/src/lib.py", "ganbench_plugin_x": "/x.py"}
    with pytest.raises(
        UserError, match=r"^Nothing differs: the environment of 'p' imports the files that this command"
    ):
        env.check_apart({**own, "loaded.later": "/z.py"}, own)
    other = {**own, "torch": "/b/site-packages/torch/__init__.py"}
    assert env.check_apart(other, own) == ["Both sides import lib from one place."]


@pytest.mark.usefixtures("own_registry", "forgotten")
def test_reached_modules_have_their_files(tmp_path, monkeypatch):
    (tmp_path / "somelib.py").write_text(LIBRARY)
    (tmp_path / "plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    ganbench.registry.load_file(tmp_path / "plugin.py")
    found = base_side.reached()
    assert found["somelib"] == str(tmp_path / "somelib.py")
    assert found["ganbench"] == str(Path(ganbench.__file__).resolve())


def test_the_working_tree_is_compared_with_a_commit(library):
    repository = Repository.around(library / "src")
    assert repository.root == library
    commit = repository.commit("main")
    assert repository.changed(commit) == set()
    (library / "src" / "somelib.py").write_text(BROKEN)
    (library / "new.py").write_text("")
    (library / "reports").mkdir()
    (library / "reports" / "ignored.py").write_text("")
    assert repository.changed(commit) == {"src/somelib.py", "new.py"}
    with repository.laid_out(commit) as tree:
        assert (tree / "src" / "somelib.py").read_text() == LIBRARY
        assert not (tree / "new.py").exists()
    assert not tree.exists()
    assert repository.place(library / "src") == "src"
    assert repository.place(library.parent) is None


# ------------------------------------------------------------------------------------------ pairs


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    words = [*TINY, "loss=hinge,wasserstein", "seeds=2", "network.mlp.width=8"]
    return ganbench.run(None, words, out=tmp_path_factory.mktemp("pairs") / "study", workers=1)


def test_variants_are_unchanged_where_every_number_is_the_same(study):
    ids = [variant.id for variant in study.plan.variants]
    assert paired(study, study) == {name: name for name in ids}
    assert unchanged([study], [study]) == set(ids)
    other = api.load(study.path)
    other.__dict__["series"] = study.series.copy()
    place = other.series.index[other.series["run"] == f"{ids[1]}-s1"][-1]
    # time is no number of a run, the smallest bit is
    other.series["seconds_per_step"] += 1.0
    assert unchanged([study], [other]) == set(ids)
    value = other.series.loc[place, "g_gradient_norm"]
    other.series.loc[place, "g_gradient_norm"] = value * (1 + 2**-40)
    assert value > 0
    assert unchanged([study], [other]) == {ids[0]}
    # one look that differs is enough, and a later study of fewer variants says nothing of the others
    assert unchanged([study, study], [study, other]) == {ids[0]}


def test_runs_that_have_not_ended_are_never_unchanged(study):
    other = api.load(study.path)
    other.__dict__["runs"] = study.runs.assign(status="failed")
    assert unchanged([other], [other]) == set()


def test_a_request_without_a_baseline_is_told():
    with pytest.raises(UserError, match="nothing to check against"):
        checking.check_suite(TINY, checking.Request())
