"""Parts that act together: in the suite's order, each with its own numbers and memory; G's regularizers."""

import math

import pytest
import torch
from overriding import over

from ganbench.errors import UserError
from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.hooks import SIDES, Moment, one_a_run
from ganbench.training.host import Now
from ganbench.training.parts import parts_of
from ganbench.training.population import Population
from ganbench.training.step import train_step

CPU = torch.device("cpu")
SMALL = ["problem=ring8", "seeds=2", "steps=8", "batch_size=12", "network.mlp.width=6", "optimizer=sgd",
         "optimizer.sgd.d_lr=0.1", "optimizer.sgd.g_lr=0.1"]  # fmt: skip


def population(*overrides):
    runs = resolve(None, over([*SMALL, *overrides])).runs
    return Population(list(runs), make_problem(runs[0].variant), CPU, torch.float64)


def moved(name, *overrides):
    """Return how far one step of gradient descent moves a player [runs, size]."""
    own = population(*overrides)
    before = own.players[name].flat.clone()
    train_step(own)
    return own.players[name].flat - before


def test_a_list_in_a_list_acts_together():
    plan = resolve(None, ["regularizer=[[r1,instance_noise],none,r2]", "trick=ema,minibatch_std+top_k"])
    pairs = {(v.regularizer, v.trick) for v in plan.variants}
    assert pairs <= {(r, t) for r in ("r1+instance_noise", "none", "r2") for t in ("ema", "minibatch_std+top_k")}
    both = next(v for v in plan.variants if (v.regularizer, v.trick) == ("r1+instance_noise", "ema"))
    assert both.names("regularizer") == ["r1", "instance_noise"]
    hypers = dict(both.hypers)
    assert {"regularizer.r1.gamma", "regularizer.instance_noise.sigma", "trick.ema.decay"} <= hypers.keys()
    # minibatch statistics withhold what a gradient penalty needs, whoever else acts with them
    assert {(v.regularizer, v.trick) for v, _ in plan.skipped} == {
        ("r1+instance_noise", "minibatch_std+top_k"), ("r2", "minibatch_std+top_k"),
    }  # fmt: skip
    assert type(plan).from_dict(plan.to_dict()) == plan


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("regularizer=[[r1,none]]", "takes different plug-ins together, none but 'none', got r1, none"),
        ("regularizer=r1+r1", "takes different plug-ins together, none but 'none', got r1, r1"),
        ("regularizer=r1+instance_nois", "Unknown regularizer 'instance_nois'. Did you mean 'instance_noise'"),
        ("loss=[[hinge,minimax]]", "The key 'loss' has the wrong type"),
        ("loss=hinge+minimax", "Unknown loss 'hinge+minimax'"),
        ("regularizer=[[[r1]]]", "The key 'regularizer' has the wrong type"),
        ("regularizer=[[]]", "The key 'regularizer' has the wrong type"),
        ("g_regularizer=r1", "every combination is skipped (r1 as g_regularizer: it acts on inputs"),
        ("regularizer=path_length", "every combination is skipped (path_length as regularizer: it acts on latents"),
        ("trick=feature_matching+top_k", "every combination is skipped (top_k with trick feature_matching"),
    ],
)
def test_what_cannot_act_together_is_told(override, sentence):
    with pytest.raises(UserError) as told:
        resolve(None, [override])
    assert sentence in str(told.value)


def test_two_averages_are_refused(own_registry):
    from ganbench import registry

    @registry.register("trick", acts_on="average")
    def latest(average, parameters):
        """The latest weights."""
        return parameters

    with pytest.raises(UserError, match="ema with trick latest: a variant has at most one average"):
        resolve(None, ["trick=ema+latest"])


def test_penalties_add_up():
    none, r1, ortho = (
        moved("d", f"regularizer={name}") for name in ("none", "r1", "orthogonal")
    )  # fmt: skip
    both = moved("d", "regularizer=r1+orthogonal")
    torch.testing.assert_close(both - none, (r1 - none) + (ortho - none), rtol=1e-9, atol=1e-12)
    assert (r1 - none).abs().max() > 1e-6
    assert (ortho - none).abs().max() > 1e-7


def test_a_penalty_of_what_noise_shows_is_taken_there():
    """R1 behind instance noise is R1 at the noisy samples: the order of the list is free, for noise comes first."""
    one, other = (moved("d", f"regularizer={names}") for names in ("r1+instance_noise", "instance_noise+r1"))
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


def test_each_part_draws_its_own_numbers(own_registry):
    from ganbench import registry

    seen = {}

    @registry.register("trick", acts_on="samples", draws=2)
    def first(samples, uniform):
        """Look at the numbers."""
        seen.setdefault("first", uniform)
        return samples

    @registry.register("trick", acts_on="samples", draws=2)
    def second(samples, uniform):
        """Look at the numbers."""
        seen.setdefault("second", uniform)
        return samples

    train_step(population("trick=first+second"))
    together = dict(seen)
    seen.clear()
    train_step(population("trick=first"))
    assert torch.equal(together["first"], seen["first"]), "company changes nobody's numbers"
    assert not torch.equal(together["first"], together["second"])


def test_streams_are_those_of_the_parts():
    own = population("regularizer=gradient_penalty+instance_noise")
    assert {"uniform", *(f"{side} noise" for side in SIDES)} <= own.streams.keys()
    assert not any("trick" in purpose for purpose in own.streams)


def test_modules_that_see_the_batch_are_chained():
    own = population("trick=minibatch_std+minibatch_discrimination", "trick.minibatch_discrimination.kernels=3")
    # 6 features, one more of the standard deviation, three more of the kernels
    assert own.discriminator.shapes[[*own.discriminator.shapes][-2]] == (1, 6 + 1 + 3)
    train_step(own)
    assert own.alive.all()


def test_packs_with_an_average():
    own = population("trick=packing+ema")
    assert own.objective.packed(torch.zeros(2, 12, 2)).shape == (2, 6, 4)
    train_step(own)
    assert own.generate_average(own.draw("d latent", 0)).shape == (2, 12, 2)


# ------------------------------------------------------------------------------------------ regularizers of G


def test_a_regularizer_of_g_leaves_d_alone():
    for name in ("orthogonal", "path_length"):
        torch.testing.assert_close(moved("d", f"g_regularizer={name}"), moved("d"), rtol=0, atol=0)
        assert (moved("g", f"g_regularizer={name}") - moved("g")).abs().max() > 1e-7, name


def test_orthogonal_of_g_is_its_gradient_on_gs_matrices():
    own = population("g_regularizer=orthonormal", "regularizer.orthonormal.beta=0.3")
    bare = population()
    leaves = list(own.generator.trained.values())
    weights = [leaf for leaf in leaves if leaf.dim() == 3]
    grams = [weight @ weight.mT for weight in weights]
    penalty = sum((gram - torch.eye(len(gram[0]), dtype=gram.dtype)).square().sum((1, 2)) for gram in grams)
    gradients = torch.autograd.grad(0.3 * penalty.sum(), leaves, allow_unused=True, materialize_grads=True)
    want = -0.1 * torch.cat([g.flatten(1) for g in gradients], dim=1)
    before = own.generator.flat.clone()
    train_step(own)
    train_step(bare)
    torch.testing.assert_close(
        (own.generator.flat - before) - (bare.generator.flat - before), want, rtol=1e-8, atol=1e-12
    )


def test_clipping_of_g_clips_g():
    own = population("g_regularizer=weight_clipping", "regularizer.weight_clipping.clip=0.05")
    train_step(own)
    assert own.generator.flat.abs().max() <= 0.05
    assert own.discriminator.flat.abs().max() > 0.05


def test_path_length_of_a_linear_generator():
    """Of x = W z every latent has |J^T y| = |W^T y|; points have one pixel."""
    from ganbench.gan.regularizers import path_length

    gen = torch.Generator().manual_seed(0)
    weight = torch.randn(2, 5, 3, generator=gen, dtype=torch.float64)
    latents, noise = (torch.randn(2, 7, n, generator=gen, dtype=torch.float64) for n in (3, 5))
    memory = {}
    found = path_length(lambda z: z @ weight.mT, latents, noise, memory, weight=1.5, decay=0.9)
    lengths = (noise @ weight).norm(dim=-1)
    torch.testing.assert_close(memory["mean"], lengths.mean(-1))
    torch.testing.assert_close(found, 1.5 * lengths.var(-1, correction=0), rtol=1e-6, atol=1e-9)
    again = path_length(lambda z: 2 * z @ weight.mT, latents, noise, memory, weight=1.5, decay=0.9)
    mean = 0.9 * lengths.mean(-1) + 0.1 * 2 * lengths.mean(-1)
    torch.testing.assert_close(memory["mean"], mean)
    torch.testing.assert_close(again, 1.5 * (2 * lengths - mean[:, None]).square().mean(-1), rtol=1e-6, atol=1e-9)


def test_path_length_of_images_divides_by_the_root_of_the_pixels():
    from ganbench.gan.regularizers import path_length

    latents = torch.zeros(1, 4, 3, dtype=torch.float64)
    noise = torch.ones(1, 4, 2, 3, 3, dtype=torch.float64)
    noise[:, 1] *= 2
    # x = z1 in every place of 2 channels of 3 x 3 pixels: |J^T y| = 18 / 3, and twice that in one of four
    found = path_length(lambda z: z[..., 0, None, None, None].expand(1, 4, 2, 3, 3), latents, noise, {}, weight=1.0)
    lengths = torch.tensor([6.0, 12, 6, 6], dtype=torch.float64)
    assert found.item() == pytest.approx(lengths.var(correction=0).item(), rel=1e-6)


def test_path_length_comes_every_lazy_th_update_of_g():
    own = population("g_regularizer=path_length", "regularizer.path_length.lazy=3", "critic_steps=2")
    part = own.objective.parts[-1]
    seen, terms = [], part.g_terms
    part.g_terms = lambda *args: seen.append(own.step) or terms(*args)
    for _ in range(7):
        train_step(own)
    assert seen == [0, 3, 6]
    assert set(own.memory["g_regularizer.path_length"]) == {"mean"}
    assert all(math.isfinite(x) for x in own.memory["g_regularizer.path_length"]["mean"].tolist())


def part_of(*overrides):
    """The one part of a variant."""
    parts = parts_of(resolve(None, over([*SMALL, *overrides])).runs[0].variant)
    (part,) = [one for one in parts if one.bound.name != "none"]
    return part


@pytest.mark.parametrize(("value", "got"), [
    (torch.zeros(()), "[]"), (torch.zeros(3), "[3]"), (torch.zeros(2, 1), "[2, 1]"), (torch.zeros(1), "[1]"),
    (0.5, "float"), (None, "NoneType"), ([torch.zeros(2)], "list"),
])  # fmt: skip
def test_a_penalty_is_one_number_a_run(value, got):
    part = part_of("regularizer=r1")
    with pytest.raises(UserError) as refused:
        one_a_run(part.bound, value, 2)
    assert str(refused.value).startswith(
        f"The regularizer 'r1' must return one number a run, shape [2], not {got}: keep the leading axis"
    )
    assert one_a_run(part.bound, good := torch.zeros(2), 2) is good


@pytest.mark.parametrize("lazy", [1, 2, 5])
def test_a_lazy_term_is_due_at_every_so_many_batches_of_its_player(lazy):
    part = part_of("regularizer=lazy_r1", f"regularizer.lazy_r1.lazy={lazy}")
    asked = []
    for before in range(7):
        for place in range(3):

            def ask(question, answer, before=before):
                asked.append(question)
                return answer(Now(before, 0.0, {"d": before, "g": 100}))

            moment = Moment("d", place, torch.zeros(()), lambda purpose: None, ask)
            due = part.is_due(moment)
            assert due is ((before + place) % lazy == 0)
    assert bool(asked) == (lazy > 1), "who is always due asks nobody"
    assert len(set(asked)) == (3 if lazy > 1 else 0)


def test_parts_say_whose_they_are_and_what_they_fill():
    fills = ("on_inputs", "matches", "reweighs", "sees_batch")
    expected = {
        "regularizer=r1": ("d", {"on_inputs"}), "regularizer=orthogonal": ("d", set()),
        "g_regularizer=orthogonal": ("g", set()), "g_regularizer=path_length": ("g", set()),
        "trick=feature_matching": ("d", {"matches"}), "trick=minibatch_std": ("d", {"sees_batch"}),
        "trick=ema": ("d", set()), "trick=top_k": ("d", set()), "regularizer=weight_clipping": ("d", set()),
    }  # fmt: skip
    for override, (player, filled) in expected.items():
        part = part_of(override)
        assert (part.player, {name for name in fills if getattr(part, name)}) == (player, filled), override
        assert part.label == override.replace("=", ".")
    weighted = part_of("problem=ring8_imbalanced", "trick=weighted_sampling")
    assert {name for name in fills if getattr(weighted, name)} == {"reweighs"}


def test_what_a_part_does_not_fill_does_nothing():
    part, samples = part_of("trick=ema"), torch.zeros(2, 4, 2)
    moment = Moment("d", 0, torch.zeros(()), lambda purpose: None, lambda question, answer: None)
    assert part.draws((2,)) == {}
    assert part.shown(samples, "d real", moment) is samples
    assert part.packed(samples) is samples
    assert part.logits(samples, samples, moment) == (samples, samples)
    assert part.d_terms(None, samples, samples, moment) is None
    assert part.g_terms(None, samples, moment) is None
    assert part.own_terms("g", None) is None
    assert part_of("trick=top_k").average is None
    for unfilled in (lambda: part.group_weights(samples), lambda: part.before_last(3),
                     lambda: part.matched(samples, samples)):  # fmt: skip
        with pytest.raises(NotImplementedError):
            unfilled()
