"""Tricks by what their papers say of them: values, shapes, frequencies, and what they cannot be combined with."""

import math

import pytest
import torch
from overriding import over
from torch import nn

from ganbench import registry
from ganbench.gan.tricks import logits_kept
from ganbench.problems.base import stream
from ganbench.suite import resolve
from ganbench.training.building import build_networks, make_problem
from ganbench.training.objective import sampler
from ganbench.training.population import Population
from ganbench.training.step import train_step

CPU = torch.device("cpu")
IMAGES = ("problem=digits", "network=dcgan", "network.dcgan.width=4")


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def trick(name):
    return registry.get("trick", name)


def population(*overrides, dtype=torch.float64):
    runs = resolve(None, over(["batch_size=12", "steps=20", "seeds=2", "loss=hinge", *overrides])).runs
    return Population(runs, make_problem(runs[0].variant), CPU, dtype)


# ---- D sees its batch


def test_minibatch_std_of_known_features():
    # columns with standard deviations 1, 0 and 3 (n in the denominator): their mean is 4/3
    x = torch.tensor([[0.0, 5.0, 3.0], [2.0, 5.0, -3.0]], dtype=torch.float64)
    out = trick("minibatch_std")(3)(x)
    assert torch.equal(out[:, :3], x)
    assert out[:, 3].tolist() == pytest.approx([4 / 3] * 2, abs=1e-4)


def test_minibatch_std_of_a_batch_that_has_collapsed_has_a_finite_gradient():
    x = torch.ones(6, 4, dtype=torch.float64, requires_grad=True)
    trick("minibatch_std")(4)(x).sum().backward()
    assert x.grad.isfinite().all()


def test_minibatch_discrimination_counts_the_samples_that_are_close():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = trick("minibatch_discrimination")(5, kernels=3, dims=2).double()
    groups = torch.cat([drawn(1, 5).expand(4, 5), 1e4 * drawn(1, 5, seed=1).expand(2, 5)])
    out = module(groups)
    assert out.shape == (6, 8)
    # exp(-0) for each sample of one's own group, oneself included, and exp(-far) for the others
    torch.testing.assert_close(out[:, 5:], torch.tensor([[4.0]] * 4 + [[2.0]] * 2, dtype=out.dtype).expand(6, 3))
    x = drawn(6, 5, seed=2)
    m = (x @ module.tensor.detach()).view(6, 3, 2)
    for i in range(6):
        near = [sum(math.exp(-(m[i, b] - m[j, b]).abs().sum().item()) for j in range(6)) for b in range(3)]
        assert module(x)[i, 5:].tolist() == pytest.approx(near, rel=1e-12)


@pytest.mark.parametrize("name", [p.name for p in registry.plugins("trick") if p.meta["acts_on"] == "batch"])
def test_what_sees_the_batch_can_be_differentiated_twice_and_under_vmap(name):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = trick(name)(3).double()
    x = drawn(2, 5, 3).requires_grad_()
    assert torch.autograd.gradcheck(module, x)
    assert torch.autograd.gradgradcheck(module, x)
    torch.testing.assert_close(torch.func.vmap(module)(x), torch.stack([module(one) for one in x]))


@pytest.mark.parametrize("name", [p.name for p in registry.plugins("trick") if p.meta["acts_on"] == "batch"])
def test_tricks_that_mix_the_batch_say_so(name):
    plan = resolve(None, [f"trick={name},none", f"regularizer={','.join(registry.names('regularizer'))}"])
    penalties = {p.name for p in registry.plugins("regularizer") if "independent_samples" in p.needs}
    of_g = {p.name for p in registry.plugins("regularizer") if p.declared("acts_on") == "latents"}
    skipped = [(variant, reason) for variant, reason in plan.skipped if variant.regularizer not in of_g]
    assert {variant.regularizer for variant, _ in skipped} == penalties - of_g
    for variant, reason in skipped:
        needs = registry.get("regularizer", variant.regularizer).needs
        assert reason == f"{variant.regularizer} with trick {name}: {needs['independent_samples']}"
    (variant,) = resolve(None, [f"trick={name}"]).variants
    with torch.no_grad():
        d = build_networks(variant, make_problem(variant), seed=0)[1]
        x = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
        moved = x.clone()
        moved[1:] += 1
        assert not torch.allclose(d(x)[0], d(moved)[0], atol=1e-6)


@pytest.mark.parametrize("normalization", ["spectral", "weight"])
@pytest.mark.parametrize("own", [("problem=ring8",), IMAGES], ids=["mlp", "dcgan"])
def test_normalizations_of_weights_still_act_on_the_last_layer(own, normalization):
    (variant,) = resolve(None, over([*own, "trick=minibatch_std", f"normalization={normalization}"])).variants
    d = build_networks(variant, make_problem(variant), seed=0)[1]
    plain = [m for m in d.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    wrapped = [m for m in d.modules() if type(m).__name__ == "Reweighted"]
    assert {id(m.layer) for m in wrapped} == {id(m) for m in plain}
    assert plain[-1].in_features == {"mlp": 32, "dcgan": 32}[variant.network] + 1


@pytest.mark.usefixtures("own_registry")
def test_a_network_without_the_place_is_skipped_with_the_reason():
    @registry.register("network")
    def bare(spec):
        return nn.Linear(spec.latent_dim, 2), nn.Linear(2, 1)

    told = dict(resolve(None, ["network=mlp,bare", "trick=minibatch_std,feature_matching"]).skipped)
    assert {(v.network, v.trick): why for v, why in told.items()} == {
        ("bare", "minibatch_std"): "minibatch_std with network bare: the network has no place where its discriminator "
        "could see the batch",
        ("bare", "feature_matching"): "feature_matching with network bare: it needs a discriminator with an activation "
        "that is known",
    }


# ---- feature matching


@pytest.mark.parametrize("leading", [(), (3,)])
def test_feature_matching_is_the_squared_distance_of_means(leading):
    real, fake = drawn(*leading, 7, 4), drawn(*leading, 5, 4, seed=1)
    got = trick("feature_matching")(real, fake)
    assert got.shape == leading
    torch.testing.assert_close(got, ((real.mean(-2) - fake.mean(-2)) ** 2).sum(-1))


def test_feature_matching_pulls_g_to_the_data_whatever_the_loss():
    finals = []
    for loss in ("hinge", "wasserstein"):
        own = population("trick=feature_matching", f"loss={loss}", "optimizer=sgd", "optimizer.sgd.d_lr=1e-12")
        for _ in range(3):
            train_step(own)
        finals.append(own.generator.flat)
    # D stays where it is, up to the 1e-12 of its rate, so that G sees the same features
    torch.testing.assert_close(*finals, rtol=0, atol=1e-9)


# ---- packing


@pytest.mark.parametrize("m", [2, 3, 4])
def test_packs_hold_the_samples_side_by_side(m):
    points, images = drawn(3, 12, 2), drawn(3, 12, 2, 5, 5)
    packs, deep = trick("packing")(points, m=m), trick("packing")(images, m=m)
    assert packs.shape == (3, 12 // m, 2 * m)
    assert deep.shape == (3, 12 // m, 2 * m, 5, 5)
    for pack in range(12 // m):
        for place in range(m):
            assert torch.equal(packs[1, pack, 2 * place : 2 * place + 2], points[1, m * pack + place])
            assert torch.equal(deep[1, pack, 2 * place : 2 * place + 2], images[1, m * pack + place])


@pytest.mark.parametrize("m", [2, 3, 4])
@pytest.mark.parametrize(("own", "width"), [(("problem=ring8",), 2), (IMAGES, 1), (("problem=digits",), 64)])
def test_d_is_built_for_packs_and_g_as_without(own, width, m):
    plain, packed = (resolve(None, over([*own, *more])).variants[0] for more in ((), ("trick=packing", "batch_size=24",
                     f"trick.packing.m={m}")))  # fmt: skip
    pairs = [build_networks(v, make_problem(v), seed=0) for v in (plain, packed)]
    for ours, theirs in zip(pairs[0][0].parameters(), pairs[1][0].parameters(), strict=True):
        assert torch.equal(ours, theirs)
    first = [next(m for m in d.modules() if isinstance(m, nn.Linear | nn.Conv2d)) for _, d in pairs]
    assert [layer.weight.shape[1] for layer in first] == [width, m * width]


def test_everything_that_is_measured_of_packs_is_defined():
    from ganbench.measure.evaluate import Evaluator
    from ganbench.training.loop import Prober

    # 500 held-out digits and 500 fakes do not divide by 3
    for own, sizes in ((("trick=packing",), (40, 30)), (("trick=packing", "trick.packing.m=3", *IMAGES,
                        "batch_size=513"), (500, 30))):  # fmt: skip
        plain = [key for key in own if "trick" not in key]
        measured = []
        for overrides in (own, plain):
            trained = population(*overrides, dtype=torch.float32)
            train_step(trained)
            measured.append(Prober(trained, Evaluator(trained.problem, *sizes), "medium").probe()[0])
        packed, single = measured
        assert packed.keys() == single.keys()
        for name, column in single.items():
            assert packed[name].isfinite().tolist() == column.isfinite().tolist(), name


# ---- averages


def test_ema_in_closed_form():
    # of parameters c t after step t, started at 0: c (n - b (1 - b^n) / (1 - b))
    average, c, b, n = torch.zeros(2, 3, dtype=torch.float64), drawn(2, 3), 0.9, 25
    for t in range(1, n + 1):
        average = trick("ema")(average, c * t, decay=b)
    torch.testing.assert_close(average, c * (n - b * (1 - b**n) / (1 - b)))


def test_the_mean_of_history_is_over_all_places():
    own = population("trick=historical_averaging")
    places = [own.generator.flat.clone()]
    for _ in range(6):
        train_step(own)
        places.append(own.generator.flat.clone())
    torch.testing.assert_close(own.memory["trick.historical_averaging"]["g"], torch.stack(places).mean(0))


def test_historical_averaging_adds_twice_the_way_from_the_mean():
    theta, mean = drawn(3, 5).requires_grad_(), drawn(3, 5, seed=1)
    penalty = trick("historical_averaging")(theta, mean, weight=0.7)
    assert penalty.shape == (3,)
    torch.testing.assert_close(torch.autograd.grad(penalty.sum(), theta)[0], 2 * 0.7 * (theta.detach() - mean))


# ---- augmentation


def test_augmentation_moves_by_whole_pixels_and_brightens():
    images = drawn(2, 500, 1, 8, 8) + 10
    uniform = torch.rand(2, 500, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    out = trick("augmentation")(images, uniform)
    ways = set()
    for run in range(2):
        for place in range(500):
            image, light = images[run, place, 0], uniform[run, place, 0] - 0.5
            y, x = (int(3 * u) - 1 for u in uniform[run, place, 1:])
            ways.add((y, x))
            expected = torch.zeros(8, 8, dtype=torch.float64)
            rows, columns = slice(max(0, -y), 8 - max(0, y)), slice(max(0, -x), 8 - max(0, x))
            expected[rows, columns] = image[max(0, y) : 8 + min(0, y), max(0, x) : 8 + min(0, x)] + light
            torch.testing.assert_close(out[run, place, 0], expected)
    # an eighth of 8 pixels: one, either way
    assert ways == {(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)}


def test_augmentation_can_be_differentiated_through():
    images, uniform = drawn(1, 4, 1, 8, 8).requires_grad_(), torch.rand(1, 4, 3, dtype=torch.float64)
    out = trick("augmentation")(images, uniform)
    (gradient,) = torch.autograd.grad(out.sum(), images)
    # a pixel counts once where it is still seen; at most a row and a column of each image are not
    assert set(gradient.unique().tolist()) <= {0.0, 1.0}
    assert gradient.sum((-2, -1)).min() >= 49


def diffaugmented(images, *rows, **strengths):
    """Images under one row of numbers each."""
    off = dict.fromkeys(("brightness", "saturation", "contrast", "translation", "cutout"), 0.0)
    return trick("diffaugment")(images, torch.tensor([rows], dtype=torch.float64), **{**off, **strengths})


HALF = [0.5] * 7


def test_diffaugment_without_strength_changes_nothing():
    images = drawn(1, 2, 3, 8, 8)
    torch.testing.assert_close(diffaugmented(images, [0.1] * 7, [0.9] * 7), images)


def test_diffaugment_changes_saturation_and_contrast_about_their_means():
    images = drawn(1, 2, 3, 8, 8)
    gray, mean = images.mean(2, keepdim=True), images.mean((2, 3, 4), keepdim=True)
    # U = 0 leaves no colour, 1/4 half of it, 1/2 all; the mean over pixels and channels stays
    none, half = ([*HALF[:1], u, *HALF[2:]] for u in (0.0, 0.25))
    got = diffaugmented(images, none, half, saturation=1.0)
    torch.testing.assert_close(got[:, 0], gray[:, 0].expand(1, 3, 8, 8))
    torch.testing.assert_close(got[:, 1], (gray + (images - gray) / 2)[:, 1])
    torch.testing.assert_close(diffaugmented(images[:, :, :1], none, half, saturation=1.0), images[:, :, :1])
    # U = 0 is a contrast of 1/2, 3/4 one of 5/4
    low, high = ([*HALF[:2], u, *HALF[3:]] for u in (0.0, 0.75))
    got = diffaugmented(images, low, high, contrast=0.5)
    torch.testing.assert_close(got[:, 0], (mean + (images - mean) / 2)[:, 0])
    torch.testing.assert_close(got[:, 1], (mean + (images - mean) * 1.25)[:, 1])


@pytest.mark.parametrize(("share", "length"), [(0.5, 4), (0.375, 3), (1.0, 8), (0.0, 0)])
def test_diffaugment_cuts_a_rectangle_that_may_reach_over_the_border(share, length):
    images, seen = torch.ones(1, 400, 2, 8, 8, dtype=torch.float64), set()
    uniform = torch.rand(400, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    out = diffaugmented(images, *uniform.tolist(), cutout=share)[0]
    for image, numbers in zip(out, uniform.tolist(), strict=True):
        # as many places for the middle as there are, both ends of the image included for an even length
        places = 8 + (length % 2 == 0)
        y, x = (int(u * places) - length // 2 for u in numbers[5:])
        hole = torch.ones(8, 8, dtype=torch.float64)
        hole[max(0, y) : max(0, y + length), max(0, x) : max(0, x + length)] = 0
        torch.testing.assert_close(image, hole.expand(2, 8, 8))
        seen.add((y, x))
    for ways in zip(*seen, strict=True):
        assert set(ways) == {place - length // 2 for place in range(9 if length % 2 == 0 else 8)}


def test_diffaugment_has_the_brightness_and_translation_of_augmentation():
    images, uniform = drawn(1, 50, 1, 8, 8), torch.rand(1, 50, 7, dtype=torch.float64)
    got = trick("diffaugment")(images, uniform, saturation=0.0, contrast=0.0, cutout=0.0)
    torch.testing.assert_close(got, trick("augmentation")(images, uniform[..., [0, 3, 4]]))


def test_real_and_fake_are_augmented_alike_with_numbers_of_their_own():
    own = population("trick=augmentation", *IMAGES)
    sides = [own.draw(f"{player} {side} trick", 0) for player in "dg" for side in ("real", "fake")]
    assert all(numbers.shape == (2, 12, 3) for numbers in sides)
    assert len({tuple(numbers.flatten().tolist()) for numbers in sides}) == 4
    seen, (part, *_) = [], own.objective.parts
    apply, part.bound = part.bound, lambda *args: seen.append(args[1]) or apply(*args)
    train_step(own)
    assert [[torch.equal(numbers, side) for side in sides].index(True) for numbers in seen] == [1, 0, 3]


def test_probes_show_d_the_images_themselves():
    from ganbench.training.snapshot import Snapshot

    own = population("trick=augmentation", *IMAGES)
    images = own.draw("data", 0)
    torch.testing.assert_close(Snapshot(own).criticise(images, {}), own.criticise(images))


# ---- top-k


@pytest.mark.parametrize(("progress", "k"), [(0, 64), (0.125, 54), (0.25, 46), (0.5, 32), (0.9, 32)])
def test_top_k_takes_the_fakes_that_score_highest(progress, k):
    # 64 x 0.5^(2 progress), rounded up
    real, fake = drawn(3, 64), drawn(3, 64, seed=1)
    assert logits_kept(64, progress, share=0.5, until=0.5) == k
    kept_real, kept_fake = trick("top_k")(real, fake, k)
    assert kept_fake.shape == kept_real.shape == (3, k)
    torch.testing.assert_close(kept_fake, fake.sort(descending=True).values[:, :k])
    for run in range(3):
        for one, other in zip(kept_real[run], kept_fake[run], strict=True):
            assert real[run, (fake[run] == other).nonzero().item()] == one


def test_top_k_leaves_the_other_fakes_without_gradient():
    fake = drawn(2, 8).requires_grad_()
    trick("top_k")(fake.detach(), fake, 4)[1].sum().backward()
    assert (
        fake.grad.tolist()
        == (fake >= fake.median(-1, keepdim=True).values)
        .logical_and(fake != fake.median(-1, keepdim=True).values)
        .double()
        .tolist()
    )


# ---- weighted sampling


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_modes_are_drawn_in_proportion_to_a_power_of_their_weights(power):
    n, own = 40_000, population("problem=ring8_imbalanced", "trick=weighted_sampling",
                                f"trick.weighted_sampling.power={power}")  # fmt: skip
    modes = own.problem.modes
    samples = sampler(own.objective.parts, own.problem, CPU)(n, stream("test", 0)).x.double()
    counts = torch.cdist(samples, modes.centres).argmin(1).bincount(minlength=8)
    want = 8.0 ** (-torch.arange(8, dtype=torch.float64) / 7 * (1 - power))
    want = want / want.sum()
    # five standard errors of a share
    assert ((counts / n - want).abs() < 5 * (want * (1 - want) / n).sqrt()).all()
    if power == 0:
        torch.testing.assert_close(samples, own.problem.sample(n, stream("test", 0)).double())


def test_classes_are_drawn_evenly_and_images_within_a_class_too():
    n, own = 60_000, population("trick=weighted_sampling", *IMAGES)
    drawn_from = sampler(own.objective.parts, own.problem, CPU)
    samples = drawn_from.table.samples(drawn_from.draw(n, stream("test", 0)))
    images, labels = own.problem.images.flatten(1), own.problem.labels
    # by a hash of the pixels: no two training images are equal
    code = torch.randint(1 << 40, (64,), generator=torch.Generator().manual_seed(0))
    codes, known = ((8 * x.flatten(1)).long() @ code for x in (samples, images))
    place = {value: place for place, value in enumerate(known.tolist())}
    assert len(place) == len(images)
    counts = torch.tensor([place[value] for value in codes.tolist()]).bincount(minlength=len(images))
    by_class = torch.zeros(10, dtype=torch.long).index_add_(0, labels, counts)
    assert ((by_class / n - 0.1).abs() < 5 * math.sqrt(0.09 / n)).all()
    expected = n / 10 / labels.bincount()[labels]
    # chi square with about 1297 degrees of freedom, standard deviation sqrt(2 x 1297)
    assert ((counts - expected) ** 2 / expected).sum().item() == pytest.approx(1297, abs=5 * math.sqrt(2 * 1297))


def test_training_batches_alone_are_weighted():
    even, plain = population("problem=ring8_imbalanced", "trick=weighted_sampling"), population(
        "problem=ring8_imbalanced"
    )  # fmt: skip
    for purpose in ("data", "g data"):
        assert not torch.equal(even.draw(purpose, 0), plain.draw(purpose, 0))
    for n in (None, 50):
        assert torch.equal(even.problem.reference(n), plain.problem.reference(n))
    assert torch.equal(even.problem.oracle_samples(50), plain.problem.oracle_samples(50))


def test_where_all_modes_weigh_the_same_it_is_skipped():
    plan = resolve(None, ["problem=ring8,ring8_imbalanced,digits", "network=mlp", "trick=weighted_sampling"])
    assert [v.problem for v in plan.variants] == ["ring8_imbalanced", "digits"]
    assert plan.skipped[0][1].startswith("weighted_sampling with problem ring8: it needs modes or classes")
