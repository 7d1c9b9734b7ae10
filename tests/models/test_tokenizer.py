"""The tokenizer against its papers: plain loops, formulas by hand, and what it is before its discriminator starts."""

import numpy as np
import pytest
import torch
from overriding import over
from torch.func import functional_call
from torch.nn.functional import relu

from ganbench import api
from ganbench.analysis.game import game_findings_of
from ganbench.errors import UserError
from ganbench.models import quantization
from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.learner import make_learner

SMALL = [
    "model=tokenizer", "problem=digits", "latent_dim=3", "batch_size=6", "steps=20", "seeds=3,5", "optimizer=sgd",
    "optimizer.sgd.g_lr=0.05", "optimizer.sgd.d_lr=0.02", "model.tokenizer.width=4", "model.tokenizer.codes=7",
]  # fmt: skip


def learner(*overrides, **settings):
    own = [f"model.tokenizer.{name}={str(value).lower()}" for name, value in settings.items()]
    runs = resolve(None, over([*SMALL, *own, *overrides])).runs
    return make_learner(list(runs), make_problem(runs[0].variant), torch.device("cpu"))


def advanced(own, steps):
    for _ in range(steps):
        own.advance()
    return own


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_its_straight_through_gradient_is_that_of_the_identity():
    """Whatever follows: the value is that of the chosen codes, the gradient the one that it has there."""
    codes, book = normal(5, 3).requires_grad_(), normal(4, 3, seed=1)
    chosen = quantization.looked_up(quantization.nearest(codes, book), book)
    ahead = normal(3, 2, seed=2)
    passed = quantization.straight_through(codes, chosen)
    torch.testing.assert_close(passed, chosen)
    (found,) = torch.autograd.grad((passed @ ahead).tanh().sum(), codes)
    # d/dz of sum tanh(z A), by hand, at the chosen codes
    torch.testing.assert_close(found, (1 - (chosen @ ahead).tanh() ** 2) @ ahead.T)


def test_the_place_of_a_code_is_the_nearest_by_distances_written_out():
    codes, books = normal(2, 50, 3), normal(2, 9, 3, seed=1)
    far = np.linalg.norm(codes.numpy()[:, :, None] - books.numpy()[:, None], axis=-1)
    assert np.array_equal(quantization.nearest(codes, books).numpy(), far.argmin(-1))


@pytest.mark.parametrize("cap", [1e4, 0.5])
def test_the_adaptive_weight_is_the_ratio_of_two_gradients(cap):
    """x' = w h with (w h - x)^2 and -c w h, whose derivatives by w are 2 h (w h - x) and -c h, run by run."""
    h, x, c = torch.tensor([0.5, 2.0]), torch.tensor([1.0, -1.0]), torch.tensor([3.0, 0.0])
    w = torch.tensor([[2.0], [0.25]], requires_grad=True)
    made = w[:, 0] * h
    found = quantization.adaptive_weight((made - x).square(), -c * made, w, cap)
    want = [abs(2 * 0.5 * (2.0 * 0.5 - 1.0)) / (3 * 0.5 + 1e-4), abs(2 * 2.0 * (0.25 * 2.0 + 1.0)) / 1e-4]
    assert found.tolist() == pytest.approx([min(value, cap) for value in want])
    assert not found.requires_grad


def plain(own, row):
    """Return one run's modules and its parameters as leaves: those of the coder with its buffers, and the critic's."""
    sides = []
    for player in (own.player, own.critic):
        views = {name: view[row].clone().requires_grad_() for name, view in player.views(player.flat).items()}
        sides.append((views, {name: buffer[row].clone() for name, buffer in player.buffers.items()}))
    return sides


def part(module, name, tensors, x):
    mine = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
    return functional_call(getattr(module, name), mine, (x,))


def coded(own, tensors, x):
    """Return codes [n, size] of samples, those of the codebook in their place, and the samples decoded of these."""
    raw = part(own.module, "encoder", tensors, x)
    codes = raw.movedim(1, -1).reshape(-1, raw.shape[1])
    chosen = tensors["book"][torch.cdist(codes.detach(), tensors["book"].detach()).argmin(1)]
    passed = (codes + (chosen - codes).detach()).reshape(raw.movedim(1, -1).shape).movedim(-1, 1)
    return codes, chosen, part(own.module, "decoder", tensors, passed)


@pytest.mark.parametrize(("problem", "decay", "adaptive"), [
    ("digits", 0.0, True), ("digits", 0.99, False), ("ring8", 0.99, True),
])  # fmt: skip
def test_a_step_of_a_population_is_that_of_each_run_in_a_plain_loop(problem, decay, adaptive):
    """First the discriminator on what is decoded (hinge, R1), then the coder against it, each by its own gradient."""
    settings = {"decay": decay, "adaptive": adaptive, "start": 0, "weight": 0.7, "gamma": 0.3}
    own, twin = (learner(f"problem={problem}", **settings) for _ in range(2))
    twin.advance()
    for row in range(2):
        x = own.streams["data"].at(0)[row].requires_grad_()
        (views, buffers), (critic, _) = plain(own, row)
        made = coded(own, {**views, **buffers}, x)[2].detach()
        real, fake = (functional_call(own.critic.module, critic, (part,)).flatten(1) for part in (x, made))
        slope = torch.autograd.grad(real.mean(1).sum(), x, create_graph=True)[0].flatten(1).square().sum(1)
        d_loss = relu(1 - real).mean() + relu(1 + fake).mean() + 0.3 / 2 * slope.mean()
        stepped = [
            (one - 0.02 * step).detach()
            for one, step in zip(critic.values(), torch.autograd.grad(d_loss, list(critic.values())), strict=True)
        ]
        torch.testing.assert_close(twin.critic.flat[row], torch.cat([one.flatten() for one in stepped]))

        codes, chosen, made = coded(own, {**views, **buffers}, x.detach())
        error = (made - x.detach()).square().mean()
        word = -functional_call(own.critic.module, dict(zip(critic, stepped, strict=True)), (made,)).mean()
        last = views[[name for name in views if name.startswith("decoder") and name.endswith("weight")][-1]]
        norms = [torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (error, word)]
        weight = 0.7 * (norms[0] / (norms[1] + 1e-4) if adaptive else 1.0)
        torch.testing.assert_close(twin.word[row], torch.as_tensor(weight), rtol=1e-4, atol=1e-6)
        loss = error + weight * word + 0.25 * (codes - chosen.detach()).square().mean()
        if not decay:
            loss = loss + (codes.detach() - chosen).square().mean()
        steps = torch.autograd.grad(loss, list(views.values()))
        want = torch.cat([(one - 0.05 * step).flatten() for one, step in zip(views.values(), steps, strict=True)])
        torch.testing.assert_close(twin.player.flat[row], want.detach(), rtol=1e-4, atol=1e-6)


def test_an_averaged_codebook_is_what_codes_have_come_to_it_with_decay():
    """Three steps of van den Oord 2017, app. A.1, written out code by code, beside a run that stands."""
    own = learner(decay=0.9)
    own.alive[1] = False
    at_rest = own.player.buffers["book"][1].clone()
    book = own.player.buffers["book"][0].double().numpy()
    counts, sums = np.ones(7), book.copy()
    for step in range(3):
        x = own.streams["data"].at(step)[own.seed_index]
        codes = own.encoded(x)[0].double().numpy()
        own.advance()
        counts, sums = 0.9 * counts, 0.9 * sums
        for code in codes:
            place = int(((book - code) ** 2).sum(1).argmin())
            counts[place] += 0.1
            sums[place] += 0.1 * code
        # smoothed as published: shares of all that is counted
        smooth = (counts + 1e-5) / (counts.sum() + 7e-5) * counts.sum()
        book = sums / smooth[:, None]
        np.testing.assert_allclose(own.player.buffers["book"][0], book, rtol=1e-4, atol=1e-6)
    assert counts.max() > 2 * counts.min()
    assert torch.equal(own.player.buffers["book"][1], at_rest)


def test_a_codebook_that_is_trained_by_its_loss_goes_to_the_mean_of_its_codes():
    """The gradient at a place is 2 / (n d) times the sum of what it is away from the codes that come to it."""
    own = learner(decay=0, weight=0)
    codes = own.encoded(own.streams["data"].at(0)[own.seed_index])
    book = own.player.views(own.player.flat)["book"].clone()
    places = torch.cdist(codes, book).argmin(-1)
    own.advance()
    moved = own.player.views(own.player.flat)["book"]
    for row in range(2):
        for place in range(7):
            away = (book[row, place] - codes[row][places[row] == place]).sum(0)
            want = book[row, place] - 0.05 * 2 * away / codes[row].numel()
            torch.testing.assert_close(moved[row, place], want, rtol=1e-5, atol=1e-7)
    assert (moved != book).any()


@pytest.mark.parametrize("ahead", [0, 2])
@pytest.mark.parametrize("decay", [0.0, 0.99])
def test_until_its_start_it_is_the_plain_autoencoder_bit_by_bit(ahead, decay):
    late, none = learner(start=3, ahead=ahead, decay=decay), learner(weight=0, start=3, decay=decay)
    before = late.critic.flat.clone()
    for step in range(4):
        for name, buffer in late.player.buffers.items():
            assert torch.equal(buffer, none.player.buffers[name])
        assert torch.equal(late.player.flat, none.player.flat)
        assert (late.word == 0).all()
        assert torch.equal(late.critic.flat, before) is (step <= 3 - ahead)
        assert late.critic.descents == max(0, step - 3 + ahead)
        advanced(late, 1)
        advanced(none, 1)
    assert not torch.equal(late.player.flat, none.player.flat)
    assert (late.word > 0).all()


def test_what_comes_back_has_passed_the_codebook_and_samples_are_of_it():
    own = learner("seeds=3,5")
    x = own.problem.oracle_samples(4)
    places, count = own.tokens(x)
    back = own.reconstruct(x)
    assert count == 7
    assert places.shape == (2, 4 * 4 * 4)
    assert back.shape == (2, 4, 1, 8, 8)
    book = own.player.buffers["book"]
    for row in range(2):
        views = {name: view[row] for name, view in own.player.views(own.player.flat).items()}
        _, chosen, made = coded(own, {**views, "book": book[row]}, x)
        torch.testing.assert_close(back[row], made.detach())
        assert torch.equal(book[row][places[row]], chosen.detach())
    assert own.noise == 3 * 16 - 3
    latents = torch.randn(2, 5, 48, generator=torch.Generator().manual_seed(0))
    assert own.generate(latents).shape == (2, 5, 1, 8, 8)
    # with one code there is one picture
    one = learner(codes=1)
    made = one.generate(latents)
    assert torch.equal(made, made[:, :1].expand_as(made))


def test_what_a_step_costs_is_a_mean_over_steps_with_and_without_the_discriminator():
    """Of steps that cost alike before and after, so that the mean is linear in the share of those after."""
    never, always, half, none = (learner(start=start).costs() for start in (20, 0, 10, 10**6))
    assert never.flop == none.flop
    assert always.flop[0] > 1.5 * never.flop[0]
    assert half.flop[0] == pytest.approx((never.flop[0] + always.flop[0]) / 2)
    assert always.peak_bytes == half.peak_bytes > never.peak_bytes


def test_images_that_cannot_be_halved_so_often_are_refused():
    with pytest.raises(UserError, match=r"The tokenizer cannot halve images of 8 x 8 pixels 4 times: set"):
        learner(halvings=4)
    assert learner(halvings=3).module.grid == (1, 1)
    assert learner(halvings=0).module.grid == (8, 8)


@pytest.mark.slow
def test_what_was_reconstructed_is_lost_at_a_large_fixed_weight_and_nowhere_else(tmp_path):
    """The suite on seeds that no rule knew; docs/models.md quotes what is found of these."""
    study = api.run("tokenizer", ["seeds=11..15"], out=tmp_path / "study")
    found = game_findings_of(study)
    lost = found[found["finding"] == "reconstruction gets worse since the adversarial term began"]
    for place, variant in enumerate(study.variants):
        runs = study.runs.loc[study.runs["variant"] == variant.id, "run"]
        own = lost[lost["run"].isin(runs)]
        assert len(own) == (5 if place == 3 else 0), variant.id
        assert (own["onset"] <= 400).all()


def test_of_vectors_players_have_two_hidden_layers_each():
    """Parameters counted by hand: encoder 2-4-4-3, decoder 3-4-4-2, discriminator 2-4-4-1; the codebook is averages."""
    own = learner("problem=ring8", "samples=64", "neighbours=32")
    counts = [sum(tensor[0].numel() for tensor in player.trained.values()) for player in (own.player, own.critic)]
    encoder, decoder = (2 * 4 + 4) + (4 * 4 + 4) + (4 * 3 + 3), (3 * 4 + 4) + (4 * 4 + 4) + (4 * 2 + 2)
    assert counts == [encoder + decoder, (2 * 4 + 4) + (4 * 4 + 4) + (4 + 1)]


def test_a_study_has_what_is_asked_of_its_models(tmp_path):
    few = ["steps=2", "probe_every=1", "samples=64", "neighbours=32", "metrics=reconstruction"]
    study = api.run(None, over([*SMALL, *few]), out=tmp_path / "study", workers=1)
    measured = study.series[["reconstruction_error", "codebook_perplexity", "adversarial_weight"]]
    assert measured.notna().all().all()
    assert (study.series["codebook_perplexity"].between(1, 7)).all()
