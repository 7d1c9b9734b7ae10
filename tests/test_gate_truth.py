"""The gate judges what it has trained: a library that a plug-in uses is multiplied by zero, and the check turns red."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ganbench
from ganbench.errors import Exit

pytestmark = pytest.mark.slow

LIBRARY = """
from torch import nn


class Generator(nn.Module):
    def __init__(self, latent_dim, size):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(latent_dim, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.last = nn.Linear(64, size)

    def forward(self, z):
        return self.last(self.body(z))
"""
PLUGIN = '''
import math

from torch import nn

from ganbench import register
from somelib import Generator


@register("network")
def from_a_library(spec):
    """A library's generator against a plain critic."""
    size = math.prod(spec.shape)
    critic = nn.Sequential(nn.Linear(size, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    return Generator(spec.latent_dim, size), critic
'''
SUITE = ["problem=ring8", "regularizer=r1", "steps=1000", "network=from_a_library", "probe_every=250", "samples=500"]


@pytest.fixture
def command(tmp_path):
    """Run ganbench in a folder whose modules can be imported, and return its exit code and output."""
    paths = os.pathsep.join([str(Path(ganbench.__file__).parents[1]), str(tmp_path)])

    def run(*words):
        done = subprocess.run(
            [sys.executable, "-m", "ganbench", *words], cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths},
            capture_output=True, text=True,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return run


def test_a_library_multiplied_by_zero_turns_the_gate_red(tmp_path, command):
    (tmp_path / "somelib.py").write_text(LIBRARY)
    (tmp_path / "plugin.py").write_text(PLUGIN)
    with_plugin = [*SUITE, "--plugin", "plugin.py"]
    code, output = command("run", *with_plugin, "seeds=20", "--out", "base")
    assert code == Exit.OK, output
    assert command("baseline", "base", "-o", "base.json")[0] == Exit.OK
    # what a check of the very same plan could read back
    code, output = command("check", *with_plugin, "seeds=20", "--baseline", "base.json")
    assert code == Exit.OK, output
    (tmp_path / "somelib.py").write_text(LIBRARY.replace("self.last(", "0 * self.last("))
    for words in (["seeds=20", "--reuse"], ["seeds=20"], []):
        code, output = command("check", *with_plugin, *words, "--baseline", "base.json")
        assert code == Exit.REGRESSED, output
        assert "Reused" not in output


CONDITIONAL = '''
from torch import nn

from ganbench import register
from ganbench.gan.networks.conditional import conditional_mlp


class Generator(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, z, label):
        return self.body(z, label)


@register("network", needs={"label": "it needs a problem that gives labels"})
def conditional(spec):
    """The conditional perceptrons, their labels handed on."""
    generator, critic = conditional_mlp(spec)
    return Generator(generator), critic
'''


def test_labels_that_get_lost_turn_the_gate_red(tmp_path, command):
    plan = ["problem=ring8_labelled", "network=conditional", "regularizer=r1", "steps=2000", "samples=500",
            "--plugin", "plugin.py"]  # fmt: skip
    (tmp_path / "plugin.py").write_text(CONDITIONAL)
    assert command("run", *plan, "seeds=20", "--out", "base")[0] == Exit.OK
    assert command("baseline", "base", "-o", "base.json")[0] == Exit.OK
    code, output = command("check", *plan, "--baseline", "base.json")
    assert code == Exit.OK, output
    # every sample is made for its neighbour's label
    (tmp_path / "plugin.py").write_text(CONDITIONAL.replace("body(z, label)", "body(z, label.roll(1, -1))"))
    code, output = command("check", *plan, "--baseline", "base.json")
    assert code == Exit.REGRESSED, output


def test_an_autoencoder_is_gated_too(command):
    plan = ["problem=ring8", "model=vae", "steps=3000", "samples=500"]
    assert command("run", *plan, "seeds=20", "--out", "base")[0] == Exit.OK
    assert command("baseline", "base", "-o", "base.json")[0] == Exit.OK
    code, output = command("check", *plan, "--baseline", "base.json")
    assert code == Exit.OK, output
    # the prior wins, and the decoder no longer looks at its latents
    code, output = command("check", *plan, "model.vae.beta=1000", "--baseline", "base.json")
    assert code == Exit.REGRESSED, output
