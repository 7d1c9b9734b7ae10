"""Regularizers of the discriminator, and of the generator under the key `g_regularizer`; several compose in order.

On inputs (the default) a regularizer is `(critic, real, fake, uniform, *, hypers) -> penalty [...]`: `critic` maps
samples `[..., batch, *shape]` to logits `[..., batch]`, `uniform` holds one number of U[0, 1) a sample. With
`draws="normal"` its place is taken by `normal`, one number of N(0, 1) an element of a sample `[..., batch, *shape]`. On
weights (`acts_on="weights"`) it is `(weights, *, hypers) -> weights`, applied after each update of the discriminator.
On what the discriminator is shown (`acts_on="samples"`) it is `(samples, normal, progress, *, hypers) -> samples`, for
real and fake samples in the updates of both players; `progress` is the share of the training that is over, in [0, 1),
a tensor without axes.
On the discriminator's matrices (`acts_on="matrices"`) it is `(matrices, *, hypers) -> penalty [...]` for a list of all
trained weights as `[..., out, in]`, before any normalization of them. One on inputs that `remembers=True` takes a
dictionary behind the random numbers, `(critic, real, fake, uniform, memory, *, hypers)`: tensors `[...]` that it keeps
there from one of its calls to the next survive an interruption.

G has weights and matrices too. A regularizer of how G follows its latents (`acts_on="latents"`) is G's alone:
`(generator, latents, normal, *, hypers) -> penalty [...]`, where `generator` maps latents `[..., batch, latent_dim]` to
samples and `normal` holds one number of N(0, 1) an element of a sample. It may remember, too.

A penalty with the hyper-parameter `lazy` is computed in every lazy-th update of D only, where the engine
counts it `lazy` times, so that its mean stays (Karras 2020, app. B). It shares the update with the loss, and so the
optimizer's rates, which the paper corrects for a step of the penalty's own, stay as they are.

Penalties on gradients need independent samples: where a layer mixes the batch, the gradient at one sample is not the
gradient of the critic.
"""

import math
from collections.abc import Callable, MutableMapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from ganbench.errors import UserError
from ganbench.gan import linear
from ganbench.ranges import BelowOne, NotNegative, Positive, PositiveShare
from ganbench.registry import register

Critic = Callable[[Tensor], Tensor]
Generator = Callable[[Tensor], Tensor]

PER_LATENT = {"independent_samples": "G's Jacobian is defined per sample, and batch statistics mix the samples"}
PER_SAMPLE = {"independent_samples": "a gradient penalty is defined per sample, and batch statistics mix the samples"}


def squared_input_gradient(critic: Critic, samples: Tensor) -> Tensor:
    """Return the squared norm of the critic's gradient at each sample [..., batch], differentiable once more."""
    if not samples.requires_grad:
        samples = samples.detach().requires_grad_()
    logits = critic(samples)
    # samples are independent, so the gradient of the sum holds each sample's own gradient
    (gradient,) = torch.autograd.grad(logits.sum(), samples, create_graph=True)
    return gradient.flatten(logits.dim()).square().sum(-1)


def between(real: Tensor, fake: Tensor, uniform: Tensor) -> Tensor:
    """Return the points uniform x real + (1 - uniform) x fake, one share a sample, without their history."""
    share = uniform.reshape(uniform.shape + (1,) * (real.dim() - uniform.dim()))
    return torch.lerp(fake.detach(), real.detach(), share)


@register("regularizer", acts_on="nothing", linear=linear.nothing)
def none(critic: Critic, real: Tensor, fake: Tensor, uniform: Tensor) -> Tensor:
    """No regularizer."""
    return real.new_zeros(uniform.shape[:-1])


@register(
    "regularizer",
    acts_on="weights",
    no_rate={"wasserstein": "clipped WGAN does not converge (Mescheder 2018)"},
)
def weight_clipping(weights: Tensor, *, clip: Positive = 0.01) -> Tensor:
    """Weight clipping: every weight of the critic is kept within [-clip, clip] (Arjovsky 2017, alg. 1)."""
    return weights.clamp(-clip, clip)


@register(
    "regularizer",
    acts_on="inputs",
    needs=PER_SAMPLE,
    no_rate={"wasserstein": "WGAN-GP does not converge with finitely many steps of D (Mescheder 2018)"},
)
def gradient_penalty(
    critic: Critic, real: Tensor, fake: Tensor, uniform: Tensor, *, weight: NotNegative = 10.0
) -> Tensor:
    """WGAN-GP: weight times (gradient norm - 1)^2 between real and fake (Gulrajani 2017, eq. 3)."""
    squared = squared_input_gradient(critic, between(real, fake, uniform))
    # the square root has no gradient at zero, where a critic that ignores its input would sit
    return weight * ((squared + 1e-12).sqrt() - 1).square().mean(-1)


@register("regularizer", acts_on="inputs", needs=PER_SAMPLE, linear=linear.half_squared_slope("real", weight="gamma"))
def r1(critic: Critic, real: Tensor, fake: Tensor, uniform: Tensor, *, gamma: NotNegative = 0.1) -> Tensor:
    """R1: gamma/2 times the squared gradient norm on real samples (Mescheder 2018, eq. 9)."""
    return gamma / 2 * squared_input_gradient(critic, real).mean(-1)


@register("regularizer", acts_on="inputs", needs=PER_SAMPLE, linear=linear.half_squared_slope("fake", weight="gamma"))
def r2(critic: Critic, real: Tensor, fake: Tensor, uniform: Tensor, *, gamma: NotNegative = 0.1) -> Tensor:
    """R2: gamma/2 times the squared gradient norm on fake samples (Mescheder 2018, eq. 10)."""
    return gamma / 2 * squared_input_gradient(critic, fake).mean(-1)


@register(
    "regularizer", acts_on="inputs", needs=PER_SAMPLE, linear=linear.half_squared_slope("real", "fake", weight="gamma")
)
def r1r2(critic: Critic, real: Tensor, fake: Tensor, uniform: Tensor, *, gamma: NotNegative = 0.1) -> Tensor:
    """R1 + R2: gamma/2 times the squared gradient norm on real and on fake samples (Huang 2024, eq. 6)."""
    return r1(critic, real, fake, uniform, gamma=gamma) + r2(critic, real, fake, uniform, gamma=gamma)


@register("regularizer", acts_on="inputs", needs=PER_SAMPLE)
def lazy_r1(
    critic: Critic, real: Tensor, fake: Tensor, uniform: Tensor, *, gamma: NotNegative = 0.1, lazy: int = 16
) -> Tensor:
    """Lazy R1: R1 in every lazy-th update of the critic, counted lazy times (Karras 2020, app. B)."""
    return r1(critic, real, fake, uniform, gamma=gamma)


@register(
    "regularizer",
    acts_on="inputs",
    needs=PER_SAMPLE,
    linear=linear.half_squared_slope("between", weight="weight", times=2.0),
)
def zero_gradient_penalty(
    critic: Critic, real: Tensor, fake: Tensor, uniform: Tensor, *, weight: NotNegative = 10.0, lazy: int = 1
) -> Tensor:
    """0-GP: weight times the squared gradient norm between real and fake (Thanh-Tung 2019): w E|grad D(x^)|^2."""
    return weight * squared_input_gradient(critic, between(real, fake, uniform)).mean(-1)


@register("regularizer", acts_on="inputs", draws="normal")
def consistency(
    critic: Critic,
    real: Tensor,
    fake: Tensor,
    normal: Tensor,
    *,
    real_weight: NotNegative = 10.0,
    fake_weight: NotNegative = 10.0,
    scale: NotNegative = 0.05,
) -> Tensor:
    """Balanced consistency: weights times E(D(x) - D(Tx))^2 on real and fake samples (Zhao 2021, alg. 1; Zhang 2020).

    T adds N(0, scale^2) to every element, in the units of the samples. fake_weight=0 is CR-GAN, on real samples alone.
    """

    def inconsistency(samples: Tensor) -> Tensor:
        return (critic(samples) - critic(samples.detach() + scale * normal)).square().mean(-1)

    return real_weight * inconsistency(real) + fake_weight * inconsistency(fake)


@register(
    "regularizer",
    acts_on="inputs",
    draws="normal",
    needs=PER_SAMPLE,
    no_rate={"nonsaturating": "DRAGAN does not converge (Mescheder 2018)"},
)
def dragan(
    critic: Critic,
    real: Tensor,
    fake: Tensor,
    normal: Tensor,
    *,
    weight: NotNegative = 10.0,
    scale: NotNegative = 0.5,
    lazy: int = 1,
) -> Tensor:
    """DRAGAN: weight E(gradient norm - 1)^2 at x + d around real samples x (Kodali 2017).

    d is N(0, c) in every element; c^(1/2) is scale times the standard deviation of the batch over all its elements.
    """
    leading = critic(real).dim() - 1
    deviation = real.detach().flatten(leading).std(-1)
    deviation = deviation.reshape(deviation.shape + (1,) * (real.dim() - leading))
    squared = squared_input_gradient(critic, real.detach() + scale * deviation * normal)
    return weight * ((squared + 1e-12).sqrt() - 1).square().mean(-1)


@register("regularizer", acts_on="inputs", remembers=True)
def lecam(
    critic: Critic,
    real: Tensor,
    fake: Tensor,
    uniform: Tensor,
    memory: MutableMapping[str, Tensor],
    *,
    weight: NotNegative = 0.3,
    decay: BelowOne = 0.99,
) -> Tensor:
    """LeCam: weight times E(D(x) - a_fake)^2 + E(D(G(z)) - a_real)^2, a running means of logits (Tseng 2021).

    a <- decay a + (1 - decay) batch mean, the present batch included; they start at the means of the first batch.
    """
    logits = {"real": critic(real), "fake": critic(fake)}
    for side, own in logits.items():
        mean = own.detach().mean(-1)
        memory[side] = torch.lerp(mean, memory.get(side, mean), decay)
    squares = (logits["real"] - memory["fake"].unsqueeze(-1), logits["fake"] - memory["real"].unsqueeze(-1))
    return weight * torch.stack([square.square().mean(-1) for square in squares]).sum(0)


@register("regularizer", acts_on="samples", linear=linear.fading_noise)
def instance_noise(
    samples: Tensor, normal: Tensor, progress: Tensor, *, sigma: NotNegative = 0.1, until: PositiveShare = 1.0
) -> Tensor:
    """Instance noise: D is shown x + N(0, s^2), s falls linearly from sigma to 0 (Sonderby 2017; Arjovsky 2017b).

    sigma is in the units of the samples, `until` the share of the training at which the noise is gone, in (0, 1].
    """
    return samples + sigma * (1 - progress / until).clamp(min=0.0) * normal


@register(
    "regularizer",
    acts_on="samples",
    linear=linear.steady_noise,
    # in float32 two means of numbers near 1 are off by as much as 3e-7 of distance
    resolution=1e-5,
)
def constant_noise(
    samples: Tensor, normal: Tensor, progress: Tensor, *, sigma: NotNegative = 0.1, sampled: bool = True
) -> Tensor:
    """Constant instance noise: D is shown x + N(0, sigma^2) from the first step to the last (Mescheder 2018, sec. 3.2).

    sigma is in the units of the samples. Sampled noise leaves both players a random walk about the equilibrium. With
    sampled=False all batches have the same numbers, which stand for N(0, 1) (`normal_points`), so that a mean over a
    batch is the expectation over the noise: for samples of one number, as on the game 'dirac'.
    """
    if sampled:
        return samples + sigma * normal
    batch = samples.shape[1]
    if samples[0].numel() != batch or batch < FEWEST_POINTS:
        raise UserError(
            "The key 'regularizer.constant_noise.sampled' can be false for samples of one number and a batch_size of "
            f"at least {FEWEST_POINTS}, got samples {list(samples.shape[2:])} in batches of {batch}."
        )
    points = normal_points(batch, samples.dtype, samples.device)
    return samples + sigma * points.reshape(samples.shape[1:])


FEWEST_POINTS = 256
"""Points that can have the moments of N(0, 1) up to the eighth."""


@lru_cache(maxsize=8)
def normal_points(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return n points [n] of equal weight that stand for N(0, 1): its quantiles, spread to its even moments up to 8.

    Means of smooth functions over them are expectations: the field of the Dirac-GAN to 3e-5 within |psi sigma| < 1.
    """
    quantiles = torch.special.ndtri((torch.arange(n, dtype=torch.float64) + 0.5) / n)
    terms = torch.stack([quantiles ** (2 * k + 1) / math.factorial(2 * k + 1) for k in range(4)])
    orders = torch.arange(2.0, 9.0, 2.0, dtype=torch.float64)[:, None]
    moments = torch.tensor([1.0, 3.0, 15.0, 105.0], dtype=torch.float64)
    shares = torch.eye(4, dtype=torch.float64)[0]
    for _ in range(50):  # Newton's method, which is at rounding after a dozen
        points = shares @ terms
        slopes = (orders * points ** (orders - 1)) @ terms.mT / n
        shares = shares - torch.linalg.solve(slopes, (points**orders).mean(1) - moments)
    return (shares @ terms).to(device, dtype)


@register("regularizer", acts_on="matrices")
def orthogonal(matrices: Sequence[Tensor], *, beta: NotNegative = 1e-4) -> Tensor:
    """Orthogonal regularization: beta times the squared off-diagonals of W W^T, over all layers (Brock 2019, eq. 3).

    The paper regularizes G alone, with this beta: that is `g_regularizer=orthogonal`. `regularizer=orthogonal` is the
    same of D.
    """
    return beta * torch.stack([_off_diagonal(matrix @ matrix.mT) for matrix in matrices]).sum(0)


@register("regularizer", acts_on="matrices")
def orthonormal(matrices: Sequence[Tensor], *, beta: NotNegative = 1e-4) -> Tensor:
    """Orthonormal regularization: beta times |W W^T - I|_F^2, over all layers (Brock 2017; squared by Miyato 2018).

    Rows that are orthogonal and of length 1 cost nothing; a layer with more rows than columns always costs something.
    """
    return beta * torch.stack([_off_identity(matrix @ matrix.mT) for matrix in matrices]).sum(0)


def _pulled_back(generator: Generator, latents: Tensor, directions: Tensor) -> Tensor:
    """Return |J^T y| [..., batch] of G's Jacobian at each latent for directions y in the shape of samples."""
    latents = latents.detach().requires_grad_()
    # samples are independent, so the gradient of the sum holds each latent's own
    (pulled,) = torch.autograd.grad((generator(latents) * directions).sum(), latents, create_graph=True)
    return (pulled.square().sum(-1) + 1e-12).sqrt()


@register("regularizer", acts_on="latents", needs=PER_LATENT, remembers=True)
def path_length(
    generator: Generator,
    latents: Tensor,
    normal: Tensor,
    memory: MutableMapping[str, Tensor],
    *,
    weight: NotNegative = 2.0,
    decay: BelowOne = 0.99,
    lazy: int = 4,
) -> Tensor:
    """Path length: weight times (|J^T y| - a)^2 of G's Jacobian J, y of N(0, 1/pixels) (Karras 2020, eq. 4).

    a is the running mean of |J^T y|, which starts at that of the first batch. Points have one pixel.
    """
    pixels = math.prod(normal.shape[latents.dim() :])
    lengths = _pulled_back(generator, latents, normal / math.sqrt(pixels))
    mean = lengths.detach().mean(-1)
    memory["mean"] = torch.lerp(mean, memory.get("mean", mean), decay)
    return weight * (lengths - memory["mean"].unsqueeze(-1)).square().mean(-1)


def _off_identity(gram: Tensor) -> Tensor:
    return (gram - torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)).square().sum((-2, -1))


def _off_diagonal(gram: Tensor) -> Tensor:
    # masked rather than subtracted: the diagonal is the larger part and would drown what is left
    apart = ~torch.eye(gram.shape[-1], dtype=torch.bool, device=gram.device)
    return (gram * apart).square().sum((-2, -1))
