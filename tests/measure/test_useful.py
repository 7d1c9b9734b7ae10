"""What samples are good for: a classifier trained on fakes, against scikit-learn's and planted samples."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from ganbench import registry
from ganbench.measure.evaluate import Evaluator
from ganbench.measure.regression import FOLDS, Labelled, Sight, softmax_regression
from ganbench.metrics.reference import Reference, Training
from ganbench.problems.base import stream

COLUMNS = ("accuracy_from_fakes", "accuracy_with_fakes", "accuracy_from_reals")


def clouds(name, n, classes=3, apart=1.5):
    """Overlapping clouds in four dimensions, and which each sample is of."""
    labels = torch.arange(n) % classes
    return torch.randn(n, 4, generator=stream(name, 0)).double() + apart * torch.eye(classes, 4)[labels], labels


def reference(training, held_out):
    return Reference(
        training[0],
        training=lambda: Training(Reference(training[0]), training[1]),
        held_out=lambda: Training(Reference(held_out[0]), held_out[1]),
    )


def measured(real, fake, label):
    found = registry.get("metric", "classification_accuracy")(real, fake, label)
    assert tuple(found) == COLUMNS
    return [found[name].tolist() for name in COLUMNS]


@pytest.fixture(scope="module")
def digits():
    return Evaluator(registry.get("problem", "digits_labelled")(), 500, 100, metrics=["classification_accuracy"])


def of_digits(evaluator, images, labels):
    columns = evaluator.measure(images, labels)
    return [columns[name].tolist() for name in COLUMNS]


# ------------------------------------------------------------------------------------------ the classifier


@pytest.mark.parametrize("weighted", [False, True])
def test_its_optimum_is_that_of_scikit_learn(weighted):
    x, labels = clouds("train", 120)
    weights = torch.rand(120, generator=stream("weights", 0)).double() if weighted else None
    found = softmax_regression(Labelled(x, labels), 3, weights, penalty=0.5, steps=2000)
    other = LogisticRegression(C=2.0, fit_intercept=False, tol=1e-10, max_iter=10_000)
    other.fit(x, labels, None if weights is None else weights.numpy())
    np.testing.assert_allclose(found.T, other.coef_, atol=1e-5)


def test_what_its_steps_leave_is_no_accuracy(digits):
    """The same real digits in the same standard deviations, to scikit-learn's end."""
    space, problem = digits.spaces["conv"], digits.problem
    train, test = (space(x).double().numpy() for x in (problem.images, problem.held_out_images))
    mean, spread = train.mean(0), train.std(0, ddof=1)
    other = LogisticRegression(max_iter=5000).fit((train - mean) / spread, problem.table_labels)
    wanted = other.score((test - mean) / spread, problem.held_out_labels)
    assert wanted > 0.9
    *_, (got,) = of_digits(digits, problem.images[None, :500], problem.table_labels[None, :500])
    assert got == pytest.approx(wanted, abs=0.02)
    for count in (100, 500):
        part = (train[:count] - mean) / spread
        other = LogisticRegression(max_iter=5000).fit(part, problem.table_labels[:count])
        (got,), *_ = of_digits(digits, problem.images[None, :count], problem.table_labels[None, :count])
        assert got == pytest.approx(other.score((test - mean) / spread, problem.held_out_labels), abs=0.02)


def test_features_count_in_standard_deviations_of_real_samples():
    real = torch.tensor([[0.0, 5.0], [2.0, 5.0], [4.0, 5.0]])
    seen = Sight(real)(torch.tensor([[4.0, 6.0], [-1e30, 5.0]]))
    # standard deviation 2 of the first, none of the second; 30 of them are as far as it goes
    assert seen.tolist() == [[1.0, 1.0, 1.0], [-30.0, 0.0, 1.0]]


# ------------------------------------------------------------------------------------------ the metric


def test_real_samples_as_fakes_are_as_good_as_real_ones():
    training, held_out = clouds("train", 300), clouds("test", 400)
    (alone,), (together,), (real,) = measured(reference(training, held_out), training[0][None], training[1])
    # twice the same samples halve the penalty
    assert alone == real
    assert together == pytest.approx(real, abs=0.01)
    # three clouds 1.5 sqrt 2 apart: two of them are told apart at half of that, .86; three at less
    assert 0.7 < real < 0.86


def test_labels_that_say_nothing_are_chance():
    training, held_out, generator = clouds("train", 300), clouds("test", 1000), stream("shuffled", 0)
    shuffled = [training[1][torch.randperm(300, generator=generator)] for _ in range(60)]
    labels = torch.stack([*shuffled, training[1] % 2])
    fakes = torch.cat([training[0].expand(60, -1, -1), training[0].mean(0).expand(1, 300, -1)])
    alone, together, _ = measured(reference(training, held_out), fakes, labels)
    # by three clouds that are each taken for something, of which a part is right by luck: a standard deviation of .15
    assert np.mean(alone[:-1]) == pytest.approx(1 / 3, abs=0.06)
    # one sample for all labels, that is every class's as much as another's: the label that is most often asked for
    assert alone[-1] == (held_out[1] == 0).double().mean()
    assert together[-1] > 0.7


def test_digits(digits):
    """Real ones, one picture a class, a class that is never made, labels moved by one, and the same for all labels."""
    problem = digits.problem
    images, labels = problem.images[:500], problem.table_labels[:500]
    one = torch.stack([problem.images[problem.table_labels == place][0] for place in range(10)])
    without = torch.where(labels == 3, 8, labels)
    fakes = torch.stack([images, one[labels], images, images, torch.zeros_like(images)])
    asked = torch.stack([labels, labels, without, (labels + 1) % 10, labels])
    alone, together, real = of_digits(digits, fakes, asked)
    assert alone[0] > 0.9
    assert 0.3 < alone[1] < 0.7
    # a tenth of the digits is never told
    assert alone[2] == pytest.approx(alone[0] - 0.1, abs=0.03)
    assert alone[3] < 0.05
    assert alone[4] == pytest.approx(0.1, abs=0.06)
    assert real == [real[0]] * 5
    assert together[0] == pytest.approx(real[0], abs=0.01)
    # what is wrong in a quarter of what is trained on is felt
    assert together[3] < real[0] - 0.02


def test_copies_of_test_samples_do_not_tell_themselves(digits):
    """Noise with labels that were drawn: learned by heart all of it is right, and by rule a third."""
    x, labels = torch.randn(90, 200, generator=stream("noise", 0)).double(), torch.arange(90) % 3
    training = clouds("train", 30)[0].repeat(1, 50), torch.arange(30) % 3
    (alone,), *_ = measured(reference(training, (x, labels)), x[None], labels)
    assert alone == pytest.approx(1 / 3, abs=0.17)
    # held-out digits, each part told by the three others (scikit-learn)
    problem = digits.problem
    space = digits.spaces["conv"]
    real, rows = space(problem.images).double().numpy(), space(problem.held_out_images).double().numpy()
    rows, known = (rows - real.mean(0)) / real.std(0, ddof=1), problem.held_out_labels.numpy()
    part, right = np.arange(len(rows)) % FOLDS, []
    for fold in range(FOLDS):
        other = LogisticRegression(max_iter=5000).fit(rows[part != fold], known[part != fold])
        right += [other.predict(rows[part == fold]) == known[part == fold]]
    (got,), *_ = of_digits(digits, problem.held_out_images[None], problem.held_out_labels[None])
    assert got == pytest.approx(np.concatenate(right).mean(), abs=0.02)


def test_where_samples_have_no_end_it_is_tested_on_a_draw_of_its_own():
    problem = registry.get("problem", "ring8_labelled")()
    evaluator = Evaluator(problem, 200, 50, metrics=["classification_accuracy"])
    held_out = evaluator.references["data"].held_out
    assert len(held_out.real.real) == len(held_out.labels) == 10_000
    centres = problem.modes.centres.float()
    assert torch.equal(torch.cdist(held_out.real.real, centres).argmin(1), held_out.labels)
    x, label = problem.oracle(evaluator.samples)
    found = evaluator.measure(torch.stack([x, x]), torch.stack([label, (label + 4) % 8]))
    # modes are told apart by a straight line each
    assert found["accuracy_from_fakes"].tolist() == [1.0, 0.0]
