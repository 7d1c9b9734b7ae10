"""Digits in one of several styles, another one of which is asked for: the styles by numpy, and who sees what."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from ganbench import registry
from ganbench.errors import UserError
from ganbench.problems.base import request, sent_back, stream

ALL = ["red", "green", "blue", "yellow", "grey", "inverted", "turned"]
LIT = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0), "grey": (1, 1, 1)}


def in_style(name, digits):
    """Return digits [n, 8, 8] of -1 to 1 as pictures [n, 3, 8, 8]."""
    if name in LIT:
        return np.stack([digits if lit else np.full_like(digits, -1) for lit in LIT[name]], 1)
    plain = -digits if name == "inverted" else np.rot90(digits, 1, (1, 2))
    return np.stack([plain] * 3, 1)


@pytest.fixture(scope="module")
def problem():
    return registry.get("problem", "restyled_digits")(styles="+".join(ALL))


@pytest.fixture(scope="module")
def known():
    """The place of every digit of scikit-learn, by its picture in any style, with that style."""
    digits = load_digits().images.astype(np.float32) / 8 - 1
    return {(style, place): picture for style in ALL for place, picture in enumerate(in_style(style, digits))}


def places_of(pictures, known):
    found = {np.round(picture, 4).tobytes(): key for key, picture in known.items()}
    return [found[np.round(picture, 4).astype(np.float32).tobytes()] for picture in pictures.numpy()]


def test_what_is_right_is_the_digit_that_is_given_in_the_style_asked_for(problem, known):
    x, given = problem.oracle(300)
    picture, asked, own = request(given, 3)
    for place, ((style, digit), right) in enumerate(zip(places_of(picture, known), x, strict=True)):
        # planes of 0 and one of 1
        assert asked[place].sum() == own[place].sum() == 64
        assert own[place, ALL.index(style)].min() == 1
        wanted = known[ALL[int(asked[place, :, 0, 0].argmax())], digit]
        np.testing.assert_allclose(right.numpy(), wanted, atol=1e-6)
    assert torch.equal(problem.truth.answers(given)[:, 0], x)


def test_every_domain_may_be_asked_of_a_picture(problem, known):
    _, given = problem.oracle(20)
    every = problem.truth.targets.every(given)
    answers = problem.truth.answers(every.flatten(0, 1))[:, 0].unflatten(0, (20, len(ALL)))
    for (_, digit), right in zip(places_of(given[:, :3], known), answers, strict=True):
        for style, one in zip(ALL, right, strict=True):
            np.testing.assert_allclose(one.numpy(), known[style, digit], atol=1e-6)
    assert problem.truth.targets.asked(every.flatten(0, 1)).tolist() == [*range(len(ALL))] * 20


def test_samples_are_told_by_their_digit_and_their_style(problem, known):
    """By scikit-learn's labels, of training digits exactly."""
    x, _ = problem.draw(200, stream("test", 0))
    found, labels = places_of(x, known), load_digits().target
    assert problem.truth.content(x).tolist() == [labels[digit] for _, digit in found]
    assert problem.truth.targets.shown(x).tolist() == [ALL.index(style) for style, _ in found]


def test_a_training_digit_is_in_one_style_and_a_measured_one_in_none(problem, known):
    x, given = problem.draw(15_000, stream("test", 1))
    picture, asked, own = request(given, 3)
    seen = {*places_of(x[:9000], known), *places_of(picture[:9000], known)}
    # of 1797 digits 500 are held out, and none of the others is seen in two styles
    assert len(seen) == len({digit for _, digit in seen}) == 1297
    measured = {digit for _, digit in places_of(request(problem.measured_given(10**4), 3).picture, known)}
    assert len(measured) == 500
    assert not measured & {digit for _, digit in seen}
    # a real sample is in the domain that is asked of the fake of its index, all of them as often
    assert torch.equal(problem.truth.targets.shown(x[:500]), asked[:500, :, 0, 0].argmax(1))
    for planes in (asked, own):
        shares = planes[..., 0, 0].mean(0).tolist()
        assert shares == pytest.approx([1 / 7] * 7, abs=0.015)


def test_the_way_back_asks_for_where_a_picture_came_from():
    given = torch.arange(7.0)[None, :, None, None].expand(1, 7, 2, 2)
    fake = torch.full((1, 3, 2, 2), 9.0)
    assert sent_back(fake, given)[0, :, 0, 0].tolist() == [9, 9, 9, 5, 6, 3, 4]


@pytest.mark.parametrize(("styles", "message"), [
    ("red+gren", "Did you mean 'green'"),
    ("red", "two or more different styles, got 'red'"),
    ("red+red", "two or more different styles, got 'red.red'"),
])  # fmt: skip
def test_styles_that_are_none_are_refused(styles, message):
    with pytest.raises(UserError, match=message):
        registry.get("problem", "restyled_digits")(styles=styles)
