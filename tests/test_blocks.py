"""Every block of code of README and docs is run here, or has a reason why not.

Commands are parsed as the program parses them. Those that train are resolved and counted (`--dry-run`); those
that read a study are run on a small one. Python is executed beside small things of the names that it takes for granted.
"""

import glob
import re
import shlex
import shutil
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn
from typer.main import get_command

import ganbench
from ganbench import api, cli, registry
from ganbench.suite import resolve

ROOT = Path(__file__).parents[1]
OWN = ("your-data.md",)
"""Pages whose blocks a test of their own runs: tests/test_your_data.py."""
DOCS = [page for page in sorted((ROOT / "docs").glob("*.md")) if page.name not in OWN]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS]
pytestmark = pytest.mark.skipif(not (ROOT / "docs").exists(), reason="the docs are not part of this installation")

TINY = ["steps=20", "batch_size=16", "probe_every=10", "samples=64", "neighbours=32", "network.mlp.width=8"]
REASONS = {
    "pip install -e . --group type --group lint": "installs; CI does so with tox",
    "pip install tox && tox": "installs, and runs these tests",
    "repos:": "settings of a hook: tests/test_kit.py reads the hooks",
    "$ ganbench baseline": "what is printed: tests/test_history.py",
    "GANBENCH_JAX=jax": "needs an environment of its own, with JAX",
    "git bisect start": "goes through commits: tests/test_kit.py does it",
    "name: stability": "a workflow: tests/test_cluster_docs.py runs its steps",
    "#!/bin/bash": "a script for a queue: tests/test_cluster_docs.py runs it",
    "TrainingStopped: Training stopped at step 2000": "what is printed: tests/monitor/test_monitor.py",
    "ganbench: step 500, never learned": "what is printed: tests/monitor/test_telling.py",
    "ganbench: certain: the generator's loss": "what is printed: tests/monitor/test_doctor.py",
    "from ganbench.monitor.sinks import MLflow": "writes to three services: tests/monitor/test_sinks.py",
}
"""Blocks that are not run, by the beginning of their first line."""
ELSEWHERE = {
    "problem=fashion": "the files of the data set are not here",
    "suite=cifar10": "the same", "suite=celeba": "the same", "suite=folder": "the same", "problem=folder": "the same",
    "problem=npz": "the same", "suite=images": "Fashion-MNIST's files are not here",
    "executor=": "the executors' packages are optional: tests/test_cluster_docs.py reads these lines",
}  # fmt: skip
"""Lines of `ganbench run` that are parsed alone, by a word that begins so."""
READING = ("export", "report", "publish", "verify")
"""Commands that are run as they are by the slow tests; others than these, LIGHT and `run` train or wait."""
LIGHT = ("config", "list")


def blocks(page):
    """Return language and text of every block of code of a page."""
    found = re.findall(r"^```(\w*)[^\n]*\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return list(found)


ALL = [(page, number, language, text) for page in PAGES for number, (language, text) in enumerate(blocks(page))]


def reason(text):
    return next((why for first, why in REASONS.items() if text.startswith(first)), None)


def of(kind):
    found = [(page, number, text) for page, number, language, text in ALL if kind_of(language, text) == kind]
    return pytest.mark.parametrize(
        ("page", "text"), [(page, text) for page, _, text in found],
        ids=[f"{page.name}-{number}" for page, number, _ in found],
    )  # fmt: skip


def kind_of(language, text):
    """Return how a block is tested: shell, python, yaml, or told where it has a reason; None for one that is not."""
    if reason(text):
        return "told"
    if language in ("python", "yaml"):
        return language
    words = {line.split()[0] for line in text.splitlines() if line.strip()}
    return "shell" if not language and words <= {"ganbench", "pip"} else None


def test_every_block_is_run_or_has_a_reason():
    assert [(page.name, number) for page, number, language, text in ALL if kind_of(language, text) is None] == []
    assert [first for first in REASONS if not any(text.startswith(first) for *_, text in ALL)] == [], (
        "reasons of no use"
    )
    lines = [line for *_, language, text in ALL if kind_of(language, text) == "shell" for line in commands(text)]
    words = [word for line in lines if line[1] == "run" for word in line]
    assert [start for start in ELSEWHERE if not any(word.startswith(start) for word in words)] == [], "the same"


# ---- the places that blocks take for granted


def commands(text):
    """Return the commands of a block as words: lines without their comments, parted at &&."""
    parted = [
        part for line in text.splitlines() for part in shlex.join(shlex.split(line, comments=True)).split(" '&&' ")
    ]
    return [words for words in map(shlex.split, parted) if words]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    overrides = [*TINY, "problem=ring8", "loss=hinge,minimax", "seeds=2"]
    tuning = "tuning=[{optimizer.adam.d_lr: 0.001}, {optimizer.adam.d_lr: 0.01}]"
    return api.run(None, [*overrides, tuning], out=tmp_path_factory.mktemp("trained") / "study", workers=1).path


@pytest.fixture
def place(trained, tmp_path, monkeypatch, own_registry):
    """An empty directory with the plug-in files that pages show, and with studies where they have some."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for *_, text in ALL:
        if (named := re.match(r"# (\w+\.py)\n", text)) and not (tmp_path / named[1]).exists():
            (tmp_path / named[1]).write_text(text)
    (tmp_path / "my_library").mkdir()
    shutil.copy(tmp_path / "my_loss.py", tmp_path / "my_library" / "losses.py")
    for name in ("stability", "stability-efb88205", "images", "old", "new", "other", "mine"):
        shutil.copytree(trained, tmp_path / "reports" / name)
    return tmp_path


def program(monkeypatch, capsys, words):
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code or 0, capsys.readouterr()


# ---- shells


def lines(text):
    """Return the commands of ganbench in a block with their words, patterns of studies as the shell expands them."""
    for words in commands(text):
        if words[0] == "ganbench":
            found = [sorted(glob.glob(word)) or [word] if "reports/" in word else [word] for word in words[1:]]
            yield [word for group in found for word in group]


def is_large(words):
    """Tell whether to plan a line takes seconds."""
    return any(word.startswith("suite=") and not word.startswith("suite=smoke") for word in words)


def try_out(words, monkeypatch, capsys):
    name, *rest = words
    if name == "run" and not any(word.startswith(tuple(ELSEWHERE)) for word in rest):
        code, printed = program(monkeypatch, capsys, ["ganbench", *words, *["--dry-run"] * ("--dry-run" not in rest)])
        assert (code, printed.err) == (0, ""), words
        assert " runs of " in printed.out
    elif name in (*READING, *LIGHT):
        code, printed = program(monkeypatch, capsys, ["ganbench", *words])
        assert code == 0, printed.err


@of("shell")
def test_commands(page, text, place, monkeypatch, capsys):
    known = get_command(cli.app).commands
    for words in lines(text):
        assert known[words[0]].make_context(words[0], words[1:]).command.name == words[0]
        if words[0] in ("run", *LIGHT) and not is_large(words):
            try_out(words, monkeypatch, capsys)


@pytest.mark.slow
@of("shell")
def test_commands_that_take_longer(page, text, place, monkeypatch, capsys):
    for words in lines(text):
        if words[0] in READING or is_large(words):
            try_out(words, monkeypatch, capsys)


# ---- Python


def things():
    """Return the things that blocks take for granted: two networks, samples, losses of a step."""
    torch.manual_seed(0)
    real, images = torch.randn(64, 2), torch.randn(8, 1, 8, 8)
    pairs = [torch.randn(16, 2) for _ in range(4)]
    return {
        "generator": nn.Linear(64, 2), "discriminator": nn.Linear(2, 1), "loader": pairs, "real": real,
        "fake": torch.randn(64, 2), "fakes": torch.randn(3, 64, 2), "d_loss": torch.tensor(0.5), "images": images,
        "g_loss": torch.tensor(0.7), "adv": torch.tensor(0.7), "l1": torch.tensor(0.1), "w": 10.0,
        "scores_real": torch.randn(8, 1), "scores_fake": torch.randn(8, 1), "ganbench": ganbench, "np": np,
        "register": registry.register, "MyDataset": list,
    }  # fmt: skip


def python(slow):
    """Return the blocks of Python: those that train a suite are slow."""
    found = [(page, number, text) for page, number, language, text in ALL if kind_of(language, text) == "python"]
    chosen = [(page, number, text) for page, number, text in found if (page.name == "python.md") is slow]
    return pytest.mark.parametrize(("page", "text"), [(page, text) for page, _, text in chosen],
                                   ids=[f"{page.name}-{number}" for page, number, _ in chosen])  # fmt: skip


@python(slow=False)
def test_python(page, text, place, monkeypatch):
    execute(page, text, place, monkeypatch)


@pytest.mark.slow
@python(slow=True)
def test_python_that_takes_longer(page, text, place, monkeypatch):
    execute(page, text, place, monkeypatch)


def execute(page, text, place, monkeypatch):
    if "parquet" in text:
        pytest.importorskip("pyarrow")
    space = {"__name__": "block", **things()}
    if page.name in ("python.md", "results.md", "verdicts.md"):
        study = api.load(place / "reports" / "stability")
        series = study.series[study.series["run"] == study.runs["run"][0]]
        space |= {"study": study, "series": series}
        study.export(place / "data")
    if "for real, _ in loader" in text:
        space["loader"] = [(batch, 0) for batch in space["loader"]]
    if "reports/mine" in text:
        shutil.rmtree(place / "reports" / "mine")
    train = api.run
    small = {"seeds": 1, "steps": 4, "probe_every": 2, "samples": 64, "neighbours": 32, "workers": 1}
    monkeypatch.setattr(ganbench, "run", lambda *words, **given: train(*words, **{**given, **small}), raising=False)
    exec(compile(text, page.name, "exec"), space)
    plt.close("all")


# ---- YAML


@of("yaml")
def test_settings(page, text, place):
    (place / "shown.yaml").write_text(text)
    plan = resolve(place / "shown.yaml", [] if "problem:" in text else ["problem=ring8"])
    assert plan.runs
    assert bool(plan.claims) == ("claims:" in text)
    assert bool(plan.tuned) == ("tuning:" in text)
