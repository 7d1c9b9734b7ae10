"""Tokenizers of Gaussian codes: a step beside a plain loop, their divergence by torch's own, and what comes back."""

import pytest
import torch
from overriding import over
from torch.distributions import Normal, kl_divergence
from torch.func import functional_call
from torch.nn.functional import relu

from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.learner import make_learner

TINY = ["model=kl_tokenizer", "seeds=2", "steps=40", "batch_size=6", "latent_dim=3", "optimizer=sgd",
        "optimizer.sgd.g_lr=0.05", "optimizer.sgd.d_lr=0.02", "model.kl_tokenizer.width=5"]  # fmt: skip


def learner(*overrides, **settings):
    own = [f"model.kl_tokenizer.{key}={value}" for key, value in settings.items()]
    runs = list(resolve(None, over([*TINY, *overrides, *own])).runs)
    return make_learner(runs, make_problem(runs[0].variant), torch.device("cpu"))


def part(module, name, tensors, x):
    mine = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
    return functional_call(getattr(module, name), mine, (x,))


@pytest.mark.parametrize("problem", ["digits", "ring8"])
def test_a_step_of_a_population_is_that_of_each_run_in_a_plain_loop(problem):
    """Hinge of the discriminator on what drawn codes become, then error, divergence and its word (Rombach 2022)."""
    settings = {"start": 0, "weight": 0.7, "adaptive": False, "kl": 0.3}
    own, twin = (learner(f"problem={problem}", **settings) for _ in range(2))
    twin.advance()
    for row in range(2):
        x, normal = own.streams["data"].at(0)[row], own.streams["kl_tokenizer noise"].at(0)[row]
        views, critic = (
            {name: view[row].clone().requires_grad_() for name, view in player.views(player.flat).items()}
            for player in (own.player, own.critic)
        )
        # channels are the numbers of a code; noise is drawn place by place
        mean, log_variance = part(own.module, "encoder", views, x).chunk(2, 1)
        normal = normal.reshape(len(x), -1, 3).mT.reshape(mean.shape)
        made = part(own.module, "decoder", views, mean + log_variance.exp().sqrt() * normal)
        real, fake = (functional_call(own.critic.module, critic, (one,)).flatten(1) for one in (x, made.detach()))
        steps = torch.autograd.grad(relu(1 - real).mean() + relu(1 + fake).mean(), list(critic.values()))
        stepped = [(one - 0.02 * step).detach() for one, step in zip(critic.values(), steps, strict=True)]
        torch.testing.assert_close(twin.critic.flat[row], torch.cat([one.flatten() for one in stepped]))

        word = -functional_call(own.critic.module, dict(zip(critic, stepped, strict=True)), (made,)).mean()
        divergence = kl_divergence(Normal(mean, log_variance.exp().sqrt()), Normal(0.0, 1.0)).flatten(1).sum(1).mean()
        loss = (made - x).square().mean() + 0.3 * divergence / x[0].numel() + 0.7 * word
        steps = torch.autograd.grad(loss, list(views.values()))
        want = torch.cat([(one - 0.05 * step).flatten() for one, step in zip(views.values(), steps, strict=True)])
        torch.testing.assert_close(twin.player.flat[row], want.detach(), rtol=1e-4, atol=1e-6)


def test_until_its_start_the_discriminator_says_nothing():
    late, never = learner("problem=digits", start=3), learner("problem=digits", weight=0.0)
    for step in range(4):
        assert torch.equal(late.player.flat, never.player.flat)
        assert late.word.tolist() == [0.0, 0.0]
        for one in (late, never):
            one.advance()
        assert bool((late.word > 0).all()) == (step == 3)
    assert not torch.equal(late.player.flat, never.player.flat)


def test_what_comes_back_is_decoded_of_means_and_nearer_after_training():
    own = learner("problem=digits", "optimizer.sgd.g_lr=0.5", weight=0.0)
    x = own.problem.oracle_samples(50)
    before = (own.reconstruct(x) - x).square().mean((1, 2, 3, 4))
    for _ in range(40):
        own.advance()
    back = own.reconstruct(x)
    assert ((back - x).square().mean((1, 2, 3, 4)) < 0.9 * before).all()
    views = {name: view[1] for name, view in own.player.views(own.player.flat).items()}
    mean = part(own.module, "encoder", views, x).chunk(2, 1)[0]
    torch.testing.assert_close(back[1], part(own.module, "decoder", views, mean), rtol=1e-4, atol=1e-5)
    # no codebook: it has no places to count
    assert getattr(own, "tokens", None) is None
