"""The examples of runs, plug-ins, problems and gates do what they say; those of the monitor are tested beside it."""

import re
from pathlib import Path

import pytest
import torch

import ganbench
from ganbench import contracts, registry

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
SMALL = ["seeds=2", "steps=10", "probe_every=5", "batch_size=16", "samples=64", "neighbours=32", "network.mlp.width=8"]
pytestmark = pytest.mark.skipif(not EXAMPLES.exists(), reason="examples are not installed")


@pytest.mark.slow
def test_a_run_from_python(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source, count = re.subn(r"(?m)^seeds, steps, probe_every = .*$", "seeds, steps, probe_every = 2, 10, 5",
                            (EXAMPLES / "run.py").read_text(encoding="utf-8"))  # fmt: skip
    assert count == 1
    space = {"__name__": "__main__"}
    exec(compile(source, "run.py", "exec"), space)
    told = capsys.readouterr().out
    # ten steps teach nobody anything: all 2 x 2 x 2 runs are named with their verdict, all variants with their failures
    assert told.count(": never learned. ") == len(space["study"].runs) == 8
    assert space["ranking"]["failures"].tolist() == [2, 2, 2, 2]
    assert told.strip().endswith("report.html")
    assert (tmp_path / "reports" / "from-python" / "report.html").exists()


@pytest.mark.parametrize("name", ["plugin.py", "own_problem.py"])
def test_what_it_registers_keeps_the_laws(own_registry, name):
    plugins = contracts.plugins_of(EXAMPLES / name)
    assert plugins
    for plugin in plugins:
        assert [result for result in contracts.verify(plugin) if result.status == "broken"] == [], plugin.name


def test_plugins_of_ones_own(own_registry, tmp_path):
    swept = ["problem=ring8", "loss=hinge,soft_hinge", "regularizer=none,drift", "loss.soft_hinge.margin=2.0"]
    study = ganbench.run(
        overrides=[*swept, *SMALL],
        plugins=[EXAMPLES / "plugin.py"], out=tmp_path / "study", workers=1,
    )  # fmt: skip
    assert set(study.runs["status"]) == {"done"}
    assert len(study.runs) == 2 * 2 * 2
    soft = registry.get("loss", "soft_hinge").function
    real, fake = torch.tensor([1.0]), torch.tensor([-1.0])
    d_loss, g_loss = soft(real, fake)
    # at the margin the softplus is log 2, on each side; G wants its logits up
    torch.testing.assert_close(d_loss, torch.tensor(2.0).log() * 2)
    assert g_loss == 1


def test_a_problem_of_ones_own(own_registry, tmp_path):
    study = ganbench.run(
        overrides=["problem=cross,ring8", "loss=nonsaturating", "regularizer=r1", *SMALL],
        plugins=[EXAMPLES / "own_problem.py"], out=tmp_path / "study", workers=1,
    )  # fmt: skip
    assert set(study.runs["status"]) == {"done"}
    assert study.modes == {"cross": 5, "ring8": 8}
    centres, _ = study.centres("cross")
    # standardised: mean 0, and one mode at it
    assert abs(centres).min(axis=0).max() == 0
    torch.testing.assert_close(torch.as_tensor(centres).mean(0), torch.zeros(2, dtype=torch.float64))


def test_every_example_is_executed_by_a_test():
    tests = "".join((ROOT / "tests" / name).read_text(encoding="utf-8")
                    for name in ("test_examples.py", "test_checking.py", "monitor/test_examples.py"))  # fmt: skip
    assert [file.name for file in EXAMPLES.iterdir() if file.is_file() and f'"{file.name}"' not in tests] == []
