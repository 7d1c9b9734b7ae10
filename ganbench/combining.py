"""Which plug-ins can be combined: by what each needs, provides and withholds, and where it may stand."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ganbench import kinds, registry
from ganbench.binding import bind, chain
from ganbench.errors import unknown
from ganbench.kinds import kind_of
from ganbench.plan import NOTHING_ALLOWED, TOGETHER, Variant, later, plugin_axes
from ganbench.registry import LOSS_OF_LOGITS, NOTHING_GIVEN, SINGLE_SAMPLES, Plugin

ALLOWED = {
    "batch_norm_with_penalty": (
        "independent_samples",
        "gradient penalties on a critic with batch normalization, which are skipped otherwise: its statistics mix the "
        "samples, so that a sample's slope is not its own",
    )
}
"""What a suite may allow: what D then counts as providing, whatever its normalization, and what that is in words."""


BOTH_WAYS = "its G could hand on the other picture that it is given: it has no translator for each domain"
"""Why a network is not for problems whose samples are what is given, the other way round."""


PAPER = "paper"
"""Stands on an axis of normalizations for the one that the network's paper has there."""


def by_paper(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the axes of a variant with the normalizations that PAPER stands for, by what its network declares."""
    asked = [axis.name for axis in kinds.KINDS["normalization"].axes if values[axis.name] == PAPER]
    if not asked:
        return dict(values)
    own = registry.get("network", values["network"]).declared("paper")
    return {**values, **{axis: own.get(axis, kinds.axes()[axis].default) for axis in asked}}


def allowed(text: str) -> tuple[str, ...]:
    """Return the names in a suite's key `allow`; UserError for one that nothing stands behind."""
    names = () if text == NOTHING_ALLOWED else tuple(text.split(TOGETHER))
    for name in names:
        if name not in ALLOWED:
            raise unknown("exception of 'allow'", name, ALLOWED)
    return names


def impossible(variant: Variant, allow: Collection[str] = ()) -> str:
    """Return why a combination cannot be trained, or an empty text. Every plug-in declares its own needs.

    allow: names of ALLOWED.
    """
    chosen = [(axis, bound.plugin) for axis in kinds.axes().values() for bound in chain(variant, axis.name)]
    provided = {p: {what for axis, plugin in chosen if p in axis.gives for what in plugin.provides} for p in "GD"}
    provided["D"] |= {LOSS_OF_LOGITS, SINGLE_SAMPLES, *(ALLOWED[name][0] for name in allow)}
    if not (gives := bind(variant, "problem").declared("gives")):
        provided = {player: {*own, NOTHING_GIVEN} for player, own in provided.items()}
    provided["D"] -= _withheld(variant).keys()
    if variant.critic_steps == variant.generator_steps == 1:
        provided["D"].add("one_turn_each")
    if reason := _ignored(variant):
        return reason
    network = bind(variant, "network")
    if gives == "picture" and not {"picture", NOTHING_GIVEN} & set(network.plugin.needs):
        return f"{network.name} with problem {variant.problem}: it takes no picture"
    if "unpaired" in provided["D"] and "picture" in network.plugin.needs and "unpaired" not in network.plugin.needs:
        return f"{network.name} with problem {variant.problem}: {BOTH_WAYS}"
    for axis, plugin in chosen:
        if reason := _misplaced(axis, plugin, chosen):
            return reason
        for need, reason in plugin.needs.items():
            for player in axis.asks:
                if need not in provided[player]:
                    return f"{plugin.name} with {_blocker(variant, need, axis.name, player)}: {reason}"
    return ""


def _ignored(variant: Variant) -> str:
    """Return which choice means nothing to a variant's model: trained all the same, it would pass for another."""
    model = bind(variant, "model")
    if variant.numerics != later()["numerics"] and "network" in model.declared("ignores"):
        return f"numerics {variant.numerics} with model {model.name}: it computes in fp32 alone"
    for axis in model.declared("ignores"):
        if (name := getattr(variant, axis)) != kinds.axes()[axis].default:
            return f"{axis} {name} with model {model.name}: it has none"
    return ""


def _misplaced(axis: kinds.Axis, plugin: Plugin, chosen: Sequence[tuple[kinds.Axis, Plugin]]) -> str:
    """Return why a plug-in cannot stand on an axis, or beside another of it."""
    if not axis.acts_on:
        acts_on = plugin.meta.get("acts_on")
    elif (acts_on := plugin.declared("acts_on")) not in axis.acts_on:
        return f"{plugin.name} as {axis.name}: it acts on {acts_on}, which belong to the other player"
    others = [other for of, other in chosen if of is axis and other is not plugin]
    twin = next((other for other in others if acts_on in axis.once and other.declared("acts_on") == acts_on), None)
    return f"{plugin.name} with {axis.name} {twin.name}: a variant has at most one {acts_on}" if twin else ""


def _withheld(variant: Variant) -> dict[str, str]:
    """Return the capabilities that a variant's tricks withhold, with the trick."""
    return {what: trick.name for trick in chain(variant, "trick") for what in trick.declared("withholds")}


def _blocker(variant: Variant, need: str, axis: str, player: str) -> str:
    """Name the part of a variant that fails to provide what another needs: the one whose siblings do provide it."""
    if need == "one_turn_each":
        return f"critic_steps {variant.critic_steps} and generator_steps {variant.generator_steps}"
    if need == NOTHING_GIVEN:
        return f"problem {variant.problem}"
    if trick := _withheld(variant).get(need):
        return f"trick {trick}"
    norm = "g_normalization" if player == "G" else "normalization"
    others = [axis for axis in plugin_axes() if axis not in ("normalization", "g_normalization", "network", "problem")]
    for other in (norm, "network", "problem", *others):
        if other != axis and any(need in plugin.provides for plugin in registry.plugins(kind_of(other))):
            return f"{other} {getattr(variant, other)}"
    return "this variant"
