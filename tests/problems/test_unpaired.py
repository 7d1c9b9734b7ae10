"""Problems of two domains: the maps between them by numpy, and digits that are in one of them alone."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from ganbench import registry
from ganbench.problems.base import stream, swapped

RED, GREEN, BLUE, YELLOW = (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0)
FORTH = {
    "inverted_digits": lambda a: -a,
    "rotated_digits": lambda a: np.rot90(a, 1, (-2, -1)),
    "coloured_digits": lambda a: np.repeat(a.max(1, keepdims=True), 3, 1),
}
NAMES = list(FORTH)


def problem(name):
    return registry.get("problem", name)()


def rows(images):
    return {tuple(np.round(row, 4)) for row in np.asarray(images).reshape(len(images), -1)}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_right_is_the_map_of_what_is_given(name):
    own = problem(name)
    x, given = own.oracle(300)
    (b, a), (given_a, given_b) = np.split(x.numpy(), 2, -1), np.split(given.numpy(), 2, -1)
    np.testing.assert_allclose(b, FORTH[name](given_a), atol=1e-6)
    # the way back is right where it leads there again
    np.testing.assert_allclose(FORTH[name](a), given_b, atol=1e-6)
    answers = own.truth.answers(given).numpy()
    assert answers.shape == (300, 4 if name == "coloured_digits" else 1, *own.shape)
    for choice in answers.swapaxes(0, 1):
        np.testing.assert_allclose(choice[..., :8], b, atol=1e-6)
        np.testing.assert_allclose(FORTH[name](choice[..., 8:]), given_b, atol=1e-6)
    if name == "coloured_digits":
        lit = [tuple(((choice[..., 8:] + 1).max((0, 2, 3)) > 1e-6).astype(int)) for choice in answers.swapaxes(0, 1)]
        assert lit == [RED, GREEN, BLUE, YELLOW]


@pytest.mark.parametrize("name", NAMES)
def test_a_training_digit_is_in_one_domain_alone_and_a_measured_one_in_none(name):
    own = problem(name)
    x, given = own.draw(15_000, stream("test", 0))
    assert torch.equal(x, swapped(given))
    assert torch.equal(torch.cat(given.chunk(2, -1)[::-1], -1), x)
    in_a, in_b = (rows(FORTH[name](given.numpy()[..., :8])), rows(given.numpy()[..., 8:]))
    # of scikit-learn's 1797 digits 500 are held out; none of the others is missed by chance in 1e7 such draws
    assert len(in_a) + len(in_b) == 1297
    assert abs(len(in_a) - len(in_b)) == 1
    measured = own.measured_given(10**4)
    held_out = rows(FORTH[name](measured.numpy()[..., :8])), rows(measured.numpy()[..., 8:])
    every = load_digits().images[:, None].astype(np.float32) / 8 - 1
    shown = np.repeat(every, 3, 1) if name == "coloured_digits" else every
    assert held_out[0] == held_out[1] == rows(FORTH[name](shown)) - in_a - in_b
    assert len(held_out[0]) == 500


def test_a_digit_is_in_every_colour_as_often():
    given = problem("coloured_digits").draw(4000, stream("test", 1)).given
    lit = (given[..., :8] > -1).flatten(2).any(2).int().tolist()
    shares = [lit.count(list(colour)) / 4000 for colour in (RED, GREEN, BLUE, YELLOW)]
    assert sum(shares) == 1
    assert shares == pytest.approx([0.25] * 4, abs=0.04)


@pytest.mark.parametrize("name", NAMES)
def test_what_pictures_show_is_their_digit_in_both_domains(name):
    """The class by scikit-learn's labels, of training digits exactly."""
    own = problem(name)
    data = load_digits()
    known = {tuple(image.flatten()): label for image, label in zip(data.images, data.target, strict=True)}
    x, given = own.draw(200, stream("test", 2))
    plain = given.numpy()[..., :8].max(1)  # a grey or coloured digit of A as a grey one
    labels = [known[tuple(np.round((image + 1) * 8).flatten())] for image in plain]
    shown = own.truth.content(own.truth.answers(given)[:, 0])
    assert shown.shape == (200, 2)
    assert shown[:, 0].tolist() == labels
    assert own.truth.content(x)[:, 1].tolist() == labels
