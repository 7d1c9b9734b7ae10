"""Counting classes by a classifier: a perfect sampler covers them all, whatever their weights and the classifier."""

import itertools
import math

import pytest
import torch
from torch import nn

from ganbench import registry
from ganbench.measure.evaluate import Evaluator
from ganbench.measure.predicted import expected_classes, predictions
from ganbench.metrics.reference import Reference
from ganbench.problems import classifiers
from ganbench.problems.base import Problem, SampleTable, stream
from ganbench.problems.images import LabelledImages

TEN = torch.arange(10)


def probabilities(labels, sure, classes=10):
    """Return probabilities [n, classes] of a head that is `sure` [n] of its labels and undecided between the others."""
    rest = (1 - sure) / (classes - 1)
    p = rest[:, None].expand(-1, classes).clone().double()
    return p.scatter_(1, labels[:, None], sure[:, None].double())


def statistics(fake, perfect=None, **hypers):
    """Return the metric of features that are the probabilities themselves."""
    reference = Reference(
        torch.eye(fake.shape[-1], dtype=torch.float64), class_head=lambda features: features,
        perfect=None if perfect is None else lambda: perfect,
    )  # fmt: skip
    columns = registry.get("metric", "class_statistics")(reference, fake, **hypers)
    shares = registry.get("metric", "class_shares")(reference, fake)
    return {name: column.item() for name, column in {**columns, **shares}.items()}


def long_tail(n):
    """Return labels of n samples whose weights are geometric, the heaviest a hundred times the lightest."""
    weights = 100.0 ** (-TEN / 9)
    return TEN.repeat_interleave((n * weights / weights.sum()).round().long())


def test_a_perfect_sampler_of_unequal_classes_covers_all_ten():
    labels = long_tail(1000)
    fake = probabilities(labels, torch.full((len(labels),), 0.95))
    # by equal weights a class needs 25 samples of 1000, which the lightest four have not
    assert statistics(fake)["classes_covered"] == (labels.bincount() >= 25).sum() == 6
    got = statistics(fake, fake)
    assert got["classes_covered"] == 10
    assert got["class_kl"] < 0.001
    few = fake[labels < 8]
    assert statistics(few, fake)["classes_covered"] == 8


def test_a_class_of_which_the_classifier_is_rarely_sure_is_covered_by_a_perfect_sampler():
    labels = TEN.repeat(100)
    # of three classes it is never sure
    sure = torch.where(labels < 7, 0.99, 0.6) + 0.001 * torch.linspace(-1, 1, len(labels))
    fake = probabilities(labels, sure)
    assert statistics(fake)["classes_covered"] == 7
    got = statistics(fake, fake)
    assert got["classes_covered"] == 10
    assert got["confident"] == pytest.approx(0.7)
    # half of the samples of such a class are at least as sure as the median one
    assert [got[f"class_share.{k}"] for k in range(10)] == pytest.approx([0.1] * 7 + [0.05] * 3, abs=0.002)
    weights = torch.tensor([0.1] * 7 + [0.05] * 3) / 0.85
    only = statistics(fake[labels == 0], fake)
    assert only["classes_covered"] == 1
    assert only["class_kl"] == pytest.approx(-math.log(weights[0]), abs=0.01)


def test_a_class_that_a_perfect_sampler_never_shows_is_not_covered_by_none():
    labels = TEN[:9].repeat(20)
    fake = probabilities(labels, torch.full((len(labels),), 0.95))
    got = statistics(fake, fake)
    assert got["classes_covered"] == 9
    assert 0 <= got["class_kl"] < 0.01


def test_what_is_expected_is_found_once_and_the_bar_is_no_higher_than_asked():
    calls = []
    fake = probabilities(TEN.repeat(9), torch.linspace(0.3, 0.99, 90))

    def perfect():
        calls.append(1)
        return fake

    reference = Reference(torch.eye(10, dtype=torch.float64), class_head=lambda f: f, perfect=perfect)
    for _ in range(3):
        expected = expected_classes(reference, 0.6)
    assert len(calls) == 1
    medians = torch.stack([fake[TEN.repeat(9) == k, k].median() for k in range(10)])
    torch.testing.assert_close(expected.bar, medians.clamp(max=0.6))
    assert expected.weights.sum().item() == pytest.approx(1)


def test_many_classes_are_predicted_in_parts():
    features = torch.rand(3, 70, 2000, generator=torch.Generator().manual_seed(0))
    sizes = []

    def head(some):
        sizes.append(some[..., 0].numel())
        return some

    reference = Reference(torch.eye(2000)[:2], class_head=head)
    best, label = predictions(reference, features.repeat(1, 20, 1))
    assert torch.equal(best[:, :70], features.max(-1).values)
    assert torch.equal(label[:, :70], features.max(-1).indices)
    assert max(sizes) * 2000 <= 2**22


class Blobs(Problem):
    """A user's problem of ten classes in a row, the heaviest thirty times as likely as the lightest."""

    name, shape, capabilities, feature_spaces = "blobs", (2,), frozenset({"classes"}), ("data", "classifier")

    def __init__(self):
        self.labels = self._drawn(10_000, stream("reference", 0))[1]

    def _drawn(self, n, generator):
        weights = 30.0 ** (-TEN / 9)
        labels = torch.multinomial(weights, n, replacement=True, generator=generator)
        return torch.stack([labels - 4.5, 0 * labels], 1) + 0.15 * torch.randn(n, 2, generator=generator), labels

    def sample(self, n, generator):
        return self._drawn(n, generator)[0]


def test_a_users_problem_of_unequal_classes(tmp_path, monkeypatch):
    monkeypatch.setenv("GANBENCH_CACHE", str(tmp_path))
    oracle = Evaluator(Blobs(), 1000, 50).oracle()
    assert oracle["classes_covered"] > 9.9
    assert oracle["class_kl"] < 0.02


def test_digits_are_counted_as_they_always_were():
    """Equal classes by declaration, of which the classifier is sure: counts and divergence in plain words."""
    digits = registry.get("problem", "digits")()
    evaluator = Evaluator(digits, 400, 50)
    fake = digits.oracle_samples(400, 3)[digits.held_out_labels[:400] >= 0][:300]
    columns = {name: value.item() for name, value in evaluator.measure(fake[None]).items()}
    p = evaluator.spaces["classifier"].class_head(evaluator.spaces["classifier"](fake))
    sure = p.max(-1).values >= 0.9
    counts = p.argmax(-1)[sure].bincount(minlength=10).double()
    share = counts / counts.sum()
    assert columns["classes_covered"] == (counts >= 0.25 * 300 / 10).sum()
    assert columns["class_kl"] == pytest.approx((share * (10 * share).log()).nansum().item())
    assert columns["confident"] == pytest.approx(sure.double().mean().item())


# ---- the classifier


@pytest.mark.parametrize("side", [8, 12, 16, 28, 32, 64])
def test_convolutions_are_those_of_plain_layers(side):
    generator = torch.Generator().manual_seed(0)
    channels = [3, 16, 32, 48]
    convolutions = [nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(channels)]
    last = nn.Linear(48 * 9, 64)
    weights = [w.detach() for layer in (*convolutions, last) for w in (layer.weight, layer.bias)]
    images = torch.randn(4, 3, side, side, generator=generator)
    hidden = images if side < 28 else nn.functional.avg_pool2d(images, side // 14)
    for layer in convolutions:
        hidden = nn.functional.silu(layer(hidden))
        if hidden.shape[-1] >= 6:
            hidden = nn.functional.max_pool2d(hidden, 2)
    expected = nn.functional.silu(last(nn.functional.adaptive_avg_pool2d(hidden, 3).flatten(1)))
    got = classifiers._convolved(images, [*weights, torch.zeros(5, 64), torch.zeros(5)])
    torch.testing.assert_close(got, expected)


@pytest.fixture
def bars(tmp_path, monkeypatch):
    """Images of two classes, bars that stand or lie somewhere, the second one rare."""
    monkeypatch.setenv("GANBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(classifiers, "_classifiers", {})
    generator = torch.Generator().manual_seed(0)

    def drawn(n):
        images = torch.randint(0, 60, (n, 1, 12, 12), generator=generator).to(torch.uint8)
        labels = (torch.arange(n) % 20 == 0).long()
        for image, label, at in zip(images, labels, torch.randint(12, (n,), generator=generator), strict=True):
            (image[0, at] if label else image[0, :, at]).fill_(255)
        return images, labels

    return LabelledImages("bars", drawn(600), drawn(200), (-1.0, 1.0))


@pytest.mark.slow
def test_what_it_is_good_for_is_recorded(bars, tmp_path):
    own = classifiers.of(bars)
    images, labels = bars.labelled_oracle()
    answers = own.head(own(images)).argmax(1)
    assert own.accuracy == pytest.approx((answers == labels).double().mean().item())
    assert own.accuracy > 0.97
    assert (answers[labels == 1] == 1).double().mean() > 0.8, "a class of one in twenty is told, too"
    note = f"The classifier is right about {own.accuracy:.1%} of held-out images."
    assert Evaluator(bars, 100, 20).notes == [note]
    (file,) = tmp_path.iterdir()
    classifiers._classifiers.clear()
    again = classifiers.of(bars)
    assert all(torch.equal(a, b) for a, b in zip(own.weights, again.weights, strict=True))
    assert len(torch.load(file, weights_only=True)) == 11


def test_other_data_have_a_classifier_of_their_own(bars, monkeypatch):
    trained = []
    monkeypatch.setattr(classifiers, "_train_convolutions", lambda table, labels: trained.append(labels) or [
        torch.zeros(1)] * 10)  # fmt: skip
    monkeypatch.setattr(classifiers, "_accuracy", lambda *args: 0.5)
    classifiers.of(bars)
    classifiers.of(bars)
    assert len(trained) == 1
    table, labels = bars.labelled()
    bars.labelled = lambda: (SampleTable(table.rows, low=-1, width=1 / 255), 1 - labels)
    classifiers.of(bars)
    assert len(trained) == 2


@pytest.mark.parametrize(("images", "batch", "steps"), [(80, 4, 240), (40, 8, 200), (400, 5, 900)])
def test_it_is_trained_twelve_times_over_its_samples(monkeypatch, images, batch, steps):
    taken = []
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self, closure=None: taken.append(self.param_groups[0]["lr"]))
    table = SampleTable(torch.zeros(images, 1, 8, 8, dtype=torch.uint8), low=-1, width=1 / 255)
    classifiers._train_convolutions(table, torch.arange(images) % 2, batch)
    assert len(taken) == steps
    assert taken == pytest.approx([4e-3 * (1 - step / steps) for step in range(steps)])


def test_channels_are_told_one_by_one():
    class Single:
        weights, _layers, accuracy = (), None, 0.5

        def __call__(self, images):
            return images.flatten(1)

        def head(self, features):
            return torch.softmax(features, -1)

    images = torch.randn(5, 3, 1, 4, generator=torch.Generator().manual_seed(0))
    own = classifiers.ChannelClassifier(Single(), 3)
    p = own.head(own(images)).unflatten(-1, (4, 4, 4))
    channels = torch.softmax(images[:, :, 0], -1)
    torch.testing.assert_close(p, torch.einsum("na,nb,nc->nabc", *channels.unbind(1)))
