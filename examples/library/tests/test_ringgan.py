"""What can be said of the library without training anything."""

import math

import pytest
import torch
from ringgan import Discriminator, Generator, discriminator_loss, generator_loss


def test_shapes():
    samples = Generator(8, 2)(torch.randn(5, 8))
    assert samples.shape == (5, 2)
    assert Discriminator(2)(samples).shape == (5, 1)


def test_losses_of_a_discriminator_that_knows_nothing():
    # softplus(0) is log 2, on each side
    zeros = torch.zeros(4, 1)
    assert discriminator_loss(zeros, zeros).item() == pytest.approx(2 * math.log(2))
    assert generator_loss(zeros).item() == pytest.approx(math.log(2))
