"""Every registered plug-in keeps the laws of its kind, at its defaults and at other settings; none is named here."""

from dataclasses import replace

import pytest

from ganbench import registry
from ganbench.contracts import NotDeclared, laws
from ganbench.contracts.base import judge
from ganbench.contracts.losses import engine, resting_logit
from ganbench.kinds import KINDS

PLUGINS = [plugin for kind in KINDS for plugin in registry.plugins(kind)]
HELD = [(plugin, law) for plugin in PLUGINS for law in laws(plugin.kind) if law.about(plugin)]

# other values of hyper-parameters, wherever one of that name is declared
SETTINGS = {
    "loss": {"label_smoothing": (0.1, 0.3), "margin": (0.5, 2.0), "gamma": (0.0, 0.5), "nonsaturating": (True,)},
    "regularizer": {"gamma": (7.0,), "weight": (0.5,), "scale": (0.2,), "clip": (1.0,), "sigma": (0.5,)},
    "normalization": {"groups": (2,)},
    "optimizer": {"momentum": (0.9, -0.5), "beta1": (0.0, 0.9), "alpha": (0.9,)},
    "trick": {"m": (3,), "decay": (0.5,), "share": (0.3,), "power": (0.5,), "kernels": (2,)},
    "update": {"every": (2,), "share": (0.8,), "weight": (0.2,), "align": (False,), "steps": (2,), "rate": (0.3,)},
}
# what a loss declares holds at its defaults: label smoothing moves the boundary, and with it where the critic rests
OF_DEFAULTS = {
    "critic_falls",
    "teaches_as_declared",
    "rests_at_its_boundary",
    "optimum_is_the_divergence",
    "no_critic_is_better",
    "equals_leave_the_boundary",
}
SET = [
    replace(plugin, hypers={**plugin.hypers, name: value})
    for plugin in PLUGINS
    for name in plugin.hypers
    for value in SETTINGS.get(plugin.kind, {}).get(name, ())
]


def label(value):
    return getattr(value, "name", None)


@pytest.mark.parametrize(("plugin", "law"), HELD, ids=label)
def test_law(plugin, law):
    result = judge(plugin, law)
    if isinstance(result.outcome, NotDeclared):
        assert not owes(plugin, law, result.detail), f"{plugin.name} does not declare what its law asks for"
        pytest.skip(result.detail)
    assert result.status == "kept", f"{law.sentence} {result.detail}"


def owes(plugin, law, why):
    """Return whether the plug-in is of this package, so that its laws can be judged, and says no reason why not."""
    # whose data are not here, cannot be judged
    ours = plugin.function.__module__.startswith("ganbench.") and not plugin.meta.get("external")
    return ours and not (law.name == "optimum_is_the_divergence" and why.startswith("no "))


# an update rule plays whole games for its laws
@pytest.mark.parametrize(
    "plugin",
    [pytest.param(plugin, marks=[pytest.mark.slow] * (plugin.kind == "update")) for plugin in SET],
    ids=lambda plugin: f"{plugin.name}-{'-'.join(map(str, plugin.hypers.values()))}",
)
def test_laws_at_other_settings(plugin):
    results = [judge(plugin, law) for law in laws(plugin.kind) if law.about(plugin) and law.name not in OF_DEFAULTS]
    assert not [(result.law.sentence, result.detail) for result in results if result.status == "broken"]


@pytest.mark.parametrize("loss", registry.plugins("loss"), ids=label)
def test_a_loss_that_declares_nothing_breaks_nothing(loss):
    silent = replace(loss, meta={})
    results = [judge(silent, law) for law in laws("loss") if law.about(silent)]
    assert not [(result.law.sentence, result.detail) for result in results if result.status == "broken"]
    assert sum(result.status == "not declared" for result in results) == 3


@pytest.mark.parametrize("loss", registry.plugins("loss"), ids=label)
def test_where_a_critic_rests_is_found_without_its_boundary(loss):
    assert resting_logit(engine(loss)) == pytest.approx(loss.meta["boundary"] or 0.0, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_laws_are_sentences_of_their_own(kind):
    sentences = [law.sentence for law in laws(kind)]
    assert len(sentences) == len(set(sentences)) >= 3
    assert all(sentence.endswith(".") for sentence in sentences)
