"""Problems that give a picture: what is right for each, counted and drawn apart from the problem's own way."""

import numpy as np
import pytest
import torch

from ganbench import registry
from ganbench.errors import UserError
from ganbench.problems.base import stream

GREY, NOISE = 0.7, 0.05


@pytest.fixture(scope="module")
def outlines():
    return registry.get("problem", "outlines")(side=8)


@pytest.fixture(scope="module")
def digits():
    return registry.get("problem", "upscaled_digits")()


def test_there_are_eight_outlines_and_each_has_one_answer_a_colour(outlines):
    given = outlines.draw(4000, stream("test", 0)).given
    assert tuple(given.shape[1:]) == outlines.gives.shape == (1, 8, 8)
    every = given.unique(dim=0)
    assert len(every) == outlines.truth.kinds == 8
    answers = outlines.truth.answers(every)
    assert tuple(answers.shape) == (8, 4, 3, 8, 8)
    # red, green, blue and yellow: the channels that are ever above the background
    lit = [{tuple((image.amax((1, 2)) > 0).tolist()) for image in four} for four in answers]
    assert lit == [{(True, False, False), (False, True, False), (False, False, True), (True, True, False)}] * 8
    # what an answer covers is the same in all its colours, and another outline's covers something else
    covered = answers.amax(2)
    assert torch.allclose(covered, covered[:, :1].expand_as(covered))
    assert len(covered[:, 0].flatten(1).round(decimals=6).unique(dim=0)) == 8
    # the rim is a part of what is covered
    assert (every[:, 0].double() <= covered[:, 0] + 1e-6).all()


def test_samples_are_answers_to_their_own_outline_with_noise(outlines):
    for x, given in (outlines.draw(2000, stream("test", 1)), outlines.oracle(2000)):
        off = x.double()[:, None] - outlines.truth.answers(given)
        nearest = off.square().flatten(2).mean(2).amin(1)
        # of std .05, clamped nowhere: 192 pixels of 2000 samples
        assert nearest.mean().sqrt().item() == pytest.approx(NOISE, rel=0.01)
        # each colour as often as the others
        chosen = off.square().flatten(2).mean(2).argmin(1).bincount(minlength=4) / len(x)
        assert chosen.tolist() == pytest.approx([0.25] * 4, abs=0.06)


def test_a_disc_covers_its_area(outlines):
    """pi r^2 of the unit square, r = .28 and .42, each pixel by 16 points."""
    modes = outlines.modes
    discs = modes.centres[modes.factors[:, 0] == 0].unflatten(1, (3, 8, 8))
    area = ((discs / GREY + 1) / 2).amax(1).mean((1, 2))
    sizes = modes.factors[modes.factors[:, 0] == 0][:, 3]
    for size, radius in enumerate((0.28, 0.42)):
        assert area[sizes == size].tolist() == pytest.approx([np.pi * radius**2] * 4, rel=0.02)


def test_a_finite_set_of_outlines_keeps_each_with_its_image():
    problem = registry.get("problem", "outlines")(side=8, samples=50)
    x, given = problem.draw(400, stream("test", 2))
    assert len(x.unique(dim=0)) <= 50
    off = x.double()[:, None] - problem.truth.answers(given)
    assert off.square().flatten(2).mean(2).amin(1).sqrt().max() < 2 * NOISE


@pytest.mark.parametrize("factor", [2, 4])
def test_what_is_given_is_the_mean_of_squares_of_pixels(factor):
    problem = registry.get("problem", "upscaled_digits")(factor=factor)
    x, given = problem.draw(30, stream("test", 0))
    side = 8 // factor
    by_hand = x.numpy().reshape(30, side, factor, side, factor).mean((2, 4))
    np.testing.assert_allclose(given[:, 0].numpy(), by_hand, atol=1e-6)
    assert problem.gives.shape == (1, side, side)
    assert torch.equal(problem.truth.given_of(x), given)


def test_every_digit_is_the_only_answer_to_its_picture(digits):
    for x, given in (digits.draw(300, stream("test", 0)), digits.oracle(10**4)):
        assert torch.equal(digits.truth.answers(given)[:, 0], x)


def test_what_is_measured_is_made_for_pictures_that_nobody_trained_on(digits):
    trained = {tuple(row) for row in digits.table.given.flatten(1).tolist()}
    measured = {tuple(row) for row in digits.measured_given(500).flatten(1).tolist()}
    assert len(measured) == 500
    assert not measured & trained


def test_what_digits_show_is_what_a_nearest_neighbour_says(digits):
    """scikit-learn's neighbours on the same images: held-out digits are known to 98 %."""
    from sklearn.neighbors import KNeighborsClassifier

    known = KNeighborsClassifier(1).fit(digits.images.flatten(1).numpy(), digits.table_labels.numpy())
    held_out = digits.held_out_images
    said = digits.truth.content(held_out)
    assert (said.numpy() == known.predict(held_out.flatten(1).numpy())).mean() > 0.995  # ties may go either way
    assert (said == digits.held_out_labels).double().mean() > 0.97


def test_another_factor_is_refused():
    with pytest.raises(UserError, match="takes 2 or 4 as 'factor', got 3"):
        registry.get("problem", "upscaled_digits")(factor=3)
