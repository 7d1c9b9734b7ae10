"""Mutated studies: every reader ends with a result or with one sentence, and soon."""

import importlib.util
import shutil
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from ganbench import api, checking, cli, serve
from ganbench.analysis.verdicts import judge
from ganbench.errors import Exit, UserError

SUITE = ["problem=ring8", "steps=4", "seeds=2", "batch_size=16", "probe_every=2", "samples=32", "neighbours=16",
         "network.mlp.width=4", "loss=hinge,minimax", "normalization=none,layer"]  # fmt: skip
SECONDS = 10
spec = importlib.util.spec_from_file_location("ganbench_tests_mutations", Path(__file__).parent / "mutations.py")
mutations = importlib.util.module_from_spec(spec)
spec.loader.exec_module(mutations)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A study with two populations, one of which is complete; the other can go on from a checkpoint."""
    folder = tmp_path_factory.mktemp("trained")
    study = api.run(overrides=SUITE, out=folder / "study", workers=1)
    checking.make_baseline(study.path, folder / "baseline.json", {})
    return folder


@contextmanager
def soon():
    """Fail what takes longer than SECONDS of the processor, or waits for a minute: the machine may be busy."""

    def ended(number, frame):
        raise AssertionError(f"not done after {SECONDS} seconds")

    before = [signal.signal(number, ended) for number in (signal.SIGVTALRM, signal.SIGALRM)]
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, 60)
    try:
        yield
    finally:
        for timer in (signal.ITIMER_VIRTUAL, signal.ITIMER_REAL):
            signal.setitimer(timer, 0)
        for number, handler in zip((signal.SIGVTALRM, signal.SIGALRM), before, strict=True):
            signal.signal(number, handler)


def command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["ganbench", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code != Exit.INTERNAL


def tables(study, target, monkeypatch):
    loaded = api.load(study)
    for damage in loaded.damage:
        assert "\n" not in str(damage)
        str(damage).encode()
    assert loaded.runs["run"].is_unique
    assert not loaded.series.duplicated(["run", "step"]).any()
    judge(loaded)
    for run in loaded.runs["run"]:
        loaded.samples(run)


READERS = {
    "tables": tables,
    "export": lambda study, target, patch: command(patch, "export", study, "--out", target),
    "check": lambda study, target, patch: command(patch, "check", study, "--baseline", study.parent / "baseline.json"),
    "baseline": lambda study, target, patch: command(patch, "baseline", study, "-o", target / "b.json"),
    "serve": lambda study, target, patch: serve.Site(study.parent).page(),
    "report": lambda study, target, patch: command(patch, "report", study, "-o", target / "r.html"),
}


def try_all(trained, folder, seed, monkeypatch, readers):
    shutil.copytree(trained, folder / "it")
    done = mutations.mutate(folder / "it", seed)
    for name in readers:
        try:
            with soon():
                READERS[name](folder / "it" / "study", folder / "target", monkeypatch)
        except UserError:
            continue
        except BaseException as error:
            error.add_note(f"{name} of mutant {seed}: {done}")
            raise
    shutil.rmtree(folder / "it")


@pytest.mark.parametrize("seed", range(40))
def test_mutated_studies_are_read_or_refused_in_a_sentence(trained, tmp_path, monkeypatch, seed):
    (tmp_path / "target").mkdir()
    try_all(trained, tmp_path, seed, monkeypatch, [*list(READERS)[:-1]])


@pytest.mark.parametrize("seed", [1085, 1108, 1218, 1453, 1790])
def test_mutants_that_were_too_much_once(trained, tmp_path, monkeypatch, seed):
    """Real samples of another form, oracle values that no rule could end with, costs of nothing, an oracle below 0."""
    (tmp_path / "target").mkdir()
    try_all(trained, tmp_path, seed, monkeypatch, READERS)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_a_thousand_mutated_studies(trained, tmp_path, monkeypatch, part):
    (tmp_path / "target").mkdir()
    for seed in range(1000 + 100 * part, 1100 + 100 * part):
        try_all(trained, tmp_path, seed, monkeypatch, READERS)
