"""`ganbench doctor`: what it lists, what it shows, and what it says of a script that is run under it."""

import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ganbench.cli import app
from ganbench.errors import UserError
from ganbench.examining import examine
from ganbench.monitor import Monitor
from ganbench.monitor.doctor.loops import MISTAKES

SCRIPT = """
import sys
import torch
from torch import nn, optim
from torch.nn.functional import softplus
import ganbench

G, D = nn.Linear(4, 2), nn.Linear(2, 1)
opt_g, opt_d = optim.Adam(G.parameters(), lr=1e-3), optim.Adam(D.parameters(), lr=1e-3)
monitor = ganbench.Monitor(G, D, torch.randn(200, 2), 4, out="reports/it", samples=64, neighbours=16, log=None)
for step in range(100):
    fake, real = G(torch.randn(32, 4)), torch.randn(32, 2)
    opt_d.zero_grad()
    (softplus(-D(real)) + softplus(D(fake.detach()))).mean().backward()
    opt_d.step()
    opt_g.zero_grad()
    softplus(-D(fake)).mean().backward()
    opt_g.step()
    monitor.step()
    print("step", step, *sys.argv[1:])
raise RuntimeError("the doctor had seen enough long ago")
"""


@pytest.fixture
def cli(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments, code=0):
        result = CliRunner().invoke(app, ["doctor", *arguments])
        assert result.exit_code == code, result.output
        return result.output

    return run


@pytest.fixture
def script(tmp_path):
    def write(text=SCRIPT):
        file = tmp_path / "train.py"
        file.write_text(text)
        return str(file)

    return write


def test_every_fault_is_listed(cli):
    lines = cli().splitlines()
    assert [line.partition(": ")[2] for line in lines[: len(MISTAKES)]] == [mistake.fault for mistake in MISTAKES]
    assert {line.partition(": ")[0] for line in lines[: len(MISTAKES)]} == {"certain", "perhaps"}


def test_a_fault_is_shown_with_its_loop_and_what_is_said(cli):
    told = cli("labels swapped")
    assert "> " in told
    assert re.findall(r"(?m)^  > (.*)$", told) == [
        "    g_loss = bce(D(fake), 0)",
        "    d_loss = -D(real).mean() - D(fake.detach()).mean()", "    g_loss = -D(fake).mean()",
    ]  # fmt: skip
    assert "certain: labels are swapped between the losses. D's loss puts real above fake scores" in told
    assert "certain: labels are swapped: D's loss wants the same of real samples and of fakes." in told


def test_an_unknown_fault_names_the_nearest(cli):
    result = CliRunner().invoke(app, ["doctor", "labels are swaped between the losses"])
    assert isinstance(result.exception, UserError)
    assert "labels are swapped between the losses" in str(result.exception)


def test_a_healthy_script_is_ended_with_0_and_writes_no_study(cli, script, tmp_path, capfd):
    told = cli(script(), "beside")
    assert "Nothing wrong with the wiring" in told
    assert not (tmp_path / "reports").exists()
    assert Monitor.examined is Monitor.elsewhere is None


def test_a_script_with_a_fault_ends_with_1(cli, script):
    told = cli(script(SCRIPT.replace("    opt_g.zero_grad()\n", "").replace(", log=None", "")), code=1)
    assert told.count("certain: the generator's gradients are never cleared") == 1


def test_what_is_only_perhaps_wrong_ends_with_0(cli, script):
    told = cli(script(SCRIPT.replace("D.parameters(), lr=1e-3", "D.parameters(), lr=1e-6")))
    assert "perhaps: learning rates are orders apart" in told


@pytest.mark.parametrize(
    ("text", "said"),
    [("print('nothing to see')", "it needs a ganbench.Monitor"), ("raise SystemExit(3)", "it needs a ganbench.Monitor"),
     ("raise ValueError('no data')", "raised ValueError: no data before the doctor had seen enough"),
     (SCRIPT.replace("range(100)", "range(3)").partition("raise ")[0], "it needs a ganbench.Monitor")],
)  # fmt: skip
def test_a_script_that_cannot_be_examined_is_one_sentence(script, text, said, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    before = list(sys.argv), list(sys.path)
    with pytest.raises(UserError, match=said):
        examine(Path(script(text)), [])
    assert (sys.argv, sys.path) == before


def test_a_script_that_is_not_there(cli):
    result = CliRunner().invoke(app, ["doctor", "nowhere.py"])
    assert isinstance(result.exception, UserError)
    assert str(result.exception) == "There is no script 'nowhere.py'."
