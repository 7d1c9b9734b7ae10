"""Small populations, and every plug-in that a step may be made of, for tests of what a step does."""

import pytest
import torch
from overriding import over

from ganbench import registry
from ganbench.kinds import KINDS
from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.population import Population

SMALL = ["problem=ring8", "seeds=2", "steps=40", "batch_size=8", "network.mlp.width=4"]
IMAGES = ["problem=digits", "network=dcgan", "network.dcgan.width=2", "seeds=1", "steps=40", "batch_size=8"]


def population(device, *overrides, base=SMALL):
    keys = {override.split("=")[0] for override in overrides}
    runs = resolve(None, over([*(own for own in base if own.split("=")[0] not in keys), *overrides])).runs
    return Population(list(runs), make_problem(runs[0].variant), torch.device(device))


def plugins():
    """Every plug-in of what a step is made of, on its axes."""
    for kind in ("update", "trick", "term", "regularizer", "optimizer", "loss", "normalization"):
        for axis in KINDS[kind].axes:
            for plugin in registry.plugins(kind):
                what = plugin.meta.get("acts_on", KINDS[kind].default("acts_on") if axis.acts_on else "")
                # those that need labels, pairs, several domains or waveforms are tried with a problem that gives some
                given = {"label", "pairs", "unpaired", "targets", "source", "waveform"} & set(plugin.needs)
                if (not axis.acts_on or what in axis.acts_on) and not given:
                    yield pytest.param(axis.name, plugin, id=f"{axis.name}-{plugin.name}")
