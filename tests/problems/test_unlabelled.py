"""Printed digits that are given for handwritten ones: what belongs together by scikit-learn, who sees what."""

import numpy as np
import pytest
import torch
from overriding import over
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import cross_entropy

from ganbench import registry
from ganbench.errors import UserError
from ganbench.gan.conditioning import Untold
from ganbench.gan.terms import Scene
from ganbench.measure.evaluate import Evaluator
from ganbench.problems.base import Source, stream
from ganbench.suite import resolve
from ganbench.training.building import build_networks, make_problem
from ganbench.training.population import Population
from ganbench.training.step import train_step

SGD = ["problem=glyph_digits", "network=pictured_mlp", "network.pictured_mlp.width=6", "loss=least_squares",
       "optimizer=sgd", "optimizer.sgd.d_lr=0.2", "optimizer.sgd.g_lr=0.1", "seeds=2", "steps=20",
       "batch_size=16"]  # fmt: skip


@pytest.fixture(scope="module")
def problem():
    return registry.get("problem", "glyph_digits")()


@pytest.fixture(scope="module")
def known():
    """The class of every digit of scikit-learn by its pixels."""
    data = load_digits()
    return {(image / 8 - 1).astype(np.float32).tobytes(): label for image, label in
            zip(data.images, data.target, strict=True)}  # fmt: skip


def classes_of(images, known):
    return [known[image.numpy().tobytes()] for image in images]


# ------------------------------------------------------------------------------------------ the problem


def test_pictures_are_printed_digits_and_samples_written_ones(problem, known):
    glyphs = registry.get("problem", "glyphs")(side=8)
    x, given = problem.draw(4000, stream("test", 0))
    source = problem.truth.source
    # each font's digit by the rendered problem, of which the grey is scaled otherwise
    for picture, kind in zip(source.pictures, source.classes, strict=True):
        away = (glyphs.modes.centres.unflatten(1, (1, 8, 8)) / 0.7 - picture).abs().amax((1, 2, 3))
        assert away.min() < 1e-5
        assert glyphs.modes.factors[away.argmin(), 0] == kind
    assert len(source.pictures) == len(glyphs.modes.centres)
    assert len(given.unique(dim=0)) == len(source.pictures)
    # a written digit's class and that of the printed one beside it have nothing to do with each other
    written, printed = torch.tensor(classes_of(x, known)), source(given)
    assert (written == printed).double().mean().item() == pytest.approx(0.1, abs=0.02)


def test_what_is_right_is_a_digit_of_the_class_that_no_training_sample_is(problem, known):
    x, given = problem.oracle(500)
    own, asked = torch.tensor(classes_of(x, known)), problem.truth.source(given)
    assert torch.equal(own, asked)
    training = {image.numpy().tobytes() for image in problem.reference()}
    assert not training & {image.numpy().tobytes() for image in x}
    answers = problem.truth.answers(given[:40])
    assert [classes_of(each, known) for each in answers] == [[int(kind)] * answers.shape[1] for kind in asked[:40]]
    assert {image.numpy().tobytes() for each in answers for image in each} <= training
    # the nearest training digit is of the same class for 98 in 100
    assert (problem.truth.content(x) == own).double().mean() > 0.97
    held_out, labels = problem.labelled_oracle()
    assert classes_of(held_out, known) == labels.tolist()
    assert classes_of(problem.reference(), known) == problem.labels.tolist()


def test_every_picture_is_measured_as_often(problem):
    given = problem.measured_given(120)
    counts = given.unique(dim=0, return_counts=True)[1]
    assert counts.tolist() == [120 // len(problem.truth.source.pictures)] * len(counts)
    assert len(problem.measured_given(10_000)) == 500


def test_a_source_finds_the_nearest_picture():
    source = Source(torch.tensor([[[[0.0, 0.0]]], [[[1.0, 3.0]]]]), torch.tensor([4, 2]))
    # of three pixels away from the first and one from the second, and the other way round
    assert source(torch.tensor([[[[[1.0, 2.0]]], [[[1.0, 1.0]]]]])).tolist() == [[2, 4]]
    assert source.kinds == 5


# ------------------------------------------------------------------------------------------ what is measured


def test_between_source_only_and_target_only(problem):
    """Held-out truth, pictures as they are, one digit for all, digits of another class: by scikit-learn where known."""
    evaluator = Evaluator(problem, 300, 100)
    x, given = problem.oracle(300)
    moved = torch.stack([problem.truth.answers(given[(problem.truth.source(given) + 1) % 10 == k][:1])[0, 0]
                         for k in range(10)])  # fmt: skip
    wrong = moved[problem.truth.source(given)]
    columns = evaluator.measure(torch.stack([x, given, x[:1].expand_as(x), wrong]), given.expand(4, *given.shape))
    columns = {name: column.tolist() for name, column in columns.items()}
    rows = [images.flatten(1).double().numpy() for images in (problem.reference(), problem.truth.source.pictures)]
    mean, spread = rows[0].mean(0), rows[0].std(0, ddof=1)
    spread[spread == 0] = 1
    held_out, labels = problem.labelled_oracle()
    test = (held_out.flatten(1).double().numpy() - mean) / spread
    for name, row, kinds in zip(("target_only_accuracy", "source_only_accuracy"), rows,
                                (problem.labels, problem.truth.source.classes), strict=True):  # fmt: skip
        other = LogisticRegression(max_iter=5000).fit((row - mean) / spread, kinds)
        assert columns[name] == [columns[name][0]] * 4
        assert columns[name][0] == pytest.approx(other.score(test, labels), abs=0.03)
    target, source = columns["target_only_accuracy"][0], columns["source_only_accuracy"][0]
    assert target > 0.95
    assert 0.4 < source < 0.65
    truth, printed, same, other = columns["adapted_accuracy"]
    assert 0.9 < truth < target
    # each printed digit counts five times where it counted once
    assert printed == pytest.approx(source, abs=0.06)
    assert same == pytest.approx(0.1, abs=0.05)
    assert other < 0.1
    assert columns["content_kept"][0] > 0.97
    assert columns["content_kept"][3] == 0.0
    assert columns["content_permuted"][3] == 1.0
    assert columns["given_used"][0] > 0.25
    assert columns["given_used"][2] < 0.02


def test_inputs_of_one_class_are_one_input(problem):
    """truth_error and given_used by a loop over all samples, classes and training digits."""
    evaluator = Evaluator(problem, 60, 30)
    x, given = problem.oracle(60)
    fake = x + 0.2 * torch.randn(x.shape, generator=stream("noise", 0))
    found = {name: column.item() for name, column in evaluator.measure(fake[None], given[None]).items()}
    asked, few = problem.truth.source(given), int(problem.labels.bincount().min())
    known = [problem.reference()[problem.labels == kind][:few].flatten(1).numpy() for kind in range(10)]
    away = np.array([[np.sqrt(((row - one) ** 2).mean(1)).min() for one in known] for row in fake.flatten(1).numpy()])
    own = [away[row, kind] for row, kind in enumerate(asked)]
    others = [np.mean([away[row, kind] for kind in asked if kind != asked[row]]) for row in range(60)]
    assert found["truth_error"] == pytest.approx(np.mean(own), rel=1e-5)
    assert found["given_used"] == pytest.approx(1 - np.mean(own) / np.mean(others), rel=1e-5)


# ------------------------------------------------------------------------------------------ the term


class Samples:
    def __init__(self, told, others=None):
        self.told, self.others = torch.tensor(told), others

    def beside(self, samples):
        return self.others[samples]


def test_task_is_its_formula():
    given = torch.zeros(1, 2, 1, 1, 1)
    fake = Samples([[[0.0, 1.0], [0.0, 2.0]]])
    fake.others = {given: Samples([[[0.0, -3.0], [0.0, 4.0]]])}
    wanted = torch.tensor([[1, 0]])
    surprise = lambda wrong: np.log1p(np.exp(wrong))  # noqa: E731 - of a class whose logit is as much below the other
    for player, expected in (("g", [-1, 2]), ("d", [-1, 2, 3, 4])):
        scene = Scene(player, None, fake, given, None, wanted=lambda given: wanted)
        term = registry.get("term", "task")(scene, weight=3.0)
        assert term.item() == pytest.approx(3 * sum(surprise(wrong) for wrong in expected) / 2, rel=1e-6)


def test_a_population_is_an_ordinary_loop_with_a_classifier():
    """Bousmalis 2017, eq. 3, its classifier a head of D, with least squares and SGD; weight 2."""
    runs = resolve(None, over([*SGD, "term=task", "term.task.weight=2"])).runs
    own = Population(list(runs), make_problem(runs[0].variant), torch.device("cpu"), torch.float64)
    pairs = []
    for row in range(2):
        g, d = (one.double() for one in build_networks(own.variant, own.problem, own.runs[row].seed))
        assert isinstance(d, Untold)
        pairs.append((g, d.body))
    classes = own.problem.truth.source
    for row, (g, d) in enumerate(pairs):
        for step in range(3):
            x, given, z = own.draw("data", step)[row], own.given("data", step)[row], own.draw("d latent", step)[row]
            real, fake, seen = d(x), d(g(z, given).detach()), d(given)
            kinds = classes.classes[torch.cdist(given.flatten(1), classes.pictures.flatten(1).double()).argmin(1)]
            loss = (real[:, 0] - 1).square().mean() / 2 + fake[:, 0].square().mean() / 2
            descend(d, loss + 2 * (cross_entropy(fake[:, 1:], kinds) + cross_entropy(seen[:, 1:], kinds)), 0.2)
            given, z = own.given("g data", step)[row], own.draw("g latent", step)[row]
            kinds = classes.classes[torch.cdist(given.flatten(1), classes.pictures.flatten(1).double()).argmin(1)]
            fake = d(g(z, given))
            descend(g, (fake[:, 0] - 1).square().mean() / 2 + 2 * cross_entropy(fake[:, 1:], kinds), 0.1)
    for _ in range(3):
        train_step(own)
    for row, pair in enumerate(pairs):
        for player, module in zip((own.generator, own.discriminator), pair, strict=True):
            flat = torch.cat([weight.detach().flatten() for weight in module.parameters()])
            torch.testing.assert_close(player.flat[row], flat, atol=1e-10, rtol=0)


def descend(module, loss, rate):
    weights = list(module.parameters())
    for weight, slope in zip(weights, torch.autograd.grad(loss, weights), strict=True):
        weight.data -= rate * slope


@pytest.mark.parametrize(("overrides", "reason"), [
    (["problem=outlines", "term=task"], "task with problem outlines: it needs a problem that gives pictures with"),
    (["term=cycle"], "cycle with problem glyph_digits: it needs a problem of two domains"),
    (["term=l1"], "l1 with problem glyph_digits: it needs a problem of pairs"),
    (["network=pix2pix", "term=task"], "task with network pix2pix: the network has no place"),
])  # fmt: skip
def test_what_is_not_for_labelled_pictures_says_so(overrides, reason):
    with pytest.raises(UserError) as told:
        resolve(None, over([*[own for own in SGD if not own.startswith("network.")], *overrides]))
    assert reason in str(told.value)
