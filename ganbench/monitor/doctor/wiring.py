"""Rules about gradients and optimizers: who gets whose gradient, when it is cleared, and who steps what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from torch import nn

from ganbench.monitor.doctor.trace import NAMES, OTHER, Backward, Fault, Trace

FEW = 3
# cosine of what backward() left and of what is stepped on, where it is another gradient's
STRANGE = 0.3


def not_finite(trace: Trace) -> Iterator[Fault]:
    """Find parameters that hold NaN or infinity."""
    for player, module in trace.players.items():
        bad = [name for name, own in module.named_parameters() if not bool(own.detach().isfinite().all())]
        if bad:
            yield Fault(
                f"parameters of the {NAMES[player]} are not finite", True, f"NaN or infinity in {_listed(bad)}.",
                "Load an earlier checkpoint, and look at the first loss that was not finite: a logarithm of 0, half "
                "precision, a rate too high.",
            )  # fmt: skip


def shared(trace: Trace) -> Iterator[Fault]:
    """Find parameters that both players have."""
    d = {id(own) for own in trace.players["d"].parameters()}
    both = [name for name, own in trace.players["g"].named_parameters() if id(own) in d]
    if both:
        yield Fault(
            "generator and discriminator share parameters", True, f"Both have {_listed(both)}.",
            "Build the shared part twice, or copy.deepcopy it: each player's step undoes the other's.",
        )  # fmt: skip


def steps_without_gradient(trace: Trace) -> Iterator[Fault]:
    """Find a player whose optimizer steps and whose parameters never get a gradient, or only cleared ones."""
    for player in ("g", "d"):
        own = [update for update in trace.of(player) if update.sources]
        if len(own) < FEW or _frozen(trace, player):
            continue
        cleared = sum(update.cleared.get(player, False) for update in own)
        if (cleared or not trace.grown[player]) and all(update.norms.get(player) == 0 for update in own):
            yield _no_gradient(trace, player, cleared, len(own))


def _no_gradient(trace: Trace, player: str, cleared: int, steps: int) -> Fault:
    name = NAMES[player]
    if trace.steps >= FEW and not trace.calls_of(player) and not cleared:
        return Fault(
            f"the {name} that Monitor was given is not called", True,
            f"Its optimizer made {steps} steps, and in {trace.steps} iterations the loop never called it.",
            "Train the very module whose parameters the optimizer holds: no copy of it.",
        )  # fmt: skip
    if cleared:
        return Fault(
            f"the {name}'s gradient is cleared before its step", True,
            f"backward() left a gradient on it, and at {steps} of {steps} steps of its optimizer there was none.",
            "The order is zero_grad(), backward(), step().",
        )  # fmt: skip
    why = (
        "its loss is computed on fakes that were detached, or made under no_grad"
        if player == "g"
        else "its loss \
does not depend on it, or its gradients are switched off"
    )
    return Fault(
        f"no gradient reaches the {name}", True, f"Its optimizer made {steps} steps, and no backward() left a "
        f"gradient on any of its parameters: {why}.",
        "Let D see `fake` itself in G's loss; only D's own loss takes `fake.detach()`." if player == "g"
        else "Compute D's loss from D's scores, with requires_grad on.",
    )  # fmt: skip


def zero_gradient(trace: Trace) -> Iterator[Fault]:
    """Find a player whose gradient is exactly 0 at every step."""
    for player in ("g", "d"):
        own = [update for update in trace.of(player) if trace.grown[player]]
        if player == "d" and trace.rests():
            if not trace.waiting and len(own) >= FEW:
                yield Fault(
                    "the discriminator's gradient is exactly 0", False,
                    f"At all {len(own)} steps of its optimizer, and G's loss weighs its scores by 0, too.",
                    "Look at the weight of both losses, and at the step from which they count.",
                )  # fmt: skip
            continue
        if len(own) >= FEW and all(u.norms.get(player) == 0 and not u.cleared.get(player) for u in own):
            yield Fault(
                f"the {NAMES[player]}'s gradient is exactly 0", True, f"At all {len(own)} steps of its optimizer.",
                "Look for a weight of 0 in its loss, dead units, a saturated output, a clamp before the loss.",
            )  # fmt: skip


def other_ones_gradient(trace: Trace) -> Iterator[Fault]:
    """Find a player that steps on gradients which the other player's loss left on it."""
    roles = trace.roles()
    for player in ("d", "g") if not trace.is_joint() else ():
        other = OTHER[player]
        steps = [update for update in trace.of(player) if update.sources.get(player)]
        strange = [u for u in steps if any(roles.get(one) == other for one in u.sources[player] or [])]
        if len(strange) >= min(2, len(steps)) > 0:
            yield Fault(
                f"the {NAMES[other]}'s loss reaches the {NAMES[player]}'s step", True,
                f"At {len(strange)} of {len(steps)} steps the {NAMES[player]}'s gradient held what "
                f"the {NAMES[other]}'s backward() had left there.",
                "Call the discriminator's zero_grad() right before its own backward()." if player == "d" else
                "Give D `fake.detach()` in its own loss, and call the generator's zero_grad() right before G's own "
                "backward().",
            )  # fmt: skip


def never_cleared(trace: Trace) -> Iterator[Fault]:
    """Find a player whose gradients pile up over steps."""
    roles = trace.roles()
    for player in ("d", "g"):
        used: set[int] = set()
        steps = piled = 0
        for update in trace.of(player):
            sources = [one for one in update.sources.get(player) or [] if roles.get(one) == player]
            steps += bool(sources)
            piled += bool(used & set(sources)) and bool(set(sources) - used)
            used |= set(sources)
        if piled >= 2:
            yield Fault(
                f"the {NAMES[player]}'s gradients are never cleared", True,
                f"At {piled} of {steps} steps its gradient still held that of earlier steps.",
                "Call its optimizer's zero_grad() before each backward(), or once per step where gradients are "
                "accumulated.",
            )  # fmt: skip


def partly_cleared(trace: Trace) -> Iterator[Fault]:
    """Find backward passes for a player whose gradients are cleared before its step, while later ones count."""
    roles = trace.roles()
    for player in ("d", "g"):
        waiting: set[int] = set()
        steps = lost = 0
        for event in trace.order:
            if isinstance(event, Backward):
                waiting |= {event.id} if event.hits[player] and roles.get(event.id) == player else set()
            elif event.mainly() == player:
                counted = set(event.sources.get(player) or [])
                steps, lost = steps + bool(counted), lost + bool(counted and waiting - counted)
                waiting = set()
        if steps >= FEW and lost >= 0.8 * steps:
            yield Fault(
                f"part of the {NAMES[player]}'s gradient is cleared before its step", False,
                f"Before {lost} of {steps} steps there were backward passes of its loss that no longer counted.",
                "Where gradients are accumulated, call zero_grad() once per step, not once per backward().",
            )  # fmt: skip


def replaced(trace: Trace) -> Iterator[Fault]:
    """Find a player that steps on another gradient than its backward passes left."""
    roles = trace.roles()
    for player in ("d", "g"):
        cosines = [
            update.kept[player] for update in trace.of(player)
            if player in update.kept and any(roles.get(one) == player for one in update.sources.get(player) or [])
        ]  # fmt: skip
        if len(cosines) >= FEW and all(own < STRANGE for own in cosines):
            yield Fault(
                f"the {NAMES[player]}'s gradient is cleared before its step, and another is in its place", True,
                f"At {len(cosines)} of {len(cosines)} steps of its optimizer the cosine with what backward() had left "
                f"was at most {max(cosines):.2f}.",
                "Add to .grad what a regularizer gives (own.grad += ...), do not set it.",
            )  # fmt: skip


def in_no_optimizer(trace: Trace) -> Iterator[Fault]:
    """Find parameters that no optimizer steps."""
    for player, module in trace.players.items():
        # a loop may switch a player's gradients off in the other one's turn
        own = {name for name, one in module.named_parameters() if one.requires_grad} | trace.followed[player]
        missing, held = own - trace.held[player], trace.held[player]
        if not missing or not trace.updates:
            continue
        if held:
            yield Fault(
                f"parameters of the {NAMES[player]} are in no optimizer", True,
                f"{len(missing)} of {len(own)} take gradients and are stepped by none: {_listed(sorted(missing))}.",
                "Build the optimizer from module.parameters(), after all layers exist; layers in a plain list are not "
                "registered: use nn.ModuleList.",
            )  # fmt: skip
        elif own & trace.grown[player] or trace.calls_of(player):
            yield _in_none(trace, player, module)


def _in_none(trace: Trace, player: str, module: nn.Module) -> Fault:
    name, shapes = NAMES[player], Counter(tuple(own.shape) for own in module.parameters())
    if any(Counter(held) == shapes for held in trace.strangers.values()):
        return Fault(
            f"the {name}'s optimizer holds other tensors", True,
            f"An optimizer steps tensors of the same {sum(shapes.values())} shapes, and they are not the {name}'s.",
            "Build the optimizer after the network is made, copied or moved for the last time, from that network.",
        )  # fmt: skip
    counts = Counter(update.optimizer for update in trace.updates)
    twice = len(counts) > 1
    return Fault(
        f"no optimizer steps the {name}", twice, f"{len(trace.updates)} steps of {len(counts)} optimizers were seen in "
        f"{trace.steps} iterations, and none holds a parameter of it.",
        f"Give its own optimizer {name}.parameters()." + ("" if twice else " Or its turn comes later."),
    )  # fmt: skip


def holds_the_others(trace: Trace) -> Iterator[Fault]:
    """Find an optimizer that steps both players."""
    both = {update.optimizer: update for update in trace.updates if all(update.held.values())}
    if not both or any(True for _ in shared(trace)) or _shared_out(trace):
        return
    own = {tuple(player for player, count in update.held.items() if count) for update in trace.updates}
    if {("g",), ("d",)} <= own:  # beside its own for each player: a term that both are to lower, as InfoGAN's
        return
    alone = len({update.optimizer for update in trace.updates}) == 1
    if alone and trace.is_reversed():
        return
    update = next(iter(both.values()))
    yield Fault(
        "one optimizer steps both players", not alone,
        f"An optimizer ({update.kind}) holds {update.held['g']} parameters of the generator and {update.held['d']} of "
        "the discriminator, and its step moves both by the same loss.",
        "Give each player an optimizer with its own parameters only.",
    )  # fmt: skip


def _shared_out(trace: Trace) -> bool:
    """Tell whether each player has an optimizer of its own, and no parameter two: one may step a head of the other's.

    InfoGAN's code is recognised by a part of D that G's optimizer steps.
    """
    held = {update.optimizer: update.held for update in trace.updates}
    mainly = {update.mainly() for update in trace.updates}
    return len(mainly) == 2 and all(
        sum(own[player] for own in held.values()) == len(trace.held[player]) for player in trace.held
    )


def frozen(trace: Trace) -> Iterator[Fault]:
    """Find parameters that `requires_grad` holds still."""
    for player, module in trace.players.items():
        own = list(module.named_parameters())
        # a pretrained part that is left out of the optimizer is meant to be still
        held = trace.held[player] if not _frozen(trace, player) else {name for name, _ in own}
        still = [name for name, one in own if name in held - trace.grown[player] and not one.requires_grad]
        if _frozen(trace, player) and trace.steps:
            yield Fault(
                f"the {NAMES[player]} is frozen", True, f"requires_grad is off on all of its {len(own)} parameters.",
                "Call requires_grad_(True) before its own loss; after a step of the other player too.",
            )  # fmt: skip
        elif 0 < len(still) < len(own):
            yield Fault(
                f"part of the {NAMES[player]} is frozen", False,
                f"requires_grad is off on {len(still)} of {len(own)} parameters: {_listed(still)}.",
                "Leave it where that part is pretrained on purpose.",
            )  # fmt: skip


def skipped_steps(trace: Trace) -> Iterator[Fault]:
    """Find a player that is never stepped since its gradients are not finite, as a GradScaler does."""
    for player in ("d", "g"):
        broken, steps = trace.grad_broken[player], len(trace.of(player))
        if broken >= 5 and steps <= trace.steps - broken:
            yield Fault(
                f"every step of the {NAMES[player]} is skipped", True,
                f"Its gradients were not finite in {broken} of {trace.steps} iterations, and its optimizer made "
                f"{steps} steps.",
                "A GradScaler halves its scale at each overflow; where it never ends, the loss itself is not finite in "
                "half precision: compute it in float32.",
            )  # fmt: skip


def _frozen(trace: Trace, player: str) -> bool:
    own = list(trace.players[player].parameters())
    return bool(own) and not trace.grown[player] and not any(one.requires_grad for one in own)


def _listed(names: list[str], most: int = 3) -> str:
    shown = ", ".join(name.removeprefix("module.").removeprefix("_orig_mod.") for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
