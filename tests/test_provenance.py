"""Where results come from: revisions with their state, machines that git does not help on, and mixed studies."""

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from ganbench import provenance, revision
from ganbench.plan import Plan

ROOT = Path(__file__).parents[1]
git_is_here = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "losses.py").write_text("")
    (folder / "helper.py").write_text("")
    for words in (["init", "-q"], ["add", "losses.py", "helper.py"], ["commit", "-qm", "x"]):
        git(folder, *words)
    return folder


def git(folder, *words):
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@git_is_here
def test_revision_tells_whether_the_repository_was_changed(repository):
    head = git(repository, "rev-parse", "--short=12", "HEAD")
    file = repository / "losses.py"
    assert revision.revision(file) == head
    (repository / "results.csv").write_text("")
    assert revision.revision(file) == head, "what training leaves beside the code is no change of the code"
    (repository / "helper.py").write_text("changed = 1")
    assert revision.revision(file) == f"{head}-dirty"
    git(repository, "commit", "-qam", "y")
    (repository / "new.py").write_text("")
    assert revision.revision(repository / "new.py") == git(repository, "rev-parse", "--short=12", "HEAD") + "-dirty"


@git_is_here
def test_package_that_lies_in_a_foreign_repository_has_no_revision(repository, monkeypatch):
    package = repository / "venv" / "ganbench"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(revision, "PACKAGE", package)
    monkeypatch.setattr(revision, "BUILT", package / "_revision.json")
    assert revision.own_revision() == ""
    (package / "_revision.json").write_text('{"revision": "0123456789ab"}')
    assert revision.own_revision() == "0123456789ab"
    for damaged in ("", "[]", "{}", "\x00"):
        (package / "_revision.json").write_text(damaged)
        assert revision.own_revision() == ""


@git_is_here
def test_new_file_in_the_package_makes_its_checkout_dirty(repository, monkeypatch):
    monkeypatch.setattr(revision, "PACKAGE", repository)
    monkeypatch.setattr(revision, "BUILT", repository / "_revision.json")
    (repository / "__init__.py").write_text("")
    git(repository, "add", "__init__.py")
    git(repository, "commit", "-qm", "z")
    head = git(repository, "rev-parse", "--short=12", "HEAD")
    assert revision.own_revision() == head
    (repository / "new_loss.py").write_text("")
    assert revision.own_revision() == f"{head}-dirty"


@git_is_here
def test_variables_of_a_hook_do_not_lead_to_another_repository(repository, tmp_path, monkeypatch):
    head = git(repository, "rev-parse", "--short=12", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert revision.revision(repository / "losses.py") == head


@git_is_here
def test_no_repository_an_empty_one_and_no_folder_are_no_revision(tmp_path):
    assert revision.revision(tmp_path / "x.py") == ""
    git(tmp_path, "init", "-q")
    assert revision.revision(tmp_path / "x.py") == ""
    assert revision.revision(tmp_path / "gone" / "x.py") == ""


SCRIPTS = {"refuses": "exit 128", "hangs": "sleep 60", "garbage": "printf '\\377\\376'; exit 1", "absent": None}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_git_that_does_not_answer_costs_the_revision_only(script, tmp_path, monkeypatch):
    if script:
        (tmp_path / "git").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin" if script else str(tmp_path))
    monkeypatch.setattr(revision, "PATIENCE", 0.5)
    assert revision.revision(tmp_path / "x.py") == ""


@git_is_here
def test_changes_that_cannot_be_told_in_time_are_unchecked(repository, monkeypatch):
    real = revision._git
    monkeypatch.setattr(revision, "_git", lambda f, *words: None if words[0] == "status" else real(f, *words))
    head = git(repository, "rev-parse", "--short=12", "HEAD")
    assert revision.revision(repository / "losses.py") == f"{head}-unchecked"


def test_session_tells_machine_versions_and_revisions(tmp_path):
    file = str(tmp_path / "mine.py")
    begun = provenance.begin_session("cpu", 2, [file])
    record = provenance.end_session(begun, 1.5)
    assert record["plugin_revisions"] == {file: ""}
    assert (record["threads"], record["workers"], record["wall_seconds"]) == (1, 2, 1.5)
    assert record["cores"] >= 1
    for key in ("torch", "numpy", "scipy", "python", "device", "code", "ganbench", "started", "finished"):
        assert record[key], key
    assert json.loads(json.dumps(record)) == record


OLD = {"ganbench": "0.1.0", "torch": "2.12.0", "device": "An EPYC, 2 cores"}
NEW = {"ganbench": "0.1.0", "torch": "2.13.0", "device": "An EPYC", "threads": 1, "code": "aa"}


def test_mix_is_one_sentence_that_names_what_differs():
    assert provenance.mixed([]) == provenance.mixed([NEW]) == provenance.mixed([NEW, dict(NEW)]) == ""
    assert provenance.mixed([OLD, {**NEW, "torch": "2.12.0"}]) == "", "what is not known differs from nothing"
    assert provenance.mixed([OLD, NEW, OLD]) == (
        "Trained by two environments: torch 2.12.0 and 2.13.0. Runs of one may not repeat in another."
    )
    third = {**NEW, "device": "A GPU", "code": "bb"}
    assert provenance.mixed([OLD, NEW, third]) == (
        "Trained by three environments: code of ganbench aa and bb; torch 2.12.0 and 2.13.0; device An EPYC and A GPU. "
        "Runs of one may not repeat in another."
    )


def test_differences_from_a_baseline_are_sentences():
    assert provenance.changes(OLD, NEW) == ["torch is 2.13.0, in the baseline 2.12.0."]
    assert provenance.changes({}, NEW) == provenance.changes(NEW, NEW) == []
    assert provenance.changes(NEW, {**NEW, "code": "bb", "device": "B"}) == [
        "code of ganbench is bb, in the baseline aa.", "device is B, in the baseline An EPYC.",
    ]  # fmt: skip
    now = {f"loss.l{i}": "new" for i in range(7)}
    assert provenance.plugin_changes(dict.fromkeys(list(now)[:6], "old"), now) == [
        "Another version than in the baseline: loss l0, loss l1, loss l2, loss l3, loss l4 and 1 more."
    ]
    assert provenance.plugin_changes({}, now) == []
    assert provenance.plugin_changes({"loss.hinge": "a hash of old"}, {"loss.hinge": "ganbench"}) == []


def hook(monkeypatch):
    """The build's hook, without hatchling, which only builds have."""
    for name in ("hatchling", "hatchling.builders", "hatchling.builders.hooks", "hatchling.builders.hooks.plugin"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    interface = ModuleType("hatchling.builders.hooks.plugin.interface")

    class BuildHookInterface:
        def __class_getitem__(cls, item):
            return cls

    interface.BuildHookInterface = BuildHookInterface
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    spec = importlib.util.spec_from_file_location("ganbench_tests_hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@git_is_here
def test_build_records_the_revision_of_the_checkout(repository, monkeypatch):
    module = hook(monkeypatch)
    package = repository / "ganbench"
    package.mkdir()
    shutil.copy(ROOT / "ganbench" / "revision.py" if (ROOT / "ganbench").is_dir() else revision.__file__, package)
    (package / "__init__.py").write_text("")
    (repository / ".gitignore").write_text("__pycache__/\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "package")
    built = SimpleNamespace(root=str(repository))
    data = {"force_include": {}}
    module.RevisionHook.initialize(built, "editable", data)
    assert data["force_include"] == {}
    module.RevisionHook.initialize(built, "standard", data)
    ((file, target),) = data["force_include"].items()
    assert target == "ganbench/_revision.json"
    assert json.loads(Path(file).read_text()) == {"revision": git(repository, "rev-parse", "--short=12", "HEAD")}
    module.RevisionHook.finalize(built, "standard", data, "")
    assert not Path(file).exists()
    assert git(repository, "status", "--porcelain") == ""
    (package / "_revision.json").write_text("{}")
    module.RevisionHook.initialize(built, "standard", data := {"force_include": {}})
    assert data["force_include"] == {}, "an archive brings its own"


def test_plan_is_what_a_session_has_no_part_in():
    assert not {"torch", "device", "threads", "git_revision"} & set(Plan.__dataclass_fields__)


@pytest.mark.parametrize(("words", "told"), [
    (["ganbench", "run", "smoke", "seeds=2"], "ganbench run smoke seeds=2"),
    (["/bin/ganbench", "run", "--out=place", "smoke"], "ganbench run smoke"),
    (["x/ganbench/__main__.py", "run", "--out", "place", "a b", "--fresh"], "ganbench run 'a b' --fresh"),
    (["ganbench", "run", "--output=1", "out=2"], "ganbench run --output=1 out=2"),
    (["x/pytest/__main__.py", "-q", "tests"], ""), (["script.py", "run", "smoke"], ""),
    (["", "run"], ""), (["ganbench"], "ganbench"),
])  # fmt: skip
def test_a_command_is_told_wherever_its_results_go(monkeypatch, words, told):
    monkeypatch.setattr(sys, "argv", words)
    assert provenance.command() == told


def test_environments_are_told_once_each_the_first_first():
    sessions = [{**NEW, "started": "1"}, {**NEW, "torch": "2.14.0"}, {**NEW, "started": "2"}]
    assert [found["torch"] for found in provenance.environments(sessions)] == ["2.13.0", "2.14.0"]
    assert provenance.environments([{"started": "1", "python": "3.12", "wall_seconds": 4.0}]) == [{"python": "3.12"}]
    assert [provenance.told(OLD, key) for key in ("device", "torch", "code")] == ["An EPYC", "2.12.0", ""]
    assert provenance.told({"torch": "A, 2 cores", "threads": 0}, "torch") == "A, 2 cores"
    assert provenance.told({"threads": 0}, "threads") == "0"


def test_up_to_five_changed_plugins_are_all_named():
    now = {f"loss.l{i}": "new" for i in range(5)}
    assert provenance.plugin_changes(dict.fromkeys(now, "old"), now) == [
        "Another version than in the baseline: loss l0, loss l1, loss l2, loss l3, loss l4."
    ]


@pytest.mark.parametrize(("count", "word"), [(2, "two"), (3, "three"), (4, "four"), (5, "5"), (12, "12")])
def test_environments_are_counted_in_words_as_far_as_four(count, word):
    records = [{**NEW, "torch": f"2.{place}", "device": f"machine {place}"} for place in range(count)]
    assert provenance.mixed(records).startswith(f"Trained by {word} environments: torch 2.0 and 2.1")


def test_a_session_records_what_it_runs_on(monkeypatch):
    import torch

    import ganbench

    record = provenance.begin_session("cpu", 3, threads=4)
    assert (record["workers"], record["threads"], record["plugin_revisions"]) == (3, 4, {})
    assert (record["cuda"], record["torch"], record["ganbench"]) == ("", torch.__version__, ganbench.__version__)
    assert (record["cores"], record["platform"]) == (os.cpu_count(), platform.system())
    assert record["python"] == platform.python_version()
    assert record["git_revision"] == revision.own_revision()
    assert record["started"].endswith("+00:00")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    monkeypatch.setattr(provenance, "version", missing)
    record = provenance.begin_session("cuda", 1)
    assert (record["cores"], record["cuda"], record["device"], record["numpy"]) == (1, "13.0", "a card", "")


def missing(name):
    raise provenance.PackageNotFoundError(name)


@pytest.mark.parametrize(("text", "told"), [
    ('{"revision": "abc-dirty"}', "abc-dirty"), ('{"revision": 5}', "5"), ("{}", ""), ("[1]", ""), ("not json", ""),
    ("\xff", ""), ("3", ""),
])  # fmt: skip
def test_what_the_build_recorded_comes_before_any_repository(tmp_path, monkeypatch, text, told):
    monkeypatch.setattr(revision, "_git", lambda *words: "from git")
    monkeypatch.setattr(revision, "BUILT", tmp_path / "_revision.json")
    assert revision.own_revision() == "from git-dirty", "a checkout has no such file"
    (tmp_path / "_revision.json").write_bytes(text.encode("latin-1"))
    assert revision.own_revision() == told
    assert revision.PATIENCE == 5


def test_git_is_asked_alone_and_leaves_nothing(tmp_path, monkeypatch):
    asked = []

    def run(words, **more):
        asked.append((words, more))
        return SimpleNamespace(stdout=b" said\xff\n")

    monkeypatch.setattr(revision.subprocess, "run", run)
    for name in revision.ELSEWHERE:
        monkeypatch.setenv(name, "elsewhere")
    monkeypatch.setenv("KEPT", "1")
    assert revision._git(tmp_path, "status", "x") == "said\ufffd"
    ((words, more),) = asked
    quiet = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]
    assert words == ["git", *quiet, "-C", str(tmp_path), "status", "x"]
    environment = more.pop("env")
    assert not set(environment) & set(revision.ELSEWHERE)
    assert (environment["KEPT"], environment["GIT_OPTIONAL_LOCKS"], environment["LC_ALL"]) == ("1", "0", "C")
    assert more == {
        "stdin": subprocess.DEVNULL, "capture_output": True, "timeout": revision.PATIENCE, "check": True,
    }  # fmt: skip
