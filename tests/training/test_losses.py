"""The losses of a population: each over its slice, which of them fit, and whose fault it is where one fails."""

import warnings

import pytest
import torch
from overriding import over
from torch.nn.functional import softplus

from ganbench import registry
from ganbench.binding import Bound
from ganbench.errors import UserError
from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.losses import GuiltyError, Losses, LossSlice, loss_of, losses_of, over_runs
from ganbench.training.population import Population

CPU = torch.device("cpu")


def plugin_of(loss):
    """A loss that somebody else has written."""
    return registry._plugin("loss", loss, {}, frozenset(), {"boundary": 0.0})


def found(loss, runs=slice(0, 2)):
    return over_runs(Bound(plugin_of(loss), {}), runs, CPU)


def good(real, fake):
    return softplus(-real).mean() + softplus(fake).mean(), softplus(-fake).mean()


UNFIT = {
    "a tensor of shape (16,), not one number a batch": lambda r, f: (good(r, f)[0], softplus(-f)),
    "a tensor of shape (0,), not one number a batch": lambda r, f: (good(r, f)[0], f[:0]),
    "a float, not one number a batch": lambda r, f: (good(r, f)[0], 1.0),
    "a NoneType, not one number a batch": lambda r, f: (good(r, f)[0], None),
    "a loss of type int64, not real numbers": lambda r, f: (good(r, f)[0], f.mean().long()),
    "a loss of type complex64, not real numbers": lambda r, f: (good(r, f)[0], f.mean() + 0j),
    "the loss inf on ordinary logits, no finite number": lambda r, f: (good(r, f)[0], f.mean() * float("inf")),
    "the loss nan on ordinary logits, no finite number": lambda r, f: (good(r, f)[0], f.mean() * float("nan")),
    "no gradient: it does not depend on the logits": lambda r, f: (good(r, f)[0], torch.ones(())),
    "no gradient: it does not depend on the logits, or was detached": lambda r, f: (good(r, f)[0], 0 * f.mean()),
    "no gradient: it does not": lambda r, f: (good(r, f)[0], softplus(r).mean()),  # G does not move real samples
}


@pytest.mark.parametrize("player", ["D", "G"])
@pytest.mark.parametrize("says", UNFIT)
def test_a_loss_that_cannot_train_a_player_is_refused(says, player):
    def unfit(real, fake):
        d_loss, bad = UNFIT[says](real, fake)
        return (d_loss, bad) if player == "G" else (bad, softplus(-fake).mean())

    if player == "D" and says == "no gradient: it does not":
        # the real samples alone are something to D
        assert found(unfit).how == "vmap"
        return
    with pytest.raises(UserError) as refused:
        found(unfit)
    assert str(refused.value).startswith(f"The loss 'unfit' gives {player} {says}")


@pytest.mark.parametrize("sees", [lambda r, f: r.mean(), lambda r, f: f.mean(), lambda r, f: f[0].square() + r[3]])
def test_a_loss_of_few_logits_or_of_one_side_fits(sees):
    def narrow(real, fake):
        return sees(real, fake), fake[0].square().reshape(1).sum()

    assert found(narrow).how == "vmap"


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (lambda d, g: (d,), "a tuple of 1"), (lambda d, g: [d, g, d], "a list of 3"), (lambda d, g: None, "a NoneType"),
        (lambda d, g: d + g, "a tensor of shape ()"), (lambda d, g: {"d": d, "g": g}, "a dict"),
    ],
)  # fmt: skip
def test_a_loss_gives_two_numbers(returned, told):
    def odd(real, fake):
        return returned(*good(real, fake))

    with pytest.raises(UserError) as refused:
        found(odd)
    assert str(refused.value) == f"The loss 'odd' returns {told}, not the pair of D's loss and G's."


def test_a_pair_may_be_in_anything_that_holds_two():
    def pair(real, fake):
        return torch.stack(good(real, fake))

    assert found(pair).how == "vmap"


def test_a_branch_on_a_value_is_each_runs_own(own_registry):
    """One that the probing logits do not take: over all runs at once the one that does would change its neighbours."""

    def branching(real, fake):
        double = 2.0 if fake.abs().max() > 1000 else 1.0
        return double * softplus(-real).mean(-1) + softplus(fake).mean(-1), softplus(-fake).mean(-1)

    part = found(branching)
    assert part.how == "looped"
    real, fake = torch.randn(2, 2, 16).unbind()
    fake[1] += 2000
    assert torch.equal(part.function(real, fake)[0][0], branching(real[0], fake[0])[0])

    def plain(real, fake):
        return softplus(-real).mean(-1) + softplus(fake).mean(-1), softplus(-fake).mean(-1)

    assert found(plain).how == "direct"


def test_the_variant_that_is_to_blame_is_named(own_registry):
    @registry.register("loss")
    def zealous(real, fake):
        """A loss that edits its logits."""
        return softplus(-real.mul_(2)).mean(), softplus(-fake).mean()

    runs = resolve(None, over(["loss=hinge,zealous", "seeds=1"])).runs
    guilty = next(run for run in runs if run.variant.loss == "zealous")
    with pytest.raises(UserError) as refused:
        losses_of(sorted(runs, key=loss_of), CPU)
    assert str(refused.value).startswith(f"Cannot train '{guilty.variant.id}': RuntimeError: a leaf Variable")
    assert str(refused.value).endswith(f" (test_losses.py, line {zealous.__code__.co_firstlineno + 3}).")


def test_a_loss_that_reads_its_logits_is_found_out_in_silence():
    def reading(real, fake):
        if float(real.detach().sum()) > 1e9:
            return fake.mean(), fake.mean()
        return good(real, fake)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found(reading).how == "looped"


def test_a_loss_that_changes_the_process_is_refused_and_the_process_as_before():
    def careless(real, fake):
        torch.set_default_dtype(torch.float64)
        return good(real, fake)

    with pytest.raises(RuntimeError, match=r"^it changed the default dtype for the whole process$"):
        found(careless)
    assert torch.get_default_dtype() == torch.float32


LATER = {
    "scalars": lambda r, f: (f.mean(), f.mean()),
    "of logits": lambda r, f: (f.mean(-1), f),
    "integers": lambda r, f: (f.mean(-1).long(), f.mean(-1)),
    "raises": lambda r, f: 1 / 0,
    "leaves": lambda r, f: exit(),
    "three": lambda r, f: (f.mean(-1),) * 3,
    "one": lambda r, f: (f.mean(-1),),
    "changes": lambda r, f: (torch.set_default_dtype(torch.float64), f.mean(-1))[1:] * 2,
}


@pytest.mark.parametrize("how", LATER)
def test_a_loss_that_fails_in_training_is_told_by_its_runs(how):
    part = LossSlice(slice(3, 5), plugin_of(good), LATER[how], False, "direct")
    with pytest.raises(GuiltyError) as guilty:
        part(torch.zeros(2, 4), torch.zeros(2, 4))
    assert guilty.value.runs == slice(3, 5)
    assert guilty.value.__cause__ is not None
    assert torch.get_default_dtype() == torch.float32


def test_a_loss_of_others_gets_real_and_fake_and_gives_both_losses():
    part = LossSlice(slice(0, 2), plugin_of(good), lambda r, f: (r.sum(-1), f.sum(-1)), False, "direct")
    d_loss, g_loss = part(torch.ones(2, 4), torch.full((2, 4), 3.0))
    assert (d_loss.tolist(), g_loss.tolist()) == ([4, 4], [12, 12])


def scaled(factor):
    return lambda real, fake: (factor * real.sum(-1), factor * (fake - real).sum(-1))


def several():
    own = registry.get("loss", "hinge")
    parts = [(slice(0, 2), 1.0, True), (slice(2, 3), 10.0, False), (slice(3, 6), 100.0, True)]
    return Losses([LossSlice(runs, own, scaled(factor), paired, "direct") for runs, factor, paired in parts])


@pytest.mark.parametrize(("start", "stop"), [(a, b) for a in range(6) for b in range(a + 1, 7)])
def test_each_loss_sees_its_runs_of_some_neighbours(start, stop):
    factors = torch.tensor([1.0, 1, 10, 100, 100, 100])[start:stop]
    real = torch.arange(1.0, 7).unsqueeze(1)[start:stop]
    d_loss, g_loss = several()(real, 3 * real, range(start, stop))
    assert d_loss.tolist() == (factors * real[:, 0]).tolist()
    assert g_loss.tolist() == (2 * factors * real[:, 0]).tolist()
    if (start, stop) == (0, 6):
        assert torch.equal(several()(real, 3 * real)[0], d_loss)


def test_which_runs_pair_real_logits_with_fake_ones():
    assert several().paired == [slice(0, 2), slice(3, 6)]
    assert Losses([]).paired == []


def test_slices_are_of_one_loss_and_its_numbers():
    chosen = ["seeds=2", "loss=hinge,focal,relativistic_pairing", "loss.focal.gamma=1.0,2.0"]
    runs = sorted(resolve(None, over(chosen)).runs, key=loss_of)
    slices = losses_of(runs, CPU).slices
    assert [(part.plugin.name, part.runs, part.paired) for part in slices] == [
        ("focal", slice(0, 2), False), ("focal", slice(2, 4), False), ("hinge", slice(4, 6), False),
        ("relativistic_pairing", slice(6, 8), True),
    ]  # fmt: skip
    assert loss_of(runs[0]) == ("focal", "{'gamma': 1.0}")
    real, fake = torch.randn(2, 8, 4, generator=torch.Generator().manual_seed(0))
    got = losses_of(runs, CPU)(real, fake)
    for row, run in enumerate(runs):
        loss = registry.get("loss", run.variant.loss)
        alone = loss(real[row], fake[row], **run.variant.hypers_of("loss", run.variant.loss))
        torch.testing.assert_close((got[0][row], got[1][row]), alone)


def test_a_population_names_the_losses_that_are_looped(own_registry):
    @registry.register("loss")
    def peeking(real, fake):
        """A loss that looks at its numbers."""
        sign = 1.0 if float(real.detach().mean()) > -1e9 else -1.0
        return sign * softplus(-real).mean() + softplus(fake).mean(), softplus(-fake).mean()

    runs = sorted(resolve(None, ["seeds=1", "loss=hinge,peeking", "network.mlp.width=4"]).runs, key=loss_of)
    own = Population(runs, make_problem(runs[0].variant), CPU)
    assert own.looped == ["peeking"]
    assert [part.how for part in own.objective.losses.slices] == ["direct", "looped"]
